"""Linux 6.18: four ranges per register, kept consistent.

The known bits, the two 64-bit ranges and the two 32-bit ranges refine each other until nothing changes any more (or
until the kernel gives up, which is reproduced). Each step only ever removes numbers that another description already
excludes, so a step cannot lose a possible number; `sync` therefore may be applied to any Num.

Source: `reg_bounds_sync` and what it calls, Linux 6.18 `kernel/bpf/verifier.c`.
"""

from __future__ import annotations

from ebpfvm.verifier.domain import tnum
from ebpfvm.verifier.domain.bounds import settle
from ebpfvm.verifier.domain.num import FULL32, FULL64, Num, const, new
from ebpfvm.verifier.domain.tnum import Tnum
from ebpfvm.verifier.domain.width import (
    HIGH,
    S32_MAX,
    S32_MIN,
    S64_MAX,
    S64_MIN,
    SIGN32,
    SIGN64,
    SUB,
    U32_MAX,
    U64_MAX,
)

Bounds64 = tuple[int, int, int, int]
"""umin, umax, smin, smax."""
Bounds32 = tuple[int, int, int, int]
"""u32_min, u32_max, s32_min, s32_max."""

State = tuple[Tnum, Bounds64, Bounds32]

ANY64: Bounds64 = (0, U64_MAX, S64_MIN, S64_MAX)
ANY32: Bounds32 = (0, U32_MAX, S32_MIN, S32_MAX)


def build(var_off: Tnum, b64: Bounds64, b32: Bounds32) -> Num:
    """Return a Num of the given parts as they are, consistent or not."""
    return Num(*var_off, *b64, *b32, FULL64, FULL32)


def sync(var_off: Tnum, b64: Bounds64, b32: Bounds32) -> Num:
    """Return a Num of the given parts after each has been refined by the others.

    >>> n = sync((0, 0xff), ANY64, ANY32)
    >>> n.umax, n.smax, n.s32_max
    (255, 255, 255)
    """
    if var_off[0] | var_off[1] <= S32_MAX:
        umin, umax, smin, smax = b64
        u32_min, u32_max, s32_min, s32_max = b32
        small = settle(var_off, umin, umax, max(smin, u32_min, s32_min), min(smax, u32_max, s32_max))
        if small is not None:
            value, mask, low, high = small
            return new(Num, (value, mask, low, high, low, high, low, high, low, high, FULL64, FULL32))
    return sync_any(var_off, b64, b32)


def again(num: Num) -> Num:
    """Return `num` after its parts have been refined by each other."""
    return sync(num[:2], num[2:6], num[6:10])


def sync_any(var_off: Tnum, b64: Bounds64, b32: Bounds32) -> Num:
    """Return `sync` without the shortcut for small numbers."""
    var_off, b64, b32 = update(var_off, b64, b32)
    for _ in range(3):
        before = b64, b32
        b32 = deduce32(b64, b32)
        b64 = deduce64(b64)
        var_off, b64 = deduce_mixed(var_off, b64, b32)
        if before == (b64, b32):
            break  # the next round would see what this one saw
    var_off, b64, b32 = update(bound_offset(var_off, b64, b32), b64, b32)
    value, mask = var_off
    if not mask:
        known = const(value)
        if known[2:6] == b64 and known[6:10] == b32:
            return known
    return new(Num, (value, mask, *b64, *b32, FULL64, FULL32))


def update(var_off: Tnum, b64: Bounds64, b32: Bounds32) -> State:
    """Refine ranges by known bits; if just one number is in both, it is the value (`__update_reg_bounds`).

    >>> update((16, 8), (17, 25, 0, 99), ANY32)[0]          # of 16 and 24, only 24 is in 17..25
    (24, 0)
    """
    b32 = update32(var_off, b32)
    b64 = umin, umax, _, _ = update64(var_off, b64)
    only = tnum.single(var_off, umin, umax)
    if only is None:
        return var_off, b64, b32
    num = const(only)
    return (only, 0), num[2:6], num[6:10]


