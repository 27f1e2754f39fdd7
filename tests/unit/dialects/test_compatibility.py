"""What decides between two kernels."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import fields

from hypothesis import given
from hypothesis import strategies as st

from ebpfvm.compatibility import Difference, differences, rule_texts, smallest
from ebpfvm.contract.rules import Rules
from ebpfvm.dialects import linux

EVERY = [Difference(f"d{number}", "") for number in range(30)]


@given(st.sets(st.sampled_from(EVERY), max_size=4))
def test_the_smallest_set_is_found(needed: set[Difference]) -> None:
    assert set(smallest(EVERY, lambda chosen: needed <= set(chosen))) == needed


@given(st.lists(st.sets(st.sampled_from(EVERY), min_size=1, max_size=3), min_size=1, max_size=3))
def test_none_can_be_left_out_of_it(ways: list[set[Difference]]) -> None:
    def differs(chosen: Sequence[Difference]) -> bool:
        return any(way <= set(chosen) for way in ways)

    found = smallest(EVERY, differs)
    assert differs(found)
    assert not any(differs([item for item in found if item != left]) for left in found)


def test_nothing_is_found_if_the_whole_makes_no_difference() -> None:
    assert smallest(EVERY, lambda chosen: False) == ()


def test_each_rule_has_a_text() -> None:
    names = {item.name for item in fields(Rules)}  # type: ignore[arg-type]
    assert set(rule_texts()) == names
    assert all(text.endswith(".") for text in rule_texts().values())


def test_only_what_differs_is_tried() -> None:
    names = [item.name for item in differences(linux((6, 18)), linux((7, 2)))]
    assert "null_by_register" in names and "packet_is_context" not in names and "version" not in names
