"""Statements of generated code, and the removal of those whose results are unused."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from ebpfvm.lazy_tuples import NamedTuple

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from ebpfvm.engine.translate.flow_graph import FlowGraph

# Registers, descriptions of origins (address, data, region, index, object), slots, views and cells of the frame,
# temporaries.
# Everything else in generated code is a constant, `loops` or `ticks`.
VARIABLE: Final = re.compile(r"\b(?:r\d+|[bdgiklost]_\w+|v\d_f)\b")

ADDRESS_TAKEN: Final = re.compile(r"\((\w+)\.ptr if \1 is not None else 0\)")
"""The address of the object that a variable holds, in parentheses as a value of a statement; see `address_of`."""

NEXT_TICK: Final = "next(ticks, 0)"
TICK: Final = f"{NEXT_TICK} is None or OVER()"
"""The statement that counts against the budget outside of loops; who uses the code may call `OVER` something else."""


def address_of(name: str) -> str:
    """Return the expression for the address of the object in a variable, 0 for None."""
    return f"{name}.ptr if {name} is not None else 0"


def slot_name(off: int, size: int) -> str:
    """Return the name of the variable of a stack slot."""
    return f"s_{-off}_{size}"


class Stmt(NamedTuple):
    """A line of generated code.

    Attributes:
        value: the assigned expression; the whole line if nothing is assigned.
        pc: the instruction that it belongs to.
        writes: the variable that it assigns, "" for none.
        reads: the variables that it uses.
        pure: whether it has no effects, so that it is removed if what it writes is never read.
        idle: what to execute instead if what it writes is never read; only for lines that are not pure.
        also: the variables that it assigns besides, from a value that has several.
    """

    value: str
    pc: int
    writes: str
    reads: frozenset[str]
    pure: bool
    idle: str = ""
    also: tuple[str, ...] = ()

    @property
    def text(self) -> str:
        """The line as text."""
        return f"{', '.join((self.writes, *self.also))} = {self.value}" if self.writes else self.value


def assign(name: str, value: str, pc: int) -> Stmt:
    """Return `name = value`, which has no other effect."""
    return Stmt(value, pc, name, reads_of(value), True)


def effect(text: str, pc: int) -> Stmt:
    """Return a line that is executed for its effect and assigns no variable."""
    return Stmt(text, pc, "", reads_of(text), False)


def effect_to(name: str, value: str, pc: int, cut: str = "") -> Stmt:
    """Return `name = value cut`, where evaluating `value` has an effect."""
    return Stmt(value + cut, pc, name, reads_of(value), False, value)


def reads_of(text: str) -> frozenset[str]:
    """Return the variables in an expression."""
    return frozenset(VARIABLE.findall(text))


class BlockCode(NamedTuple):
    """The code of one block.

    Attributes:
        lines: statements.
        condition: condition of the jump at its end, "" without one; true selects the second successor.
        reads: variables that the condition or the return value use.
        pc: the last instruction.
        result: what the function returns here, None if it continues.
        succs: the successors that can follow: none, one, or two for a condition.
    """

    lines: list[Stmt]
    condition: str
    reads: frozenset[str]
    pc: int
    result: str | None
    succs: tuple[int, ...]


def sweep(code: Mapping[int, BlockCode], function: FlowGraph,
          tidy: Callable[[BlockCode], BlockCode] = lambda block: block) -> tuple[dict[int, BlockCode], frozenset[str]]:
    """Remove dead lines, and return the code with the variables that are read before they are written.

    `tidy` is applied to each block before values are moved to where they are used.
    """
    live_in = live_at(code, function)
    out: dict[int, BlockCode] = {}
    for start, block in code.items():
        live = _live_out(block, live_in)
        kept: list[Stmt] = []
        for line in reversed(block.lines):
            needed = line.writes in live
            if not needed and line.pure:
                continue
            kept.append(line if needed or not line.idle else line._replace(value=line.idle, writes=""))
            live = (live - {line.writes}) | line.reads
        later = frozenset().union(*(live_in[successor] for successor in block.succs))
        out[start] = _fuse(tidy(block._replace(lines=kept[::-1])), later)
    return out, live_in[function.entry]


_ATOM: Final = re.compile(r"\w+")
_LONGEST: Final = 160


def _fuse(block: BlockCode, live: frozenset[str]) -> BlockCode:
    """Move values that are used once to where they are used; `live` is what later blocks use.

    A checked load stays where it is, because it may fault, and its line identifies the instruction.
    """
    end = block.condition or block.result or ""
    lines = [*block.lines, Stmt(end, block.pc, "", block.reads, False)]
    n = 0
    while n < len(lines) - 1:
        found = _only_use(lines, n, live) if lines[n].pure and "LOAD" not in lines[n].value else None
        if found is None:
            n += 1
            continue
        name, value = lines[n].writes, lines[n].value
        if not _ATOM.fullmatch(value) and not _enclosed(value):
            value = f"({value})"
        lines[found] = _replace(lines[found], name, value)
        del lines[n]
    last = lines.pop()
    if block.condition:
        return block._replace(lines=lines, condition=last.value, reads=last.reads)
    return block._replace(lines=lines, result=last.value if block.result is not None else None, reads=last.reads)


def _enclosed(text: str) -> bool:
    """Return whether the whole text is in one pair of parentheses."""
    depth = 0
    for n, char in enumerate(text):
        depth += (char == "(") - (char == ")")
        if not depth and n < len(text) - 1:
            return False
    return text.startswith("(")


def _replace(line: Stmt, name: str, value: str) -> Stmt:
    def replaced(match: re.Match[str]) -> str:
        return f"({value})" if match[1] and value.isdecimal() else value  # `8.name` would begin with a fraction

    pattern = re.compile(rf"\b{name}\b(?=(\.)?)")
    new = pattern.sub(replaced, line.value)
    return line._replace(value=new, reads=reads_of(new), idle=pattern.sub(replaced, line.idle))


def _only_use(lines: list[Stmt], n: int, live: frozenset[str]) -> int | None:
    """Return the only line that uses what line `n` assigns, if its value can be computed there as well."""
    line = lines[n]
    name, fetches = line.writes, any(mark in line.value for mark in ("[", ".", "GET"))
    use = None
    moved_over: set[str] = set()
    for m in range(n + 1, len(lines)):
        other = lines[m]
        if name in other.reads:
            if use is not None or len(re.findall(rf"\b{name}\b", other.value)) > 1 or line.reads & moved_over:
                return None
            if len(other.value) + len(line.value) > _LONGEST:
                return None
            use = m
        if name in (other.writes, *other.also):
            return use
        if use is None:
            if fetches and not other.pure:
                return None
            moved_over.update((other.writes, *other.also))
    return None if name in live else use


def _live_out(block: BlockCode, live_in: Mapping[int, frozenset[str]]) -> frozenset[str]:
    live = block.reads
    for successor in block.succs:
        live |= live_in[successor]
    return live


def live_at(code: Mapping[int, BlockCode], function: FlowGraph) -> dict[int, frozenset[str]]:
    """Return what is live at the start of each block."""
    live_in: dict[int, frozenset[str]] = dict.fromkeys(code, frozenset())
    work = list(code)
    while work:
        start = work.pop()
        live = set(_live_out(code[start], live_in))
        for line in reversed(code[start].lines):
            if line.pure and line.writes not in live:
                continue
            live.difference_update((line.writes, *line.also))
            live |= line.reads
        if live != live_in[start]:
            live_in[start] = frozenset(live)
            work.extend(pred for pred in function.blocks[start].preds if pred in code)
    return live_in
