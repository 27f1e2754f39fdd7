"""Checks of the arguments that people give to the Python interface.

Each function returns the argument in the form that the code works with, or raises `UsageError` with the argument's
name, what was expected and what was found. A wrong type is as much an error of usage as a wrong value.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from typing import Any, Final

from ebpfvm.errors import UsageError
from ebpfvm.sched.units import MAX, parse_rate, parse_size, parse_time

_MOST_NS: Final = (1 << 62) - 1

Path = str | os.PathLike[str]


def wrong(name: str, expected: str, found: object) -> UsageError:
    """Return the error for argument `name`, to be raised."""
    text = repr(found)
    shown = text if len(text) <= 60 else text[:57] + "..."
    return UsageError(f"{name}: expected {expected}, found {shown} (type {type(found).__name__})")


def whole(name: str, value: object, low: int, high: int = MAX) -> int:
    """Return a whole number from `low` to `high`; True and 1.0 are none."""
    if isinstance(value, bool) or not isinstance(value, int) or not low <= value <= high:
        bounds = f"from {low} to {high}" if high != MAX else f"of at least {low}"
        raise wrong(name, f"a whole number {bounds}", value)
    return value


def rate(name: str, value: object) -> int:
    """Return bits a second: a number, or text as `tc` writes it."""
    return _named(name, value, parse_rate) if isinstance(value, str) else whole(name, value, 1)


def time(name: str, value: object, low: int = 0) -> int:
    """Return ns: a number of ns, or text as `tc` writes it. A century is the most, so that sums stay in 63 bits."""
    return whole(name, _named(name, value, parse_time) if isinstance(value, str) else value, low, _MOST_NS)


def size(name: str, value: object, low: int = 0) -> int:
    """Return bytes: a number, or text as `tc` writes it."""
    return whole(name, _named(name, value, parse_size) if isinstance(value, str) else value, low)


def _named(name: str, value: str, parse: Any) -> int:
    try:
        found: int = parse(value)
    except UsageError as error:
        raise UsageError(f"{name}: {error}") from None
    return found


def path(name: str, value: object) -> Path:
    """Return a path: text, or what `os.fspath` takes. Bytes are none: they may as well be a file's content."""
    if not isinstance(value, str | os.PathLike) or not isinstance(os.fspath(value), str):
        raise wrong(name, "the path of a file", value)
    return value


def flag(name: str, value: object) -> bool:
    """Return a truth value."""
    if not isinstance(value, bool):
        raise wrong(name, "True or False", value)
    return value


def word(name: str, value: object) -> str:
    """Return text."""
    if not isinstance(value, str):
        raise wrong(name, "text", value)
    return value


def choice(name: str, value: object, choices: Iterable[str]) -> str:
    """Return one of some words."""
    known = tuple(choices)
    if value not in known:
        raise wrong(name, "one of " + ", ".join(known), value)
    return str(value)


def words(name: str, value: object) -> tuple[str, ...]:
    """Return several words. A single text is refused, since it would be taken letter by letter."""
    if isinstance(value, str | bytes | Mapping) or not isinstance(value, Iterable):
        raise wrong(name, "a list of names", value)
    return tuple(word(f"{name}[{index}]", item) for index, item in enumerate(value))


def raw(name: str, value: object) -> bytes:
    """Return bytes."""
    if not isinstance(value, bytes | bytearray | memoryview):
        raise wrong(name, "bytes", value)
    return bytes(value)


def function(name: str, value: object) -> Any:
    """Return something that can be called."""
    if not callable(value):
        raise wrong(name, "a function", value)
    return value


def instance(name: str, value: Any, kind: type[Any], what: str) -> Any:
    """Return an object of class `kind`, called `what` in the message."""
    if not isinstance(value, kind):
        raise wrong(name, what, value)
    return value


SEEDS: Final = (-(1 << 63), MAX)
"""The least and the greatest seed."""
