"""Circular ranges: Linux 7.2's `cnum64` and `cnum32`.

An arc ``(base, size)`` of width W is the set base, base + 1, ... base + size, counted round the circle of 2**W
patterns. One arc gives both the unsigned range (cut at 0) and the signed range (cut at the sign bit); where it runs
over a cut, that range is the full one. So a single description replaces two that had to be kept in step, and adding or
negating an arc is exact.

The empty arc is spelt ``(MAX, MAX)``; no other arc is. Functions come in two widths, made from one source.

Source: Linux 7.2 `include/linux/cnum.h`, `kernel/bpf/cnum_defs.h`, `kernel/bpf/cnum.c`. The idea is that of Gange et
al., "Interval Analysis and Machine Arithmetic: Why Signedness Ignorance Is Bliss" (TOPLAS 2014).

>>> bounds64((250, 10))
(250, 260, 250, 260)
>>> add64(from_srange64(-5, 5), (10, 0))
(5, 10)
>>> intersect64((0, 20), (10, 50))
(10, 10)
"""

from __future__ import annotations

from ebpfvm.verifier.domain.num import EMPTY32, EMPTY64, Arc
from ebpfvm.verifier.domain.tnum import Tnum
from ebpfvm.verifier.domain.width import S32_MAX, S64_MAX, SIGN32, SIGN64, U32_MAX, U32_SIZE, U64_MAX


def from_urange64(umin: int, umax: int) -> Arc:
    """Return the unsigned numbers from `umin` up to `umax`, wrapping around the circle if necessary."""
    return umin, umax - umin & U64_MAX


def from_urange32(umin: int, umax: int) -> Arc:
    """Return `from_urange64` at 32 bits."""
    return umin, umax - umin & U32_MAX


def from_srange64(smin: int, smax: int) -> Arc:
    """Return the signed numbers from `smin` up to `smax`."""
    size = smax - smin & U64_MAX
    return (0, size) if size == U64_MAX else (smin & U64_MAX, size)


def from_srange32(smin: int, smax: int) -> Arc:
    """Return `from_srange64` at 32 bits."""
    size = smax - smin & U32_MAX
    return (0, size) if size == U32_MAX else (smin & U32_MAX, size)


def bounds64(arc: Arc) -> tuple[int, int, int, int]:
    """Return umin, umax, smin, smax of an arc (of the empty one, what the kernel's accessors make of its spelling).

    >>> bounds64((5, 3))
    (5, 8, 5, 8)
    >>> bounds64((U64_MAX, 1))[2:]           # -1 and 0
    (-1, 0)
    """
    base, size = arc
    end = base + size
    if end <= U64_MAX:
        if base >= SIGN64 or end < SIGN64:
            return base, end, (base ^ SIGN64) - SIGN64, (end ^ SIGN64) - SIGN64
        return base, end, -SIGN64, S64_MAX
    if arc == EMPTY64:
        return 0, U64_MAX, -2, -1
    end -= U64_MAX + 1
    if base >= SIGN64 > end:
        return 0, U64_MAX, (base ^ SIGN64) - SIGN64, end
    return 0, U64_MAX, -SIGN64, S64_MAX


def bounds32(arc: Arc) -> tuple[int, int, int, int]:
    """Return `bounds64` at 32 bits."""
    base, size = arc
    end = base + size
    if end <= U32_MAX:
        if base >= SIGN32 or end < SIGN32:
            return base, end, (base ^ SIGN32) - SIGN32, (end ^ SIGN32) - SIGN32
        return base, end, -SIGN32, S32_MAX
    if arc == EMPTY32:
        return 0, U32_MAX, -2, -1
    end -= U32_MAX + 1
    if base >= SIGN32 > end:
        return 0, U32_MAX, (base ^ SIGN32) - SIGN32, end
    return 0, U32_MAX, -SIGN32, S32_MAX


def from_tnum64(var_off: Tnum) -> Arc:
    """Return the arc of the known bits: signed if the sign bit may be set, otherwise unsigned."""
    value, mask = var_off
    if (value | mask) & SIGN64:
        low = value | mask & SIGN64
        size = (value | mask & S64_MAX) - low & U64_MAX
        return (0, size) if size == U64_MAX else (low, size)
    return value, mask


def from_tnum32(var_off: Tnum) -> Arc:
    """Return the arc of the known bits of the lower half."""
    value, mask = var_off
    value &= U32_MAX
    mask &= U32_MAX
    if (value | mask) & SIGN32:
        low = value | mask & SIGN32
        size = (value | mask & S32_MAX) - low & U32_MAX
        return (0, size) if size == U32_MAX else (low, size)
    return value, mask


