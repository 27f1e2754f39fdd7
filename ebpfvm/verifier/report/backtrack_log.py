"""What level 2 of the log says about precision: the way back, instruction by instruction (kernel/bpf/backtrack.c)."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ebpfvm.verifier.machine.state import State
    from ebpfvm.verifier.report.log import Log


def _regs(mask: int) -> str:
    return ",".join(f"r{number}" for number in range(mask.bit_length()) if mask >> number & 1)


def _slots(mask: int) -> str:
    return ",".join(str(-(index + 1) * 8) for index in range(mask.bit_length()) if mask >> index & 1)


def stretch(log: Log, frame: int, last: int, first: int, subsequent: int) -> None:
    """Print that the way between two kept states begins."""
    log.detail(f"mark_precise: frame{frame}: last_idx {last} first_idx {first} subseq_idx {subsequent} ")


def before(log: Log, frame: int, regs: int, slots: int, pc: int) -> None:
    """Print what is sought after an instruction that is about to be undone."""
    log.detail(f"mark_precise: frame{frame}: regs={_regs(regs)} stack={_slots(slots)} before {pc}: "
               f"{log.insn_text(pc)}")


def parent(log: Log, frame: int, regs: int, slots: int, state: State) -> None:
    """Print what is left to seek in a kept state, and that state."""
    log.full_state(f"mark_precise: frame{frame}: parent state regs={_regs(regs)} stack={_slots(slots)}: ", state,
                   state.frames[frame])


def propagating(log: Log, regs: list[int], slots: list[int]) -> None:
    """Print what is precise in the state that subsumes this one."""
    for frame in range(len(regs) - 1, -1, -1):
        names = [f"r{number}" for number in range(10) if regs[frame] >> number & 1]
        names += [f"fp{-(index + 1) * 8}" for index in range(slots[frame].bit_length()) if slots[frame] >> index & 1]
        if names:
            log.detail(f"frame {frame}: propagating {','.join(names)}")


def forced(log: Log, frame: int, regs: int, slots: int) -> None:
    """Print what has become precise because the way back was lost."""
    for number in range(regs.bit_length()):
        if regs >> number & 1:
            log.detail(f"force_precise: frame{frame}: forcing r{number} to be precise")
    for index in range(slots.bit_length()):
        if slots >> index & 1:
            log.detail(f"force_precise: frame{frame}: forcing fp{-(index + 1) * 8} to be precise")
