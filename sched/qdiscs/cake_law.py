"""COBALT, by which cake marks and drops: CoDel with one rule for begin and end, and BLUE for queues that do not react.

Source: net/sched/sch_cake.c, Linux 7.2; Hoiland-Jorgensen, Taht, Morton, "Piece of CAKE", 2018. Times are in ns.
"""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING, Final

from ebpfvm.ints import U32_MAX
from ebpfvm.lazy_tuples import NamedTuple
from ebpfvm.sched.tc.dissect import set_ce

if TYPE_CHECKING:
    from collections.abc import Callable

    from ebpfvm.sched.account import Packet

_CACHED: Final = 16
_BLUE_UP, _BLUE_DOWN = 1 << 24, 1 << 20


class CobaltParams(NamedTuple):
    """Delay that may stay, how long it may be above that, and how long a full frame takes."""

    target: int
    interval: int
    mtu_time: int


def _newton_step(count: int, inverse: int) -> int:
    """Return a better approximation of 2^32 / sqrt(count)."""
    square = inverse * inverse >> 32
    return ((3 << 32) - count * square >> 2) * inverse >> 31


@cache
def _inverse_root(count: int) -> int:
    """Return 2^32 / sqrt(count) of a small count, as a kernel approximates it."""
    if not count:
        return U32_MAX
    inverse = _inverse_root(count - 1)
    for _ in range(4):
        inverse = _newton_step(count, inverse)
    return inverse


class Cobalt:
    """The state of a queue.

    Attributes:
        count, dropping, drop_next: those of CoDel.
        p_drop, blue_timer: BLUE's probability, as a part of 2^32, and when it changed.
        marked: whether the latest packet was marked.
    """

    __slots__ = ("_inverse", "blue_timer", "count", "drop_next", "dropping", "marked", "p_drop")

    def __init__(self) -> None:
        self.count = self.drop_next = self.p_drop = self.blue_timer = self._inverse = 0
        self.dropping = self.marked = False

    def _set_count(self, count: int, interval: int) -> None:
        """Set the count, and move the time of the next drop on."""
        self.count = count
        self._inverse = _inverse_root(count) if count < _CACHED else _newton_step(count, self._inverse)
        self.drop_next = self._control(self.drop_next, interval)

    def _control(self, time: int, interval: int) -> int:
        return time + (interval * self._inverse >> 32)

    def full(self, params: CobaltParams, now: int) -> bool:
        """Note that a packet had to be dropped for lack of memory; return whether BLUE has begun."""
        begun = False
        if now - self.blue_timer > params.target:
            begun = not self.p_drop
            self.p_drop = min(self.p_drop + _BLUE_UP, U32_MAX)
            self.blue_timer = now
        self.dropping, self.drop_next, self.count = True, now, self.count or 1
        return begun

    def empty(self, params: CobaltParams, now: int) -> bool:
        """Note that the queue is empty; return whether BLUE has ended."""
        ended = False
        if self.p_drop and now - self.blue_timer > params.target:
            self.p_drop = max(0, self.p_drop - _BLUE_DOWN)
            self.blue_timer = now
            ended = not self.p_drop
        self.dropping = False
        if self.count and now >= self.drop_next:
            self._set_count(self.count - 1, params.interval)
        return ended

    def drops(self, params: CobaltParams, now: int, skb: Packet, came: int, flows: int,
              random: Callable[[], int]) -> bool:
        """Return whether a packet that came at `came` is to be dropped, after marking it if that will do.

        Args:
            flows: number of bulk flows that a long delay is shared by, 0 to ignore it.
            random: draws 32 bits.
        """
        waited = now - came
        above = waited > params.target and waited > params.mtu_time * max(2 * flows, 4)
        due = bool(self.count) and now >= self.drop_next
        late = now - self.drop_next
        self.marked = drop = False
        if above and not self.dropping:
            self.dropping = True
            self.drop_next = self._control(now, params.interval)
        self.dropping = above
        if above and not self.count:
            self.count = 1
        if due and self.dropping:
            self.marked = set_ce(skb)
            drop = not self.marked
            self._set_count(self.count + 1, params.interval)
            late = now - self.drop_next
        while due and not self.dropping:
            self._set_count(self.count - 1, params.interval)
            late = now - self.drop_next
            due = bool(self.count) and late >= 0
        if self.p_drop and not drop and random() < self.p_drop:
            drop = True
        if not self.count:
            self.drop_next = now + params.interval
        elif late > 0 and not drop:
            self.drop_next = now
        return drop
