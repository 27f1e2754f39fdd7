"""Laws of congestion control: how many segments may be in flight, as acknowledgments, losses and marks come in.

Windows are counted in segments, as in Linux. Each law is written from its RFC.

>>> law = Reno()
>>> law.ssthresh = 10.0
>>> for _ in range(10):
...     law.acked(Ack(now=0, rtt=0, marked=False, in_flight=10))
>>> round(law.cwnd, 2)
10.96
>>> law.lost(0)
>>> round(law.cwnd, 2)
5.48
"""

from __future__ import annotations

import math
from typing import Final

from ebpfvm.lazy_tuples import NamedTuple
from ebpfvm.sched.units import NSEC_PER_SEC

INITIAL_WINDOW: Final = 10.0  # segments (RFC 6928)
_LEAST: Final = 2.0  # segments after a loss (RFC 5681, section 3.1)


class Ack(NamedTuple):
    """What an acknowledgment tells about one segment.

    Attributes:
        now: when it reaches the sender (ns).
        rtt: ns since that segment was sent.
        marked: whether the segment arrived with CE.
        in_flight: segments in flight before it came.
        before, delivered: segments that had been acknowledged when that segment was sent, and now.
        spent: ns between these two numbers, which make a delivery rate.
    """

    now: int
    rtt: int
    marked: bool
    in_flight: int
    before: int = 0
    delivered: int = 0
    spent: int = 0


class Congestion:
    """A law that never changes its window, and the base of the others.

    Attributes:
        name: as in `net.ipv4.tcp_congestion_control`.
        ecn: the ECN codepoint that its packets have where the user asks for none: 0 for Not-ECT.
        cwnd: the congestion window in segments.
        ssthresh: up to here the window grows by a segment for each acknowledgment.
        pacing: segments per second that leave; 0 for as soon as the window allows.
    """

    name = "none"
    ecn = 0

    def __init__(self) -> None:
        self.cwnd = INITIAL_WINDOW
        self.ssthresh = math.inf
        self.pacing = 0.0

    def acked(self, ack: Ack) -> None:
        """Take an acknowledgment into account, outside of a recovery from losses or marks."""

    def seen(self, ack: Ack) -> None:
        """Take an acknowledgment into account, at any time: to measure, and not to grow."""

    def lost(self, now: int) -> None:
        """Narrow the window, because segments were lost; at most once for each window of data."""

    def marked(self, now: int) -> None:
        """Narrow the window, because a segment was marked; at most once for each window of data."""
        self.lost(now)

    def timeout(self, now: int) -> None:
        """Begin again with one segment, because the retransmission timer expired (RFC 5681, equation 4)."""
        self.ssthresh = max(self.cwnd / 2, _LEAST)
        self.cwnd = 1.0


class Reno(Congestion):
    """Slow start and congestion avoidance (RFC 5681): a segment more for each round trip, half the window on a loss."""

    name = "reno"
    beta = 0.5  # what is left of the window after a loss

    def acked(self, ack: Ack) -> None:
        """Grow if the window was in use (RFC 7661 in short)."""
        if ack.in_flight + 1 < self.cwnd:
            return
        if self.cwnd < self.ssthresh:
            self.cwnd += 1.0
        else:
            self.avoid(ack)

    def avoid(self, ack: Ack) -> None:
        """Grow in congestion avoidance."""
        self.cwnd += 1.0 / self.cwnd

    def lost(self, now: int) -> None:
        """Narrow the window by the factor of the law."""
        self.ssthresh = self.cwnd = max(self.cwnd * self.beta, _LEAST)


class Cubic(Reno):
    """CUBIC (RFC 9438): the window is a cubic function of the time since the last loss, in real time.

    Without HyStart++, which the RFC only recommends, so slow start ends with a loss or a mark.
    """

    name = "cubic"
    beta = 0.7
    c = 0.4  # segments per second cubed
    friendly = 3 * (1 - beta) / (1 + beta)  # segments per round trip by which W_est grows up to W_max

    def __init__(self) -> None:
        super().__init__()
        self._maximum = 0.0  # W_max: the window at the last loss
        self._k = 0.0  # seconds until W_max is reached again
        self._epoch = -1  # when congestion avoidance began (ns)
        self._estimate = 0.0  # W_est: what Reno would have
        self._least_rtt = 0

    def seen(self, ack: Ack) -> None:
        """Keep the smallest round-trip time."""
        rtt = ack.rtt
        if not self._least_rtt or rtt < self._least_rtt:
            self._least_rtt = rtt

    def avoid(self, ack: Ack) -> None:
        """Grow towards where the cubic function will be after a round trip, or as Reno does, if that is more."""
        if self._epoch < 0:
            self._begin(ack.now)
        time, cwnd, most, k = (ack.now - self._epoch) / NSEC_PER_SEC, self.cwnd, self._maximum, self._k
        self._estimate = estimate = self._estimate + (1.0 if self._estimate >= most else self.friendly) / cwnd
        if self.c * (time - k) ** 3 + most < estimate:
            if estimate > cwnd:
                self.cwnd = estimate
            return
        target = self.c * (time + self._least_rtt / NSEC_PER_SEC - k) ** 3 + most
        if target > cwnd:
            self.cwnd = cwnd + ((target if target < 1.5 * cwnd else 1.5 * cwnd) - cwnd) / cwnd

    def _begin(self, now: int) -> None:
        self._epoch = now
        self._maximum = max(self._maximum, self.cwnd)
        self._k = ((self._maximum - self.cwnd) / self.c) ** (1 / 3)
        self._estimate = self.cwnd

    def lost(self, now: int) -> None:
        """Keep the window, a little less if it did not reach the last one (fast convergence)."""
        self._maximum = self.cwnd * (1 + self.beta) / 2 if self.cwnd < self._maximum else self.cwnd
        self._epoch = -1
        super().lost(now)

    def timeout(self, now: int) -> None:
        """Begin again, without a curve."""
        self._maximum, self._epoch = self.cwnd, -1
        self.ssthresh = max(self.cwnd * self.beta, _LEAST)
        self.cwnd = 1.0


class Dctcp(Reno):
    """DCTCP (RFC 8257): the window shrinks by half the share of marked segments, once for each window of data."""

    name = "dctcp"
    ecn = 2  # ECT(0)
    gain = 1 / 16

    def __init__(self) -> None:
        super().__init__()
        self.alpha = 1.0
        self._marked = self._all = 0
        self._end = 0  # acknowledgments until the observation window ends

    def seen(self, ack: Ack) -> None:
        """Count the marks of an observation window, and move `alpha` at its end."""
        self._all += 1
        self._marked += ack.marked
        if self._all >= self._end:
            if self._end:
                self.alpha += self.gain * (self._marked / self._all - self.alpha)
            self._marked = self._all = 0
            self._end = max(1, ack.in_flight)

    def marked(self, now: int) -> None:
        """Narrow the window by half of `alpha`."""
        self.ssthresh = self.cwnd = max(self.cwnd * (1 - self.alpha / 2), _LEAST)


class Prague(Dctcp):
    """The window of DCTCP with the codepoint of L4S (RFC 9331), ECT(1)."""

    name = "prague"
    ecn = 1  # ECT(1)
