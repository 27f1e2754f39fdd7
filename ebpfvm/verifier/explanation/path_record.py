"""A record of the walk: the state before each step of the path that is refused.

Recording costs time and memory, so it is only done when somebody asks why a program was refused
(`Verdict.explanation`). Paths share their beginnings, and what no path needs any more is freed.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ebpfvm.lazy_tuples import NamedTuple

if TYPE_CHECKING:
    from ebpfvm.verifier.machine.regs import Reg
    from ebpfvm.verifier.machine.state import Frame, Ref, Slot
    from ebpfvm.verifier.machine.walk import Step, Walk


class FrameRecord(NamedTuple):
    """A frame as a step found it."""

    regs: tuple[Reg | None, ...]
    stack: dict[int, Slot]
    subprog: int
    callsite: int
    cb: bool
    async_cb: int


class StepRecord:
    """One step of a path: its slot, the machine before it, and the step before."""

    __slots__ = ("before", "frames", "held", "irq", "locks", "pc", "preempt", "rcu", "refs")

    def __init__(self, before: StepRecord | None, pc: int, w: Walk) -> None:
        state = w.state
        self.before = before
        self.pc = pc
        known: tuple[FrameRecord, ...] = before.frames if before is not None else ()
        self.frames: tuple[FrameRecord, ...] = tuple([_record(frame, known[no] if no < len(known) else None)
                             for no, frame in enumerate(state.frames)])
        self.refs: tuple[Ref, ...] = state.refs
        self.locks = state.locks
        self.held: tuple[int, Any] = state.active_lock
        self.rcu = state.rcu
        self.preempt = state.preempt
        self.irq = state.irq_id


def _record(frame: Frame, known: FrameRecord | None) -> FrameRecord:
    """Return a copy of a frame; a frame that has not changed is not copied."""
    frame.shared = True  # so that the next write to the stack copies it
    regs = tuple(frame.regs)
    if known is not None and known.stack is frame.stack and known.regs == regs and known.callsite == frame.callsite:
        return known
    return FrameRecord(regs, frame.stack, frame.subprog, frame.callsite, frame.cb, frame.async_cb)


class PathRecorder:
    """Takes note of every step of a walk.

    Attributes:
        last: the last step of the current path.
        failed: whether that step refused the program; otherwise something between two steps did.
    """

    def __init__(self) -> None:
        self.last: StepRecord | None = None
        self.failed = False
        self._pending = 0
        self._pushed: dict[int, StepRecord] = {}

    def recorded(self, step: Step) -> Step:
        """Return a step that is recorded before it is taken."""
        def watched(w: Walk) -> int:
            self._begin(w)
            after = step(w)
            self._end(w)
            return after
        return watched

    def _begin(self, w: Walk) -> None:
        waiting = len(w.pending)
        if w.prev < 0:
            self.last = None  # a function of its own
        elif waiting < self._pending:
            self.last = self._pushed[waiting]  # the path that was pushed last is walked now
        self._pending = waiting
        self.last = StepRecord(self.last, w.pc, w)
        self.failed = True

    def _end(self, w: Walk) -> None:
        self.failed = False
        assert self.last is not None
        for index in range(self._pending, len(w.pending)):
            self._pushed[index] = self.last
        self._pending = len(w.pending)

    def path(self) -> list[StepRecord]:
        """Return the steps of the current path, the oldest first."""
        found, at = [], self.last
        while at is not None:
            found.append(at)
            at = at.before
        return found[::-1]
