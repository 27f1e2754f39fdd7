"""Named limits: how they are set, and what their messages say."""

from __future__ import annotations

from dataclasses import fields

import pytest

from ebpfvm.errors import LimitError, UsageError
from ebpfvm.limits import Limits


@pytest.mark.parametrize(("word", "value"), [("events=7", 7), ("events=5k", 5_000), ("events=2Mi", 2 << 20),
                                             ("events=1g", 10 ** 9)])
def test_a_word_sets_a_limit(word: str, value: int) -> None:
    assert Limits.parse([word]) == Limits(events=value)


def test_the_last_word_of_a_name_counts() -> None:
    assert Limits.parse(["events=1", "trace_lines=2", "events=3"]) == Limits(events=3, trace_lines=2)


@pytest.mark.parametrize("word", ["events", "events=", "events=-1", "events=0", "events=1.5", "events=1kk", "events= 1",
                                  "events=" + "9" * 5000, "events=9999999999999999999", "=3", "", "depth=3",
                                  "events=\N{ARABIC-INDIC DIGIT THREE}"])
def test_other_words_are_errors_of_usage(word: str) -> None:
    with pytest.raises(UsageError, match=r"limit"):
        Limits.parse([word])


@pytest.mark.parametrize("value", [0, -1, 1.5, True, "3", None, 1 << 63])
def test_other_values_are_errors_of_usage(value: object) -> None:
    with pytest.raises(UsageError, match="limit events: expected a number"):
        Limits(events=value)  # type: ignore[arg-type]


def test_the_message_names_the_limit_and_how_to_raise_it() -> None:
    error = Limits(map_elements=12).reached("map_elements", "map 'flows'")
    assert isinstance(error, LimitError)
    assert (error.name, error.value) == ("map_elements", 12)
    assert str(error).startswith("map 'flows' reached the limit map_elements (12 elements: ")
    assert "--limit map_elements=N" in str(error) and "Limits(map_elements=N)" in str(error)


def test_every_limit_says_what_it_bounds() -> None:
    rows = Limits.table()
    assert [name for name, _, _, _ in rows] == [item.name for item in fields(Limits)]
    assert all(default >= 1 and unit and what for _, default, unit, what in rows)
