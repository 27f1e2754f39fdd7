"""A position in a recording, with the state there, and the ways to move: by instruction, C line, function and stop."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from ebpfvm.debugger.recording import Executed, ProgramRun, Recording
    from ebpfvm.debugger.stops import Stop
    from ebpfvm.debugger.watched import Key, State, Value

Place = tuple[int, int, str, int]
"""Run, depth, program and C line (or slot, without line info)."""


class Cursor:
    """Stands before a step of a recording, or behind the last one.

    Attributes:
        recording: the recording.
        at: index of the step that would be executed next; the number of steps at the end.
        state: what exists there, by `ebpfvm.debugger.watched.Key`.
    """

    def __init__(self, recording: Recording) -> None:
        self.recording = recording
        self.at = 0
        self.state: State = dict(recording.start)

    @property
    def step(self) -> Executed | None:
        """The step that would be executed next, None at the end."""
        steps = self.recording.steps
        return steps[self.at] if self.at < len(steps) else None

    @property
    def last(self) -> Executed | None:
        """The step that was executed before, None at the start."""
        return self.recording.steps[self.at - 1] if self.at else None

    @property
    def run(self) -> ProgramRun:
        """The run of a program that the position is in; at the end, the last one."""
        step = self.step or self.recording.steps[-1]
        return self.recording.runs[step.run]

    def go(self, at: int) -> None:
        """Move to step `at`, or as far towards it as there are steps."""
        steps, state = self.recording.steps, self.state
        at = min(max(at, 0), len(steps))
        while self.at < at:
            for key, _, new in steps[self.at].changes:
                _put(state, key, new)
            self.at += 1
        while self.at > at:
            self.at -= 1
            for key, old, _ in reversed(steps[self.at].changes):
                _put(state, key, old)

    def line(self, over: bool = False) -> None:
        """Move to the start of the next C line; with `over`, functions that are called are passed over."""
        step = self.step
        if step is not None:
            self._forward(lambda item: _place(item) != _place(step) and not (
                over and item.run == step.run and item.depth > step.depth))

    def line_back(self, over: bool = False) -> None:
        """Move to the start of the C line before; with `over`, functions that were called are passed over."""
        steps = self.recording.steps
        here, at = self.step, self.at - 1
        while at >= 0 and here is not None and over and steps[at].run == here.run and steps[at].depth > here.depth:
            at -= 1
        # In the middle of a line, its start is the line before.
        while at > 0 and _place(steps[at - 1]) == _place(steps[at]):
            at -= 1
        self.go(at)

    def finish(self) -> None:
        """Move to where the function has returned, or its program has ended."""
        step = self.step
        if step is not None:
            self._forward(lambda item: item.run != step.run or item.depth < step.depth)

    def start_of_function(self) -> None:
        """Move back to where the function was called, or its program began."""
        step = self.step or self.last
        if step is None:
            return
        at = self.at
        while at and (before := self.recording.steps[at - 1]).run == step.run and before.depth >= step.depth:
            at -= 1
        called = at and self.recording.steps[at - 1].run == step.run and at != self.at
        self.go(at - 1 if called else at)

    def find(self, stops: Sequence[Stop], back: bool = False) -> Stop | None:
        """Move to the next place (or the one before) where a stop applies, and return the stop.

        Without one, move to the end (or the start) and return None.
        """
        steps = self.recording.steps
        places = range(self.at - 1, -1, -1) if back else range(self.at + 1, len(steps) + 1)
        for at in places:
            for stop in stops:
                if stop.applies(self.recording, at):
                    self.go(at)
                    return stop
        self.go(0 if back else len(steps))
        return None

    def _forward(self, found: Callable[[Executed], bool]) -> None:
        """Move to the next step for which `found` is true, or to the end."""
        steps = self.recording.steps
        self.go(next((at for at in range(self.at + 1, len(steps)) if found(steps[at])), len(steps)))


def _put(state: State, key: Key, value: Value | None) -> None:
    if value is None:
        state.pop(key, None)
    else:
        state[key] = value


def _place(step: Executed) -> Place:
    line = step.prog.program.line_at(step.pc)
    return step.run, step.depth, step.prog.name, line.line if line is not None else -1 - step.pc
