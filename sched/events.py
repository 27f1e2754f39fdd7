"""The event loop: one clock in nanoseconds and one heap; events at the same time run in the order of scheduling.

The loop is the core of the simulator and optimised for speed: an event is a tuple in a heap, `(time, number, action,
argument)`, and nothing else is allocated. The clock is the emulated kernel's own, so that bpf_ktime_get_ns() returns
the time of the event that runs the program.
"""

from __future__ import annotations

from heapq import heapify, heappop, heappush, heappushpop
from itertools import repeat
from typing import TYPE_CHECKING, Any, Final, Protocol

from ebpfvm.errors import InternalError

if TYPE_CHECKING:
    from collections.abc import Callable, Container, Iterator

    Event = tuple[int, int, Callable[[Any], object], Any]


WATCH_EVERY: Final = 4096
"""Events between two calls of `EventLoop.watch`."""


class Clock(Protocol):
    """What the loop drives: any object with a `clock` in ns."""

    clock: int


class Waiter(Protocol):
    """An armed timer of a qdisc, which keeps a run alive as long as packets wait for it."""

    def waits(self) -> bool:
        """Return whether the run has to go on until the timer fires."""


class _Stop(Exception):
    """Internal signal that ends `EventLoop.run`."""


class EventLoop:
    """Runs actions at simulated times.

    Args:
        clock: its `clock` (ns) is set to the time of each event before the event runs; the loop starts from it.

    Attributes:
        latest: the number of the latest event; whoever adds one to it has the number that `number` would return.
        newest: the first event that the running one has added, which is not in the heap yet; None without one.
        armed: the armed timers of qdiscs, whose events were added with `at_idle`.
        watch: called with the number of events that have run, after every `WATCH_EVERY` of them; an exception
            that it raises ends `run`. None if nothing watches.
        stopped: why `stop` ended the latest `run`, "" if it ended by itself.

    >>> from types import SimpleNamespace
    >>> loop = EventLoop(SimpleNamespace(clock=0))
    >>> loop.at(20, print); loop.at(10, print, "first")
    >>> loop.run()
    first
    None
    """

    __slots__ = ("_clock", "_heap", "_idle", "_passed", "_rounds", "armed", "latest", "newest", "stopped", "watch")

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._heap: list[tuple[int, int, Callable[[Any], object], Any]] = []
        # It waits here, so that taking the next costs one operation on the heap.
        self.newest: tuple[int, int, Callable[[Any], object], Any] | None = None
        self.latest = 0
        self._idle = 0  # events in the heap that do not keep a run going
        self._rounds = 0
        self._passed = 0  # events of the next round that have run already
        self.armed: set[Waiter] = set()
        self.watch: Callable[[int], None] | None = None
        self.stopped = ""

    @property
    def now(self) -> int:
        """The simulated time in ns."""
        return self._clock.clock

    def __len__(self) -> int:
        return len(self._heap) + (self.newest is not None)

    def at(self, time: int, action: Callable[[Any], object], argument: Any = None) -> None:
        """Run `action(argument)` at `time` (ns); O(log n).

        Raises:
            InternalError: `time` is in the past.
        """
        if time < self._clock.clock:
            raise InternalError(f"an event for {time} ns was asked for at {self._clock.clock} ns")
        self.latest = number = self.latest + 1
        if self.newest is None:
            self.newest = time, number, action, argument
        else:
            heappush(self._heap, (time, number, action, argument))

    def number(self) -> int:
        """Return the number of an event that `at_number` will add: in a tie, it counts as added now."""
        self.latest = number = self.latest + 1
        return number

    def at_number(self, time: int, number: int, action: Callable[[Any], object], argument: Any = None) -> None:
        """Run `action(argument)` as `at` does, with a number that `number` returned."""
        if time < self._clock.clock:
            raise InternalError(f"an event for {time} ns was asked for at {self._clock.clock} ns")
        if self.newest is None:
            self.newest = time, number, action, argument
        else:
            heappush(self._heap, (time, number, action, argument))

    def at_idle(self, time: int, action: Callable[[Any], object], argument: Any = None) -> None:
        """Run `action(argument)` at `time` as `at` does, without keeping a run alive.

        This is for timers of programs, which may re-arm themselves forever, and for those of qdiscs (see `armed`).
        """
        self._idle += 1
        self.at(time, self.idle_event, (action, argument))

    def idle_event(self, what: tuple[Callable[[Any], object], Any]) -> None:
        """Run an event of `at_idle`."""
        self._idle -= 1
        what[0](what[1])

    def run(self, until: int | None = None) -> None:
        """Run events in order of time until none is left except those of `at_idle` that no packet waits for.

        Args:
            until: stop after the events at this time (ns), and leave the clock there.
        """
        self.stopped = ""
        self._settle()
        try:
            self._run_all() if until is None else self._run_until(until)
        except _Stop:
            return
        finally:
            self._settle()
        if until is not None:
            self._clock.clock = max(self._clock.clock, until)

    def _settle(self) -> None:
        """Move the event beside the heap to the others."""
        event, self.newest = self.newest, None
        if event is not None:
            heappush(self._heap, event)

    def stop(self, why: str) -> None:
        """End `run` before its next event, as if none were left; a signal handler may call this.

        Events that have not run are kept, and another `run` continues with them.

        Args:
            why: the reason, kept in `stopped`.
        """
        heappush(self._heap, (-1, 0, self._leave, (self._clock.clock, why)))

    def _leave(self, argument: tuple[int, str]) -> None:
        # A signal handler may run between the pop of an event and its action, when the clock is still that of the event
        # before. The event at -1 sets the clock back to that time, which precedes everything that is left.
        self._clock.clock, self.stopped = argument
        raise _Stop

    def _run_all(self) -> None:
        heap, clock, pop, exchange = self._heap, self._clock, heappop, heappushpop
        while not self._over():
            for _ in self._round():
                event = self.newest
                if event is None:
                    clock.clock, _, action, argument = pop(heap)
                else:
                    self.newest = None
                    clock.clock, _, action, argument = exchange(heap, event)
                action(argument)
                if len(heap) <= self._idle and self._over():
                    return
            self._settle()
            self._look()

    def _over(self) -> bool:
        """Return whether no event is left that keeps the run going."""
        self._settle()
        return len(self._heap) <= self._idle and not any(timer.waits() for timer in self.armed)

    def _run_until(self, until: int) -> None:
        heap, clock, pop, exchange = self._heap, self._clock, heappop, heappushpop
        while heap and heap[0][0] <= until:
            for _ in self._round():
                event = self.newest
                if event is None:
                    clock.clock, _, action, argument = pop(heap)
                else:
                    self.newest = None
                    clock.clock, _, action, argument = exchange(heap, event)
                action(argument)
                event = self.newest
                if (event is None or event[0] > until) and (not heap or heap[0][0] > until):
                    return
            self._settle()
            self._look()

    def _round(self) -> Iterator[None]:
        passed, self._passed = self._passed, 0
        return repeat(None, WATCH_EVERY - passed)

    # ---- for `ebpfvm.sched.fused`, which runs most events itself -----------------------------------------------------

    def waiting(self) -> list[Event]:
        """Return the heap itself, with all events in it."""
        self._settle()
        return self._heap

    @property
    def idle(self) -> int:
        """The number of events that do not keep a run going."""
        return self._idle

    def take(self, actions: Container[Callable[[Any], object]]) -> list[Event]:
        """Remove and return the events with one of `actions`, in order."""
        self._settle()
        taken = [event for event in self._heap if event[2] in actions]
        self._heap[:] = [event for event in self._heap if event[2] not in actions]
        heapify(self._heap)
        return sorted(taken, key=lambda event: event[:2])

    def take_idle(self, time: int, action: Callable[[Any], object]) -> int | None:
        """Remove the first event that `at_idle` has added for `action(time)`, and return its number; None if none."""
        self._settle()
        found = min((event for event in self._heap if event[3] == (action, time)), default=None)
        if found is None:
            return None
        self._heap.remove(found)
        heapify(self._heap)
        self._idle -= 1
        return found[1]

    def give_idle(self, time: int, number: int, action: Callable[[Any], object], argument: Any) -> None:
        """Run `action(argument)` as `at_idle` does, with a number of its own."""
        self._idle += 1
        self.at_number(time, number, self.idle_event, (action, argument))

    def step(self) -> None:
        """Run the first event."""
        self._clock.clock, _, action, argument = heappop(self._heap)
        action(argument)
        self._settle()

    def renumber(self, least: int) -> int:
        """Let later events have numbers above `least` and above all others; return the latest that is given."""
        self.latest = max(self.latest, least)
        return self.latest

    @property
    def events(self) -> int:
        """The number of events that `watch` counts as run, now that none is running."""
        return self._rounds * WATCH_EVERY + self._passed

    def skip(self, events: int) -> None:
        """Count as if `events` in all had run before the next `run`, without telling `watch`."""
        self._rounds, self._passed = divmod(events, WATCH_EVERY)

    def _look(self) -> None:
        self._rounds += 1
        if self.watch is not None:
            self.watch(self._rounds * WATCH_EVERY)
