"""Classes made by `ebpfvm.lazy_dataclasses` behave as those made by the standard library."""

from __future__ import annotations

import copy
import dataclasses
import inspect
import pickle
from collections.abc import Callable
from typing import Any, ClassVar

import pytest

from ebpfvm import lazy_dataclasses

OPTIONS = [{}, {"slots": True}, {"frozen": True}, {"frozen": True, "slots": True}, {"eq": False},
           {"frozen": True, "slots": True, "eq": False}, {"frozen": True, "kw_only": True}]


def pair(module: Any, **options: Any) -> tuple[Any, Any]:
    """Return a class and one derived from it."""
    dataclass, field = module.dataclass, module.field

    @dataclass(**options)
    class Packet:
        """A packet."""

        kind: ClassVar[str] = "packet"
        length: int
        mark: int = 0
        tags: list[str] = field(default_factory=list)
        note: str = field(default="", compare=False, repr=False)
        seen: int = field(init=False, default=7)

        @property
        def bits(self) -> int:
            return self.length * 8

    @dataclass(**options)
    class Tagged(Packet):
        """A packet with a tag."""

        mark: int = 5
        vlan: int = 1

    return Packet, Tagged


@pytest.fixture(params=OPTIONS, ids=str)
def both(request: pytest.FixtureRequest) -> list[tuple[Any, Any]]:
    return [pair(module, **request.param) for module in (dataclasses, lazy_dataclasses)]


def same(both: list[tuple[Any, Any]], ask: Callable[[Any, Any], object]) -> object:
    """Return the answer that both modules' classes give, an exception by its name and text."""
    answers = []
    for packet, tagged in both:
        try:
            answers.append(ask(packet, tagged))
        except Exception as error:
            answers.append((type(error), str(error)))
    assert answers[0] == answers[1]
    return answers[0]


ASKED: dict[str, Callable[[Any, Any], object]] = {
    "repr": lambda packet, tagged: repr(packet(length=3, tags=["a"])) + repr(tagged(length=3, note="n")),
    "equal": lambda packet, tagged: packet(length=3, note="a") == packet(length=3, note="b"),
    "unequal": lambda packet, tagged: packet(length=3) == packet(length=4),
    "another class": lambda packet, tagged: packet(length=3, mark=5) == tagged(length=3),
    "another type": lambda packet, tagged: packet(length=3) == 3,
    "hash": lambda packet, tagged: (packet.__hash__ is None, packet.__hash__ is object.__hash__),
    "hash of a list": lambda packet, tagged: bool(packet.__hash__) and packet.__hash__ is not object.__hash__
    and hash(packet(length=3)),
    "hash of a tuple": lambda packet, tagged: packet.__hash__ not in (None, object.__hash__)
    and hash(packet(length=3, tags=())),
    "signature": lambda packet, tagged: list(inspect.signature(tagged).parameters),
    "kinds": lambda packet, tagged: [item.kind for item in inspect.signature(tagged).parameters.values()],
    "defaults": lambda packet, tagged: tagged(length=1).vlan + tagged(length=1).mark + packet(length=1).seen,
    "a list of its own": lambda packet, tagged: packet(length=1).tags is packet(length=1).tags,
    "too few": lambda packet, tagged: packet(),
    "too many": lambda packet, tagged: packet(1, 2, 3, 4, 5, 6),
    "unknown": lambda packet, tagged: packet(length=1, size=2),
    "assign": lambda packet, tagged: setattr(packet(length=1), "mark", 2),
    "delete": lambda packet, tagged: delattr(packet(length=1), "mark"),
    "class variable": lambda packet, tagged: packet.kind + packet(length=1).kind,
    "property": lambda packet, tagged: tagged(length=2).bits,
    "match": lambda packet, tagged: tagged.__match_args__,
    "slots": lambda packet, tagged: (getattr(packet, "__slots__", None), getattr(tagged, "__slots__", None)),
    "dict": lambda packet, tagged: hasattr(packet(length=1), "__dict__"),
    "name": lambda packet, tagged: (packet.__qualname__, packet.__module__, packet.__doc__),
    "asdict": lambda packet, tagged: dataclasses.asdict(tagged(length=4, tags=["x"])),
    "fields": lambda packet, tagged: [(item.name, item.type, item.init, item.default is dataclasses.MISSING)
                                      for item in dataclasses.fields(tagged)],
    "replace": lambda packet, tagged: repr(dataclasses.replace(tagged(length=4, tags=["x"]), length=5)),
    "replace what is not given": lambda packet, tagged: dataclasses.replace(packet(length=4), seen=5),
    "is": lambda packet, tagged: (dataclasses.is_dataclass(packet), dataclasses.is_dataclass(tagged(length=1))),
    "copy": lambda packet, tagged: repr(copy.copy(tagged(length=4, vlan=3))),
    "deep copy": lambda packet, tagged: repr(copy.deepcopy(tagged(length=4, tags=["x"]))),
    "help": lambda packet, tagged: inspect.signature(packet.__init__).return_annotation,
}


@pytest.mark.parametrize("what", ASKED)
def test_it_answers_as_the_standard_library(both: list[tuple[Any, Any]], what: str) -> None:
    same(both, ASKED[what])


def test_fields_and_replace_are_those_of_the_standard_library(both: list[tuple[Any, Any]]) -> None:
    _, (_, tagged) = both
    item = tagged(length=4, tags=["x"])
    assert [found.name for found in lazy_dataclasses.fields(tagged)] == [
        found.name for found in dataclasses.fields(item)]
    assert repr(lazy_dataclasses.replace(item, length=5)) == repr(dataclasses.replace(item, length=5))
    with pytest.raises(ValueError, match="seen is declared with init=False"):
        lazy_dataclasses.replace(item, seen=1)


@lazy_dataclasses.dataclass(frozen=True, slots=True)
class Checked:
    """A class with a rule, at the top of a module so that it can be pickled."""

    size: int

    def __post_init__(self) -> None:
        if self.size < 0:
            raise ValueError("size is negative")


def test_what_follows_initialisation_is_done() -> None:
    with pytest.raises(ValueError, match="size is negative"):
        Checked(-1)
    with pytest.raises(ValueError, match="size is negative"):
        lazy_dataclasses.replace(Checked(1), size=-1)


def test_frozen_objects_with_slots_are_pickled() -> None:
    assert pickle.loads(pickle.dumps(Checked(3))) == Checked(3)


def test_an_object_that_holds_itself_can_be_shown() -> None:
    packet, _ = pair(lazy_dataclasses)
    item = packet(1)
    item.tags.append(item)
    assert repr(item) == "pair.<locals>.Packet(length=1, mark=0, tags=[...], seen=7)"


def test_methods_of_the_class_are_kept() -> None:
    @lazy_dataclasses.dataclass(frozen=True, slots=True)
    class Named:
        name: str

        def __repr__(self) -> str:
            return self.name

        def __eq__(self, other: object) -> bool:
            return isinstance(other, Named) and self.name.lower() == other.name.lower()

        def __hash__(self) -> int:
            return hash(self.name.lower())

    assert repr(Named("a")) == "a"
    assert {Named("a"): 1}[Named("A")] == 1


def test_a_mutable_default_is_an_error() -> None:
    with pytest.raises(ValueError, match="use default_factory"):
        @lazy_dataclasses.dataclass
        class Wrong:
            items: list[int] = []  # noqa: RUF012
