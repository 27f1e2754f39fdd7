"""Transfer functions by the rules of Linux 6.18: what an ALU instruction makes of its operands' ranges.

Each takes the destination's and the source's `Num` and returns the result's. The names are those of the instruction
table with the width: `add64` is ``r1 += r2``, `add32` is ``w1 += w2``. 32-bit forms look only at lower halves and
clear the upper half of the result.

Constants work too, but `arithmetic` folds them first.

Source: `adjust_scalar_min_max_vals` and the `scalar_min_max_*` functions, Linux 6.18 `kernel/bpf/verifier.c`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from ebpfvm.verifier.domain import tnum
from ebpfvm.verifier.domain.bounds import mul_signed, mul_unsigned, shift_left_unsigned, signed_of
from ebpfvm.verifier.domain.intervals import ANY32, Bounds32, Bounds64, sanitize, sync, update, update32, zext
from ebpfvm.verifier.domain.num import UNKNOWN, Num, const
from ebpfvm.verifier.domain.tnum import Tnum
from ebpfvm.verifier.domain.width import (
    BITS,
    S32_MAX,
    S32_MIN,
    S64_MAX,
    S64_MIN,
    SIGN32,
    SIGN64,
    SUB,
    U32_MAX,
    U32_SIZE,
    U64_MAX,
    U64_SIZE,
)


def _finish(var_off: Tnum, b64: Bounds64, b32: Bounds32) -> Num:
    return sanitize(sync(var_off, b64, b32))


def _finish32(var_off: Tnum, b32: Bounds32) -> Num:
    var_off, b64 = zext(var_off, b32)
    return sanitize(sync(var_off, b64, b32))


def add64(a: Num, b: Num) -> Num:
    """Return ``a + b``. Bounds add up; if only some sums overflow, nothing is known about that range."""
    umin = a.umin + b.umin
    umax = a.umax + b.umax
    if umax > U64_MAX:
        if umin > U64_MAX:  # all sums wrap
            umin -= U64_SIZE
            umax -= U64_SIZE
        else:
            umin = 0
            umax = U64_MAX
    smin = a.smin + b.smin
    smax = a.smax + b.smax
    if smin < S64_MIN or smax > S64_MAX:
        smin = S64_MIN
        smax = S64_MAX
    return _finish(tnum.add(a[:2], b[:2]), (umin, umax, smin, smax), _add32(a, b))


def add32(a: Num, b: Num) -> Num:
    """Return ``a + b`` of lower halves."""
    return _finish32(tnum.add(a[:2], b[:2]), _add32(a, b))


def _add32(a: Num, b: Num) -> Bounds32:
    umin = a.u32_min + b.u32_min
    umax = a.u32_max + b.u32_max
    if umax > U32_MAX:
        if umin > U32_MAX:
            umin -= U32_SIZE
            umax -= U32_SIZE
        else:
            umin = 0
            umax = U32_MAX
    smin = a.s32_min + b.s32_min
    smax = a.s32_max + b.s32_max
    if smin < S32_MIN or smax > S32_MAX:
        smin = S32_MIN
        smax = S32_MAX
    return umin, umax, smin, smax


def sub64(a: Num, b: Num) -> Num:
    """Return ``a - b``: smallest minus largest to largest minus smallest; if only some wrap, nothing is known."""
    return _finish(tnum.sub(a[:2], b[:2]), _sub64(a, b), _sub32(a, b))


def sub32(a: Num, b: Num) -> Num:
    """Return ``a - b`` of lower halves."""
    return _finish32(tnum.sub(a[:2], b[:2]), _sub32(a, b))


def _sub64(a: Num, b: Num) -> Bounds64:
    umin = a.umin - b.umax
    umax = a.umax - b.umin
    if umin < 0:
        if umax < 0:
            umin += U64_SIZE
            umax += U64_SIZE
        else:
            umin = 0
            umax = U64_MAX
    smin = a.smin - b.smax
    smax = a.smax - b.smin
    if smin < S64_MIN or smax > S64_MAX:
        smin = S64_MIN
        smax = S64_MAX
    return umin, umax, smin, smax


def _sub32(a: Num, b: Num) -> Bounds32:
    umin = a.u32_min - b.u32_max
    umax = a.u32_max - b.u32_min
    if umin < 0:
        if umax < 0:
            umin += U32_SIZE
            umax += U32_SIZE
        else:
            umin = 0
            umax = U32_MAX
    smin = a.s32_min - b.s32_max
    smax = a.s32_max - b.s32_min
    if smin < S32_MIN or smax > S32_MAX:
        smin = S32_MIN
        smax = S32_MAX
    return umin, umax, smin, smax


_ZERO = const(0)


def neg64(a: Num) -> Num:
    """Return ``-a``, as 0 - a. Since Linux 6.17."""
    return sub64(_ZERO, a)


def neg32(a: Num) -> Num:
    """Return ``-a`` of the lower half."""
    return sub32(_ZERO, a)


def mul64(a: Num, b: Num) -> Num:
    """Return ``a * b``: if no product of ends overflows, the products of the ends bound the result."""
    b64 = (*mul_unsigned(a.umin, a.umax, b.umin, b.umax, U64_MAX),
           *mul_signed(a.smin, a.smax, b.smin, b.smax, S64_MAX))
    return _finish(tnum.mul(a[:2], b[:2]), b64, _mul32(a, b))


def mul32(a: Num, b: Num) -> Num:
    """Return ``a * b`` of lower halves."""
    return _finish32(tnum.mul(a[:2], b[:2]), _mul32(a, b))


def _mul32(a: Num, b: Num) -> Bounds32:
    return (*mul_unsigned(a.u32_min, a.u32_max, b.u32_min, b.u32_max, U32_MAX),
            *mul_signed(a.s32_min, a.s32_max, b.s32_min, b.s32_max, S32_MAX))


def and64(a: Num, b: Num) -> Num:
    """Return ``a & b``: at least the bits known to be 1, at most the smaller of both maxima."""
    var_off = tnum.and_(a[:2], b[:2])
    umin = var_off[0]
    umax = min(a.umax, b.umax)
    b64 = (umin, umax, *signed_of(umin, umax, SIGN64))
    return _finish(*update(var_off, b64, _and32(var_off, a, b)))


def and32(a: Num, b: Num) -> Num:
    """Return ``a & b`` of lower halves."""
    var_off = tnum.and_(a[:2], b[:2])
    return _finish32(var_off, update32(var_off, _and32(var_off, a, b)))


def _and32(var_off: Tnum, a: Num, b: Num) -> Bounds32:
    umin = var_off[0] & U32_MAX
    umax = min(a.u32_max, b.u32_max)
    return umin, umax, *signed_of(umin, umax, SIGN32)


def or64(a: Num, b: Num) -> Num:
    """Return ``a | b``: at least the larger of both minima, at most all bits that may be 1."""
    var_off = tnum.or_(a[:2], b[:2])
    umin = max(a.umin, b.umin)
    umax = var_off[0] | var_off[1]
    b64 = (umin, umax, *signed_of(umin, umax, SIGN64))
    return _finish(*update(var_off, b64, _or32(var_off, a, b)))


def or32(a: Num, b: Num) -> Num:
    """Return ``a | b`` of lower halves."""
    var_off = tnum.or_(a[:2], b[:2])
    return _finish32(var_off, update32(var_off, _or32(var_off, a, b)))


def _or32(var_off: Tnum, a: Num, b: Num) -> Bounds32:
    umin = max(a.u32_min, b.u32_min)
    umax = (var_off[0] | var_off[1]) & U32_MAX
    return umin, umax, *signed_of(umin, umax, SIGN32)


def xor64(a: Num, b: Num) -> Num:
    """Return ``a ^ b``: only the known bits tell anything."""
    var_off = tnum.xor(a[:2], b[:2])
    umin = var_off[0]
    umax = umin | var_off[1]
    b64 = (umin, umax, *signed_of(umin, umax, SIGN64))
    return _finish(*update(var_off, b64, _xor32(var_off)))


def xor32(a: Num, b: Num) -> Num:
    """Return ``a ^ b`` of lower halves."""
    var_off = tnum.xor(a[:2], b[:2])
    return _finish32(var_off, update32(var_off, _xor32(var_off)))


def _xor32(var_off: Tnum) -> Bounds32:
    umin = var_off[0] & U32_MAX
    umax = umin | var_off[1] & U32_MAX
    return umin, umax, *signed_of(umin, umax, SIGN32)


def lsh64(a: Num, b: Num) -> Num:
    """Return ``a << b``, for a known shift below 64; otherwise nothing is known.

    A shift by 32 keeps the order of signed lower halves: compilers sign-extend by ``<<= 32; s>>= 32``.
    """
    if b.mask or b.value >= BITS:
        return UNKNOWN
    shift = b.value
    umin, umax = shift_left_unsigned(a.umin, a.umax, shift, U64_MAX)
    smin, smax = (a.s32_min << SUB, a.s32_max << SUB) if shift == SUB else (S64_MIN, S64_MAX)
    b32 = (*shift_left_unsigned(a.u32_min, a.u32_max, shift, U32_MAX), S32_MIN, S32_MAX)
    var_off = tnum.lshift(a[:2], shift)
    return _finish(*update(var_off, (umin, umax, smin, smax), b32))


def lsh32(a: Num, b: Num) -> Num:
    """Return ``a << b`` of lower halves, for a known shift below 32 (the kernel looks at all of b).

    Otherwise nothing is known.
    """
    if b.mask & U32_MAX or b.umax >= SUB:
        return UNKNOWN
    shift = b.value & U32_MAX
    b32 = (*shift_left_unsigned(a.u32_min, a.u32_max, shift, U32_MAX), S32_MIN, S32_MAX)
    var_off = tnum.subreg(tnum.lshift(tnum.subreg(a[:2]), shift))
    return _finish32(var_off, update32(var_off, b32))


def rsh64(a: Num, b: Num) -> Num:
    """Return ``a >> b``, for a known shift below 64.

    Otherwise nothing is known. The order of unsigned numbers is kept.
    """
    if b.mask or b.value >= BITS:
        return UNKNOWN
    shift = b.value
    var_off = tnum.rshift(a[:2], shift)
    return _finish(*update(var_off, (a.umin >> shift, a.umax >> shift, S64_MIN, S64_MAX), ANY32))


def rsh32(a: Num, b: Num) -> Num:
    """Return ``a >> b`` of lower halves, for a known shift below 32; otherwise nothing is known."""
    if b.mask & U32_MAX or b.umax >= SUB:
        return UNKNOWN
    shift = b.value & U32_MAX
    var_off = tnum.rshift(tnum.subreg(a[:2]), shift)
    return _finish32(var_off, update32(var_off, (a.u32_min >> shift, a.u32_max >> shift, S32_MIN, S32_MAX)))


def arsh64(a: Num, b: Num) -> Num:
    """Return ``a s>> b``, for a known shift below 64.

    Otherwise nothing is known. The order of signed numbers is kept.
    """
    if b.mask or b.value >= BITS:
        return UNKNOWN
    shift = b.value
    var_off = tnum.arshift64(a[:2], shift)
    return _finish(*update(var_off, (0, U64_MAX, a.smin >> shift, a.smax >> shift), ANY32))


def arsh32(a: Num, b: Num) -> Num:
    """Return ``a s>> b`` of lower halves, for a known shift below 32; otherwise nothing is known."""
    if b.mask & U32_MAX or b.umax >= SUB:
        return UNKNOWN
    shift = b.value & U32_MAX
    var_off = tnum.arshift32(tnum.subreg(a[:2]), shift)
    return _finish32(var_off, update32(var_off, (0, U32_MAX, a.s32_min >> shift, a.s32_max >> shift)))


def pointer_add(a: Num, b: Num) -> Num:
    """Return the offset of ``pointer + b``, where `a` is the pointer's variable offset; lower halves are lost."""
    b64 = (a.umin + b.umin, a.umax + b.umax) if a.umax + b.umax <= U64_MAX else (0, U64_MAX)
    return sync(tnum.add(a[:2], b[:2]), (*b64, *_signed_or_any(a.smin + b.smin, a.smax + b.smax)), ANY32)


