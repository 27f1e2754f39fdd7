"""What a condition says about its operands, by the rules of Linux 6.18.

`ASSUME` maps (condition, width) to a function that returns destination and source, refined by the condition. If no
operands satisfy it, a range may end before it starts; `sanitize` then discards the ranges, as the kernel does.

Source: `regs_refine_cond_op` and `reg_set_min_max`, Linux 6.18 `kernel/bpf/verifier.c`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from ebpfvm.verifier.domain import intervals, tnum
from ebpfvm.verifier.domain.intervals import ANY32, ANY64, sanitize, sync
from ebpfvm.verifier.domain.num import Num
from ebpfvm.verifier.domain.outcomes import Assume, Pair
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


def _synced(var_off: tnum.Tnum, b64: tuple[int, ...], b32: tuple[int, ...]) -> Num:
    umin, umax, smin, smax = b64
    u32_min, u32_max, s32_min, s32_max = b32
    return sanitize(sync(var_off, (umin, umax, smin, smax), (u32_min, u32_max, s32_min, s32_max)))


def jeq64(a: Num, b: Num) -> Pair:
    """Assume that the operands are equal: each has the bits and bounds of both."""
    var_off = tnum.intersect(a[:2], b[:2])
    b64 = (max(a.umin, b.umin), min(a.umax, b.umax), max(a.smin, b.smin), min(a.smax, b.smax))
    return _synced(var_off, b64, a[6:10]), _synced(var_off, b64, b[6:10])


def jeq32(a: Num, b: Num) -> Pair:
    """Assume that the lower halves are equal."""
    low = tnum.intersect(tnum.subreg(a[:2]), tnum.subreg(b[:2]))
    b32 = (max(a.u32_min, b.u32_min), min(a.u32_max, b.u32_max),
           max(a.s32_min, b.s32_min), min(a.s32_max, b.s32_max))
    return _synced(tnum.with_subreg(a[:2], low), a[2:6], b32), _synced(tnum.with_subreg(b[:2], low), b[2:6], b32)


def jne64(a: Num, b: Num) -> Pair:
    """Assume that the operands differ: a known number at an end of the other's range is removed from it."""
    if not b.mask:
        return _without64(a, b.value), again(b)
    if not a.mask:
        return again(a), _without64(b, a.value)
    return again(a), again(b)


def again(a: Num) -> Num:
    """Return `a` after a condition that says nothing about it."""
    return sanitize(intervals.again(a))


def _without64(a: Num, value: int) -> Num:
    umin, umax, smin, smax = a[2:6]
    signed = (value ^ SIGN64) - SIGN64
    return _synced(a[:2], (umin + (umin == value) & U64_MAX, umax - (umax == value) & U64_MAX,
                           smin + (smin == signed), smax - (smax == signed)), a[6:10])


def jne32(a: Num, b: Num) -> Pair:
    """Assume that the lower halves differ."""
    if not b.mask & U32_MAX:
        return _without32(a, b.value & U32_MAX), again(b)
    if not a.mask & U32_MAX:
        return again(a), _without32(b, a.value & U32_MAX)
    return again(a), again(b)


def _without32(a: Num, value: int) -> Num:
    umin, umax, smin, smax = a[6:10]
    signed = (value ^ SIGN32) - SIGN32
    return _synced(a[:2], a[2:6], (umin + (umin == value) & U32_MAX, umax - (umax == value) & U32_MAX,
                                   smin + (smin == signed), smax - (smax == signed)))


def jset64(a: Num, b: Num) -> Pair:
    """Assume that some common bit is set: which one is known if one operand has a single bit."""
    if not b.mask:
        return _with_bit64(a, b.value), again(b)
    if not a.mask:
        return again(a), _with_bit64(b, a.value)
    return again(a), again(b)


def _with_bit64(a: Num, bit: int) -> Num:
    if bit == 0 or bit & bit - 1:
        return again(a)
    return _synced(tnum.or_(a[:2], (bit, 0)), a[2:6], a[6:10])


def jset32(a: Num, b: Num) -> Pair:
    """Assume that some common bit of the lower halves is set."""
    if not b.mask & U32_MAX:
        return _with_bit64(a, b.value & U32_MAX), again(b)
    if not a.mask & U32_MAX:
        return again(a), _with_bit64(b, a.value & U32_MAX)
    return again(a), again(b)


def jnset64(a: Num, b: Num) -> Pair:
    """Assume that no common bit is set; if one operand is known, its bits are 0 in the other."""
    if not b.mask:
        return _without_bits(a, b.value), again(b)
    if not a.mask:
        return again(a), _without_bits(b, a.value)
    return again(a), again(b)


def jnset32(a: Num, b: Num) -> Pair:
    """Assume that no common bit of the lower halves is set."""
    if not b.mask & U32_MAX:
        return _without_bits(a, b.value & U32_MAX), again(b)
    if not a.mask & U32_MAX:
        return again(a), _without_bits(b, a.value & U32_MAX)
    return again(a), again(b)


def _without_bits(a: Num, bits: int) -> Num:
    return sanitize(sync((a.value & ~bits, a.mask & ~bits), ANY64, ANY32))


def jle64(a: Num, b: Num) -> Pair:
    """Assume ``a <= b``: a is at most b's maximum, b at least a's minimum."""
    return (_synced(a[:2], (a.umin, min(a.umax, b.umax), a.smin, a.smax), a[6:10]),
            _synced(b[:2], (max(a.umin, b.umin), b.umax, b.smin, b.smax), b[6:10]))


def jlt64(a: Num, b: Num) -> Pair:
    """Assume ``a < b``."""
    return (_synced(a[:2], (a.umin, min(a.umax, b.umax - 1 & U64_MAX), a.smin, a.smax), a[6:10]),
            _synced(b[:2], (max(a.umin + 1 & U64_MAX, b.umin), b.umax, b.smin, b.smax), b[6:10]))


