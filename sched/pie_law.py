"""PIE, proportional integral controller enhanced: the delay of a queue decides how likely a packet is dropped.

Probabilities are 56-bit fractions and times are in ticks of 64 ns, as in a kernel (RFC 8033; include/net/pie.h and
net/sched/sch_pie.c, Linux 7.2). A kernel updates the probability by a timer; here that is made up for when a queue is
asked, which gives the same, because nothing happens to a queue in between.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from ebpfvm.ints import U64_MAX
from ebpfvm.lazy_tuples import NamedTuple
from ebpfvm.sched.psched import PSCHED_SHIFT
from ebpfvm.sched.units import NSEC_PER_SEC

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from ebpfvm.sched.account import Packet

MAX_PROB: Final = U64_MAX >> 8
_JIFFY_NS: Final = 4_000_000  # of a kernel with 250 Hz, as the one that was recorded
_TICKS_PER_SEC: Final = NSEC_PER_SEC >> PSCHED_SHIFT
_BURST: Final = 150_000_000 >> PSCHED_SHIFT
_LONG_DELAY: Final = 250_000_000 >> PSCHED_SHIFT
_THRESHOLD: Final = 1 << 14  # bytes over which the departure rate is measured
_RATE_SHIFT: Final = 8


class PieParams(NamedTuple):
    """The parameters.

    Attributes:
        target, tupdate: ns; `tupdate` is rounded up to the kernel's jiffies.
        alpha, beta: weights in sixteenths.
        mtu: greatest frame in bytes.
        ecn, bytemode, dq_rate_estimator: flags.
    """

    target: int = 15_000_000
    tupdate: int = 15_000_000
    alpha: int = 2
    beta: int = 20
    mtu: int = 1514
    ecn: bool = False
    bytemode: bool = False
    dq_rate_estimator: bool = False

    @property
    def period(self) -> int:
        """The time between two updates in ns."""
        return max(1, -(-self.tupdate // _JIFFY_NS)) * _JIFFY_NS

    @property
    def target_ticks(self) -> int:
        """The target in ticks."""
        return self.target >> PSCHED_SHIFT


class PieQueue:
    """The state of a queue under PIE."""

    def __init__(self) -> None:
        self.prob = self.qdelay = self.qdelay_old = 0
        self.restart()

    def restart(self) -> None:
        """Begin to measure anew, with a burst allowed."""
        self.burst_time = _BURST
        self.accu_prob = self.rate = 0
        self.since: int | None = None  # when the latest packet left, or the measurement began (ticks)
        self.count: int | None = None  # bytes of the measurement

    def drops_early(self, params: PieParams, backlog: int, size: int, random: Callable[[], int]) -> bool:
        """Return whether the packet that arrives is to be dropped or marked (pie_drop_early)."""
        if self.burst_time > 0 or backlog < 2 * params.mtu:
            return False
        if self.qdelay < params.target_ticks // 2 and self.prob < MAX_PROB // 5:
            return False
        prob = size * (self.prob // params.mtu) if params.bytemode and size <= params.mtu else self.prob
        self.accu_prob = self.accu_prob + prob if prob else 0
        if self.accu_prob < MAX_PROB // 100 * 85:
            return False
        if self.accu_prob >= MAX_PROB // 2 * 17:
            return True
        if random() >> 8 < prob:
            self.accu_prob = 0
            return True
        return False

    def left(self, params: PieParams, skb: Packet, waited: int, backlog: int, now: int) -> None:
        """Note that a packet has left after it waited so many ticks (pie_process_dequeue); `now` is in ticks."""
        if params.dq_rate_estimator:
            passed = self._measure(skb.len, backlog, now)
        else:
            passed = 0 if self.since is None else now - self.since
            self.since = now
            self.qdelay = waited if backlog else 0
        self.burst_time = max(0, self.burst_time - passed)

    def _measure(self, size: int, backlog: int, now: int) -> int:
        """Count departures, and return the ticks of a measurement that has ended, else 0."""
        if backlog >= _THRESHOLD and self.count is None:
            self.since, self.count = now, 0
        if self.count is None:
            return 0
        self.count += size
        passed = now - (self.since or 0)
        if self.count < _THRESHOLD or not passed:
            return 0
        rate = (self.count << _RATE_SHIFT) // passed
        self.rate = self.rate - (self.rate >> 3) + (rate >> 3) if self.rate else rate
        self.count = None if backlog < _THRESHOLD else 0
        self.since = now
        return passed

    def update(self, params: PieParams, backlog: int) -> None:
        """Update the probability (pie_calculate_probability)."""
        if params.dq_rate_estimator:
            self.qdelay_old = self.qdelay
            self.qdelay = (backlog << _RATE_SHIFT) // self.rate if self.rate else 0
        delay, before = self.qdelay, self.qdelay_old
        lasts = bool(delay or not backlog)
        delta = self._delta(params, delay, before)
        old, self.prob = self.prob, self.prob + delta
        if delta > 0 and self.prob > U64_MAX:
            self.prob, lasts = MAX_PROB, False
        elif delta <= 0 and self.prob < 0:
            self.prob = 0
        elif delta > 0 and self.prob < old:
            self.prob = MAX_PROB
        if not delay and not before and lasts:
            self.prob -= self.prob // 64
        low = params.target_ticks // 2
        if delay < low and before < low and not self.prob and (not params.dq_rate_estimator or self.rate):
            self.restart()
        if not params.dq_rate_estimator:
            self.qdelay_old = delay

    def _delta(self, params: PieParams, delay: int, before: int) -> int:
        alpha, beta = (value * (MAX_PROB // _TICKS_PER_SEC) >> 4 for value in (params.alpha, params.beta))
        if self.prob < MAX_PROB // 10:  # the lighter the congestion, the smaller the steps
            alpha, beta, power = alpha >> 1, beta >> 1, 100
            while self.prob < MAX_PROB // power and power <= 1_000_000:
                alpha, beta, power = alpha >> 2, beta >> 2, power * 10
        delta = alpha * (delay - params.target_ticks) + beta * (delay - before)
        if delta > MAX_PROB // 50 and self.prob >= MAX_PROB // 10:
            delta = MAX_PROB // 100 * 2
        return delta + (MAX_PROB // 50 if delay > _LONG_DELAY else 0)

    @property
    def at_rest(self) -> bool:
        """Whether updates change nothing while the queue is empty."""
        return not (self.prob or self.qdelay or self.qdelay_old or self.accu_prob) and self.burst_time == _BURST \
            and self.since is None


class PieTimer:
    """The timer that updates the probability of queues: the first time half a second after it starts.

    Attributes:
        next: when the next update is due (ns).
    """

    __slots__ = ("next",)

    def __init__(self, now: int) -> None:
        self.next = now + NSEC_PER_SEC // 2

    def catch_up(self, now: int, params: PieParams, queues: Callable[[], Iterable[tuple[PieQueue, int]]]) -> None:
        """Make the updates that are due, of queues with their backlogs."""
        while self.next <= now:
            found = list(queues())
            if all(queue.at_rest and not backlog for queue, backlog in found):
                self.next += ((now - self.next) // params.period + 1) * params.period
                return
            for queue, backlog in found:
                queue.update(params, backlog)
            self.next += params.period
