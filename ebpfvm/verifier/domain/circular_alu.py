"""Transfer functions by the rules of Linux 7.2: what an ALU instruction makes of its operands' ranges.

The same interface as `interval_alu`, the rules of 6.18. Sums, differences and negations are exact on circular ranges;
the other operations go through unsigned or signed bounds. Division and modulo by a constant are in `divide`.

Source: `adjust_scalar_min_max_vals` and the `scalar_min_max_*` functions, Linux 7.2 `kernel/bpf/verifier.c`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from ebpfvm.verifier.domain import arc, tnum
from ebpfvm.verifier.domain.bounds import mul_signed, mul_unsigned, shift_left_unsigned
from ebpfvm.verifier.domain.circular import sanitize, sync, update, zext
from ebpfvm.verifier.domain.num import FULL32, UNKNOWN, Arc, Num, const
from ebpfvm.verifier.domain.tnum import Tnum
from ebpfvm.verifier.domain.width import BITS, S32_MAX, S64_MAX, SUB, U32_MAX, U64_MAX


def _finish(var_off: Tnum, r64: Arc, r32: Arc) -> Num:
    return sanitize(sync(var_off, r64, r32))


def _finish32(var_off: Tnum, r32: Arc) -> Num:
    return sanitize(sync(*zext(var_off, r32)))


def add64(a: Num, b: Num) -> Num:
    """Return ``a + b``."""
    return _finish(tnum.add(a[:2], b[:2]), arc.add64(a.r64, b.r64), arc.add32(a.r32, b.r32))


def add32(a: Num, b: Num) -> Num:
    """Return ``a + b`` of lower halves."""
    return _finish32(tnum.add(a[:2], b[:2]), arc.add32(a.r32, b.r32))


def sub64(a: Num, b: Num) -> Num:
    """Return ``a - b``."""
    return _finish(tnum.sub(a[:2], b[:2]), arc.add64(a.r64, arc.negate64(b.r64)),
                   arc.add32(a.r32, arc.negate32(b.r32)))


def sub32(a: Num, b: Num) -> Num:
    """Return ``a - b`` of lower halves."""
    return _finish32(tnum.sub(a[:2], b[:2]), arc.add32(a.r32, arc.negate32(b.r32)))


_ZERO = const(0)


def neg64(a: Num) -> Num:
    """Return ``-a``."""
    return sub64(_ZERO, a)


def neg32(a: Num) -> Num:
    """Return ``-a`` of the lower half."""
    return sub32(_ZERO, a)


def mul64(a: Num, b: Num) -> Num:
    """Return ``a * b``: the products of the ends, signed and unsigned, where they do not overflow."""
    unsigned = arc.from_urange64(*mul_unsigned(a.umin, a.umax, b.umin, b.umax, U64_MAX))
    signed = arc.from_srange64(*mul_signed(a.smin, a.smax, b.smin, b.smax, S64_MAX))
    return _finish(tnum.mul(a[:2], b[:2]), arc.intersect64(unsigned, signed), _mul32(a, b))


def mul32(a: Num, b: Num) -> Num:
    """Return ``a * b`` of lower halves."""
    return _finish32(tnum.mul(a[:2], b[:2]), _mul32(a, b))


def _mul32(a: Num, b: Num) -> Arc:
    unsigned = arc.from_urange32(*mul_unsigned(a.u32_min, a.u32_max, b.u32_min, b.u32_max, U32_MAX))
    signed = arc.from_srange32(*mul_signed(a.s32_min, a.s32_max, b.s32_min, b.s32_max, S32_MAX))
    return arc.intersect32(unsigned, signed)


def and64(a: Num, b: Num) -> Num:
    """Return ``a & b``: at least the bits known to be 1, at most the smaller of both maxima."""
    var_off = tnum.and_(a[:2], b[:2])
    if not (b.mask or var_off[1]):
        return const(var_off[0])
    return _finish(*update(var_off, arc.from_urange64(var_off[0], min(a.umax, b.umax)), _and32(var_off, a, b)))


def and32(a: Num, b: Num) -> Num:
    """Return ``a & b`` of lower halves."""
    var_off = tnum.and_(a[:2], b[:2])
    # The kernel computes the 64-bit result too, and what it learns there about the known bits stays.
    r32 = _and32(var_off, a, b)
    if not (b.mask or var_off[1]):
        return const(var_off[0] & U32_MAX)
    var_off, _, r32 = update(var_off, arc.from_urange64(var_off[0], min(a.umax, b.umax)), r32)
    return _finish32(var_off, r32)


def _and32(var_off: Tnum, a: Num, b: Num) -> Arc:
    value = var_off[0] & U32_MAX
    if not (b.mask | var_off[1]) & U32_MAX:
        return value, 0
    return arc.from_urange32(value, min(a.u32_max, b.u32_max))


def or64(a: Num, b: Num) -> Num:
    """Return ``a | b``: at least the larger of both minima, at most all bits that may be 1."""
    var_off = tnum.or_(a[:2], b[:2])
    if not (b.mask or var_off[1]):
        return const(var_off[0])
    r64 = arc.from_urange64(max(a.umin, b.umin), var_off[0] | var_off[1])
    return _finish(*update(var_off, r64, _or32(var_off, a, b)))


def or32(a: Num, b: Num) -> Num:
    """Return ``a | b`` of lower halves."""
    var_off = tnum.or_(a[:2], b[:2])
    if not (b.mask or var_off[1]):
        return const(var_off[0] & U32_MAX)
    r64 = arc.from_urange64(max(a.umin, b.umin), var_off[0] | var_off[1])
    var_off, _, r32 = update(var_off, r64, _or32(var_off, a, b))
    return _finish32(var_off, r32)


def _or32(var_off: Tnum, a: Num, b: Num) -> Arc:
    value = var_off[0] & U32_MAX
    if not (b.mask | var_off[1]) & U32_MAX:
        return value, 0
    return arc.from_urange32(max(a.u32_min, b.u32_min), value | var_off[1] & U32_MAX)


def xor64(a: Num, b: Num) -> Num:
    """Return ``a ^ b``: only the known bits tell anything."""
    var_off = tnum.xor(a[:2], b[:2])
    return _finish(var_off, var_off, (var_off[0] & U32_MAX, var_off[1] & U32_MAX))


def xor32(a: Num, b: Num) -> Num:
    """Return ``a ^ b`` of lower halves."""
    var_off = tnum.xor(a[:2], b[:2])
    return _finish32(var_off, (var_off[0] & U32_MAX, var_off[1] & U32_MAX))


def lsh64(a: Num, b: Num) -> Num:
    """Return ``a << b``, for a known shift below 64; otherwise nothing is known.

    A shift by 32 keeps the order of signed lower halves: compilers sign-extend by ``<<= 32; s>>= 32``.
    """
    if b.mask or b.value >= BITS:
        return UNKNOWN
    shift = b.value
    r64 = arc.from_urange64(*shift_left_unsigned(a.umin, a.umax, shift, U64_MAX))
    if shift == SUB:
        r64 = arc.intersect64(r64, arc.from_srange64(a.s32_min << SUB, a.s32_max << SUB))
    r32 = arc.from_urange32(*shift_left_unsigned(a.u32_min, a.u32_max, shift, U32_MAX))
    return _finish(*update(tnum.lshift(a[:2], shift), r64, r32))


def lsh32(a: Num, b: Num) -> Num:
    """Return ``a << b`` of lower halves, for a known shift below 32 (the kernel looks at all of b).

    Otherwise nothing is known.
    """
    if b.mask & U32_MAX or b.umax >= SUB:
        return UNKNOWN
    shift = b.value & U32_MAX
    r32 = arc.from_urange32(*shift_left_unsigned(a.u32_min, a.u32_max, shift, U32_MAX))
    var_off = tnum.subreg(tnum.lshift(tnum.subreg(a[:2]), shift))
    return _finish32(var_off, arc.intersect32(r32, arc.from_tnum32(var_off)))


def rsh64(a: Num, b: Num) -> Num:
    """Return ``a >> b``, for a known shift below 64.

    Otherwise nothing is known. The order of unsigned numbers is kept.
    """
    if b.mask or b.value >= BITS:
        return UNKNOWN
    shift = b.value
    r64 = arc.from_urange64(a.umin >> shift, a.umax >> shift)
    return _finish(*update(tnum.rshift(a[:2], shift), r64, FULL32))


def rsh32(a: Num, b: Num) -> Num:
    """Return ``a >> b`` of lower halves, for a known shift below 32; otherwise nothing is known."""
    if b.mask & U32_MAX or b.umax >= SUB:
        return UNKNOWN
    shift = b.value & U32_MAX
    var_off = tnum.rshift(tnum.subreg(a[:2]), shift)
    r32 = arc.from_urange32(a.u32_min >> shift, a.u32_max >> shift)
    return _finish32(var_off, arc.intersect32(r32, arc.from_tnum32(var_off)))


def arsh64(a: Num, b: Num) -> Num:
    """Return ``a s>> b``, for a known shift below 64.

    Otherwise nothing is known. The order of signed numbers is kept.
    """
    if b.mask or b.value >= BITS:
        return UNKNOWN
    shift = b.value
    r64 = arc.from_srange64(a.smin >> shift, a.smax >> shift)
    return _finish(*update(tnum.arshift64(a[:2], shift), r64, FULL32))


def arsh32(a: Num, b: Num) -> Num:
    """Return ``a s>> b`` of lower halves, for a known shift below 32; otherwise nothing is known."""
    if b.mask & U32_MAX or b.umax >= SUB:
        return UNKNOWN
    shift = b.value & U32_MAX
    var_off = tnum.arshift32(tnum.subreg(a[:2]), shift)
    r32 = arc.from_srange32(a.s32_min >> shift, a.s32_max >> shift)
    return _finish32(var_off, arc.intersect32(r32, arc.from_tnum32(var_off)))




def pointer_add(a: Num, b: Num) -> Num:
    """Return the offset of ``pointer + b``, where `a` is the pointer's offset: lower halves are not followed."""
    return sync(tnum.add(a[:2], b[:2]), arc.add64(a.r64, b.r64), FULL32)


def pointer_sub(a: Num, b: Num) -> Num:
    """Return the offset of ``pointer - b``, where `a` is the pointer's offset: lower halves are not followed."""
    return sync(tnum.sub(a[:2], b[:2]), arc.add64(a.r64, arc.negate64(b.r64)), FULL32)


ALU: Final[dict[tuple[str, int], Callable[[Num, Num], Num]]] = {
    ("add", 64): add64, ("add", 32): add32, ("sub", 64): sub64, ("sub", 32): sub32, ("mul", 64): mul64,
    ("mul", 32): mul32, ("and", 64): and64, ("and", 32): and32, ("or", 64): or64, ("or", 32): or32,
    ("xor", 64): xor64, ("xor", 32): xor32, ("lsh", 64): lsh64, ("lsh", 32): lsh32, ("rsh", 64): rsh64,
    ("rsh", 32): rsh32, ("arsh", 64): arsh64, ("arsh", 32): arsh32,
}
UNARY: Final[dict[tuple[str, int], Callable[[Num], Num]]] = {("neg", 64): neg64, ("neg", 32): neg32}