def intersect64(a: Arc, b: Arc) -> Arc:
    """Return the numbers in `a` and in `b`.

    Two arcs may meet in two pieces; then the smaller of the two arcs is returned.
    """
    if a == EMPTY64 or b == EMPTY64:
        return EMPTY64
    if a[0] > b[0]:
        a, b = b, a
    base, size = a
    start = b[0] - base  # turn the circle so that `a` starts at 0
    end = start + b[1]
    if end > U64_MAX:
        if start <= size:
            return a if size <= b[1] else b
        end -= U64_MAX + 1
        return base, size if size < end else end
    if size >= start:
        return b[0], size - start if size - start < b[1] else b[1]
    return EMPTY64


def intersect32(a: Arc, b: Arc) -> Arc:
    """Return `intersect64` at 32 bits."""
    if a == EMPTY32 or b == EMPTY32:
        return EMPTY32
    if a[0] > b[0]:
        a, b = b, a
    base, size = a
    start = b[0] - base
    end = start + b[1]
    if end > U32_MAX:
        if start <= size:
            return a if size <= b[1] else b
        end -= U32_MAX + 1
        return base, size if size < end else end
    if size >= start:
        return b[0], size - start if size - start < b[1] else b[1]
    return EMPTY32


def add64(a: Arc, b: Arc) -> Arc:
    """Return every sum of a member of `a` and a member of `b`."""
    if a == EMPTY64 or b == EMPTY64:
        return EMPTY64
    size = a[1] + b[1]
    if size > U64_MAX:
        return 0, U64_MAX
    return _full_at_0_64(a[0] + b[0] & U64_MAX, size)


def add32(a: Arc, b: Arc) -> Arc:
    """Return `add64` at 32 bits."""
    if a == EMPTY32 or b == EMPTY32:
        return EMPTY32
    size = a[1] + b[1]
    if size > U32_MAX:
        return 0, U32_MAX
    return _full_at_0_32(a[0] + b[0] & U32_MAX, size)


def negate64(a: Arc) -> Arc:
    """Return every -x for a member x of `a`."""
    if a == EMPTY64:
        return EMPTY64
    return _full_at_0_64(-(a[0] + a[1]) & U64_MAX, a[1])


def negate32(a: Arc) -> Arc:
    """Return `negate64` at 32 bits."""
    if a == EMPTY32:
        return EMPTY32
    return _full_at_0_32(-(a[0] + a[1]) & U32_MAX, a[1])


def _full_at_0_64(base: int, size: int) -> Arc:
    # The full circle starts at 0, or the pattern of the empty arc could arise. (The kernel spares one other base.)
    if size == U64_MAX and base not in (0, S64_MAX):
        base = 0
    return base, size


def _full_at_0_32(base: int, size: int) -> Arc:
    if size == U32_MAX and base not in (0, S32_MAX):
        base = 0
    return base, size


def subset64(outer: Arc, inner: Arc) -> bool:
    """Return whether `outer` includes all of `inner`.

    >>> subset64((10, 5), (12, 3)), subset64((10, 5), (12, 4))
    (True, False)
    """
    if inner == EMPTY64:
        return True
    if outer == EMPTY64:
        return False
    end = (inner[0] - outer[0] & U64_MAX) + inner[1]
    if end > U64_MAX and outer[1] < U64_MAX:
        return False
    return end & U64_MAX <= outer[1]


def subset32(outer: Arc, inner: Arc) -> bool:
    """Return `subset64` at 32 bits."""
    if inner == EMPTY32:
        return True
    if outer == EMPTY32:
        return False
    end = (inner[0] - outer[0] & U32_MAX) + inner[1]
    if end > U32_MAX and outer[1] < U32_MAX:
        return False
    return end & U32_MAX <= outer[1]


def low_half(a: Arc) -> Arc:
    """Return the arc of lower halves of the members of `a` (`cnum32_from_cnum64`)."""
    if a == EMPTY64:
        return EMPTY32
    return (0, U32_MAX) if a[1] >= U32_MAX else (a[0] & U32_MAX, a[1])


def narrow_to_low_half(a: Arc, b: Arc) -> Arc:
    """Return the members of `a` from the first to the last whose lower half is in `b` (`cnum64_cnum32_intersect`).

    The circle is turned so that `a` starts at a multiple of 2**32; then `b` repeats every 2**32, and both ends of `a`
    can be moved inwards to the nearest repetition.
    """
    if a == EMPTY64 or b == EMPTY32:
        return EMPTY64
    base, size = a
    first = b[0] - base & U32_MAX
    last = first + b[1]
    tail = size & U32_MAX
    if last > U32_MAX:
        # `b` covers the start; only a tail that ends between its two parts can be cut.
        last -= U32_SIZE
        return (base, size - (tail - last)) if last < tail < first else a
    if size < first:
        return EMPTY64
    size -= first
    if tail < first:
        cut = tail + U32_SIZE - last
    elif tail >= last:
        cut = tail - last
    else:
        cut = 0
    return EMPTY64 if size < cut else (base + first & U64_MAX, size - cut)
