"""Operations of which Linux before 6.18 tracks less than `interval_alu` and `interval_cast` do."""

from __future__ import annotations

from collections.abc import Callable

from ebpfvm.verifier.domain import tnum
from ebpfvm.verifier.domain.intervals import ANY32, ANY64, Bounds32, sanitize, sync, zext
from ebpfvm.verifier.domain.num import UNKNOWN, Num
from ebpfvm.verifier.domain.width import S32_MAX, S64_MAX, U32_MAX

Binary = Callable[[Num, Num], Num]
Unary = Callable[[Num], Num]
U16_MAX = 0xFFFF
_END = [(f"{op}{bits}", 64) for op in ("le", "be", "bswap") for bits in (16, 32, 64)]


def unknown(a: Num) -> Num:
    """Return an unknown number, whatever the operand is."""
    return UNKNOWN


def mul64(a: Num, b: Num) -> Num:
    """Return ``a * b``, with bounds only if both are below 2 ** 32 and not negative."""
    b64 = ANY64
    if a.smin >= 0 and b.smin >= 0 and a.umax <= U32_MAX and b.umax <= U32_MAX:
        low, high = a.umin * b.umin, a.umax * b.umax
        b64 = (low, high, low, high) if high <= S64_MAX else (low, high, *ANY64[2:])
    return sanitize(sync(tnum.mul(a[:2], b[:2]), b64, _mul32(a, b)))


def mul32(a: Num, b: Num) -> Num:
    """Return ``a * b`` of lower halves, with bounds only if both are below 2 ** 16 and not negative."""
    b32 = _mul32(a, b)
    var_off, b64 = zext(tnum.mul(a[:2], b[:2]), b32)
    return sanitize(sync(var_off, b64, b32))


def _mul32(a: Num, b: Num) -> Bounds32:
    if a.s32_min < 0 or b.s32_min < 0 or a.u32_max > U16_MAX or b.u32_max > U16_MAX:
        return ANY32
    low, high = a.u32_min * b.u32_min, a.u32_max * b.u32_max
    return (low, high, low, high) if high <= S32_MAX else (low, high, *ANY32[2:])


def binary(coarse: frozenset[str]) -> dict[tuple[str, int], Binary]:
    """Return the operations with two operands that replace finer ones."""
    return {("mul", 64): mul64, ("mul", 32): mul32} if "signs_of_products" in coarse else {}


def unary(coarse: frozenset[str]) -> dict[tuple[str, int], Unary]:
    """Return the operations with one operand that replace finer ones."""
    found: dict[tuple[str, int], Unary] = {}
    if "negation" in coarse:
        found |= dict.fromkeys((("neg", 64), ("neg", 32)), unknown)
    if "byte_order" in coarse:
        found |= dict.fromkeys(_END, unknown)
    return found
