"""Global variables of programs as variables of the function of a run.

They are written back before anybody else may look, which is wherever the function writes its state back, and read again
where it reads its state.
"""

from __future__ import annotations

import ast
import itertools
import re
from typing import TYPE_CHECKING, Final

from ebpfvm.kernel.memory import REGION_SHIFT
from ebpfvm.lazy_tuples import NamedTuple
from ebpfvm.sched.fused.parsed import edited, parsed

if TYPE_CHECKING:
    from collections.abc import Iterable

    from ebpfvm.kernel.memory import Memory
    from ebpfvm.sched.fused.parsed import LinePart, ParsedLine

_DATA: Final = re.compile(r"V(\d+)_([248])|D(\d+)")  # names of a region's data


class _Element(NamedTuple):
    """A global variable: number of its region, offset and size."""

    region: int
    offset: int
    size: int


class Globals:
    """The global variables of some code.

    Args:
        lines: all of it.
        memory: where they are.
    """

    def __init__(self, lines: Iterable[str], memory: Memory) -> None:
        found = [parsed(line) for line in {*lines} if line]
        elements = {element: part.node for line in found for part in line.items
                    if (element := _element(part)) is not None}
        kept = _used_otherwise(found, set(elements))
        self._names = {each: f"G{each.region}_{each.offset}_{each.size}" for each in sorted(elements)
                       if each.region not in kept and memory.regions[each.region].kind == "map_value"}
        self._code = {each: ast.unparse(elements[each]) for each in self._names}
        self._written = {element for line in found for part in line.items if isinstance(part.node.ctx, ast.Store)  # type: ignore[attr-defined]
                         and (element := _element(part)) in self._names}

    def changed(self, line: str) -> str:
        """Return a line with variables instead."""
        edits = [(part.begin, part.end, self._names[found]) for part in parsed(line).items
                 if (found := _element(part)) in self._names] if line and self._names else []
        return edited(line, edits) if edits else line

    @property
    def saved(self) -> str:
        """Statements that write the variables back, each followed by a semicolon."""
        return "".join(f"{self._code[each]} = {self._names[each]}; " for each in sorted(self._written))

    @property
    def loaded(self) -> str:
        """Statements that read them again, each after a semicolon."""
        return "".join(f"; {name} = {self._code[each]}" for each, name in self._names.items())


def _element(part: LinePart) -> _Element | None:
    """Return the global variable that an expression is, None if it is something else."""
    node = part.node
    if not isinstance(node, ast.Subscript) or not isinstance(node.value, ast.Name):
        return None
    match = _DATA.fullmatch(node.value.id)
    if match is None or not isinstance(node.slice, ast.Constant) or not isinstance(node.slice.value, int):
        return None
    size = int(match[2] or 1)
    return _Element(int(match[1] or match[3]), node.slice.value * size, size)


def _used_otherwise(lines: list[ParsedLine], elements: set[_Element]) -> set[int]:
    """Return the regions that are also used as a whole, by their address, or by elements that overlap."""
    regions = {found.region for found in elements}
    kept = set()
    for line in lines:
        inside = {part.begin for part in line.items if _element(part) is not None}
        for part in line.names:
            match = _DATA.fullmatch(part.node.id)  # type: ignore[attr-defined]
            if match is not None and part.begin not in inside:
                kept.add(int(match[1] or match[3]))
        kept |= {part.node.value >> REGION_SHIFT for part in line.constants  # type: ignore[attr-defined]
                 if isinstance(part.node.value, int)} & regions  # type: ignore[attr-defined]
    for one, other in itertools.pairwise(sorted(elements)):
        if one.region == other.region and one.offset + one.size > other.offset:
            kept.add(one.region)
    return kept
