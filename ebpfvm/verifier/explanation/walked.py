"""The rejected path, backwards: which instructions were walked, and where a register's value came from."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ebpfvm.isa import codes as c
from ebpfvm.lazy_dataclasses import dataclass
from ebpfvm.verifier.machine.state import is_first
from ebpfvm.verifier.passes.subprogs import is_call

if TYPE_CHECKING:
    from collections.abc import Iterator

    from ebpfvm.isa.insn import Insn
    from ebpfvm.verifier.machine.walk import Walk

_FP = 10
_MOVES = frozenset({c.BPF_ALU64 | c.BPF_MOV | c.BPF_X})
_STEPS = frozenset({c.BPF_ALU64 | c.BPF_ADD, c.BPF_ALU64 | c.BPF_SUB, c.BPF_ALU64 | c.BPF_ADD | c.BPF_X,
                    c.BPF_ALU64 | c.BPF_SUB | c.BPF_X})
_FILL = c.BPF_LDX | c.BPF_MEM | c.BPF_DW
_SPILL = c.BPF_STX | c.BPF_MEM | c.BPF_DW


def path(w: Walk) -> list[int]:
    """Return the slots that the current path has walked, the oldest first and the current one last."""
    return list(_backwards(w))[::-1]


def _backwards(w: Walk) -> Iterator[int]:
    state, pc = w.state, w.pc
    while True:
        history = state.history
        while True:
            yield pc
            entry = history if history is not None and history.pc == pc else None
            if pc == state.first_pc and is_first(history, pc):
                break
            if entry is not None:
                history, pc = entry.before, entry.prev
            else:
                pc -= 1
                if pc > 0 and w.env.program.insns[pc - 1].is_ld_imm64:
                    pc -= 1
            if pc < 0:
                return
        if state.parent is None:
            return
        pc, state = state.parent.last_pc, state.parent
        if pc < 0:
            return


@dataclass(slots=True)
class Origin:
    """The origin of a value.

    Attributes:
        at: index in the path of the instruction that produced it, -1 if the path began with it.
        reg: the register in which it was produced, or that held it at the start.
    """

    at: int
    reg: int


def origin(insns: tuple[Insn, ...], walked: list[int], at: int, reg: int) -> Origin:
    """Trace the value that `reg` holds before `walked[at]` back through moves, spills and constant steps.

    Functions that the path called and that have returned are skipped, because they preserve R6 to R9 and the frame.
    """
    slot: int | None = None
    depth = 0  # calls that the walk backwards has entered from their ends
    for index in range(at - 1, -1, -1):
        insn = insns[walked[index]]
        if depth or (insn.code == c.BPF_JMP | c.BPF_EXIT and (slot is not None or reg != 0)):
            depth += 1 if insn.code == c.BPF_JMP | c.BPF_EXIT else -1 if is_call(insn) else 0
            continue
        if is_call(insn) and (slot is not None or reg > 5):  # the frame began here
            break
        if slot is not None:
            if insn.code == _SPILL and insn.dst == _FP and insn.off == slot:
                reg, slot = insn.src, None
            continue
        made = _made(insn, reg)
        if made is None:
            continue
        if made == reg and insn.code in _STEPS:
            continue
        if insn.code in _MOVES and not insn.off:
            reg = insn.src
        elif insn.code == _FILL and insn.src == _FP:
            slot = insn.off
        else:
            return Origin(index, reg)
    return Origin(-1, reg)


def _made(insn: Insn, reg: int) -> int | None:
    """Return `reg` if the instruction writes it, otherwise None."""
    kind = insn.code & 7
    if kind in (c.BPF_ALU, c.BPF_ALU64, c.BPF_LDX) or insn.is_ld_imm64:
        return reg if insn.dst == reg else None
    if insn.code == c.BPF_JMP | c.BPF_CALL:
        return reg if reg == 0 or (reg <= 5 and not is_call(insn)) else None
    return None
