"""Code shared by both engines, except instruction semantics."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, Any, Final

from ebpfvm.errnos import ENOENT
from ebpfvm.errors import Fault
from ebpfvm.ints import U32_MAX
from ebpfvm.isa import codes as c
from ebpfvm.isa.insn import imm64
from ebpfvm.kernel.convert import helper_call, kfunc_call
from ebpfvm.kernel.emulated import MAX_TAIL_CALL_CNT
from ebpfvm.kernel.program import LoadedProgram
from ebpfvm.kernel.skb import SkBuff, network_offset

if TYPE_CHECKING:
    from collections.abc import Callable

    from ebpfvm.isa.insn import Insn
    from ebpfvm.kernel.call_env import CallEnv

_SKF_NET_OFF: Final = -0x100000  # uapi/linux/filter.h
_SKF_LL_OFF: Final = -0x200000
NO_SUCH_PROGRAM: Final = (1 << 64) - ENOENT  # what bpf_tail_call returns if there is no target


def used_up(budget: int) -> Fault:
    """Return the fault of a run that has executed `budget` instructions, or rounds of loops, and has not ended."""
    return Fault("budget", f"the program used up its budget of {budget} instructions (limit run_instructions)")


def jump_target(insn: Insn, pc: int) -> int:
    """Return the target of a jump: `gotol` and calls use imm, all others use off."""
    long = insn.code == c.BPF_JMP32 | c.BPF_JA
    return pc + 1 + (insn.imm if long else insn.off)


def immediate(prog: LoadedProgram, pc: int) -> int:
    """Return the value that the 64-bit immediate load at `pc` yields, in one of its seven forms.

    Raises:
        Fault: it refers to something that the program or the kernel does not have.
    """
    program = prog.program
    insn = program.insns[pc]
    if pc + 1 >= len(program.insns):
        raise Fault("opcode", "a 64-bit immediate load without its second half")
    second = program.insns[pc + 1]
    if insn.src == 0:
        return imm64(insn, second)
    if insn.src in (c.BPF_PSEUDO_MAP_FD, c.BPF_PSEUDO_MAP_IDX):
        base: int = _map(prog, insn.imm).region.base
        return base
    if insn.src in (c.BPF_PSEUDO_MAP_VALUE, c.BPF_PSEUDO_MAP_IDX_VALUE):
        bpf_map = _map(prog, insn.imm)
        address: int = bpf_map.lookup(bytes(bpf_map.key_size))
        if not address:
            raise Fault("memory", "direct address of a map value that does not exist")
        return address + (second.imm & U32_MAX)
    if insn.src == c.BPF_PSEUDO_FUNC:
        return prog.func_base + pc + 1 + insn.imm
    if insn.src == c.BPF_PSEUDO_BTF_ID:
        return _ksym(prog, insn.imm)
    raise Fault("opcode", f"64-bit immediate load of unknown form {insn.src}")


def touch(prog: LoadedProgram) -> None:
    """Create what the program's immediates refer to, so that addresses do not depend on the engine or the first run."""
    insns = prog.program.insns
    for pc, insn in enumerate(insns):
        if insn.is_ld_imm64 and insn.src and not (pc and insns[pc - 1].is_ld_imm64):
            with contextlib.suppress(Fault):
                immediate(prog, pc)


def _map(prog: LoadedProgram, index: int) -> Any:
    if not 0 <= index < len(prog.maps):
        raise Fault("memory", f"the program has no map {index}; it has {len(prog.maps)}")
    return prog.maps[index]


def _ksym(prog: LoadedProgram, index: int) -> int:
    name = prog.program.ksyms.get(index)
    if name is None:
        raise Fault("unsupported", f"variable of the kernel with number {index}")
    address = prog.kernel.ksyms.get(name)
    if address is None and prog.lacks(name):
        return 0
    if address is None and name in prog.kernel.dialect.kfuncs:
        return prog.func_base + len(prog.program.insns) + index  # nothing can be read there
    if address is None:
        raise Fault("unsupported", f"variable '{name}' of the kernel is not supported by ebpfvm")
    return address


def callee(prog: LoadedProgram, insn: Insn) -> tuple[str, Callable[..., int]]:
    """Return name and converted call of the helper or kfunc that `insn` calls.

    Raises:
        Fault: this kernel has no such function.
    """
    if insn.src == c.BPF_PSEUDO_KFUNC_CALL:
        kfunc = prog.kfuncs.get(insn.imm)
        if kfunc is None:
            name = prog.program.kfuncs.get(insn.imm, f"number {insn.imm}")
            raise Fault("call", f"this kernel has no kfunc {name}")
        return kfunc.name, kfunc_call(kfunc)
    helper = prog.helpers.get(insn.imm)
    if helper is None:
        raise Fault("call", f"this kernel has no helper {insn.imm}")
    if helper.role == "tail_call":
        return helper.name, tail_call
    return helper.name, helper_call(helper)


def tail_call(env: CallEnv, ctx: int, prog_array: int, index: int, *rest: int) -> int:
    """Run the target of bpf_tail_call to its end and return its result; `NO_TAIL` if there is no target.

    Raises:
        Fault: the second argument is not a map of programs, or the target itself faults.
    """
    from ebpfvm.kernel.convert import map_object
    bpf_map = map_object(env, prog_array)
    kernel = env.kernel
    target = bpf_map.prog(index & U32_MAX)
    if target is None or kernel.tail_calls >= MAX_TAIL_CALL_CNT:
        return NO_TAIL
    if not isinstance(target, LoadedProgram) or target.runnable is None:
        raise Fault("call", f"tail call to {target!r}, which was never loaded into an engine")
    kernel.tail_calls += 1
    return target.runnable.tail(env.ctx)


NO_TAIL: Final = -NO_SUCH_PROGRAM  # not a u64, so never a program's result


def load_packet(env: CallEnv, skb: Any, offset: int, size: int) -> int | None:
    """Return what LD_ABS and LD_IND read: `size` bytes at `offset` in network byte order, None outside of the packet.

    Negative offsets count from the network header (SKF_NET_OFF) or the link header (SKF_LL_OFF), as in
    bpf_internal_load_pointer_neg_helper (kernel/bpf/core.c).

    Raises:
        Fault: R6 is not the program's context, or the context is not a packet.
    """
    found = env.memory.owner(skb)
    if not isinstance(found, SkBuff):
        raise Fault("memory", "R6 is not the context of a packet program")
    offset &= U32_MAX
    if offset >> 31:
        offset -= 1 << 32
        if offset >= _SKF_NET_OFF:  # SKF_AD_OFF (not for eBPF) ends up beyond the packet
            offset += network_offset(found) - _SKF_NET_OFF
        elif offset >= _SKF_LL_OFF:
            offset += found.link_offset - _SKF_LL_OFF
        else:
            return None
    packet = found.packet
    if offset + size > packet.end - packet.start:
        return None
    start = packet.start + offset
    return int.from_bytes(packet.data[start:start + size], "big")
