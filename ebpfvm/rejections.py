"""How a rejection is shown: the kernel's line, the C line between its neighbours, the steps that led to it, advice."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, Final

from ebpfvm.verifier.explanation.sources import known_lines

if TYPE_CHECKING:
    from ebpfvm.loader.object import LineInfo

MOST_LINES: Final = 14
"""Lines of one rejection, after the line with the verdict."""
_NEAR: Final = 3
_TAB: Final = 4
_MOST_COLUMNS: Final = 110


def rejection(verdict: Any) -> str:
    """Return `file.c:LINE: message`, the C line, the steps that led to it, and what to do."""
    line = verdict.line
    head = (f"{line}: {verdict.message}" if line is not None else verdict.message).splitlines()
    told = verdict.explanation.splitlines()
    room = MOST_LINES - len(head) - len(told)
    shown = excerpt(verdict, line, room) if line is not None and line.text.strip() else []
    return "\n".join([*head, *shown, *told][:max(MOST_LINES, len(head))])


def excerpt(verdict: Any, line: LineInfo, room: int) -> list[str]:
    """Return the C line with its neighbours, and a caret under the place in it."""
    texts = _texts(verdict, line)
    before = next((number for number in range(line.line - 1, line.line - _NEAR - 1, -1) if texts.get(number)), None)
    after = next((number for number in range(line.line + 1, line.line + _NEAR + 1) if texts.get(number)), None)
    chosen = [number for number in (before, line.line, after) if number is not None] if room >= 4 else [line.line]
    width = len(str(max(chosen)))
    indent = min(_indent(texts[number]) for number in chosen)
    lines = []
    for number in chosen:
        text = texts[number].expandtabs(_TAB)[indent:].rstrip()
        lines.append(f"{'>' if number == line.line else ' '} {number:{width}d} | {text[:_MOST_COLUMNS]}".rstrip())
        column = len(texts[number][:line.column - 1].expandtabs(_TAB)) - indent
        if number == line.line and line.column and 0 <= column < _MOST_COLUMNS and room >= len(chosen) + 1:
            lines.append(f"  {'':{width}} | {' ' * column}^{'~' * (_token(line) - 1)}")
    return lines


def _texts(verdict: Any, line: LineInfo) -> dict[int, str]:
    """Return the known lines of a file: those of the source beside the object, or those that the object records."""
    texts = known_lines(verdict.program, line.file) if verdict.program else {}
    texts[line.line] = line.indent + line.text
    return {number: text for number, text in texts.items() if text.strip()}


def _indent(text: str) -> int:
    wide = text.expandtabs(_TAB)
    return len(wide) - len(wide.lstrip())


def _token(line: LineInfo) -> int:
    found = re.match(r"\w+", line.text[max(line.at, 0):])
    return len(found[0]) if found else 1
