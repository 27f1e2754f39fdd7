"""Checks of the arguments of the Python interface.

Each function returns the argument in the form that the code works with, or raises `UsageError` with the argument's
name, what was expected and what was found. A wrong type is reported in the same way as a wrong value.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from typing import Any, Final

from ebpfvm.errors import UsageError
from ebpfvm.ints import S64_MAX, S64_MIN

Path = str | os.PathLike[str]
MOST: Final = S64_MAX
"""The greatest number that is taken anywhere."""


def wrong(name: str, expected: str, found: object) -> UsageError:
    """Return the error for argument `name`, for the caller to raise."""
    text = repr(found)
    shown = text if len(text) <= 60 else text[:57] + "..."
    return UsageError(f"{name}: expected {expected}, found {shown} (type {type(found).__name__})")


def whole(name: str, value: object, low: int, high: int = MOST) -> int:
    """Return a whole number from `low` to `high`; True and 1.0 are rejected."""
    if isinstance(value, bool) or not isinstance(value, int) or not low <= value <= high:
        bounds = f"from {low} to {high}" if high != MOST else f"of at least {low}"
        raise wrong(name, f"a whole number {bounds}", value)
    return value


def path(name: str, value: object) -> Path:
    """Return a path: text, or anything that `os.fspath` accepts, except bytes, which may be a file's content."""
    if not isinstance(value, str | os.PathLike) or not isinstance(os.fspath(value), str):
        raise wrong(name, "the path of a file", value)
    return value


def flag(name: str, value: object) -> bool:
    """Return a bool."""
    if not isinstance(value, bool):
        raise wrong(name, "True or False", value)
    return value


def word(name: str, value: object) -> str:
    """Return a string."""
    if not isinstance(value, str):
        raise wrong(name, "text", value)
    return value


def choice(name: str, value: object, choices: Iterable[str]) -> str:
    """Return a string that is one of `choices`."""
    known = tuple(choices)
    if value not in known:
        raise wrong(name, "one of " + ", ".join(known), value)
    return str(value)


def words(name: str, value: object) -> tuple[str, ...]:
    """Return several strings; a single string is rejected, because iterating it would yield letters."""
    if isinstance(value, str | bytes | Mapping) or not isinstance(value, Iterable):
        raise wrong(name, "a list of names", value)
    return tuple(word(f"{name}[{index}]", item) for index, item in enumerate(value))


def raw(name: str, value: object) -> bytes:
    """Return bytes."""
    if not isinstance(value, bytes | bytearray | memoryview):
        raise wrong(name, "bytes", value)
    return bytes(value)


def function(name: str, value: object) -> Any:
    """Return a callable."""
    if not callable(value):
        raise wrong(name, "a function", value)
    return value


def instance(name: str, value: Any, kind: type[Any], what: str) -> Any:
    """Return an instance of the class `kind`, which the message calls `what`."""
    if not isinstance(value, kind):
        raise wrong(name, what, value)
    return value


def known(function: str, given: Iterable[str], names: Iterable[str]) -> None:
    """Raise `UsageError` if an option that a function was given is none of `names`, with the nearest that is."""
    options = tuple(names)
    for name in given:
        if name not in options:
            from difflib import get_close_matches
            near = get_close_matches(name, options, 1)
            hint = f"did you mean {near[0]!r}?" if near else f"there are: {', '.join(options)}"
            raise UsageError(f"{function} has no option {name!r}; {hint}")


SEEDS: Final = (S64_MIN, MOST)
"""The least and the greatest seed."""
