"""Cutting and extending by the rules of Linux 6.18: narrow loads, ``w1 = w2``, sign extension, byte order.

Sizes are in bits.

Source: `coerce_reg_to_size`, `coerce_reg_to_size_sx`, `coerce_subreg_to_size_sx`, `scalar_byte_swap`,
`__mark_reg_s32_range`, Linux 6.18 `kernel/bpf/verifier.c`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from ebpfvm.verifier.domain import tnum
from ebpfvm.verifier.domain.bounds import sign_extended
from ebpfvm.verifier.domain.intervals import ANY32, ANY64, again, build, sanitize, sync, zext
from ebpfvm.verifier.domain.num import Num, const
from ebpfvm.verifier.domain.width import BITS, SUB, U32_MAX, U64_MAX


def low32(a: Num) -> Num:
    """Return ``w1 = w2``: the lower half, with zeros above."""
    if not a.mask:
        return const(a.value & U32_MAX)
    var_off, b64 = zext(a[:2], a[6:10])
    return sanitize(sync(var_off, b64, a[6:10]))


def cast(a: Num, bits: int) -> Num:
    """Return the low `bits` (less than 64) of `a`, with zeros above: what a load or a fill of that size yields."""
    if not a.mask:
        return const(a.value & (1 << bits) - 1)
    mask = (1 << bits) - 1
    umin = umax = 0
    if a.umin >> bits == a.umax >> bits:
        umin = a.umin & mask
        umax = a.umax & mask
    else:
        umax = mask
    var_off = (a.value & mask, a.mask & mask)
    return sync(var_off, (umin, umax, umin, umax), ANY32 if bits < SUB else a[6:10])


def sext64(a: Num, bits: int) -> Num:
    """Return the low `bits` of `a`, sign-extended to 64, without refining ranges by bits."""
    if not a.mask:
        return const(_extend(a.value, bits))
    ends = sign_extended(a.smin, a.smax, bits)
    if ends is None:
        half = 1 << bits - 1
        return build(tnum.UNKNOWN, (0, U64_MAX, -half, half - 1), (0, U32_MAX, -half, half - 1))
    smin, smax = ends
    umin, umax = smin & U64_MAX, smax & U64_MAX
    return build(tnum.range_(umin, umax), (umin, umax, smin, smax), (umin & U32_MAX, umax & U32_MAX, smin, smax))


def sext32(a: Num, bits: int) -> Num:
    """Return the low `bits` of `a`, sign-extended to 32, with zeros above."""
    if not a.mask:
        return const(_extend(a.value, bits) & U32_MAX)
    ends = sign_extended(a.s32_min, a.s32_max, bits)
    if ends is None:
        half = 1 << bits - 1
        b32 = (0, U32_MAX, -half, half - 1)
        var_off, b64 = zext(tnum.UNKNOWN, b32)
    else:
        smin, smax = ends
        b32 = (smin & U32_MAX, smax & U32_MAX, smin, smax)
        var_off, b64 = zext(tnum.range_(smin & U64_MAX, smax & U64_MAX), b32)
    return sanitize(sync(var_off, b64, b32))


def _extend(value: int, bits: int) -> int:
    half = 1 << bits - 1
    return ((value & (1 << bits) - 1) ^ half) - half & U64_MAX


def swap(a: Num, bits: int) -> Num:
    """Return the low `bits` with their bytes reversed: known bits move, ranges are forgotten."""
    if not a.mask:
        return const(tnum.swap_bytes(a.value, bits))
    swapped = build(tnum.bswap(a[:2], bits), ANY64, ANY32)
    return again(swapped if bits == BITS else cast(swapped, bits))


def truncate(a: Num, bits: int) -> Num:
    """Return the low `bits`: conversion to the byte order the machine already has."""
    return again(a if bits == BITS else cast(a, bits))


def s32_range(a: Num, low: int, high: int) -> Num:
    """Return `a` limited to the signed 32-bit numbers from `low` to `high` (a helper's result)."""
    b32 = (a.u32_min, a.u32_max, max(a.s32_min, low), min(a.s32_max, high))
    return sanitize(sync(a[:2], (a.umin, a.umax, max(a.smin, low), min(a.smax, high)), b32))


def _sized(function: Callable[[Num, int], Num], bits: int) -> Callable[[Num], Num]:
    return lambda num: function(num, bits)


UNARY: Final[dict[tuple[str, int], Callable[[Num], Num]]] = {
    ("mov", 32): low32,
    **{(f"movsx{bits}", 64): _sized(sext64, bits) for bits in (8, 16, 32)},
    **{(f"movsx{bits}", 32): _sized(sext32, bits) for bits in (8, 16)},
    **{(f"le{bits}", 64): _sized(truncate, bits) for bits in (16, 32, 64)},
    **{(f"{op}{bits}", 64): _sized(swap, bits) for op in ("be", "bswap") for bits in (16, 32, 64)},
}
