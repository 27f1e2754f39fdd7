"""Linux 7.2: one circular range per width, kept consistent with the known bits.

Source: `reg_bounds_sync` and what it calls, Linux 7.2 `kernel/bpf/verifier.c`. Compare `intervals`, the rules of 6.18,
which do the same for four ranges.
"""

from __future__ import annotations

from ebpfvm.verifier.domain import arc, tnum
from ebpfvm.verifier.domain.bounds import settle
from ebpfvm.verifier.domain.num import EMPTY32, EMPTY64, FULL32, FULL64, Arc, Num, const, new
from ebpfvm.verifier.domain.tnum import Tnum
from ebpfvm.verifier.domain.width import S32_MAX, U32_MAX, U64_MAX

State = tuple[Tnum, Arc, Arc]
"""Known bits, range of the register, range of its lower half."""


def build(var_off: Tnum, r64: Arc, r32: Arc) -> Num:
    """Return a Num of the given parts as they are, consistent or not."""
    return new(Num, (*var_off, *arc.bounds64(r64), *arc.bounds32(r32), r64, r32))


def sync(var_off: Tnum, r64: Arc, r32: Arc) -> Num:
    """Return a Num of the given parts after each has been refined by the others.

    An empty range stays empty, so that `num.is_broken` shows it.

    >>> sync((0, 0xff), FULL64, FULL32).smax
    255
    >>> sync((0, 0xff), (250, 100), FULL32)[:4]      # 250..350, and below 256
    (248, 7, 250, 255)
    """
    if var_off[0] | var_off[1] <= S32_MAX:
        base, size = r64
        base32, size32 = r32
        if base + size <= U64_MAX and base32 + size32 <= U32_MAX:
            small = settle(var_off, base, base + size, base32, base32 + size32)
            if small is not None:
                value, mask, low, high = small
                kept = (low, high - low)
                return new(Num, (value, mask, low, high, low, high, low, high, low, high, kept, kept))
    return sync_any(var_off, r64, r32)


def again(num: Num) -> Num:
    """Return `num` after its parts have been refined by each other."""
    return sync(num[:2], num.r64, num.r32)


def sync_any(var_off: Tnum, r64: Arc, r32: Arc) -> Num:
    """Return `sync` without the shortcut for small numbers."""
    if r64 != EMPTY64 and r32 != EMPTY32:
        var_off, r64, r32 = update(var_off, r64, r32)
        r32 = arc.intersect32(r32, arc.low_half(r64))
        narrowed = arc.narrow_to_low_half(r64, r32)
        if narrowed != r64:
            r32 = arc.intersect32(r32, arc.low_half(narrowed))
            narrowed = arc.narrow_to_low_half(narrowed, r32)
        var_off, r64, r32 = update(bound_offset(var_off, narrowed, r32), narrowed, r32)
    if not var_off[1] and r64 == var_off and r32 == (var_off[0] & U32_MAX, 0):
        return const(var_off[0])
    return new(Num, (*var_off, *arc.bounds64(r64), *arc.bounds32(r32), r64, r32))


def unsigned64(r64: Arc) -> tuple[int, int]:
    """Return umin and umax of an arc, by the kernel's accessors: an arc that wraps gives the full range."""
    end = r64[0] + r64[1]
    return (0, U64_MAX) if end > U64_MAX else (r64[0], end)


def unsigned32(r32: Arc) -> tuple[int, int]:
    """Return `unsigned64` at 32 bits."""
    end = r32[0] + r32[1]
    return (0, U32_MAX) if end > U32_MAX else (r32[0], end)


def update(var_off: Tnum, r64: Arc, r32: Arc) -> State:
    """Refine ranges by known bits; if just one number is in both, it is the value (`__update_reg_bounds`).

    >>> update((16, 8), (17, 9), FULL32)[0]          # of 16 and 24, only 24 is in 17..26
    (24, 0)
    """
    r32 = arc.intersect32(r32, arc.from_tnum32(var_off))
    r64 = arc.intersect64(r64, arc.from_tnum64(var_off))
    only = tnum.single(var_off, *unsigned64(r64))
    if only is None:
        return var_off, r64, r32
    return (only, 0), (only, 0), (only & U32_MAX, 0)


def bound_offset(var_off: Tnum, r64: Arc, r32: Arc) -> Tnum:
    """Refine known bits by the unsigned ranges: the leading bits that both ends share (`__reg_bound_offset`)."""
    wide = tnum.intersect(var_off, tnum.range_(*unsigned64(r64)))
    low = tnum.intersect(tnum.subreg(wide), tnum.range_(*unsigned32(r32)))
    return tnum.or_(tnum.clear_subreg(wide), low)


def zext(var_off: Tnum, r32: Arc) -> State:
    """Return the register after a 32-bit instruction, whose upper half is zero (`zext_32_to_64`)."""
    umin, umax = unsigned32(r32)
    return tnum.subreg(var_off), (umin, umax - umin), r32


def sanitize(num: Num) -> Num:
    """Return `num`, or the kernel's fallback if its own bounds are contradictory (`reg_bounds_sanity_check`).

    The ranges are forgotten, the known bits are kept.
    """
    if num.r64 != EMPTY64 and num.r32 != EMPTY32:
        if num.mask & U32_MAX:
            return num
        if num.r32 == (num.value & U32_MAX, 0) and (num.mask or num.r64 == (num.value, 0)):
            return num
    return build(num.var_off, FULL64, FULL32)
