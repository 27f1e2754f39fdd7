"""Where a value came from: the recorded path, followed backwards from one register or stack slot.

Each step is asked what it did to the place that holds the value: nothing, moved it there from another place, changed
it without writing it (a comparison, a call that invalidates it), computed it, or made it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

from ebpfvm.isa import codes as c
from ebpfvm.lazy_tuples import NamedTuple
from ebpfvm.verifier.machine.regs import SCALAR, STACK, Reg
from ebpfvm.verifier.machine.state import SPILL, Slot
from ebpfvm.verifier.passes.subprogs import is_call

if TYPE_CHECKING:
    from collections.abc import Iterator

    from ebpfvm.isa.insn import Insn
    from ebpfvm.verifier.explanation.path_record import FrameRecord, StepRecord

Kind = Literal["same", "moved", "changed", "computed", "made"]

_CALL = c.BPF_JMP | c.BPF_CALL
_EXIT = c.BPF_JMP | c.BPF_EXIT


class Spot(NamedTuple):
    """Where a value is: register `reg` of a frame, or, if `reg` is -1, the eight bytes of its stack from `off` on."""

    frame: int
    reg: int
    off: int = 0


class Event(NamedTuple):
    """What a step did to a value.

    Attributes:
        at: index of the step in the path; -1 if the path began with the value.
        kind: what it did.
        before, after: the places that held the value.
        old, new: what they held: a `Reg`, the kinds of the bytes of a slot, or None.
    """

    at: int
    kind: Kind
    before: Spot
    after: Spot
    old: Any
    new: Any


class Path:
    """A recorded path.

    Args:
        insns: the program.
        steps: the steps, the oldest first.
    """

    def __init__(self, insns: tuple[Insn, ...], steps: list[StepRecord]) -> None:
        self.insns = insns
        self.steps = steps

    def insn(self, at: int) -> Insn:
        """Return the instruction of a step."""
        return self.insns[self.steps[at].pc]

    def depth(self, at: int) -> int:
        """Return the number of the innermost frame before a step."""
        return len(self.steps[at].frames) - 1

    def value(self, at: int, place: Spot) -> Any:
        """Return what a place holds before a step."""
        frames = self.steps[at].frames
        if place.frame >= len(frames):
            return None
        frame = frames[place.frame]
        return frame.regs[place.reg] if place.reg >= 0 else in_slot(frame, place.off)

    def back(self, at: int, place: Spot) -> Iterator[Event]:
        """Yield what happened to the value that `place` holds before step `at`, the latest first, up to its origin.

        A value that was computed is followed through the register that was changed. A consumer that wants to follow
        another operand stops and asks again.
        """
        for index in range(at - 1, -1, -1):
            event = self._step(index, place)
            if event.kind == "same":
                continue
            yield event
            if event.kind == "made":
                return
            place = event.before
        yield Event(-1, "made", place, place, None, self.value(0, place) if self.steps else None)

    def _step(self, at: int, place: Spot) -> Event:
        depth = self.depth(at)
        new = self.value(at + 1, place)
        if place.frame > depth or self._starts_anew(at):
            return self._entered(at, place, new)
        insn = self.insn(at)
        if place.reg == 0 and insn.code == _EXIT and place.frame == depth - 1 and self.depth(at + 1) < depth \
                and not self.steps[at].frames[depth].cb:
            source = Spot(depth, 0)
            return Event(at, "moved", source, place, self.value(at, source), new)
        if place.frame == depth:
            event = self._written(at, insn, place, new) if place.reg >= 0 else None
            if event is not None:
                return event
        if place.reg < 0 and insn.code & 7 in (c.BPF_ST, c.BPF_STX):
            event = self._stored(at, insn, place, new)
            if event is not None:
                return event
        old = self.value(at, place)
        if old == new:
            return Event(at, "same", place, place, old, new)
        filled = place.reg < 0 and insn.code == _CALL and not isinstance(new, Reg) and not isinstance(old, Reg)
        return Event(at, "made" if filled else "changed", place, place, old, new)

    def _starts_anew(self, at: int) -> bool:
        """Return whether what follows a step is a callback that runs later, on a stack of its own."""
        after = self.steps[at + 1].frames[0] if at + 1 < len(self.steps) else None
        return after is not None and after.async_cb > self.steps[at].frames[0].async_cb

    def _entered(self, at: int, place: Spot, new: Any) -> Event:
        """Return where an argument of a function that step `at` entered came from."""
        caller = Spot(self.depth(at), place.reg)
        if 1 <= place.reg <= 5:
            if is_call(self.insn(at)):
                return Event(at, "moved", caller, place, self.value(at, caller), new)
            for reg in range(1, 6):
                caller = Spot(self.depth(at), reg)
                old = self.value(at, caller)
                if old is not None and old == new and old.type != SCALAR:
                    return Event(at, "moved", caller, place, old, new)
        return Event(at, "made", place, place, None, new)

    def _written(self, at: int, insn: Insn, place: Spot, new: Any) -> Event | None:
        """Return what an instruction did to a register of its own frame, None if it does not write it."""
        kind = insn.code & 7
        if insn.code == _CALL:
            if place.reg > 5:
                return None
            return Event(at, "made", place, place, self.value(at, place), new)
        if kind == c.BPF_STX and insn.is_atomic:
            fetches = _fetched(insn)
            return Event(at, "made", place, place, None, new) if place.reg == fetches else None
        if kind == c.BPF_LD and not insn.is_ld_imm64:
            return Event(at, "made", place, place, None, new) if place.reg <= 5 else None
        if insn.dst != place.reg or kind not in (c.BPF_ALU, c.BPF_ALU64, c.BPF_LDX, c.BPF_LD):
            return None
        if kind == c.BPF_LDX:
            return self._loaded(at, insn, place, new)
        if kind == c.BPF_LD:
            return Event(at, "made", place, place, None, new)
        return self._computed(at, insn, place, new)

    def _loaded(self, at: int, insn: Insn, place: Spot, new: Any) -> Event:
        slot = _stack_spot(self.value(at, Spot(place.frame, insn.src)), insn.off)
        if slot is None:
            return Event(at, "made", place, place, None, new)
        return Event(at, "moved", slot, place, self.value(at, slot), new)

    def _computed(self, at: int, insn: Insn, place: Spot, new: Any) -> Event:
        if insn.code & 0xF0 == c.BPF_MOV:
            if not insn.code & c.BPF_X:
                return Event(at, "made", place, place, None, new)
            source = Spot(place.frame, insn.src)
            old = self.value(at, source)
            whole = insn.code & 7 == c.BPF_ALU64 and not insn.off
            same = whole or (isinstance(old, Reg) and isinstance(new, Reg) and old.type == SCALAR
                             and old.num == new.num)
            return Event(at, "moved" if same else "computed", source, place, old, new)
        return Event(at, "computed", place, place, self.value(at, place), new)

    def _stored(self, at: int, insn: Insn, place: Spot, new: Any) -> Event | None:
        """Return what a store did to a slot, None if it hit something else."""
        depth = self.depth(at)
        base = self.value(at, Spot(depth, insn.dst))
        if base is None or base.type != STACK or base.what != place.frame:
            return None
        start, size = base.off + base.num.smin + insn.off, c.SIZE_BYTES[insn.code & 0x18]
        if base.num.mask:
            old = self.value(at, place)
            return Event(at, "made", place, place, old, new) if old != new else None
        if start >= place.off + 8 or start + size <= place.off:
            return None
        if insn.code & 7 == c.BPF_STX and not insn.is_atomic and (size == 8 or isinstance(new, Reg)):
            source = Spot(depth, insn.src)
            return Event(at, "moved", source, place, self.value(at, source), new)
        return Event(at, "made", place, place, self.value(at, place), new)


def _stack_spot(reg: Reg | None, off: int) -> Spot | None:
    """Return the slot that a pointer to the stack leads to, None for any other pointer."""
    if reg is None or reg.type != STACK or reg.num.mask:
        return None
    start = reg.off + reg.num.smin + off
    return Spot(reg.what, -1, start - start % 8)


def _fetched(insn: Insn) -> int:
    """Return the register that an atomic instruction loads, -1 for none."""
    if insn.imm == c.BPF_LOAD_ACQ:
        return insn.dst
    if insn.imm == c.BPF_CMPXCHG:
        return 0
    return insn.src if insn.imm & c.BPF_FETCH else -1


def in_slot(frame: FrameRecord, off: int) -> Any:
    """Return what the eight bytes of a frame's stack from `off` on hold: a `Reg`, another state, the kinds, or None."""
    slot: Slot | None = frame.stack.get(-off - 1 >> 3)
    if slot is None:
        return None
    return slot.reg if slot.types[7] == SPILL or slot.reg is not None else slot.types