def pointer_sub(a: Num, b: Num) -> Num:
    """Return the offset of ``pointer - b``, where `a` is the pointer's variable offset; lower halves are lost."""
    b64 = (a.umin - b.umax, a.umax - b.umin) if a.umin >= b.umax else (0, U64_MAX)
    return sync(tnum.sub(a[:2], b[:2]), (*b64, *_signed_or_any(a.smin - b.smax, a.smax - b.smin)), ANY32)


def _signed_or_any(smin: int, smax: int) -> tuple[int, int]:
    return (smin, smax) if smin >= S64_MIN and smax <= S64_MAX else (S64_MIN, S64_MAX)


def unknown_result(a: Num, b: Num) -> Num:
    """Return an unknown number for division and modulo, even of constants, and even in the upper half (Linux 6.18)."""
    return UNKNOWN


ALU: Final[dict[tuple[str, int], Callable[[Num, Num], Num]]] = {
    ("add", 64): add64, ("add", 32): add32, ("sub", 64): sub64, ("sub", 32): sub32, ("mul", 64): mul64,
    ("mul", 32): mul32, ("and", 64): and64, ("and", 32): and32, ("or", 64): or64, ("or", 32): or32,
    ("xor", 64): xor64, ("xor", 32): xor32, ("lsh", 64): lsh64, ("lsh", 32): lsh32, ("rsh", 64): rsh64,
    ("rsh", 32): rsh32, ("arsh", 64): arsh64, ("arsh", 32): arsh32,
    **{(op, width): unknown_result for op in ("div", "sdiv", "mod", "smod") for width in (64, 32)},
}
UNARY: Final[dict[tuple[str, int], Callable[[Num], Num]]] = {("neg", 64): neg64, ("neg", 32): neg32}
