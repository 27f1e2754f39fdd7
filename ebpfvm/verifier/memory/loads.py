"""64-bit immediates: numbers, maps and their values, variables of the kernel, functions (check_ld_imm)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ebpfvm.btf.types import Func, Linkage
from ebpfvm.errnos import EACCES, EINVAL
from ebpfvm.ints import U32_MAX
from ebpfvm.isa import codes as c
from ebpfvm.isa.insn import imm64
from ebpfvm.verifier.machine import properties as p
from ebpfvm.verifier.machine import regs as r
from ebpfvm.verifier.machine.regs import known, pointer, with_id
from ebpfvm.verifier.machine.signal import Refuse
from ebpfvm.verifier.memory import ksyms
from ebpfvm.verifier.values.alu import READ_ONLY

if TYPE_CHECKING:

    from ebpfvm.isa.insn import Insn
    from ebpfvm.verifier.machine.regs import Reg
    from ebpfvm.verifier.machine.walk import Step, Walk


def build(w: Walk, pc: int, insn: Insn) -> Step:
    """Return the step for an LD instruction."""
    if not insn.is_ld_imm64:
        return _second_half
    return _immediate(w, pc, insn)


def _second_half(w: Walk) -> int:
    raise Refuse(p.INVALID_INSN, EINVAL, "invalid BPF_LD_IMM insn")


def _immediate(w: Walk, pc: int, insn: Insn) -> Step:
    dst, after = insn.dst, pc + 2
    high = w.env.program.insns[pc + 1]
    if insn.src == 0:
        value = known(imm64(insn, high))
    elif insn.src == c.BPF_PSEUDO_FUNC:
        return _function(w, pc, insn)
    elif insn.src == c.BPF_PSEUDO_BTF_ID:
        return _symbol(w, pc, insn)
    else:
        used = w.env.maps[insn.imm]
        if insn.src == c.BPF_PSEUDO_MAP_FD:
            value = pointer(r.MAP_PTR, used)
        else:
            value = pointer(r.MAP_VALUE, used, off=high.imm & U32_MAX)
            if used.field_of("spin_lock") and not w.env.rules.one_lock_by_address:
                return _own_lock(dst, value, after)

    def step(w: Walk) -> int:
        if dst == 10:
            raise Refuse(p.FRAME_POINTER, EACCES, READ_ONLY)
        w.regs[dst] = value
        return after
    return step


def _own_lock(dst: int, value: Reg, after: int) -> Step:
    """Return the step that loads the address of a value whose lock is another one each time."""
    def step(w: Walk) -> int:
        if dst == 10:
            raise Refuse(p.FRAME_POINTER, EACCES, READ_ONLY)
        w.regs[dst] = with_id(value, w.new_id())
        return after
    return step


def _symbol(w: Walk, pc: int, insn: Insn) -> Step:
    value = ksyms.value(w.env, w.env.program.ksyms.get(insn.imm, str(insn.imm)))

    def step(w: Walk) -> int:
        if isinstance(value, Refuse):
            raise value
        if insn.dst == 10:
            raise Refuse(p.FRAME_POINTER, EACCES, READ_ONLY)
        w.regs[insn.dst] = value
        return pc + 2
    return step


def _function(w: Walk, pc: int, insn: Insn) -> Step:
    subprog = w.env.subprog_at(pc + insn.imm + 1)
    assert subprog is not None
    btf = w.env.program.btf if w.env.program.func_info else None
    func = btf[subprog.type_id] if btf is not None else None
    assert func is None or isinstance(func, Func)  # ensured by check_btf

    def step(w: Walk) -> int:
        if insn.dst == 10:
            raise Refuse(p.FRAME_POINTER, EACCES, READ_ONLY)
        if func is None:
            raise Refuse(p.BTF_FUNC_INFO, EINVAL, "missing btf func_info")
        if func.linkage != Linkage.STATIC:
            raise Refuse(p.CALLBACK_FUNCTION, EINVAL, "callback function not static")
        if not subprog.index and w.env.rules.main_is_no_callback:
            raise Refuse(p.CALLBACK_FUNCTION, EINVAL, "callback function cannot be the main program")
        w.regs[insn.dst] = pointer(r.FUNC, subprog.index)
        return pc + 2
    return step
