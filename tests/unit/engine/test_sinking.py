"""Values are computed on those ways only that use them, with the values that they are computed from."""

from __future__ import annotations

from ebpfvm.engine.translate.flow_graph import BasicBlock, FlowGraph, analyse
from ebpfvm.engine.translate.sinking import sunk
from ebpfvm.engine.translate.statements import BlockCode, Stmt, assign, effect, reads_of


def sunk_lines(*lines: Stmt, yes: str, condition: str = "r9") -> tuple[list[str], list[str], list[str]]:
    """The lines before a condition, on the way where it does not hold, and where it does; `yes` is used there."""
    function = FlowGraph(0, {0: BasicBlock(0, [0], [1, 2]), 1: BasicBlock(1, [1], []), 2: BasicBlock(2, [2], [])})
    analyse(function)
    code = {0: BlockCode([*lines], condition, reads_of(condition), 0, None, (1, 2)),
            1: BlockCode([], "", frozenset(), 1, "0", ()),
            2: BlockCode([effect(yes, 2)], "", frozenset(), 2, "0", ())}
    found = sunk(code, function)
    before, no, taken = ([line.text for line in found[start].lines] for start in range(3))
    return before, no, taken


def test_a_value_goes_where_it_is_used() -> None:
    assert sunk_lines(assign("r1", "r2 + 1", 0), yes="look(r1)") == ([], [], ["r1 = r2 + 1", "look(r1)"])


def test_so_does_what_it_is_computed_from() -> None:
    """Nothing but the parts of r3 uses r3, and nothing but r3 uses r1."""
    lines = assign("r1", "s_8_4", 0), assign("r3", "r1 + 1", 0), assign("s_2_2", "r3 & 0xffff", 0), assign(
        "s_4_2", "r3 >> 16", 0)
    assert sunk_lines(*lines, yes="look(s_2_2, s_4_2)") == (
        [], [], ["r1 = s_8_4", "r3 = r1 + 1", "s_2_2 = r3 & 0xffff", "s_4_2 = r3 >> 16", "look(s_2_2, s_4_2)"])


def test_what_the_condition_uses_stays() -> None:
    assert sunk_lines(assign("r1", "r2 + 1", 0), assign("r3", "r1 + 1", 0), condition="r1", yes="look(r3)") == (
        ["r1 = r2 + 1"], [], ["r3 = r1 + 1", "look(r3)"])


def test_what_is_changed_later_is_read_before() -> None:
    """r3 needs the r2 of before, so it stays too."""
    assert sunk_lines(assign("r3", "r2 + 1", 0), effect("r2 = next(w)", 0), yes="look(r3)")[0] == [
        "r3 = r2 + 1", "r2 = next(w)"]
