"""The functions of a program that may move the packet, so that a call invalidates pointers into it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ebpfvm.isa import codes as c
from ebpfvm.verifier.passes.subprogs import is_call, is_kfunc_call

if TYPE_CHECKING:
    from ebpfvm.verifier.machine.env import Env, Subprog


def changes(env: Env, subprog: Subprog) -> bool:
    """Return whether a function, or what it calls, moves the packet."""
    return _changes(env, subprog, env.packet_changes)


def _changes(env: Env, subprog: Subprog, known: dict[int, bool]) -> bool:
    if subprog.index in known:
        return known[subprog.index]
    known[subprog.index] = False
    result = False
    for pc in range(subprog.start, subprog.end):
        insn = env.program.insns[pc]
        if insn.code == c.BPF_JMP | c.BPF_CALL and insn.src == 0:
            helper = env.dialect.helpers.get(insn.imm)
            result |= helper is not None and helper.changes_packet
        elif is_kfunc_call(insn):
            kfunc = env.kfuncs.get(insn.imm)
            result |= kfunc is not None and kfunc.changes_packet
        elif is_call(insn):
            callee = env.subprog_at(pc + insn.imm + 1)
            result |= callee is not None and _changes(env, callee, known)
    known[subprog.index] = result
    return result
