"""`Num`: what is known of the number in a 64-bit register.

A `Num` represents a set of numbers, described in several ways at once: known bits (see `tnum`), and ranges of the
whole register and of its lower half, read as unsigned and as signed numbers. A number belongs to the set if it fits
all descriptions. Nums are immutable tuples: equal ones compare equal, and any number of registers, stack slots and
saved states can share one.

Constants are by far the most common Nums, so they are cached and shared.
"""

from __future__ import annotations

from typing import Final

from ebpfvm.lazy_tuples import NamedTuple
from ebpfvm.verifier.domain.tnum import Tnum
from ebpfvm.verifier.domain.width import (
    S32_MAX,
    S32_MIN,
    S64_MAX,
    S64_MIN,
    SIGN32,
    SIGN64,
    U32_MAX,
    U64_MAX,
)

Arc = tuple[int, int]
"""`(base, size)`: the numbers base, base + 1, ... base + size, modulo the width (see `arc`)."""


class Num(NamedTuple):
    """A set of 64-bit numbers.

    Attributes:
        value, mask: known bits, as in `tnum`.
        umin, umax: smallest and largest member, unsigned.
        smin, smax: the same, signed (Python ints that may be negative).
        u32_min, u32_max: smallest and largest lower half, unsigned.
        s32_min, s32_max: the same, signed.
        r64, r32: the circular range of each width, from which Linux 7.2 derives the bounds of that width. Linux 6.18's
            rules do not use them and leave them full except in constants.
    """

    value: int
    mask: int
    umin: int
    umax: int
    smin: int
    smax: int
    u32_min: int
    u32_max: int
    s32_min: int
    s32_max: int
    r64: Arc
    r32: Arc

    @property
    def var_off(self) -> Tnum:
        """The known bits as a tnum."""
        return self.value, self.mask

    @property
    def is_const(self) -> bool:
        """Whether just one number is left (according to the known bits, as in the kernel)."""
        return not self.mask

    @property
    def is_const32(self) -> bool:
        """Whether the lower half is known."""
        return not self.mask & U32_MAX


FULL64: Final[Arc] = (0, U64_MAX)
FULL32: Final[Arc] = (0, U32_MAX)
EMPTY64: Final[Arc] = (U64_MAX, U64_MAX)
EMPTY32: Final[Arc] = (U32_MAX, U32_MAX)

UNKNOWN: Final = Num(0, U64_MAX, 0, U64_MAX, S64_MIN, S64_MAX, 0, U32_MAX, S32_MIN, S32_MAX, FULL64, FULL32)
"""Any number at all."""

new: Final = tuple.__new__
"""``new(Num, (...))`` is ``Num(...)`` in half the time."""

_KEPT: Final = 1 << 14
_constants: dict[int, Num] = {}  # a cache: emptying it at any time changes no result


def const(value: int) -> Num:
    """Return the set of one number, `value` modulo 2**64; negative numbers are allowed.

    >>> const(-1).umax == 2**64 - 1, const(-1).smin
    (True, -1)
    >>> const(7) is const(7)
    True
    """
    num = _constants.get(value)
    if num is None:
        if len(_constants) >= _KEPT:
            _constants.clear()
        num = _constants[value] = make_const(value)
    return num


def make_const(value: int) -> Num:
    """Return `const` without the cache of constants."""
    if 0 <= value < SIGN32:
        arc = value, 0
        return new(Num, (value, 0, value, value, value, value, value, value, value, value, arc, arc))
    value &= U64_MAX
    low = value & U32_MAX
    signed = (value ^ SIGN64) - SIGN64
    signed_low = (low ^ SIGN32) - SIGN32
    return new(Num, (value, 0, value, value, signed, signed, low, low, signed_low, signed_low, (value, 0), (low, 0)))


def unknown() -> Num:
    """Return the set of all numbers (the kernel's `mark_reg_unknown`)."""
    return UNKNOWN


def to_s64(value: int) -> int:
    """Return the 64-bit pattern `value` read as a signed number."""
    return (value ^ SIGN64) - SIGN64


def to_s32(value: int) -> int:
    """Return the 32-bit pattern `value` read as a signed number."""
    return (value ^ SIGN32) - SIGN32


def contains(num: Num, value: int) -> bool:
    """Return whether the 64-bit pattern `value` is a member of `num`; soundness tests rely on this.

    >>> contains(UNKNOWN, 5), contains(const(4), 5)
    (True, False)
    """
    low = value & U32_MAX
    return (not is_broken(num) and value & ~num.mask == num.value
            and num.umin <= value <= num.umax and num.smin <= to_s64(value) <= num.smax
            and num.u32_min <= low <= num.u32_max and num.s32_min <= to_s32(low) <= num.s32_max
            and value - num.r64[0] & U64_MAX <= num.r64[1] and low - num.r32[0] & U32_MAX <= num.r32[1])


def is_broken(num: Num) -> bool:
    """Return whether some range is empty, so that no number is left (the kernel's `range_bounds_violation`)."""
    return (num.umin > num.umax or num.smin > num.smax or num.u32_min > num.u32_max or num.s32_min > num.s32_max
            or num.r64 == EMPTY64 or num.r32 == EMPTY32)