def jsle64(a: Num, b: Num) -> Pair:
    """Assume ``a s<= b``."""
    return (_synced(a[:2], (a.umin, a.umax, a.smin, min(a.smax, b.smax)), a[6:10]),
            _synced(b[:2], (b.umin, b.umax, max(a.smin, b.smin), b.smax), b[6:10]))


def jslt64(a: Num, b: Num) -> Pair:
    """Assume ``a s< b``."""
    below = b.smax - 1 if b.smax > S64_MIN else S64_MAX
    above = a.smin + 1 if a.smin < S64_MAX else S64_MIN
    return (_synced(a[:2], (a.umin, a.umax, a.smin, min(a.smax, below)), a[6:10]),
            _synced(b[:2], (b.umin, b.umax, max(above, b.smin), b.smax), b[6:10]))


def jle32(a: Num, b: Num) -> Pair:
    """Assume ``a <= b`` of lower halves."""
    return (_synced(a[:2], a[2:6], (a.u32_min, min(a.u32_max, b.u32_max), a.s32_min, a.s32_max)),
            _synced(b[:2], b[2:6], (max(a.u32_min, b.u32_min), b.u32_max, b.s32_min, b.s32_max)))


def jlt32(a: Num, b: Num) -> Pair:
    """Assume ``a < b`` of lower halves."""
    return (_synced(a[:2], a[2:6], (a.u32_min, min(a.u32_max, b.u32_max - 1 & U32_MAX), a.s32_min, a.s32_max)),
            _synced(b[:2], b[2:6], (max(a.u32_min + 1 & U32_MAX, b.u32_min), b.u32_max, b.s32_min, b.s32_max)))


def jsle32(a: Num, b: Num) -> Pair:
    """Assume ``a s<= b`` of lower halves."""
    return (_synced(a[:2], a[2:6], (a.u32_min, a.u32_max, a.s32_min, min(a.s32_max, b.s32_max))),
            _synced(b[:2], b[2:6], (b.u32_min, b.u32_max, max(a.s32_min, b.s32_min), b.s32_max)))


def jslt32(a: Num, b: Num) -> Pair:
    """Assume ``a s< b`` of lower halves."""
    below = b.s32_max - 1 if b.s32_max > S32_MIN else S32_MAX
    above = a.s32_min + 1 if a.s32_min < S32_MAX else S32_MIN
    return (_synced(a[:2], a[2:6], (a.u32_min, a.u32_max, a.s32_min, min(a.s32_max, below))),
            _synced(b[:2], b[2:6], (b.u32_min, b.u32_max, max(above, b.s32_min), b.s32_max)))


# A register compared with itself: 6.18 treats the operands as different registers, so assuming ``a < a``, which never
# holds, moves both bounds inwards.


def jlt64_itself(a: Num) -> Num:
    """Assume ``a < a``."""
    return _synced(a[:2], (min(a.umin + 1, U64_MAX), max(a.umax - 1, 0), a.smin, a.smax), a[6:10])


def jslt64_itself(a: Num) -> Num:
    """Assume ``a s< a``."""
    return _synced(a[:2], (a.umin, a.umax, min(a.smin + 1, S64_MAX), max(a.smax - 1, S64_MIN)), a[6:10])


def jlt32_itself(a: Num) -> Num:
    """Assume ``a < a`` of lower halves."""
    return _synced(a[:2], a[2:6], (min(a.u32_min + 1, U32_MAX), max(a.u32_max - 1, 0), a.s32_min, a.s32_max))


def jslt32_itself(a: Num) -> Num:
    """Assume ``a s< a`` of lower halves."""
    return _synced(a[:2], a[2:6], (a.u32_min, a.u32_max, min(a.s32_min + 1, S32_MAX), max(a.s32_max - 1, S32_MIN)))


ITSELF: Final[dict[tuple[str, int], Callable[[Num], Num]]] = {
    ("jlt", 64): jlt64_itself, ("jgt", 64): jlt64_itself, ("jslt", 64): jslt64_itself, ("jsgt", 64): jslt64_itself,
    ("jlt", 32): jlt32_itself, ("jgt", 32): jlt32_itself, ("jslt", 32): jslt32_itself, ("jsgt", 32): jslt32_itself,
}
"""Conditions that refine a register compared with itself; the others only synchronise it (`again`)."""


def swapped(assume: Assume) -> Assume:
    """Return the same condition with its operands exchanged."""
    def assume_swapped(a: Num, b: Num) -> Pair:
        b, a = assume(b, a)
        return a, b
    return assume_swapped


ASSUME: Final[dict[tuple[str, int], Assume]] = {
    ("jeq", 64): jeq64, ("jne", 64): jne64, ("jset", 64): jset64, ("jnset", 64): jnset64,
    ("jle", 64): jle64, ("jlt", 64): jlt64, ("jsle", 64): jsle64, ("jslt", 64): jslt64,
    ("jge", 64): swapped(jle64), ("jgt", 64): swapped(jlt64),
    ("jsge", 64): swapped(jsle64), ("jsgt", 64): swapped(jslt64),
    ("jeq", 32): jeq32, ("jne", 32): jne32, ("jset", 32): jset32, ("jnset", 32): jnset32,
    ("jle", 32): jle32, ("jlt", 32): jlt32, ("jsle", 32): jsle32, ("jslt", 32): jslt32,
    ("jge", 32): swapped(jle32), ("jgt", 32): swapped(jlt32),
    ("jsge", 32): swapped(jsle32), ("jsgt", 32): swapped(jslt32),
}
