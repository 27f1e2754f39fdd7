"""The options and handles of filters, as the kinds declare them (`ebpfvm.sched.tc.filters`)."""

from __future__ import annotations

from functools import cache
from typing import Any, Final

from ebpfvm.errors import UsageError
from ebpfvm.ints import U32_MAX
from ebpfvm.sched.tc.filters import FILTERS
from ebpfvm.sched.tc.grammar import Command, check_kind
from ebpfvm.sched.tc.lexer import ScriptError, split_parentheses
from ebpfvm.sched.tc.lr import TcGrammar
from ebpfvm.sched.tc.manual_words import manual_words
from ebpfvm.sched.tc.word_kinds import VALUES

FILTER_KINDS: Final = tuple(FILTERS)
FILTER_ARGS: Final = ("dev", "root", "ingress", "egress", "parent", "block", "chain", "protocol", "prio", "handle")


@cache
def filter_grammar(kind: str) -> TcGrammar:
    """Return the grammar of the options of a kind of filter, one of `FILTER_KINDS`."""
    return TcGrammar(FILTERS[kind].rules(), VALUES, manual_words("filters", kind) | manual_words("actions"))


def filter_options(command: Command, source: str = "") -> list[tuple[str, Any]]:
    """Return the options of a filter command, in order, because some may be repeated.

    Raises:
        ScriptError: as for `ebpfvm.sched.tc.grammar.parse_script`, also for an unknown kind.
    """
    check_kind(command, FILTER_KINDS, FILTER_ARGS, source)
    words = split_parentheses(command.options) if FILTERS[command.kind].parentheses else command.options
    try:
        found: list[tuple[str, Any]] = filter_grammar(command.kind).parse(words, command.kind_at, source)
    except ScriptError:
        raise
    except UsageError as error:
        raise ScriptError(str(error), command.kind_at, source) from error
    return found


def filter_handle(command: Command, source: str = "") -> tuple[int, int]:
    """Return the handle that a command names, and its mask (fw only; otherwise all ones); 0 without a handle.

    Raises:
        ScriptError: the handle is malformed.
    """
    text = command.args.get("handle")
    if text is None:
        return 0, U32_MAX
    try:
        if command.kind == "u32" or (not command.kind and ":" in text):
            return VALUES["U32HANDLE"].convert(text), U32_MAX
        value, slash, mask = text.partition("/")
        convert = VALUES["NUMBER"].convert
        return convert(value), convert(mask) if slash and command.kind == "fw" else U32_MAX
    except (ValueError, UsageError) as error:
        expected = VALUES["U32HANDLE"].expected if command.kind == "u32" else "a number, of fw with /MASK"
        raise ScriptError(f"handle {text!r}: expected {expected}", command.at, source) from error
