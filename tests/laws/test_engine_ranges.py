"""The translator's range pass is sound: what is possible stays inside of what it says."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from ebpfvm.engine.steps import PRIMITIVES, Expr, condition, lower, number, operand
from ebpfvm.engine.translate import ranges
from ebpfvm.engine.translate.ranges import NumRange
from ebpfvm.ints import U64_MAX
from ebpfvm.isa.table import ROWS, Row
from tests.unit.engine import reference_semantics as ref

_edges = st.sampled_from([0, 1, 2, 8, 63, 255, 256, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF, 1 << 32, (1 << 63) - 1, 1 << 63,
                          U64_MAX - 1, U64_MAX])
_number = _edges | st.integers(0, 300) | st.integers(0, U64_MAX)
_ALU = [row for row in ROWS if row.kind == "alu"]
_JUMPS = [row for row in ROWS if row.kind == "jmp"]


@st.composite
def ranged(draw: Any) -> tuple[NumRange, int]:
    """A range and a number in it."""
    zeros = draw(st.sampled_from((0, 0, 0, 1, 2, 3, 8)))
    low, high = sorted((draw(_number), draw(_number)))
    range_ = ranges.number_between(low, high, zeros)
    assume(range_.lo <= range_.hi)
    inside = draw(st.sampled_from((range_.lo, range_.hi)) | st.integers(range_.lo, range_.hi))
    return range_, inside >> range_.zeros << range_.zeros if range_.lo != range_.hi else inside


def holds(range_: NumRange, n: int) -> bool:
    return range_.lo <= n <= range_.hi and ranges.trailing_zeros(n) >= range_.zeros


@pytest.mark.parametrize("row", _ALU, ids=lambda row: row.name)
@settings(max_examples=40, deadline=None)
@given(a=ranged(), b=ranged())
def test_alu(row: Row, a: tuple[NumRange, int], b: tuple[NumRange, int]) -> None:
    result = ranges.alu(row, a[0], b[0])
    assert isinstance(result, NumRange)
    assert holds(result, ref.alu(row.op, row.width, a[1], b[1]))


@pytest.mark.parametrize("row", _JUMPS, ids=lambda row: row.name)
@settings(max_examples=40, deadline=None)
@given(a=ranged(), b=ranged(), same=st.booleans())
def test_branches(row: Row, a: tuple[NumRange, int], b: tuple[NumRange, int], same: bool) -> None:
    x, y = a[1], a[1] if same and holds(b[0], a[1]) else b[1]
    taken = ref.jump(row.op, row.width, x, y)
    found = ranges.refine(row.op if taken else ranges.OPPOSITE[row.op], row.width, a[0], b[0])
    assert found is not None
    assert holds(found[0], x) and holds(found[1], y)


@settings(max_examples=200, deadline=None)
@given(a=ranged(), b=ranged())
def test_join_and_widening_hold_both(a: tuple[NumRange, int], b: tuple[NumRange, int]) -> None:
    both = ranges.join(a[0], b[0])
    wide = ranges.widen(a[0], both, [0, 255, U64_MAX])
    assert isinstance(both, NumRange) and isinstance(wide, NumRange)
    for range_ in (both, wide):
        assert holds(range_, a[1]) and holds(range_, b[1])


@st.composite
def held(draw: Any) -> tuple[Expr, int]:
    """A number as a variable may hold it untruncated, with bounds that hold it."""
    number = draw(_number | st.integers(-(1 << 70), 1 << 130) | st.sampled_from((-1, -(1 << 63), 1 << 64)))
    below, above = draw(st.sampled_from((0, 0, 1, 1 << 40))), draw(st.sampled_from((0, 0, 1, 1 << 40)))
    if number - below < 0 and draw(st.booleans()):
        below = 0
    return operand(draw(st.sampled_from("xy")), number - below, number + above), number


@pytest.mark.parametrize("row", _ALU, ids=lambda row: row.name)
@settings(max_examples=60, deadline=None)
@given(a=held(), b=held(), loose=st.booleans(), data=st.data())
def test_text_means_the_same_for_operands_that_are_not_truncated(row: Row, a: tuple[Expr, int], b: tuple[Expr, int],
                                                                 loose: bool, data: Any) -> None:
    """Only the low bits of the result are right if it is loose; its bounds hold in any case."""
    left, right = a[0]._replace(text="x"), b[0]._replace(text="y")
    right_value = b[1]
    if row.source != "x" or (row.op in ("lsh", "rsh", "arsh") and data.draw(st.booleans())):
        right_value = b[1] % 64
        right = number(right_value)
    found = lower(row, left, right, loose=loose)
    result = eval(found.text, dict(PRIMITIVES), {"x": a[1], "y": right_value})
    assert found.lo <= result <= found.hi
    mask = (1 << row.width) - 1
    expected = ref.alu(row.op, row.width, a[1] & U64_MAX, right_value & U64_MAX)
    assert result == expected or (loose and result & mask == expected & mask)


@pytest.mark.parametrize("row", _JUMPS, ids=lambda row: row.name)
@settings(max_examples=60, deadline=None)
@given(a=held(), b=held())
def test_conditions_mean_the_same_for_operands_that_are_not_truncated(row: Row, a: tuple[Expr, int],
                                                                      b: tuple[Expr, int]) -> None:
    found = condition(row, a[0]._replace(text="x"), b[0]._replace(text="y"))
    result = eval(found.text, dict(PRIMITIVES), {"x": a[1], "y": b[1]})
    assert bool(result) == ref.jump(row.op, row.width, a[1] & U64_MAX, b[1] & U64_MAX)
