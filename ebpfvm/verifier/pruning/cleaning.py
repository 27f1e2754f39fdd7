"""Forget the parts of a state that nothing reads, or that carry no information.

Sources: clean_verifier_state and bpf_clear_singular_ids of kernel/bpf/states.c and verifier.c.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from ebpfvm.verifier.machine.regs import ADD_CONST, SCALAR, Reg
from ebpfvm.verifier.machine.state import ALL_POISON, DYN, IRQ, ITER, MISC, POISON, SPILL, Slot

if TYPE_CHECKING:
    from ebpfvm.verifier.machine.state import Frame, State
    from ebpfvm.verifier.machine.walk import Walk
    from ebpfvm.verifier.pruning.sites import PruneSite

POISONED = Slot(ALL_POISON)
_POISON4 = bytes([POISON] * 4)
_OBJECTS = frozenset({DYN, ITER, IRQ})


class Cleaner:
    """Forgets what is never read again."""

    def __init__(self, walk: Walk) -> None:
        self.w = walk

    def clean(self, state: State, site: PruneSite) -> None:
        """Forget what is never read again (clean_verifier_state)."""
        marks = self.w.marks
        alive, forget = (site.alive, halves) if marks is None else (marks.alive(state), slots)
        frames = state.frames
        values = frames[-1].regs
        for number in site.dead[-1]:
            values[number] = None
        for frame, dead, mask in zip(frames, site.dead, alive, strict=True):
            # Otherwise nothing has changed since the frame was cleaned last.
            if frame.clean != mask and frame.clean & ~mask:
                registers(frame, dead)
                forget(frame, mask)


def dead_registers(live: int) -> tuple[int, ...]:
    """Return the numbers of the registers that are not in the mask `live`."""
    return tuple(number for number in range(10) if not live >> number & 1)


def registers(frame: Frame, dead: tuple[int, ...]) -> None:
    """Forget registers that are dead."""
    values = frame.regs
    for number in dead:
        values[number] = None


def slots(frame: Frame, alive: int) -> None:
    """Forget slots that are dead (6.18); bit n of `alive` is the slot fp-8*(n+1)."""
    if not frame.clean & ~alive:
        return
    dead = [index for index in frame.stack if not alive >> index & 1]
    if dead:
        stack = frame.stack_for_write()
        for index in dead:
            del stack[index]
    frame.clean = alive


def halves(frame: Frame, alive: int) -> None:
    """Mark halves of slots that are dead (7.2); bit n of `alive` is the four bytes at fp-4*(n+1)."""
    if not frame.clean & ~alive:
        return
    stack = frame.stack
    dead = [index for index, slot in stack.items()
            if alive >> 2 * index & 3 != 3 and slot is not POISONED and slot.types[7] not in _OBJECTS]
    if dead:
        stack = frame.stack_for_write()
        for index in dead:
            stack[index] = _halved(stack[index], alive >> 2 * index & 3)
    frame.clean = alive


def _halved(slot: Slot, alive: int) -> Slot:
    """Return a slot whose half next to the frame pointer (bit 0) or other half (bit 1) is dead."""
    if not alive:
        return POISONED
    low, high, reg = slot.types[:4], slot.types[4:], slot.reg
    if alive == 2:
        return slot if low == _POISON4 else Slot(_POISON4 + high, reg)
    if high == _POISON4:
        return slot
    if slot.types[7] == SPILL:
        if reg.type != SCALAR or not (reg.num.mask or reg.num.value):
            return slot  # the bytes of a pointer may not be read one by one, those of a zero are known
        low = bytes(MISC if kind == SPILL else kind for kind in low)
    return Slot(low + _POISON4)


def lone_ids(state: State) -> None:
    """Remove ids that only one number of the state has, because it is linked to nothing."""
    seen: set[int] = set()
    twice: set[int] = set()
    for frame in state.frames:
        for reg in frame.regs:
            if reg is not None and reg.type == SCALAR and reg.id:
                (twice if reg.id & ~ADD_CONST in seen else seen).add(reg.id & ~ADD_CONST)
        for slot in frame.stack.values():
            if slot.types[7] == SPILL and slot.reg.type == SCALAR and slot.reg.id:
                (twice if slot.reg.id & ~ADD_CONST in seen else seen).add(slot.reg.id & ~ADD_CONST)
    lone = seen - twice
    if lone:
        for frame in state.frames:
            _without(frame, lone)


def _without(frame: Frame, lone: set[int]) -> None:
    for number, reg in enumerate(frame.regs):
        if reg is not None and reg.type == SCALAR and reg.id & ~ADD_CONST in lone:
            frame.regs[number] = Reg(SCALAR, reg.num)
    found = [(index, slot) for index, slot in frame.stack.items()
             if slot.types[7] == SPILL and slot.reg.type == SCALAR and slot.reg.id & ~ADD_CONST in lone]
    if found:
        stack = frame.stack_for_write()
        for index, slot in found:
            stack[index] = Slot(slot.types, Reg(SCALAR, slot.reg.num))
