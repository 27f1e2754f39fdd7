"""The manual pages, made from the parsers that print `--help`: ebpfvm(1), and one for each command and subcommand.

No library was found that fits: argparse-manpage puts all commands into one page and fills the lines of tables and
examples as if they were prose.
"""

from __future__ import annotations

import argparse
import re
from itertools import groupby
from typing import TYPE_CHECKING, Final

from ebpfvm._version import __version__
from ebpfvm.cli.main import build_parser

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

_BRIEF: Final = "eBPF loader, verifier and virtual machine for packet schedulers"
_TITLES: Final = {"positional arguments": "ARGUMENTS", "options": "OPTIONS"}
_GROUP: Final = re.compile(r"\[(?:[^][]|\[[^][]*\])*\]|\S+")  # what a synopsis must not break: [--dump-maps [MAP]]
_SECTION: Final = re.compile(r"(?m)^(\w[\w ]*):\n(?=  )")


def man_pages(date: str) -> Iterator[tuple[str, str]]:
    """Yield file name and text of each page.

    Args:
        date: the date that the pages show, as in 2026-01-31.
    """
    yield from _pages(build_parser(), _BRIEF, date, [])


def _pages(parser: argparse.ArgumentParser, brief: str, date: str, above: list[str]) -> Iterator[tuple[str, str]]:
    name = _page(parser.prog)
    children = [(choice.help or "", action.choices[choice.dest]) for action in parser._actions
                if isinstance(action, argparse._SubParsersAction) for choice in action._choices_actions]
    related = [*above, *(_page(child.prog) for _, child in children)]
    yield f"{name}.1", "\n".join(_lines(parser, brief, date, related)) + "\n"
    for text, child in children:
        yield from _pages(child, text, date, [*above, name])


def _page(prog: str) -> str:
    return prog.replace(" ", "-")


def _lines(parser: argparse.ArgumentParser, brief: str, date: str, related: Iterable[str]) -> Iterator[str]:
    name = _page(parser.prog)
    yield f'.TH {_escaped(name.upper())} 1 "{date}" "ebpfvm {__version__}" "ebpfvm"'
    yield ".ad l"
    yield from (".SH NAME", f"{_escaped(name)} \\- {_marked(brief)}", ".SH SYNOPSIS", *_synopsis(parser))
    yield from (".SH DESCRIPTION", *_body(parser.description or ""))
    for group in parser._action_groups:
        yield from _options(parser, group)
    _, *sections = _SECTION.split(parser.epilog or "")
    for title, text in zip(sections[::2], sections[1::2], strict=True):
        yield from (f".SH {title.upper()}", *_body(text))
    if related:
        yield ".SH SEE ALSO"
        yield ",\n".join(f".BR {_escaped(page)} (1)" for page in related)


def _synopsis(parser: argparse.ArgumentParser) -> Iterator[str]:
    usage = " ".join(parser.format_usage().removeprefix("usage: ").split()).removeprefix(parser.prog)
    yield f".B {_escaped(parser.prog)}"
    for part in _GROUP.findall(usage):
        yield _guarded(_escaped(part).replace(" ", "\\ "))


def _body(text: str) -> Iterator[str]:
    """Yield a text as written in a help: indented lines stand as they are, others are filled."""
    first = True
    for kind, lines in groupby(text.strip("\n").split("\n"), _kind):
        if kind == "empty":
            continue
        if not first:
            yield ".PP"
        first = False
        marked = [_guarded(_marked(line)) for line in lines]
        yield from ((".nf", *marked, ".fi") if kind == "table" else marked)


def _kind(line: str) -> str:
    return "table" if line.startswith("  ") else "prose" if line.strip() else "empty"


def _options(parser: argparse.ArgumentParser, group: argparse._ArgumentGroup) -> Iterator[str]:
    actions = [action for action in group._group_actions if action.help != argparse.SUPPRESS]
    if not actions:
        return
    title = group.title or ""
    commands = isinstance(actions[0], argparse._SubParsersAction)
    yield ".SH COMMANDS" if commands else f".SH {_TITLES[title]}" if title in _TITLES else f".SS {title.capitalize()}"
    formatter = parser._get_formatter()
    for action in actions:
        if isinstance(action, argparse._SubParsersAction):
            for choice in action._choices_actions:
                yield from (".TP", f".BR {_escaped(_page(f'{parser.prog} {choice.dest}'))} (1)",
                            _guarded(_marked(choice.help or "")))
        else:
            yield from (".TP", _term(formatter, action), _guarded(_marked(formatter._expand_help(action))))


def _term(formatter: argparse.HelpFormatter, action: argparse.Action) -> str:
    """Return what is explained: the spellings of an option with its argument, or the name of an argument."""
    if not action.option_strings:
        return f"\\fI{_escaped(str(action.metavar or action.dest))}\\fR"
    value = formatter._format_args(action, formatter._get_default_metavar_for_optional(action))
    argument = f"\\fI{_escaped(value)}\\fR" if value else ""
    names = ", ".join(f"\\fB{_escaped(name)}\\fR" for name in action.option_strings)
    return f"{names} {argument}".rstrip()


def _marked(text: str) -> str:
    """Return a text with what stands between backquotes in bold."""
    return re.sub(r"`([^`\n]+)`", r"\\fB\1\\fR", _escaped(text))


def _escaped(text: str) -> str:
    return text.replace("\\", "\\e").replace("-", "\\-")


def _guarded(line: str) -> str:
    """Return a line that roff will not take for a request."""
    return f"\\&{line}" if line[:1] in (".", "'") else line
