"""Check func_info and line_info against the program (kernel/bpf/check_btf.c in 7.2, verifier.c before).

The loader has resolved the raw records, so that errors in their encoding are reported there.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from ebpfvm.btf.types import Enum, Func, FuncProto, Int
from ebpfvm.errnos import EINVAL
from ebpfvm.isa import codes as c
from ebpfvm.verifier.machine import properties as p
from ebpfvm.verifier.machine.signal import Refuse

if TYPE_CHECKING:
    from ebpfvm.loader.object import Program
    from ebpfvm.verifier.machine.env import Subprog

TAIL_CALL = 12


def _has_ld_abs(program: Program, subprog: Subprog) -> bool:
    return any(insn.code & 7 == c.BPF_LD and insn.code & 0xE0 in (c.BPF_ABS, c.BPF_IND)
               for insn in program.insns[subprog.start:subprog.end])


def has_tail_call(program: Program, subprog: Subprog) -> bool:
    """Return whether the function calls bpf_tail_call()."""
    return any(insn.code == c.BPF_JMP | c.BPF_CALL and insn.src == 0 and insn.imm == TAIL_CALL
               for insn in program.insns[subprog.start:subprog.end])


def early(program: Program) -> None:
    """Check the func_info records by themselves (check_btf_info_early)."""
    before = 0
    for at, record in enumerate(program.func_info):
        if not at and record.insn_off:
            raise Refuse(p.BTF_FUNC_INFO, EINVAL, f"nonzero insn_off {record.insn_off} for the first func info record")
        if at and record.insn_off <= before:
            raise Refuse(p.BTF_FUNC_INFO, EINVAL,
                         f"same or smaller insn offset ({record.insn_off}) than previous func info record "
                         f"({before})")
        btf = program.btf
        if btf is None or not 0 < record.type_id < len(btf) or not isinstance(btf[record.type_id], Func):
            raise Refuse(p.BTF_FUNC_INFO, EINVAL, f"invalid type id {record.type_id} in func info")
        before = record.insn_off


def check(program: Program, subprogs: tuple[Subprog, ...]) -> None:
    """Check the records against the functions (check_btf_info)."""
    if not program.func_info and not program.line_info:
        for subprog in subprogs[1:]:
            if _has_ld_abs(program, subprog):
                raise Refuse(p.ABNORMAL_RETURN, EINVAL,
                             "LD_ABS is not allowed in subprogs without BTF", pc=subprog.start)
            if has_tail_call(program, subprog):
                raise Refuse(p.ABNORMAL_RETURN, EINVAL,
                             "tail_call is not allowed in subprogs without BTF", pc=subprog.start)
        return
    if program.func_info:
        _functions(program, subprogs)
    elif len(subprogs) > 1 and any(_has_ld_abs(program, s) or has_tail_call(program, s) for s in subprogs[1:]):
        raise Refuse(p.ABNORMAL_RETURN, EINVAL, "tail_call is not allowed in subprogs without BTF")
    if program.line_info:
        _lines(program, subprogs)


def _functions(program: Program, subprogs: tuple[Subprog, ...]) -> None:
    if len(program.func_info) != len(subprogs):
        raise Refuse(p.BTF_FUNC_INFO, EINVAL, "number of funcs in func_info doesn't match number of subprogs")
    for record, subprog in zip(program.func_info, subprogs, strict=True):
        if record.insn_off != subprog.start:
            raise Refuse(p.BTF_FUNC_INFO, EINVAL, "func_info BTF section doesn't match subprog layout in BPF program",
                         pc=subprog.start)
        if not subprog.index or returns_int(program, record.type_id):
            continue
        if _has_ld_abs(program, subprog):
            raise Refuse(p.ABNORMAL_RETURN, EINVAL,
                         "LD_ABS is only allowed in functions that return 'int'.", pc=subprog.start)
        if has_tail_call(program, subprog):
            raise Refuse(p.ABNORMAL_RETURN, EINVAL,
                         "tail_call is only allowed in functions that return 'int'.", pc=subprog.start)


def returns_int(program: Program, type_id: int) -> bool:
    """Return whether the function of this BTF id returns a number of at most eight bytes."""
    assert program.btf is not None
    func = program.btf[type_id]
    proto = program.btf[func.type] if isinstance(func, Func) else None
    if not isinstance(proto, FuncProto):
        return False
    return isinstance(program.btf.resolved(proto.return_type), Int | Enum)


def _lines(program: Program, subprogs: tuple[Subprog, ...]) -> None:
    before, size, waiting = 0, len(program.insns), 0
    for at, record in enumerate(program.line_info):
        off = record.insn_off
        if (at and off <= before) or off >= size or (not at and off < before):
            raise Refuse(p.BTF_LINE_INFO, EINVAL,
                         f"Invalid line_info[{at}].insn_off:{off} (prev_offset:{before} prog->len:{size})")
        if not program.insns[off].code:
            raise Refuse(p.BTF_LINE_INFO, EINVAL, f"Invalid insn code at line_info[{at}].insn_off")
        if waiting < len(subprogs):
            if off == subprogs[waiting].start:
                waiting += 1
            elif subprogs[waiting].start < off:
                raise Refuse(p.BTF_LINE_INFO, EINVAL,
                             f"missing bpf_line_info for func#{waiting}", pc=subprogs[waiting].start)
        before = off
    if waiting != len(subprogs):
        raise Refuse(p.BTF_LINE_INFO, EINVAL,
                     f"missing bpf_line_info for {len(subprogs) - waiting} funcs starting from "
                     f"func#{waiting}", pc=subprogs[waiting].start)
