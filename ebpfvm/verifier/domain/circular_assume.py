"""What a condition says about its operands, by the rules of Linux 7.2.

The same interface as `interval_assume`, the rules of 6.18, but for one thing: an empty range shows that the condition
cannot hold (`num.is_broken`), which `arithmetic` uses to recognise branches that are never taken.

Source: `regs_refine_cond_op` and `simulate_both_branches_taken`, Linux 7.2 `kernel/bpf/verifier.c`.
"""

from __future__ import annotations

from typing import Final

from ebpfvm.verifier.domain import arc, tnum
from ebpfvm.verifier.domain.circular import again, sync
from ebpfvm.verifier.domain.interval_assume import swapped
from ebpfvm.verifier.domain.num import FULL32, FULL64, Arc, Num
from ebpfvm.verifier.domain.outcomes import Assume, Pair
from ebpfvm.verifier.domain.width import S32_MAX, S32_MIN, S64_MAX, S64_MIN, U32_MAX, U64_MAX


def _with64(a: Num, r64: Arc) -> Num:
    return sync(a[:2], arc.intersect64(a.r64, r64), a.r32)


def _with32(a: Num, r32: Arc) -> Num:
    return sync(a[:2], a.r64, arc.intersect32(a.r32, r32))


def jeq64(a: Num, b: Num) -> Pair:
    """Assume that the operands are equal: each has the bits and the range of both."""
    var_off = tnum.intersect(a[:2], b[:2])
    r64 = arc.intersect64(a.r64, b.r64)
    return sync(var_off, r64, a.r32), sync(var_off, r64, b.r32)


def jeq32(a: Num, b: Num) -> Pair:
    """Assume that the lower halves are equal."""
    low = tnum.intersect(tnum.subreg(a[:2]), tnum.subreg(b[:2]))
    r32 = arc.intersect32(a.r32, b.r32)
    return (sync(tnum.with_subreg(a[:2], low), a.r64, r32),
            sync(tnum.with_subreg(b[:2], low), b.r64, r32))


def jne64(a: Num, b: Num) -> Pair:
    """Assume that the operands differ: a known number is cut out of the other's range, where that leaves one piece."""
    if not b.mask:
        return _with64(a, (b.value + 1 & U64_MAX, U64_MAX - 1)), again(b)
    if not a.mask:
        return again(a), _with64(b, (a.value + 1 & U64_MAX, U64_MAX - 1))
    return again(a), again(b)


def jne32(a: Num, b: Num) -> Pair:
    """Assume that the lower halves differ."""
    if not b.mask & U32_MAX:
        return _with32(a, (b.value + 1 & U32_MAX, U32_MAX - 1)), again(b)
    if not a.mask & U32_MAX:
        return again(a), _with32(b, (a.value + 1 & U32_MAX, U32_MAX - 1))
    return again(a), again(b)


def jset64(a: Num, b: Num) -> Pair:
    """Assume that some common bit is set: which one is known if one operand has a single bit."""
    if not b.mask:
        return _with_bit(a, b.value), again(b)
    if not a.mask:
        return again(a), _with_bit(b, a.value)
    return again(a), again(b)


def jset32(a: Num, b: Num) -> Pair:
    """Assume that some common bit of the lower halves is set."""
    if not b.mask & U32_MAX:
        return _with_bit(a, b.value & U32_MAX), again(b)
    if not a.mask & U32_MAX:
        return again(a), _with_bit(b, a.value & U32_MAX)
    return again(a), again(b)


def _with_bit(a: Num, bit: int) -> Num:
    if bit == 0 or bit & bit - 1:
        return again(a)
    return sync(tnum.or_(a[:2], (bit, 0)), a.r64, a.r32)


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
    return sync((a.value & ~bits, a.mask & ~bits), FULL64, FULL32)


def jle64(a: Num, b: Num) -> Pair:
    """Assume ``a <= b``: a is at most b's maximum, b at least what is then a's minimum."""
    r64 = arc.intersect64(a.r64, (0, b.umax))
    low = arc.bounds64(r64)[0]
    return sync(a[:2], r64, a.r32), _with64(b, (low, U64_MAX - low))


def jlt64(a: Num, b: Num) -> Pair:
    """Assume ``a < b``."""
    r64 = arc.intersect64(a.r64, (0, b.umax - 1 & U64_MAX))
    low = arc.bounds64(r64)[0] + 1 & U64_MAX
    return sync(a[:2], r64, a.r32), _with64(b, (low, U64_MAX - low))


def jsle64(a: Num, b: Num) -> Pair:
    """Assume ``a s<= b``."""
    r64 = arc.intersect64(a.r64, arc.from_srange64(S64_MIN, b.smax))
    return sync(a[:2], r64, a.r32), _with64(b, arc.from_srange64(arc.bounds64(r64)[2], S64_MAX))


def jslt64(a: Num, b: Num) -> Pair:
    """Assume ``a s< b``."""
    below = b.smax - 1 if b.smax > S64_MIN else S64_MAX
    r64 = arc.intersect64(a.r64, arc.from_srange64(S64_MIN, below))
    smin = arc.bounds64(r64)[2]
    above = smin + 1 if smin < S64_MAX else S64_MIN
    return sync(a[:2], r64, a.r32), _with64(b, arc.from_srange64(above, S64_MAX))


def jle32(a: Num, b: Num) -> Pair:
    """Assume ``a <= b`` of lower halves."""
    r32 = arc.intersect32(a.r32, (0, b.u32_max))
    low = arc.bounds32(r32)[0]
    return sync(a[:2], a.r64, r32), _with32(b, (low, U32_MAX - low))


def jlt32(a: Num, b: Num) -> Pair:
    """Assume ``a < b`` of lower halves."""
    r32 = arc.intersect32(a.r32, (0, b.u32_max - 1 & U32_MAX))
    low = arc.bounds32(r32)[0] + 1 & U32_MAX
    return sync(a[:2], a.r64, r32), _with32(b, (low, U32_MAX - low))


def jsle32(a: Num, b: Num) -> Pair:
    """Assume ``a s<= b`` of lower halves."""
    r32 = arc.intersect32(a.r32, arc.from_srange32(S32_MIN, b.s32_max))
    return sync(a[:2], a.r64, r32), _with32(b, arc.from_srange32(arc.bounds32(r32)[2], S32_MAX))


def jslt32(a: Num, b: Num) -> Pair:
    """Assume ``a s< b`` of lower halves."""
    below = b.s32_max - 1 if b.s32_max > S32_MIN else S32_MAX
    r32 = arc.intersect32(a.r32, arc.from_srange32(S32_MIN, below))
    smin = arc.bounds32(r32)[2]
    above = smin + 1 if smin < S32_MAX else S32_MIN
    return sync(a[:2], a.r64, r32), _with32(b, arc.from_srange32(above, S32_MAX))


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
