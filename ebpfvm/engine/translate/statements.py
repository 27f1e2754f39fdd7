"""Statements of generated code, and the removal of those whose results nobody uses."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Mapping

    from ebpfvm.engine.translate.cfg import Function

# Registers, descriptions of origins (address, data, region, index, object), slots, views of the frame, temporaries.
# Everything else in generated code is a constant, `loops` or `ticks`.
VARIABLE: Final = re.compile(r"\b(?:r\d|[bdgiost]_\w+|v\d_f)\b")


class Stmt(NamedTuple):
    """One line.

    Attributes:
        text: the line.
        pc: the instruction it belongs to.
        writes: the variable it assigns, "" for none.
        reads: variables it uses.
        pure: without effects: it goes if what it writes is never read.
        idle: what to run instead if what it writes is never read; only for lines that are not pure.
    """

    text: str
    pc: int
    writes: str
    reads: frozenset[str]
    pure: bool
    idle: str = ""


def assign(name: str, value: str, pc: int) -> Stmt:
    """`name = value`, which has no effect beside."""
    return Stmt(f"{name} = {value}", pc, name, reads_of(value), True)


def effect(text: str, pc: int) -> Stmt:
    """A line that is run for its effect and assigns no variable."""
    return Stmt(text, pc, "", reads_of(text), False)


def effect_to(name: str, value: str, pc: int, cut: str = "") -> Stmt:
    """`name = value cut`, of which `value` has an effect."""
    return Stmt(f"{name} = {value}{cut}", pc, name, reads_of(value), False, value)


def reads_of(text: str) -> frozenset[str]:
    """The variables in an expression."""
    return frozenset(VARIABLE.findall(text))


class Code(NamedTuple):
    """The code of one block.

    Attributes:
        lines: statements.
        condition: of the jump at its end, "" without one; true means the second successor.
        reads: what condition or return value use.
        pc: the last instruction.
        result: what the function returns here, None if it goes on.
        succs: the successors that can follow: none, one, or two for a condition.
    """

    lines: list[Stmt]
    condition: str
    reads: frozenset[str]
    pc: int
    result: str | None
    succs: tuple[int, ...]


def sweep(code: Mapping[int, Code], function: Function) -> tuple[dict[int, Code], frozenset[str]]:
    """Remove dead lines; and the variables that are read before they are written, from the entry on."""
    live_in = _live(code, function)
    out: dict[int, Code] = {}
    for start, block in code.items():
        live = _live_out(block, live_in)
        kept: list[Stmt] = []
        for line in reversed(block.lines):
            needed = line.writes in live
            if not needed and line.pure:
                continue
            kept.append(line if needed or not line.idle else line._replace(text=line.idle))
            live = (live - {line.writes}) | line.reads
        out[start] = block._replace(lines=kept[::-1])
    return out, live_in[function.entry]


def _live_out(block: Code, live_in: Mapping[int, frozenset[str]]) -> frozenset[str]:
    live = block.reads
    for successor in block.succs:
        live |= live_in[successor]
    return live


def _live(code: Mapping[int, Code], function: Function) -> dict[int, frozenset[str]]:
    """What is live at the start of each block."""
    live_in: dict[int, frozenset[str]] = dict.fromkeys(code, frozenset())
    work = list(code)
    while work:
        start = work.pop()
        live = set(_live_out(code[start], live_in))
        for line in reversed(code[start].lines):
            if line.pure and line.writes not in live:
                continue
            live.discard(line.writes)
            live |= line.reads
        if live != live_in[start]:
            live_in[start] = frozenset(live)
            work.extend(pred for pred in function.blocks[start].preds if pred in code)
    return live_in
