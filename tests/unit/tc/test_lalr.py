"""The parser of tc's grammars, by itself: sums and lists of numbers in brackets."""

from __future__ import annotations

from typing import Any

import pytest

from ebpfvm.errors import InternalError
from ebpfvm.sched.tc.lalr import LalrParser, LalrTable, LalrToken

SUMS = LalrTable([
    ("sum", ["sum", "PLUS", "item"], lambda left, _, right: left + right),
    ("sum", ["item"], lambda value: value),
    ("item", ["NUMBER"], lambda value: value),
    ("item", ["OPEN", "sum", "CLOSE"], lambda _open, value, _close: value),
    ("item", ["OPEN", "CLOSE"], lambda _open, _close: 0),
])


class Misfit(Exception):
    """A token did not fit."""


def parse(text: str, table: LalrTable = SUMS) -> tuple[Any, list[list[str]]]:
    """Return the value of a text, and what could have come before each token and before the end."""
    words, asked = iter(text.split()), []
    names = {"+": "PLUS", "(": "OPEN", ")": "CLOSE"}

    def token() -> LalrToken | None:
        asked.append(sorted(parser.acceptable()))
        word = next(words, None)
        if word is None:
            return None
        return LalrToken(names.get(word, "NUMBER"), word if word in names else int(word), word)

    def error(token: LalrToken | None) -> None:
        raise Misfit(token.origin if token is not None else "the end")

    parser = LalrParser(table, token, error)
    return parser.parse(), asked


@pytest.mark.parametrize(("text", "value"), [("1", 1), ("1 + 2", 3), ("( 1 + 2 ) + ( )", 3), ("( ( 7 ) )", 7)])
def test_values(text: str, value: int) -> None:
    assert parse(text)[0] == value


def test_what_fits_next_is_known_before_each_token() -> None:
    start, after = ["NUMBER", "OPEN"], ["$end", "PLUS"]
    assert parse("1 + 2")[1] == [start, after, start, after]
    # Inside of brackets the text cannot end, though an LALR table lists `$end` for states that are shared with outside.
    assert parse("( 1 + 2 )")[1] == [start, ["CLOSE", *start], ["CLOSE", "PLUS"], start, ["CLOSE", "PLUS"], after]


@pytest.mark.parametrize(("text", "blamed"), [("", "the end"), ("1 +", "the end"), ("( 1", "the end"), ("1 2", "2"),
                                              ("+ 1", "+"), ("1 )", ")")])
def test_a_token_that_does_not_fit_is_told(text: str, blamed: str) -> None:
    with pytest.raises(Misfit) as caught:
        parse(text)
    assert str(caught.value) == blamed


def test_conflicts() -> None:
    assert SUMS.conflicts == []
    ambiguous = LalrTable([("sum", ["sum", "PLUS", "sum"], lambda *_: 0), ("sum", ["NUMBER"], lambda value: value)])
    assert len(ambiguous.conflicts) == 1


def test_an_action_with_other_parameters_is_a_mistake_of_ours() -> None:
    table = LalrTable([("one", ["NUMBER"], lambda: 1)])
    with pytest.raises(InternalError, match="rule one"):
        parse("1", table)
