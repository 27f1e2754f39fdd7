"""Classes made by `ebpfvm.lazy_tuples`, and patterns of `ebpfvm.lazy_patterns`, behave as the standard library's."""

from __future__ import annotations

import copy
import inspect
import pickle
import re
import typing
from collections.abc import Callable
from typing import Any

import pytest

from ebpfvm import lazy_tuples
from ebpfvm.lazy_patterns import pattern


def made(base: Any) -> Any:
    """Return a class with defaults, a property and a docstring."""
    class Packet(base):  # type: ignore[misc]
        """A packet."""

        length: int
        mark: int = 0
        tags: tuple[str, ...] = ()

        @property
        def bits(self) -> int:
            return self.length * 8

    return Packet


ASKED: dict[str, Callable[[Any], object]] = {
    "repr": lambda packet: repr(packet(3, tags=("a",))),
    "is a tuple": lambda packet: packet(3) == (3, 0, ()) and packet.__bases__ == (tuple,),
    "hash": lambda packet: hash(packet(3)) == hash((3, 0, ())),
    "too few": lambda packet: packet(),
    "too many": lambda packet: packet(1, 2, 3, 4),
    "unknown": lambda packet: packet(1, size=2),
    "assign": lambda packet: setattr(packet(1), "mark", 2),
    "other attribute": lambda packet: setattr(packet(1), "other", 2),
    "signature": lambda packet: [(item.name, item.kind, item.default)
                                 for item in inspect.signature(packet).parameters.values()],
    "fields": lambda packet: (packet._fields, packet._field_defaults, packet.__match_args__),
    "make": lambda packet: repr(packet._make([1, 2, ()])),
    "make too few": lambda packet: packet._make([1]),
    "replace": lambda packet: repr(packet(1)._replace(mark=7)),
    "replace unknown": lambda packet: packet(1)._replace(size=7),
    "asdict": lambda packet: packet(1)._asdict(),
    "property": lambda packet: packet(2).bits,
    "name": lambda packet: (packet.__qualname__, packet.__module__, packet.__doc__),
    "copy": lambda packet: repr(copy.copy(packet(2, 3))),
    "deep copy": lambda packet: repr(copy.deepcopy(packet(2, 3))),
    "derived": lambda packet: repr(type("Own", (packet,), {})(5)),
    "annotations": lambda packet: list(packet.__annotations__),
}


@pytest.mark.parametrize("what", ASKED)
def test_it_answers_as_the_standard_library(what: str) -> None:
    answers = []
    for base in (typing.NamedTuple, lazy_tuples.NamedTuple):
        try:
            answers.append(ASKED[what](made(base)))
        except Exception as error:
            answers.append((type(error), str(error)))
    assert answers[0] == answers[1]


class Pair(lazy_tuples.NamedTuple):
    """At the top level, where pickle finds it."""

    a: int
    b: int = 2


def test_pickle() -> None:
    assert pickle.loads(pickle.dumps(Pair(1))) == Pair(1)
    assert type(pickle.loads(pickle.dumps(Pair(1)))) is Pair


def test_a_pattern_is_that_of_re() -> None:
    late, known = pattern(r"(?P<word>[a-z]+)", re.IGNORECASE), re.compile(r"(?P<word>[a-z]+)", re.IGNORECASE)
    assert late.fullmatch("Abc")["word"] == "Abc" and late.fullmatch("1") is None  # type: ignore[index]
    assert (late.pattern, late.flags, late.groups) == (known.pattern, known.flags, known.groups)
    assert late.sub("x", "ab 1") == "x 1"


def test_a_pattern_that_is_wrong_is_an_error_at_first_use() -> None:
    late = pattern("(")
    with pytest.raises(re.error):
        late.match("a")
