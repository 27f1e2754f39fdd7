"""A law like BBR: the rate follows the largest measured delivery rate, the window the bandwidth-delay product.

Written from "BBR: Congestion-Based Congestion Control" (Cardwell et al., ACM Queue 2016), version 1: no reaction to
losses or marks. What is left out: long-term sampling, restarting from idle, and quanta of segmentation offload.
"""

from __future__ import annotations

from collections import deque
from typing import Final

from ebpfvm.sched.senders.congestion import INITIAL_WINDOW, Ack, Congestion
from ebpfvm.sched.units import NSEC_PER_SEC

_HIGH: Final = 2.885  # 2 / ln 2: doubles the delivery rate each round
_CYCLE: Final = (1.25, 0.75, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0)  # gains of ProbeBW, a round-trip time each
_ROUNDS: Final = 10  # of the filter of the largest rate
_RTT_SPAN: Final = 10 * NSEC_PER_SEC  # for which the smallest round-trip time is believed
_PROBE_SPAN: Final = NSEC_PER_SEC // 5  # of ProbeRTT
_PROBE_WINDOW: Final = 4.0  # segments in flight during ProbeRTT
_FULL_GROWTH: Final = 1.25  # less growth in three rounds means that the pipe is full


class Bbr(Congestion):
    """The law. Rates are in segments per second."""

    name = "bbr"

    def __init__(self) -> None:
        super().__init__()
        self.state = "startup"
        self.rate = 0.0  # segments per second, the largest of the last rounds
        self.least_rtt = 0  # ns
        self._least_at = 0
        self._rates: deque[tuple[int, float]] = deque()  # (round, rate), with falling rates
        self._round = 0
        self._round_end = 0  # the next round begins with the acknowledgment of a segment sent after so many
        self._full_rate = 0.0
        self._full_count = 0
        self._gain = _HIGH
        self._phase = 0
        self._phase_at = 0
        self._until = 0  # end of ProbeRTT

    def seen(self, ack: Ack) -> None:
        """Take a measurement, and let the model move on."""
        if ack.spent > 0:
            self._sample(ack, (ack.delivered - ack.before) * NSEC_PER_SEC / ack.spent)
        if not self.least_rtt or ack.rtt <= self.least_rtt:
            self.least_rtt, self._least_at = ack.rtt, ack.now
        self._move(ack)
        self.pacing = self._gain * self.rate
        self.cwnd = self._window()

    def _sample(self, ack: Ack, rate: float) -> None:
        """Let the largest rate of the last rounds be the estimate of the bandwidth."""
        if ack.before >= self._round_end:
            self._round += 1
            self._round_end = ack.delivered
            self._full()
        rates = self._rates
        while rates and rates[-1][1] <= rate:
            rates.pop()
        rates.append((self._round, rate))
        while rates[0][0] <= self._round - _ROUNDS:
            rates.popleft()
        self.rate = rates[0][1]

    def _full(self) -> None:
        """Note whether the rate has stopped growing, once for each round of the startup."""
        if self.state != "startup":
            return
        if self.rate >= self._full_rate * _FULL_GROWTH:
            self._full_rate, self._full_count = self.rate, 0
        else:
            self._full_count += 1

    def _move(self, ack: Ack) -> None:
        """Advance from one state of the model to the next."""
        if self.state == "startup" and self._full_count >= 3:
            self.state, self._gain = "drain", 1 / _HIGH
        if self.state == "drain" and ack.in_flight <= self._product():
            self._cruise(ack.now)
        if self.state == "probe-bw":
            self._turn(ack)
        if self.state == "probe-rtt":
            if ack.now >= self._until:
                self._least_at = ack.now
                self._cruise(ack.now)
        elif self.state != "startup" and ack.now - self._least_at > _RTT_SPAN:
            self.state, self._gain, self._until = "probe-rtt", 1.0, ack.now + _PROBE_SPAN
            self.least_rtt = ack.rtt

    def _cruise(self, now: int) -> None:
        self.state, self._phase, self._phase_at, self._gain = "probe-bw", 2, now, 1.0

    def _turn(self, ack: Ack) -> None:
        """Enter the next phase of the cycle after a round-trip time; leave the draining one once the queue is gone."""
        drained = self._phase == 1 and ack.in_flight <= self._product()
        if ack.now - self._phase_at > self.least_rtt or drained:
            self._phase, self._phase_at = (self._phase + 1) % len(_CYCLE), ack.now
            self._gain = _CYCLE[self._phase]

    def _product(self) -> float:
        return self.rate * self.least_rtt / NSEC_PER_SEC

    def _window(self) -> float:
        if self.state == "probe-rtt":
            return _PROBE_WINDOW
        gain = _HIGH if self.state in ("startup", "drain") else 2.0
        return max(gain * self._product(), _PROBE_WINDOW if self._full_count >= 3 else INITIAL_WINDOW)

    def lost(self, now: int) -> None:
        """Do nothing: version 1 does not take losses for a sign of congestion."""

    def timeout(self, now: int) -> None:
        """Begin with one segment, and with the old model once acknowledgments come."""
        self.cwnd = 1.0
