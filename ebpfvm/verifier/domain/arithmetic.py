"""The transfer functions of one kind of numbers, collected in tables.

The verifier picks a function once per instruction and calls it on every visit, so that its loop looks nothing up by
name.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import cache
from typing import Final

from ebpfvm.lazy_dataclasses import dataclass
from ebpfvm.verifier.domain import (
    arc,
    circular,
    circular_alu,
    circular_assume,
    circular_cast,
    coarse_intervals,
    divide,
    early_intervals,
    interval_alu,
    interval_assume,
    interval_cast,
    intervals,
    tnum,
)
from ebpfvm.verifier.domain.constant import FOLD, SHIFT
from ebpfvm.verifier.domain.memo import remembered, remembered_alone, remembered_with_size
from ebpfvm.verifier.domain.num import EMPTY32, EMPTY64, FULL32, FULL64, Num, const, new
from ebpfvm.verifier.domain.outcomes import OPPOSITE, PREDICT, Assume, Outcome, Predict, predict_itself
from ebpfvm.verifier.domain.width import BITS, SUB, U32_MAX, U64_MAX

Binary = Callable[[Num, Num], Num]
Unary = Callable[[Num], Num]
Branch = Callable[[Num, Num], Outcome]
Itself = Callable[[Num], Outcome]
Resize = Callable[[Num, int], Num]


@dataclass(frozen=True, slots=True)
class Arithmetic:
    """How a kernel computes with `Num`s.

    Attributes:
        circular: whether ranges are circular (Linux 7.2) or signed and unsigned intervals (6.18, including 6.18.44).
        alu: (mnemonic, width) -> function of destination and source. Mnemonics are those of the instruction table:
            add sub mul div sdiv mod smod and or xor lsh rsh arsh.
        unary: (mnemonic, width) -> function of the one operand: neg; mov at 32 bits (at 64 it is the identity);
            movsx8, movsx16, movsx32; le16 le32 le64, be16 .. be64, bswap16 .. bswap64, all at width 64.
        branch: (mnemonic, width) -> function of destination and source, two different registers or a register and a
            constant, that returns an `Outcome`. Mnemonics: jeq jne jset jgt jge jlt jle jsgt jsge jslt jsle.
        branch_itself: (mnemonic, width) -> function of one register that is compared with itself; the same `Outcome`.
        assume: the refinement alone: (condition, width) -> function that returns both operands refined by the
            condition. Has "jnset" too.
        cast: (num, bits) -> the low bits, zero above: loads and fills of less than 64 bits.
        sext: (num, bits) -> the low bits, sign-extended: sign-extending loads.
        s32_range: (num, low, high) -> num known to lie between two signed 32-bit numbers: helpers' results.
        within: (old, new) -> whether `old` includes every member of `new`, as state pruning asks.
        sync: (num) -> num after all its parts have refined each other (`reg_bounds_sync`).
        fork: (num) -> None, or how ``&=`` and ``|=`` with a constant split a destination that is 0 or -1, such as a
            sign bit spread by ``s>>= 63``: the value for a second path, which executes the instruction again, and the
            value for this one. If just the lower half is 0 or -1, only that is split, and the rest left as it is.
            Source: `maybe_fork_scalars`.
        pointer_add, pointer_sub: offset of a pointer and a number -> offset of the sum or difference.
        within_packet: as `within`, for the offsets of packet pointers.
    """

    circular: bool
    alu: Mapping[tuple[str, int], Binary]
    unary: Mapping[tuple[str, int], Unary]
    branch: Mapping[tuple[str, int], Branch]
    branch_itself: Mapping[tuple[str, int], Itself]
    assume: Mapping[tuple[str, int], Assume]
    cast: Resize
    sext: Resize
    s32_range: Callable[[Num, int, int], Num]
    within: Callable[[Num, Num], bool]
    sync: Unary
    fork: Callable[[Num], tuple[Num, Num] | None]
    pointer_add: Binary
    pointer_sub: Binary
    within_packet: Callable[[Num, Num], bool]


def within_intervals(old: Num, new: Num) -> bool:
    """Compare as Linux 6.18: every bound of `new` is inside that of `old`, and bits agree (`range_within`, `tnum_in`).

    >>> from ebpfvm.verifier.domain.num import UNKNOWN, const
    >>> within_intervals(UNKNOWN, const(5)), within_intervals(const(5), UNKNOWN)
    (True, False)
    """
    return old is new or (
        old.umin <= new.umin and old.umax >= new.umax and old.smin <= new.smin and old.smax >= new.smax
        and old.u32_min <= new.u32_min and old.u32_max >= new.u32_max
        and old.s32_min <= new.s32_min and old.s32_max >= new.s32_max
        and not new.mask & ~old.mask and new.value & ~old.mask == old.value)


def within_circles(old: Num, new: Num) -> bool:
    """Compare as Linux 7.2: the ranges of `new` are parts of those of `old`, and the bits agree."""
    if old is new:
        return True
    known = ~old.mask
    if new.mask & known or new.value & known != old.value:
        return False
    # The full circle includes all, and is mostly the same object.
    outer64, outer32 = old.r64, old.r32
    return ((outer64 is FULL64 or arc.subset64(outer64, new.r64))
            and (outer32 is FULL32 or arc.subset32(outer32, new.r32)))


def _folding(op: str, width: int, ranged: Binary) -> Binary:
    """Return an operation that computes with constants directly."""
    fold = FOLD[op, width]
    ranged = remembered(ranged)

    def alu(a: Num, b: Num) -> Num:
        if a.mask or b.mask:
            return ranged(a, b)
        return const(fold(a.value, b.value))
    return alu


def _folding_shift(op: str, width: int, ranged: Binary) -> Binary:
    """Return the same for a shift, which must be by less than the width."""
    fold = SHIFT[op, width]
    limit = BITS if width == 64 else SUB
    ranged = remembered(ranged)

    def shift(a: Num, b: Num) -> Num:
        if a.mask or b.mask or b.value >= limit:
            return ranged(a, b)
        return const(fold(a.value, b.value))
    return shift


def _alu(table: Mapping[tuple[str, int], Binary]) -> dict[tuple[str, int], Binary]:
    return {(op, width): (_folding(op, width, ranged) if (op, width) in FOLD
                          else _folding_shift(op, width, ranged) if (op, width) in SHIFT
                          else remembered(ranged)) for (op, width), ranged in table.items()}


def _plain_branch(predict: Predict, refine: Branch) -> Branch:
    """Return a branch that refines its operands where the prediction leaves both ways open."""
    def branch(a: Num, b: Num) -> Outcome:
        taken = predict(a, b)
        if taken < 0:
            return refine(a, b)
        pair = a, b
        return new(Outcome, (taken, pair, pair))
    return branch


def _both(yes: Assume, no: Assume) -> Branch:
    """Return a branch as in Linux 6.18: both ways are taken."""
    return lambda a, b: Outcome(-1, yes(a, b), no(a, b))


def _simulated(yes: Assume, no: Assume) -> Branch:
    """Return a branch as in Linux 7.2: a way on which an operand has no number left is never taken."""
    def branch(a: Num, b: Num) -> Outcome:
        no_a, no_b = no(a, b)
        if _empty(no_a) or _empty(no_b):
            return Outcome(1, (a, b), (a, b))
        yes_a, yes_b = yes(a, b)
        if _empty(yes_a) or _empty(yes_b):
            return Outcome(0, (a, b), (a, b))
        clean = circular.sanitize
        return Outcome(-1, (clean(yes_a), clean(yes_b)), (clean(no_a), clean(no_b)))
    return branch


def _branch_itself_intervals(op: str, width: int) -> Itself:
    """Return the comparison of a register with itself as in Linux 6.18 (6.18.44 too), as if it were two registers."""
    predict = PREDICT[op, width]
    yes = interval_assume.ITSELF.get((op, width), interval_assume.again)
    no = interval_assume.ITSELF.get((OPPOSITE[op], width), interval_assume.again)

    def branch(a: Num) -> Outcome:
        taken = predict(a, a)
        if taken >= 0:
            return Outcome(taken, (a, a), (a, a))
        a_yes, a_no = yes(a), no(a)
        return Outcome(-1, (a_yes, a_yes), (a_no, a_no))
    return branch


def _branch_itself_circles(op: str, width: int) -> Itself:
    """Return the comparison of a register with itself as in Linux 7.2, which knows the answer except for a bit test."""
    predict = predict_itself(op, width)

    def branch(a: Num) -> Outcome:
        return Outcome(predict(a), (a, a), (a, a))
    return branch


def _empty(num: Num) -> bool:
    return num.r64 == EMPTY64 or num.r32 == EMPTY32


def _intervals(coarse: frozenset[str] = frozenset()) -> Arithmetic:
    """Return the tables of Linux 6.18; `coarse` names operations whose results an earlier version does not track."""
    assume = interval_assume.ASSUME
    branch = {(op, width): _plain_branch(predict, remembered(_both(assume[op, width], assume[OPPOSITE[op], width])))
              for (op, width), predict in PREDICT.items()}
    return Arithmetic(
        False, _alu(interval_alu.ALU | coarse_intervals.binary(coarse)),
        _unary(interval_alu.UNARY | interval_cast.UNARY | coarse_intervals.unary(coarse)), branch,
        {key: _branch_itself_intervals(*key) for key in PREDICT}, assume,
        remembered_with_size(interval_cast.cast), interval_cast.sext64, interval_cast.s32_range,
        within_intervals, intervals.again,
        _fork(lambda num, low: intervals.build(tnum.const_subreg(num[:2], low), num[2:6], const(low)[6:10])),
        remembered(interval_alu.pointer_add), remembered(interval_alu.pointer_sub), within_intervals)


def _early(coarse: frozenset[str]) -> Arithmetic:
    """Return the tables of Linux 6.1."""
    early = early_intervals
    branch = {key: remembered(early_intervals.branch_of(*key)) for key in PREDICT}
    return Arithmetic(
        False, _alu(early.ALU), _unary(interval_alu.UNARY | interval_cast.UNARY | early.UNARY
                                       | coarse_intervals.unary(coarse)), branch,
        {key: _with_itself(made) for key, made in branch.items()}, early.ASSUME, remembered_with_size(early.cast),
        interval_cast.sext64, early.s32_range, within_intervals, early.again, _no_fork,
        remembered(early.pointer_add), remembered(early.pointer_sub), within_intervals)


def _with_itself(branch: Branch) -> Itself:
    """Return the comparison of a register with itself, as if it were two."""
    return lambda a: branch(a, a)


def _no_fork(num: Num) -> tuple[Num, Num] | None:
    """Return None: kernels before 7.0 do not split numbers that are 0 or -1."""
    return None


def _circles() -> Arithmetic:
    """Return the tables of Linux 7.2."""
    assume = circular_assume.ASSUME
    branch = {(op, width): _plain_branch(predict, remembered(_simulated(assume[op, width],
                                                                        assume[OPPOSITE[op], width])))
              for (op, width), predict in PREDICT.items()}
    for width in (64, 32):
        branch["jset", width] = _known_side(branch["jset", width], width)
    return Arithmetic(
        True, _alu(circular_alu.ALU | divide.ALU), _unary(circular_alu.UNARY | circular_cast.UNARY), branch,
        {key: _branch_itself_circles(*key) for key in PREDICT}, assume,
        remembered_with_size(circular_cast.cast), circular_cast.sext64, circular_cast.s32_range,
        within_circles, circular.again,
        _fork(lambda num, low: circular.build(tnum.const_subreg(num[:2], low), num.r64, (low, 0))),
        remembered(circular_alu.pointer_add), remembered(circular_alu.pointer_sub), _within_packet_circles)


def _within_packet_circles(old: Num, new: Num) -> bool:
    """Compare offsets as 7.2 does: both must begin at the same one, since constants are part of the number."""
    return old.smin == new.smin and within_circles(old, new)


def _known_side(branch: Branch, width: int) -> Branch:
    """Return a branch that learns nothing from a bit test of two unknown operands, as in 7.2."""
    bits = U64_MAX if width == 64 else U32_MAX

    def jset(a: Num, b: Num) -> Outcome:
        if a.mask & bits and b.mask & bits:
            return Outcome(-1, (a, b), (a, b))
        return branch(a, b)
    return jset


def _unary(table: Mapping[tuple[str, int], Unary]) -> dict[tuple[str, int], Unary]:
    return {key: remembered_alone(function) for key, function in table.items()}


def _fork(with_low: Resize) -> Callable[[Num], tuple[Num, Num] | None]:
    def fork(num: Num) -> tuple[Num, Num] | None:
        if num.smin == -1 and num.smax == 0:
            return const(0), const(-1)
        if num.s32_min == -1 and num.s32_max == 0:
            return with_low(num, 0), with_low(num, U32_MAX)
        return None
    return fork


INTERVALS: Final = _intervals()
CIRCLES: Final = _circles()


_coarse = cache(_intervals)
_earlier = cache(_early)


def arithmetic_of(circular: bool, coarse: frozenset[str] = frozenset(), *, mixed: bool = True) -> Arithmetic:
    """Return the arithmetic of kernels whose ranges are circular (`Rules.circular_numbers`) or not.

    Args:
        coarse: operations whose results the kernel does not track (`Rules.coarse`).
        mixed: whether all parts of a number refine each other (`Rules.mixes_bounds`).
    """
    if not mixed:
        return _earlier(coarse)
    if circular:
        return CIRCLES
    return _coarse(coarse) if coarse else INTERVALS
