"""Conditional jumps: which way they go, and what is known afterwards on each way.

`predict` answers from the operands' bounds; both rule sets share it. Where it cannot tell, both ways are taken, and on
each of them the operands are cut down to the numbers that can have led there: `interval_assume` and `circular_assume`
implement that for 6.18 and 7.2.

Every comparison is "less than", with operands swapped or the answer negated. `jset` has no opposite among the
instructions; here it is called ``jnset``.

Source: `is_scalar_branch_taken`, `rev_opcode`, `flip_opcode`, Linux 6.18 and 7.2 `kernel/bpf/verifier.c`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from ebpfvm.lazy_tuples import NamedTuple
from ebpfvm.verifier.domain import tnum
from ebpfvm.verifier.domain.num import Num
from ebpfvm.verifier.domain.width import U32_MAX

Pair = tuple[Num, Num]
"""Destination and source operand."""
Predict = Callable[[Num, Num], int]
Assume = Callable[[Num, Num], Pair]


class Outcome(NamedTuple):
    """What a conditional jump does.

    Attributes:
        taken: 1 if it always jumps, 0 if it never does, -1 if it may do either.
        yes: destination and source where it jumps; the operands unchanged unless `taken` is -1.
        no: the same where it falls through.
    """

    taken: int
    yes: Pair
    no: Pair


OPPOSITE: Final = {
    "jeq": "jne", "jne": "jeq", "jset": "jnset", "jnset": "jset",
    "jge": "jlt", "jlt": "jge", "jgt": "jle", "jle": "jgt",
    "jsge": "jslt", "jslt": "jsge", "jsgt": "jsle", "jsle": "jsgt",
}
"""The condition that holds where the jump is not taken."""

SWAPPED: Final = {
    "jeq": "jeq", "jne": "jne", "jset": "jset",
    "jge": "jle", "jle": "jge", "jgt": "jlt", "jlt": "jgt",
    "jsge": "jsle", "jsle": "jsge", "jsgt": "jslt", "jslt": "jsgt",
}
"""The condition with its operands the other way round."""


def _less(a_min: int, a_max: int, b_min: int, b_max: int) -> int:
    if a_max < b_min:
        return 1
    return 0 if a_min >= b_max else -1


def _not(answer: int) -> int:
    return answer if answer < 0 else 1 - answer


def jlt64(a: Num, b: Num) -> int:
    """Predict ``a < b``."""
    return _less(a.umin, a.umax, b.umin, b.umax)


def jlt32(a: Num, b: Num) -> int:
    """Predict ``a < b`` of lower halves."""
    return _less(a.u32_min, a.u32_max, b.u32_min, b.u32_max)


def jslt64(a: Num, b: Num) -> int:
    """Predict ``a s< b``."""
    return _less(a.smin, a.smax, b.smin, b.smax)


def jslt32(a: Num, b: Num) -> int:
    """Predict ``a s< b`` of lower halves."""
    return _less(a.s32_min, a.s32_max, b.s32_min, b.s32_max)


def jeq64(a: Num, b: Num) -> int:
    """Predict ``a == b``: never, if the bits or any of the ranges are apart."""
    if not (a.mask or b.mask):
        return int(a.value == b.value)
    if (a.value ^ b.value) & ~(a.mask | b.mask):
        return 0
    if a.umin > b.umax or a.umax < b.umin or a.smin > b.smax or a.smax < b.smin:
        return 0
    if a.u32_min > b.u32_max or a.u32_max < b.u32_min or a.s32_min > b.s32_max or a.s32_max < b.s32_min:
        return 0
    return -1


def jeq32(a: Num, b: Num) -> int:
    """Predict ``a == b`` of lower halves."""
    unknown = a.mask | b.mask
    if not unknown & U32_MAX:
        return int(not (a.value ^ b.value) & U32_MAX)
    if (a.value ^ b.value) & ~unknown & U32_MAX:
        return 0
    if a.u32_min > b.u32_max or a.u32_max < b.u32_min or a.s32_min > b.s32_max or a.s32_max < b.s32_min:
        return 0
    return -1


def jset64(a: Num, b: Num) -> int:
    """Predict ``a & b``, if one of them is known: always, if a bit of it is known to be set; never, if none can be."""
    if b.mask:
        a, b = b, a
    return -1 if b.mask else _any_set(a[:2], b.value)


def jset32(a: Num, b: Num) -> int:
    """Predict ``a & b`` of lower halves."""
    if b.mask & U32_MAX:
        a, b = b, a
    return -1 if b.mask & U32_MAX else _any_set(tnum.subreg(a[:2]), b.value & U32_MAX)


def _any_set(var_off: tnum.Tnum, bits: int) -> int:
    if var_off[0] & bits:
        return 1
    return -1 if (var_off[0] | var_off[1]) & bits else 0


def _derived(less: Predict) -> dict[str, Predict]:
    """Return the four comparisons that follow from one."""
    return {
        "lt": less,
        "ge": lambda a, b: _not(less(a, b)),
        "gt": lambda a, b: less(b, a),
        "le": lambda a, b: _not(less(b, a)),
    }


def _predictors() -> dict[tuple[str, int], Predict]:
    table: dict[tuple[str, int], Predict] = {
        ("jeq", 64): jeq64, ("jne", 64): lambda a, b: _not(jeq64(a, b)), ("jset", 64): jset64,
        ("jeq", 32): jeq32, ("jne", 32): lambda a, b: _not(jeq32(a, b)), ("jset", 32): jset32,
    }
    for prefix, width, less in (("j", 64, jlt64), ("j", 32, jlt32), ("js", 64, jslt64), ("js", 32, jslt32)):
        table |= {(prefix + suffix, width): function for suffix, function in _derived(less).items()}
    return table


PREDICT: Final = _predictors()
"""(mnemonic, width) -> function of destination and source that returns 1, 0 or -1 as in `Outcome.taken`."""


def predict_itself(op: str, width: int) -> Callable[[Num], int]:
    """Return the function that predicts a jump that compares a register with itself: 1, 0 or -1.

    Since Linux 7.0.
    """
    if op != "jset":
        answer = int(op in ("jeq", "jge", "jle", "jsge", "jsle"))
        return lambda num: answer

    def jset(num: Num) -> int:
        value, mask = num[:2] if width == 64 else tnum.subreg(num[:2])
        if not mask:
            return int(value != 0)
        low, high = (num.smin, num.smax) if width == 64 else (num.s32_min, num.s32_max)
        return -1 if low <= 0 <= high else 1
    return jset