def update64(var_off: Tnum, b64: Bounds64) -> Bounds64:
    """Refine the 64-bit ranges by the known bits, whose extreme members have all unknown bits 0 or 1."""
    value, mask = var_off
    umin, umax, smin, smax = b64
    largest = value | mask
    if value > umin:
        umin = value
    if largest < umax:
        umax = largest
    low = ((value | mask & SIGN64) ^ SIGN64) - SIGN64
    high = ((value | mask & S64_MAX) ^ SIGN64) - SIGN64
    if low > smin:
        smin = low
    if high < smax:
        smax = high
    return umin, umax, smin, smax


def update32(var_off: Tnum, b32: Bounds32) -> Bounds32:
    """Return `update64` for the lower half."""
    value, mask = var_off
    value &= U32_MAX
    mask &= U32_MAX
    umin, umax, smin, smax = b32
    largest = value | mask
    if value > umin:
        umin = value
    if largest < umax:
        umax = largest
    low = ((value | mask & SIGN32) ^ SIGN32) - SIGN32
    high = ((value | mask & S32_MAX) ^ SIGN32) - SIGN32
    if low > smin:
        smin = low
    if high < smax:
        smax = high
    return umin, umax, smin, smax


def deduce32(b64: Bounds64, b32: Bounds32) -> Bounds32:
    """Refine the lower half's ranges by the whole register's, then by each other (`__reg32_deduce_bounds`)."""
    umin64, umax64, smin64, smax64 = b64
    umin, umax, smin, smax = b32
    # A range whose upper halves agree is a range of lower halves too; if they differ by one, it may still be one
    # of signed lower halves that runs from negative to positive.
    low = umin64 & U32_MAX
    high = umax64 & U32_MAX
    slow = (low ^ SIGN32) - SIGN32
    shigh = (high ^ SIGN32) - SIGN32
    if umin64 >> SUB == umax64 >> SUB:
        umin = low if low > umin else umin
        umax = high if high < umax else umax
        if slow <= shigh:
            smin = slow if slow > smin else smin
            smax = shigh if shigh < smax else smax
    if (umin64 >> SUB) + 1 & U32_MAX == umax64 >> SUB and slow < 0 <= shigh:
        smin = slow if slow > smin else smin
        smax = shigh if shigh < smax else smax
    low = smin64 & U32_MAX
    high = smax64 & U32_MAX
    slow = (low ^ SIGN32) - SIGN32
    shigh = (high ^ SIGN32) - SIGN32
    if smin64 >> SUB == smax64 >> SUB:
        if low <= high:
            umin = low if low > umin else umin
            umax = high if high < umax else umax
        if slow <= shigh:
            smin = slow if slow > smin else smin
            smax = shigh if shigh < smax else smax
    if (smin64 >> SUB) + 1 == smax64 >> SUB and slow < 0 <= shigh:
        smin = slow if slow > smin else smin
        smax = shigh if shigh < smax else smax
    return _agree32(umin, umax, smin, smax)


def _agree32(umin: int, umax: int, smin: int, smax: int) -> Bounds32:
    """Return `deduce64` for the lower half."""
    low = (umin ^ SIGN32) - SIGN32
    high = (umax ^ SIGN32) - SIGN32
    if low <= high:
        smin = low if low > smin else smin
        smax = high if high < smax else smax
    low = smin & U32_MAX
    high = smax & U32_MAX
    if low <= high:
        umin = low if low > umin else umin
        umax = high if high < umax else umax
    elif umax < low:
        smin = (umin ^ SIGN32) - SIGN32
        umax = high if high < umax else umax
    elif high < umin:
        smax = (umax ^ SIGN32) - SIGN32
        umin = low if low > umin else umin
    return umin, umax, smin, smax


