"""Texts that a log must have, in order; parts between `{{` and `}}` are extended regular expressions of POSIX."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from ebpfvm.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ebpfvm.testing.decl_tags import Pattern

_CLASSES: Final = {"alpha": "a-zA-Z", "digit": "0-9", "alnum": "a-zA-Z0-9", "upper": "A-Z", "lower": "a-z",
                   "space": r" \t\n\r\f\v", "blank": r" \t", "xdigit": "0-9A-Fa-f",
                   "punct": r"!-/:-@\[-`{-~", "print": " -~", "graph": "!-~", "cntrl": r"\x00-\x1f\x7f"}
_WORD_EDGES: Final = {"<": r"\b(?=\w)", ">": r"\b(?<=\w)", "`": r"\A", "'": r"\Z"}


def missing(log: str, patterns: Sequence[Pattern]) -> str:
    """Return what is wrong with a log: the first pattern that it lacks, or has although it must not; "" if nothing.

    Each pattern is looked for after the place where the previous one was found. One that must be absent must not be
    found between its neighbours.

    Raises:
        UsageError: a regular expression is malformed.
    """
    at, absent = 0, []
    for pattern in patterns:
        if pattern.absent:
            absent.append(pattern)
            continue
        match = compiled(pattern).search(log, at)
        if match is None:
            again = compiled(pattern).search(log)
            return f"not in the log: {pattern.text!r}" + (", after the message before it" if again else "")
        problem = _found(log, at, match.start(), absent)
        if problem:
            return problem
        at, absent = match.end(), []
    return _found(log, at, len(log), absent)


def _found(log: str, start: int, end: int, absent: Sequence[Pattern]) -> str:
    for pattern in absent:
        if compiled(pattern).search(log[start:end]):
            return f"in the log, and must not be there: {pattern.text!r}"
    return ""


def compiled(pattern: Pattern) -> re.Pattern[str]:
    """Return a pattern as a regular expression of Python.

    Raises:
        UsageError: it is malformed.
    """
    try:
        text = python_regex(pattern.text) if pattern.regex else _with_parts(pattern.text)
        return re.compile(text, re.MULTILINE)
    except re.error as error:
        raise UsageError(f"message {pattern.text!r}: {error}") from error


def _with_parts(text: str) -> str:
    parts, rest = [], text
    while "{{" in rest:
        before, _, rest = rest.partition("{{")
        inside, end, rest = rest.partition("}}")
        if not end:
            raise UsageError(f"message {text!r}: '{{{{' without '}}}}'")
        while rest.startswith("}"):  # as in {{a{2}}}
            inside, rest = inside + "}", rest[1:]
        parts += [re.escape(before), f"(?:{python_regex(inside)})"]
    return "".join([*parts, re.escape(rest)])


def python_regex(text: str) -> str:
    """Translate an extended regular expression of POSIX, with GNU's additions, into one of Python."""
    out, at = [], 0
    while at < len(text):
        char = text[at]
        if char == "[":
            piece, at = _bracket(text, at)
            out.append(piece)
            continue
        if char == "\\" and at + 1 < len(text):
            following = text[at + 1]
            known = following in "wWsSbB" or following.isdigit()
            out.append(_WORD_EDGES.get(following) or (f"\\{following}" if known else re.escape(following)))
            at += 2
            continue
        if char == "(" and text[at + 1:at + 2] == "?":
            raise re.error("'(?' is not part of extended regular expressions")
        out.append("\\{" if char == "{" and not re.match(r"\{\d*,?\d*\}", text[at:]) else char)
        at += 1
    return "".join(out)


def _bracket(text: str, start: int) -> tuple[str, int]:
    """Return the set that begins at `start`, where a backslash is a character, and what follows it."""
    at, out = start + 1, ["["]
    if text[at:at + 1] == "^":
        out.append("^\\n")  # no set matches across lines
        at += 1
    first = at
    while at < len(text):
        if text[at] == "]" and at > first:
            return "".join([*out, "]"]), at + 1
        named = re.match(r"\[:(\w+):\]", text[at:])
        if named:
            if named[1] not in _CLASSES:
                raise re.error(f"unknown class [:{named[1]}:]")
            out.append(_CLASSES[named[1]])
            at += named.end()
            continue
        out.append(f"\\{text[at]}" if text[at] in "\\[]&~|^" else text[at])
        at += 1
    raise re.error("'[' without ']'")
