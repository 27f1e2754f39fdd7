"""The functions of a program that may move the packet, so that a call invalidates pointers into it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ebpfvm.verifier.passes.subprogs import CALL, is_call, is_kfunc_call

if TYPE_CHECKING:
    from ebpfvm.isa.insn import Insn
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
        if is_call(insn):
            callee = env.subprog_at(pc + insn.imm + 1)
            result |= callee is not None and _changes(env, callee, known)
        else:
            result |= moves_packet(env, insn)
    known[subprog.index] = result
    return result


def moves_packet(env: Env, insn: Insn) -> bool:
    """Return whether an instruction calls a helper or kfunc that may move the packet."""
    if insn.code != CALL:
        return False
    called = env.kfuncs.get(insn.imm) if is_kfunc_call(insn) else env.dialect.helpers.get(insn.imm)
    return called is not None and called.changes_packet