def deduce64(b64: Bounds64) -> Bounds64:
    """Refine the 64-bit ranges by each other (`__reg64_deduce_bounds`).

    Drawn on the circle of all patterns, the unsigned range is cut at 0 and the signed one at the sign bit. If neither
    crosses the other's cut, both are the same arc. If the signed range does cross zero, it is two pieces of the
    unsigned line, and when the unsigned range touches only one of them, that one is meant.
    """
    umin, umax, smin, smax = b64
    low = (umin ^ SIGN64) - SIGN64
    high = (umax ^ SIGN64) - SIGN64
    if low <= high:
        smin = low if low > smin else smin
        smax = high if high < smax else smax
    low = smin & U64_MAX
    high = smax & U64_MAX
    if low <= high:
        umin = low if low > umin else umin
        umax = high if high < umax else umax
    elif umax < low:
        smin = (umin ^ SIGN64) - SIGN64
        umax = high if high < umax else umax
    elif high < umin:
        smax = (umax ^ SIGN64) - SIGN64
        umin = low if low > umin else umin
    return umin, umax, smin, smax


def deduce_mixed(var_off: Tnum, b64: Bounds64, b32: Bounds32) -> tuple[Tnum, Bounds64]:
    """Refine the whole register's ranges by the lower half's (`__reg_deduce_mixed_bounds`).

    The lower half of each end can be moved inwards to where the lower half's own range begins or ends.
    """
    umin, umax, smin, smax = b64
    u32_min, u32_max, s32_min, s32_max = b32
    low = umin & HIGH | u32_min
    high = umax & HIGH | u32_max
    umin = low if low > umin else umin
    umax = high if high < umax else umax
    low = smin - (smin & U32_MAX) + u32_min
    high = smax - (smax & U32_MAX) + u32_max
    smin = low if low > smin else smin
    smax = high if high < smax else smax
    if s32_min >= 0 and smin >= S32_MIN and smax <= S32_MAX:
        # Sign-extended from 32 bits and known to be positive there: the upper half is zero.
        smin = umin = s32_min
        smax = s32_max
        umax = s32_max & U64_MAX  # negative only if the range is empty
        var_off = tnum.intersect(var_off, tnum.range_(umin, umax))
    return var_off, (umin, umax, smin, smax)


def bound_offset(var_off: Tnum, b64: Bounds64, b32: Bounds32) -> Tnum:
    """Refine known bits by the unsigned ranges: the leading bits that both ends share."""
    wide = tnum.intersect(var_off, tnum.range_(b64[0], b64[1]))
    low = tnum.intersect(tnum.subreg(wide), tnum.range_(b32[0], b32[1]))
    return tnum.or_(tnum.clear_subreg(wide), low)


def zext(var_off: Tnum, b32: Bounds32) -> tuple[Tnum, Bounds64]:
    """Return the register after a 32-bit instruction, whose upper half is zero (`zext_32_to_64`)."""
    u32_min, u32_max, s32_min, s32_max = b32
    if s32_min >= 0:
        return tnum.subreg(var_off), (u32_min, u32_max, s32_min, s32_max)
    return tnum.subreg(var_off), (u32_min, u32_max, 0, U32_MAX)


def sanitize(num: Num) -> Num:
    """Return `num`, or the kernel's fallback if its own bounds are contradictory (`reg_bounds_sanity_check`).

    That happens on branches that cannot be taken but were not recognised as such. The ranges are forgotten, the known
    bits are kept.
    """
    if num.umin <= num.umax and num.smin <= num.smax and num.u32_min <= num.u32_max and num.s32_min <= num.s32_max:
        if num.mask & U32_MAX:
            return num
        known = const(num.value)
        if num[6:10] == known[6:10] and (num.mask or num[2:6] == known[2:6]):
            return num
    return Num(num.value, num.mask, *ANY64, *ANY32, FULL64, FULL32)
