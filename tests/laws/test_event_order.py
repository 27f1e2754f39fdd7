"""Events run in the order of (time, number), whatever they add, and whenever a run ends and another begins."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from ebpfvm.sched.events import EventLoop

# An event: how long after its parent it runs, whether it keeps a run going, and the events that it adds.
CHILDREN = st.recursive(st.just(()), lambda inner: st.lists(
    st.tuples(st.integers(0, 3), st.booleans(), inner), max_size=3).map(tuple), max_leaves=25)
ENDS = st.lists(st.none() | st.integers(0, 12), min_size=1, max_size=4)


class Model:
    """The order as the loop's description has it: a list that is sorted before each event."""

    def __init__(self) -> None:
        self.clock = self.number = 0
        self.waiting: list[tuple[int, int, bool, Any]] = []
        self.seen: list[tuple[int, int]] = []

    def add(self, children: Any) -> None:
        for delay, idle, inner in children:
            self.number += 1
            self.waiting.append((self.clock + delay, self.number, idle, inner))

    def run(self, until: int | None) -> None:
        while self.waiting:
            self.waiting.sort(key=lambda event: event[:2])
            if all(event[2] for event in self.waiting) if until is None else self.waiting[0][0] > until:
                break
            self.clock, number, _, inner = self.waiting.pop(0)
            self.seen.append((self.clock, number))
            self.add(inner)
        if until is not None:
            self.clock = max(self.clock, until)


class Real:
    """The same with the loop."""

    def __init__(self) -> None:
        self.machine = SimpleNamespace(clock=0)
        self.loop = EventLoop(self.machine)
        self.number = 0
        self.seen: list[tuple[int, int]] = []

    def add(self, children: Any) -> None:
        for delay, idle, inner in children:
            self.number += 1
            plan = self.loop.at_idle if idle else self.loop.at
            plan(self.loop.now + delay, self.event, (self.number, inner))

    def event(self, what: tuple[int, Any]) -> None:
        number, inner = what
        self.seen.append((self.loop.now, number))
        self.add(inner)


@given(CHILDREN, ENDS)
def test_the_order_of_events_is_that_of_time_and_number(first: Any, ends: list[int | None]) -> None:
    model, real = Model(), Real()
    model.add(first)
    real.add(first)
    for until in ends:
        model.run(until)
        real.loop.run(until)
        assert (real.seen, real.loop.now, len(real.loop)) == (model.seen, model.clock, len(model.waiting))


@given(CHILDREN, st.integers(1, 6))
def test_a_failing_or_stopped_event_loses_none_of_the_others(first: Any, after: int) -> None:
    whole, parts = Real(), Real()

    def stumble(what: tuple[int, Any]) -> None:
        Real.event(parts, what)
        if len(parts.seen) == after:
            raise ArithmeticError
        if len(parts.seen) == after + 1:
            parts.loop.stop("enough")

    parts.event = stumble  # type: ignore[method-assign]
    whole.add(first)
    parts.add(first)
    whole.loop.run()
    for _ in range(3):
        try:
            parts.loop.run()
        except ArithmeticError:
            assert len(parts.seen) == after
    assert parts.seen == whole.seen and len(parts.loop) == len(whole.loop)
