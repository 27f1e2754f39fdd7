"""Remove stores to objects that nobody sees from the lines of a block."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from ebpfvm.engine.translate.statements import reads_of

if TYPE_CHECKING:
    from ebpfvm.engine.translate.statements import Stmt

_STORE: Final = re.compile(r"((\w+)(?:\.cells)?\[(\d+)\]) = (.+)")
_MADE: Final = re.compile(r"(\w+)\.cells = \[(.*)\]")
_FREED: Final = re.compile(r"(\w+)\.refs = 0; \1\.last_holder = 'program'")
_SIMPLE: Final = re.compile(r"[rostg]_?\w*|\d+|None")
_CALL: Final = re.compile(r"(?!(?:born|new)\()\b\w+\(")


def tidied(lines: list[Stmt]) -> list[Stmt]:
    """Return lines without stores to a cell that is stored again, or to objects that are made or freed then."""
    out: list[Stmt] = []
    for line in lines:
        store = _STORE.fullmatch(line.value) if not line.writes else None
        freed = _FREED.fullmatch(line.value) if not line.writes else None
        if store is not None:
            if not _looks(line):
                _overwritten(out, store[1], store[2])
            if _SIMPLE.fullmatch(store[4]) and _made_with(out, store):
                continue
        elif freed is not None:
            _unseen(out, freed[1])
        out.append(line)
    return out


def _overwritten(out: list[Stmt], place: str, name: str) -> None:
    """Remove the last store to a place if nothing has looked since."""
    for n in range(len(out) - 1, -1, -1):
        line = out[n]
        if not line.writes and line.value.startswith(f"{place} = "):
            del out[n]
            return
        if _CALL.search(line.text) or name in (line.writes, *line.also) or _looks(line):
            return


def _looks(line: Stmt) -> bool:
    """Return whether a line may read a cell: two names may have the same data, as values of different sizes."""
    store = _STORE.fullmatch(line.value) if not line.writes else None
    return "[" in (line.text if store is None else store[4])


def _unseen(out: list[Stmt], name: str) -> None:
    """Remove stores to the cells of an object that is freed, since something else has looked."""
    for n in range(len(out) - 1, -1, -1):
        line = out[n]
        store = _STORE.fullmatch(line.value) if not line.writes else None
        if store is not None and store[2] == name:
            del out[n]
        elif _CALL.search(line.text) or name in line.reads or name in (line.writes, *line.also) or _looks(line):
            return


def _made_with(out: list[Stmt], store: re.Match[str]) -> bool:
    """Put what is stored into the cells with which an object is made; return False if they are not known here."""
    _, name, number, value = store.groups()
    for n in range(len(out) - 1, -1, -1):
        line = out[n]
        made = _MADE.fullmatch(line.value) if not line.writes else None
        if made is not None and made[1] == name:
            cells = made[2].split(", ")
            cells[int(number)] = value
            text = f"{name}.cells = [{', '.join(cells)}]"
            out[n] = line._replace(value=text, reads=reads_of(text))
            return True
        if _CALL.search(line.text) or value in (line.writes, *line.also) or f"{name}.cells[{number}]" in line.text:
            return False
    return False
