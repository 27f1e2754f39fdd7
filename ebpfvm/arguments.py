"""Checks of rates, times and sizes given to the Python interface, and all other checks (from `ebpfvm.checked`)."""

from __future__ import annotations

from typing import Any, Final

from ebpfvm.checked import SEEDS, Path, choice, flag, function, instance, known, path, raw, whole, word, words, wrong
from ebpfvm.errors import UsageError
from ebpfvm.sched.units import parse_rate, parse_size, parse_time

__all__ = ["SEEDS", "Path", "choice", "flag", "function", "instance", "known", "path", "rate", "raw", "size", "time",
           "whole", "word", "words", "wrong"]

_MOST_NS: Final = (1 << 62) - 1


def rate(name: str, value: object) -> int:
    """Return a rate in bits per second; `value` is a number, or text as `tc` writes it."""
    return _named(name, value, parse_rate) if isinstance(value, str) else whole(name, value, 1)


def time(name: str, value: object, low: int = 0) -> int:
    """Return a time in ns; `value` is a number of ns, or text as `tc` writes it.

    The maximum is a century, so that sums fit into 63 bits.
    """
    return whole(name, _named(name, value, parse_time) if isinstance(value, str) else value, low, _MOST_NS)


def size(name: str, value: object, low: int = 0) -> int:
    """Return a size in bytes; `value` is a number, or text as `tc` writes it."""
    return whole(name, _named(name, value, parse_size) if isinstance(value, str) else value, low)


def _named(name: str, value: str, parse: Any) -> int:
    try:
        found: int = parse(value)
    except UsageError as error:
        text = str(error)
        raise UsageError(text if text.startswith(name) else f"{name}: {text}") from None
    return found
