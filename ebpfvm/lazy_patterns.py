"""`pattern` as `re.compile`, which compiles when the pattern is first used.

Compiling a regular expression takes a quarter of a millisecond and more, and most commands use few of those that
the modules define. Type checkers are told that this is `re.compile`.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

__all__ = ["pattern"]


class _Pattern:
    """Stand for a compiled pattern; what is looked up for the first time is kept."""

    def __init__(self, text: str | bytes, flags: int = 0) -> None:
        self._text, self._flags = text, flags

    def __getattr__(self, name: str) -> Any:
        value = getattr(re.compile(self._text, self._flags), name)  # re keeps what it compiled
        setattr(self, name, value)
        return value


if TYPE_CHECKING:
    from re import compile as pattern
else:
    pattern = _Pattern
