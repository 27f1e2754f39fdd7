"""End a simulation that would not end by itself (`ebpfvm.limits`: `events`, `idle_events`)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Callable

    from ebpfvm.limits import Limits
    from ebpfvm.sched.account import Account
    from ebpfvm.sched.events import EventLoop

POLLING: Final = 10
"""How many times as many events a run may have while packets wait and time passes: some programs ask a timer every
microsecond whether a packet is due."""


class RunWatch:
    """Count events, and those since a packet last arrived or met its fate; pass it to `EventLoop.watch`.

    Args:
        loop: the event loop to stop.
        account: where packets are counted.
        limits: reaching `events` raises LimitError. After `idle_events` without progress the loop is stopped
            instead, so that a queue that resends one packet forever, or a timer that re-arms itself, does not cost the
            results. While packets wait and time passes, it takes `POLLING` times as many.
        ends: returns whether the run will end by itself, because it has an end time or traffic still to arrive.
    """

    __slots__ = ("_account", "_ends", "_limits", "_loop", "_progress", "_since", "_time")

    def __init__(self, loop: EventLoop, account: Account, limits: Limits, ends: Callable[[], bool]) -> None:
        self._loop = loop
        self._account = account
        self._limits = limits
        self._ends = ends
        self._progress = -1
        self._since = self._time = 0

    def forget(self) -> None:
        """Take it that something will have happened to a packet by the next call."""
        self._progress = -1

    def __call__(self, events: int) -> None:
        if events >= self._limits.events:
            raise self._limits.reached("events", "the simulation")
        progress = self._account.progress
        if progress != self._progress or self._ends():
            self._progress, self._since, self._time = progress, events, self._loop.now
        elif events - self._since >= self._limits.idle_events and not self._polls(events - self._since):
            self._loop.stop(f"the run goes round without end: in {events - self._since} events no packet arrived and "
                            "none left the queue for the first time; end it with a duration (--duration TIME), or "
                            "allow more with the limit idle_events")

    def _polls(self, idle: int) -> bool:
        """Return whether something may still come of the events without progress: packets wait, and time passes."""
        passed = self._loop.now - self._time
        return bool(self._account.inside) and passed >= idle and idle < POLLING * self._limits.idle_events
