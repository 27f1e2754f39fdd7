"""Service curves of hfsc: how much a class may expect by when (Stoica, Zhang, Ng, 1997; sch_hfsc.c, Linux 7.2).

A curve has two slopes: bytes a second up to a time, and after it. Times are in ticks of 64 ns; slopes, and their
inverses, are fixed-point numbers of the kernel's precision, so that the same packets leave at the same times.
"""

from __future__ import annotations

from typing import Final

from ebpfvm.ints import U64_MAX
from ebpfvm.lazy_tuples import NamedTuple
from ebpfvm.sched.psched import PSCHED_SHIFT
from ebpfvm.sched.units import NSEC_PER_SEC

_SHIFT: Final = 30 - PSCHED_SHIFT  # of slopes
_INVERSE_SHIFT: Final = 8 + PSCHED_SHIFT
_TICKS_PER_SEC: Final = NSEC_PER_SEC >> PSCHED_SHIFT
_US_PER_SEC: Final = 1_000_000
_NEVER: Final = U64_MAX


class CurveWords(NamedTuple):
    """A curve as `tc` passes it: bytes a second, microseconds, bytes a second."""

    m1: int = 0
    d: int = 0
    m2: int = 0


def _times(length: int, slope: int, shift: int) -> int:
    """Return length * slope >> shift, computed in two parts as in a kernel."""
    return (length >> shift) * slope + ((length & (1 << shift) - 1) * slope >> shift)


def _slope(rate: int) -> int:
    return -(-(rate << _SHIFT) // _TICKS_PER_SEC)


def _inverse(rate: int) -> int:
    return -(-(_TICKS_PER_SEC << _INVERSE_SHIFT) // rate) if rate else _NEVER


class ServiceCurve:
    """A curve in the kernel's numbers: slopes `sm1` and `sm2`, and the end (`dx`, `dy`) of the first segment."""

    __slots__ = ("dx", "dy", "ism1", "ism2", "sm1", "sm2")

    def __init__(self, words: CurveWords) -> None:
        self.sm1, self.ism1 = _slope(words.m1), _inverse(words.m1)
        self.dx = -(-words.d * _TICKS_PER_SEC // _US_PER_SEC)
        self.dy = _times(self.dx, self.sm1, _SHIFT)
        self.sm2, self.ism2 = _slope(words.m2), _inverse(words.m2)

    @property
    def convex(self) -> bool:
        """Whether the second slope is not below the first."""
        return self.sm1 <= self.sm2

    def shown(self) -> CurveWords:
        """Return the curve as the kernel tells it."""
        return CurveWords(self.sm1 * _TICKS_PER_SEC >> _SHIFT, self.dx * _US_PER_SEC // _TICKS_PER_SEC,
                          self.sm2 * _TICKS_PER_SEC >> _SHIFT)


class RuntimeCurve:
    """A service curve that begins at (x, y), with a first segment that may have been cut (dx, dy)."""

    __slots__ = ("curve", "dx", "dy", "x", "y")

    def __init__(self, curve: ServiceCurve, x: int, y: int) -> None:
        self.curve, self.x, self.y, self.dx, self.dy = curve, x, y, curve.dx, curve.dy

    def linear(self) -> RuntimeCurve:
        """Return the curve by which packets become eligible: of a convex one, only the second segment."""
        found = RuntimeCurve(self.curve, self.x, self.y)
        found.dx, found.dy = (0, 0) if self.curve.convex else (self.dx, self.dy)
        return found

    def time_of(self, amount: int) -> int:
        """Return when an amount has been served (rtsc_y2x)."""
        curve = self.curve
        if amount < self.y:
            return self.x
        if amount <= self.y + self.dy:
            return self.x + (self._time(amount - self.y, curve.ism1) if self.dy else self.dx)
        return self.x + self.dx + self._time(amount - self.y - self.dy, curve.ism2)

    @staticmethod
    def _time(amount: int, inverse: int) -> int:
        if not amount or inverse == _NEVER:
            return inverse if amount else 0
        return _times(amount, inverse, _INVERSE_SHIFT)

    def amount_at(self, time: int) -> int:
        """Return what has been served at a time (rtsc_x2y)."""
        if time <= self.x:
            return self.y
        if time <= self.x + self.dx:
            return self.y + _times(time - self.x, self.curve.sm1, _SHIFT)
        return self.y + self.dy + _times(time - self.x - self.dx, self.curve.sm2, _SHIFT)

    def lower(self, curve: ServiceCurve, x: int, y: int) -> None:
        """Set it to the minimum of this curve and one that begins at (x, y) (rtsc_min)."""
        here = self.amount_at(x)
        if curve.convex:
            if here >= y:
                self.x, self.y = x, y
            return
        if here <= y:
            return
        if self.amount_at(x + curve.dx) >= y + curve.dy:
            self.x, self.y, self.dx, self.dy = x, y, curve.dx, curve.dy
            return
        dx = (here - y << _SHIFT) // (curve.sm1 - curve.sm2)  # where the two curves meet
        if self.x + self.dx > x:
            dx += self.x + self.dx - x
        self.x, self.y, self.dx, self.dy = x, y, dx, _times(dx, curve.sm1, _SHIFT)
