"""Division and modulo by the rules of Linux 7.2: ranges are followed if the divisor is a known number.

RFC 9669 section 4.1: division by zero gives 0, modulo by zero leaves the dividend; signed division truncates towards
zero, and the smallest number divided by -1 is itself.

Source: `scalar_min_max_udiv` and its seven relatives, Linux 7.2 `kernel/bpf/verifier.c`. Linux 6.18 knows nothing of a
quotient or remainder (`interval_alu.unknown_result`).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from ebpfvm.verifier.domain import arc
from ebpfvm.verifier.domain.circular import again, sanitize, sync, zext
from ebpfvm.verifier.domain.num import FULL32, UNKNOWN, Arc, Num, const, to_s32, to_s64
from ebpfvm.verifier.domain.tnum import UNKNOWN as NO_BITS
from ebpfvm.verifier.domain.width import S32_MIN, S64_MIN, SIGN32, SIGN64, U32_MAX


def _finish64(r64: Arc) -> Num:
    return sanitize(sync(NO_BITS, r64, FULL32))


def _finish32(r32: Arc) -> Num:
    return sanitize(sync(*zext(NO_BITS, r32)))


def _same64(a: Num) -> Num:
    return sanitize(again(a))


def _same32(a: Num) -> Num:
    return sanitize(sync(*zext(a[:2], a.r32)))


def truncated(a: int, b: int) -> int:
    """Return ``a / b`` of signed numbers, b other than 0, truncated towards zero as in C.

    >>> truncated(-7, 2), truncated(7, -2), truncated(-7, -2)
    (-3, -3, 3)
    """
    quotient = abs(a) // abs(b)
    return quotient if (a < 0) == (b < 0) else -quotient


def div64(a: Num, b: Num) -> Num:
    """Return the unsigned ``a / b``."""
    if b.mask:
        return UNKNOWN
    divisor = b.value
    if divisor == 0:
        return const(0)
    if not a.mask:
        return const(a.value // divisor)
    return _finish64(arc.from_urange64(a.umin // divisor, a.umax // divisor))


def div32(a: Num, b: Num) -> Num:
    """Return the unsigned ``a / b`` of lower halves."""
    if b.mask & U32_MAX:
        return UNKNOWN
    divisor = b.value & U32_MAX
    if divisor == 0:
        return const(0)
    if not a.mask & U32_MAX:
        return const((a.value & U32_MAX) // divisor)
    return _finish32(arc.from_urange32(a.u32_min // divisor, a.u32_max // divisor))


def sdiv64(a: Num, b: Num) -> Num:
    """Return the signed ``a / b``."""
    if b.mask:
        return UNKNOWN
    if b.value == 0:
        return const(0)
    return _finish64(arc.from_srange64(*_sdiv(a.smin, a.smax, to_s64(b.value), S64_MIN)))


def sdiv32(a: Num, b: Num) -> Num:
    """Return the signed ``a / b`` of lower halves."""
    if b.mask & U32_MAX:
        return UNKNOWN
    if b.value & U32_MAX == 0:
        return const(0)
    return _finish32(arc.from_srange32(*_sdiv(a.s32_min, a.s32_max, to_s32(b.value & U32_MAX), S32_MIN)))


def _sdiv(smin: int, smax: int, divisor: int, lowest: int) -> tuple[int, int]:
    if smin == lowest and divisor == -1:
        # The smallest number stays, all others turn to the other end: together that is anything.
        return (lowest, lowest) if smax == lowest else (lowest, -lowest - 1)
    one = truncated(smin, divisor)
    other = truncated(smax, divisor)
    return (one, other) if one <= other else (other, one)


def mod64(a: Num, b: Num) -> Num:
    """Return the unsigned ``a % b``: less than b, or a itself if that is known to be smaller.

    Constants get no better treatment: ``10 % 3`` is 0 to 2.
    """
    if b.mask:
        return UNKNOWN
    divisor = b.value
    if divisor == 0 or a.umax < divisor:
        return _same64(a)
    return _finish64((0, divisor - 1))


def mod32(a: Num, b: Num) -> Num:
    """Return the unsigned ``a % b`` of lower halves."""
    if b.mask & U32_MAX:
        return UNKNOWN
    divisor = b.value & U32_MAX
    if divisor == 0 or a.u32_max < divisor:
        return _same32(a)
    return _finish32((0, divisor - 1))


def smod64(a: Num, b: Num) -> Num:
    """Return the signed ``a % b``: closer to zero than b, with the sign of a."""
    if b.mask:
        return UNKNOWN
    if b.value == 0:
        return _same64(a)
    left = _smod(a.smin, a.smax, b.value if b.value < SIGN64 else 2 * SIGN64 - b.value)
    return _same64(a) if left is None else _finish64(arc.from_srange64(*left))


def smod32(a: Num, b: Num) -> Num:
    """Return the signed ``a % b`` of lower halves."""
    if b.mask & U32_MAX:
        return UNKNOWN
    divisor = b.value & U32_MAX
    if divisor == 0:
        return _same32(a)
    left = _smod(a.s32_min, a.s32_max, divisor if divisor < SIGN32 else 2 * SIGN32 - divisor)
    return _same32(a) if left is None else _finish32(arc.from_srange32(*left))


def _smod(smin: int, smax: int, size: int) -> tuple[int, int] | None:
    """Return the bounds of the remainder for a divisor of absolute value `size`; None if the dividend is unchanged."""
    most = size - 1
    if smin >= -most and smax <= most:
        return None
    if smin >= 0:
        return 0, min(smax, most)
    if smax <= 0:
        return max(smin, -most), 0
    return -most, most


ALU: Final[dict[tuple[str, int], Callable[[Num, Num], Num]]] = {
    ("div", 64): div64, ("div", 32): div32, ("sdiv", 64): sdiv64, ("sdiv", 32): sdiv32,
    ("mod", 64): mod64, ("mod", 32): mod32, ("smod", 64): smod64, ("smod", 32): smod32,
}
