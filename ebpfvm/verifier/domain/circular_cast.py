"""Cutting and extending by the rules of Linux 7.2: narrow loads, ``w1 = w2``, sign extension, byte order.

The same interface as `interval_cast`, the rules of 6.18. Sizes are in bits.

Source: `coerce_reg_to_size`, `coerce_reg_to_size_sx`, `coerce_subreg_to_size_sx`, `scalar_byte_swap`,
`__mark_reg_s32_range`, Linux 7.2 `kernel/bpf/verifier.c`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from ebpfvm.verifier.domain import arc, tnum
from ebpfvm.verifier.domain.bounds import sign_extended
from ebpfvm.verifier.domain.circular import again, build, sanitize, sync, zext
from ebpfvm.verifier.domain.num import FULL32, FULL64, Arc, Num, const
from ebpfvm.verifier.domain.tnum import Tnum
from ebpfvm.verifier.domain.width import BITS, SUB, U32_MAX, U64_MAX


def low32(a: Num) -> Num:
    """Return ``w1 = w2``: the lower half, with zeros above."""
    if not a.mask:
        return const(a.value & U32_MAX)
    return sanitize(sync(*zext(a[:2], a.r32)))


def cast(a: Num, bits: int) -> Num:
    """Return the low `bits` (less than 64) of `a`, with zeros above: what a load or a fill of that size yields."""
    mask = (1 << bits) - 1
    if not a.mask:
        return const(a.value & mask)
    var_off = (a.value & mask, a.mask & mask)
    r64 = (a.umin & mask, a.umax - a.umin) if a.umin >> bits == a.umax >> bits else (0, mask)
    return sync(var_off, r64, FULL32 if bits < SUB else a.r32)


def sext64(a: Num, bits: int) -> Num:
    """Return the low `bits` of `a`, sign-extended to 64, without refining ranges by bits."""
    if not a.mask:
        return const(_extend(a.value, bits))
    ends = sign_extended(a.smin, a.smax, bits)
    if ends is None:
        half = 1 << bits - 1
        ends = -half, half - 1
        var_off = tnum.UNKNOWN
    else:
        var_off = tnum.range_(ends[0] & U64_MAX, ends[1] & U64_MAX)
    return build(var_off, arc.from_srange64(*ends), arc.from_srange32(*ends))


def sext32(a: Num, bits: int) -> Num:
    """Return the low `bits` of `a`, sign-extended to 32, with zeros above."""
    if not a.mask:
        return const(_extend(a.value, bits) & U32_MAX)
    ends = sign_extended(a.s32_min, a.s32_max, bits)
    if ends is None:
        half = 1 << bits - 1
        return _finish32(tnum.UNKNOWN, arc.from_srange32(-half, half - 1))
    return _finish32(tnum.range_(ends[0] & U64_MAX, ends[1] & U64_MAX), arc.from_srange32(*ends))


def _finish32(var_off: Tnum, r32: Arc) -> Num:
    return sanitize(sync(*zext(var_off, r32)))


def _extend(value: int, bits: int) -> int:
    half = 1 << bits - 1
    return ((value & (1 << bits) - 1) ^ half) - half & U64_MAX


def swap(a: Num, bits: int) -> Num:
    """Return the low `bits` with their bytes reversed: known bits move, ranges are forgotten."""
    if not a.mask:
        return const(tnum.swap_bytes(a.value, bits))
    swapped = build(tnum.bswap(a[:2], bits), FULL64, FULL32)
    return again(swapped if bits == BITS else cast(swapped, bits))


def truncate(a: Num, bits: int) -> Num:
    """Return the low `bits`: conversion to the byte order the machine already has."""
    return again(a if bits == BITS else cast(a, bits))


def s32_range(a: Num, low: int, high: int) -> Num:
    """Return `a` limited to the signed 32-bit numbers from `low` to `high` (a helper's result)."""
    r32 = arc.from_srange32(max(a.s32_min, low), min(a.s32_max, high))
    r64 = arc.from_srange64(max(a.smin, low), min(a.smax, high))
    return sanitize(sync(a[:2], r64, r32))


def _sized(function: Callable[[Num, int], Num], bits: int) -> Callable[[Num], Num]:
    return lambda num: function(num, bits)


UNARY: Final[dict[tuple[str, int], Callable[[Num], Num]]] = {
    ("mov", 32): low32,
    **{(f"movsx{bits}", 64): _sized(sext64, bits) for bits in (8, 16, 32)},
    **{(f"movsx{bits}", 32): _sized(sext32, bits) for bits in (8, 16)},
    **{(f"le{bits}", 64): _sized(truncate, bits) for bits in (16, 32, 64)},
    **{(f"{op}{bits}", 64): _sized(swap, bits) for op in ("be", "bswap") for bits in (16, 32, 64)},
}
