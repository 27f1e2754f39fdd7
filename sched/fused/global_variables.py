"""Global variables of programs as variables of the function of a run.

They are written back before anybody else may look, which is wherever the function writes its state back (`S.put`), and
read again where it reads its state (`S.get`).
"""

from __future__ import annotations

import itertools
import re
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from ebpfvm.kernel.memory import REGION_SHIFT

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ebpfvm.kernel.memory import Memory

_ELEMENT: Final = re.compile(r"\b(?:V(\d+)_([248])|D(\d+))\[(\d+)\]")
_ANY: Final = re.compile(r"\b[VD](\d+)(?:_[248])?\b")
_ADDRESS: Final = re.compile(r"\b(?:0x[0-9a-f]+|\d+)\b")


class _Element(NamedTuple):
    """A global variable: number of its region, offset and size."""

    region: int
    offset: int
    size: int


def as_locals(lines: Sequence[tuple[str, Any]], memory: Memory) -> list[tuple[str, Any]]:
    """Return lines, each with its origin, in which global variables are variables where possible."""
    text = "\n".join(line for line, _ in lines)
    elements = {match[0]: _element(match) for match in _ELEMENT.finditer(text)}
    kept = _used_otherwise(text, elements)
    names = {code: f"G{found.region}_{found.offset}_{found.size}" for code, found in sorted(elements.items())
             if found.region not in kept and memory.regions[found.region].kind == "map_value"}
    if not names:
        return list(lines)

    def local(match: re.Match[str]) -> str:
        return names.get(match[0], match[0])

    changed = [_ELEMENT.sub(local, line) for line, _ in lines]
    written = {name for name in names.values() if any(f"{name} = " in line for line in changed)}
    back = "".join(f"{code} = {name}; " for code, name in names.items() if name in written)
    again = "".join(f"; {name} = {code}" for code, name in names.items())
    return [(_with_globals(line, back, again), origin) for line, (_, origin) in zip(changed, lines, strict=True)]


def _with_globals(line: str, back: str, again: str) -> str:
    """Return a line that writes the variables back before it writes the state, and reads them after it reads that."""
    line = line.replace("S.put((", f"{back}S.put((")
    return line.replace("= S.get()", f"= S.get(){again}")


def _element(match: re.Match[str]) -> _Element:
    size = int(match[2] or 1)
    return _Element(int(match[1] or match[3]), int(match[4]) * size, size)


def _used_otherwise(text: str, elements: dict[str, _Element]) -> set[int]:
    """Return the regions that are also used as a whole, by their address, or by elements that overlap."""
    kept = {int(match[1]) for match in _ANY.finditer(_ELEMENT.sub("", text))}
    regions = {found.region for found in elements.values()}
    kept |= {int(number, 0) >> REGION_SHIFT for number in _ADDRESS.findall(text)} & regions
    ordered = sorted(set(elements.values()))
    for one, other in itertools.pairwise(ordered):
        if one.region == other.region and one.offset + one.size > other.offset:
            kept.add(one.region)
    return kept
