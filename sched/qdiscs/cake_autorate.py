"""cake's estimate of the capacity of the link before it (`autorate-ingress`; cake_enqueue, sch_cake.c, Linux 7.2)."""

from __future__ import annotations

from typing import Final

from ebpfvm.sched.units import NSEC_PER_SEC

_PAUSE: Final = 250_000_000  # ns between two changes of the rate


def _ewma(average: int, sample: int, shift: int) -> int:
    return average - (average >> shift) + (sample >> shift)


class Autorate:
    """The estimate: peaks of what arrived between pauses.

    Attributes:
        peak: bytes a second.
    """

    def __init__(self, rate: int) -> None:
        self.peak = rate
        self._bytes = self._last = self._interval = self._begin = self._changed = 0

    def arrived(self, size: int, now: int, active: bool) -> int | None:
        """Note that a packet has arrived, and return the new rate if it is to change."""
        self._bytes += size
        interval, self._last = min(now - self._last, NSEC_PER_SEC), now
        if not active:
            self._bytes = 0
            return None
        # short intervals count less, because Wi-Fi sends packets together
        self._interval = _ewma(self._interval, interval, 2 if interval > self._interval else 8)
        if interval <= self._interval:
            return None
        rate = self._bytes * NSEC_PER_SEC // max(now - self._begin, 1)
        self.peak = _ewma(self.peak, rate, 2 if rate > self.peak else 8)
        self._bytes, self._begin = 0, now
        if now <= self._changed + _PAUSE:
            return None
        self._changed = now
        return self.peak * 15 >> 4
