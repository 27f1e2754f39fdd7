"""The translator's range pass is sound: what is possible stays inside of what it says."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

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
