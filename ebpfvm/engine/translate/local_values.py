"""Fewer accesses within a block: what is already in a variable is not fetched again, and neighbours are loaded at once.

    r3 = d_1[r1 + 9]                    r3, s_16_4, s_12_4 = U_B2xII(d_1, r1 + 9)
    s_16_4 = U4(d_1, r1 + 12)[0]
    s_12_4 = U4(d_1, r1 + 16)[0]

All loads of a block are executed or none, so that one of them may fetch what the others would.
"""

from __future__ import annotations

import itertools
import re
import struct
from typing import TYPE_CHECKING, Any, Final

from ebpfvm.engine.translate.statements import BlockCode, Stmt, assign, reads_of
from ebpfvm.lazy_tuples import NamedTuple

if TYPE_CHECKING:
    from collections.abc import Sequence

_FETCH: Final = re.compile(r"[\[.]|\b(?:GET|LOAD|LOAD_PROBE)\(")
_DATA: Final = r"(d_\w+|D\d+)"
_INDEX: Final = r"(\w+)(?: ([+-]) (\d+))?"
_WIDE: Final = re.compile(rf"\(?([UB])([248])\({_DATA}, {_INDEX}\)\[0\]\)?")
_PAIR: Final = re.compile(rf"\b([UB])2\({_DATA}, {_INDEX}\)\[0\]")
_BYTE: Final = re.compile(rf"\(?{_DATA}\[{_INDEX}\]\)?")
_TWO_BYTES: Final = re.compile(rf"\(\(\({_DATA}\[{_INDEX}\]\) << 8\) \| \(\1\[{_INDEX}\]\)\)")
_SWAP: Final = re.compile(r"from_bytes\(\((\w+)\)\.to_bytes\(([248]), 'little'\), 'big'\)"
                          r"|\(\((\w+) & 255\) << 8 \| \3 >> 8\)")
_CODES: Final = {1: "B", 2: "H", 4: "I", 8: "Q"}
_SPAN: Final = 40  # bytes between which loads are put together


def reuse(block: BlockCode) -> BlockCode:
    """Return the block without fetches of what a variable already holds."""
    known: dict[str, str] = {}  # text of a fetch -> the variable that holds its value
    lines: list[Stmt] = []
    for line in block.lines:
        fetch = line.pure and _FETCH.search(line.value) is not None
        if fetch and line.value in known:
            line = assign(line.writes, known[line.value], line.pc)
            fetch = False
        if not line.pure:
            known.clear()
        if line.writes:
            known = {text: name for text, name in known.items()
                     if name != line.writes and line.writes not in reads_of(text)}
        if fetch and line.writes not in line.reads:
            known[line.value] = line.writes
        lines.append(line)
    return block._replace(lines=lines)


class _Load(NamedTuple):
    """A load; `order` is "U" for the order of the machine, "B" for that of the network, "" for a single byte."""

    target: str
    data: str
    base: str
    off: int
    size: int
    order: str


def swap(block: BlockCode) -> BlockCode:
    """Return the block in which a number that is loaded, and then only has its bytes reversed, is loaded that way."""
    lines = list(block.lines)
    n = 0
    while n < len(lines):
        load = _load(lines[n])
        if load is not None and load.order == "U" and load.target not in (load.data, load.base):
            m = _reversal(lines, n, load)
            if m is not None:
                value = lines[n].value.replace(f"U{load.size}(", f"B{load.size}(")
                lines[n] = lines[n]._replace(value=value)
                del lines[m]
        n += 1
    return block._replace(lines=lines)


def _reversal(lines: Sequence[Stmt], n: int, load: _Load) -> int | None:
    """Return the line that reverses what line `n` loads, in place, if nothing else sees the number before."""
    for m in range(n + 1, len(lines)):
        line = lines[m]
        if load.target in line.reads or load.target in (line.writes, *line.also):
            match = _SWAP.fullmatch(line.value)
            found = match is not None and line.writes == load.target in (match[1], match[3]) \
                and int(match[2] or 2) == load.size
            return m if found else None
    return None


def merge(block: BlockCode, names: dict[str, Any]) -> BlockCode:
    """Return the block with loads of neighbouring numbers put together; their readers are added to `names`."""
    lines = list(block.lines)
    n = 0
    while n < len(lines):
        group = _group(lines, n)
        if sum(load.size > 1 for _, load in group) > 1:
            lines[n] = _together([load for _, load in group], lines[n].pc, names)
            for m, _ in reversed(group[1:]):
                del lines[m]
        n += 1
    return block._replace(lines=lines)


def merge_bytes(block: BlockCode) -> BlockCode:
    """Return the block in which two bytes that are put together are loaded as one number, in whichever order."""
    def replaced(match: re.Match[str]) -> str:
        data, (base, high), (other, low) = match[1], _index(*match.group(2, 3, 4)), _index(*match.group(5, 6, 7))
        if base != other or abs(high - low) != 1:
            return match[0]
        return f"{'U2' if high > low else 'B2'}({data}, {_index_text(base, min(low, high))})[0]"

    lines = [line._replace(value=_TWO_BYTES.sub(replaced, line.value)) if "<< 8" in line.value else line
             for line in block.lines]
    return block._replace(lines=lines, condition=_TWO_BYTES.sub(replaced, block.condition))


def pairs(block: BlockCode) -> BlockCode:
    """Return the block in which a number of two bytes that is loaded alone is put together from them.

    That costs less than a call that reads it, and a subscript that unpacks its result.
    """
    def replaced(match: re.Match[str]) -> str:
        order, data, (base, off) = match[1], match[2], _index(*match.group(3, 4, 5))
        first, second = (f"{data}[{_index_text(base, off + n)}]" for n in (0, 1))
        low, high = (first, second) if order == "U" else (second, first)
        return f"({low} | {high} << 8)"

    lines = [line._replace(value=_PAIR.sub(replaced, line.value)) for line in block.lines]
    result = None if block.result is None else _PAIR.sub(replaced, block.result)
    return block._replace(lines=lines, condition=_PAIR.sub(replaced, block.condition), result=result)


def _index(base: str, sign: str | None, off: str | None) -> tuple[str, int]:
    if base.isdigit():
        return "", int(base)
    return base, (-1 if sign == "-" else 1) * int(off or 0)


def _index_text(base: str, off: int) -> str:
    if not base:
        return str(off)
    return f"{base} {'-' if off < 0 else '+'} {abs(off)}" if off else base


def _load(line: Stmt) -> _Load | None:
    if not line.pure:
        return None
    match = _WIDE.fullmatch(line.value)
    if match is not None:
        return _Load(line.writes, match[3], *_index(*match.group(4, 5, 6)), int(match[2]), match[1])
    match = _BYTE.fullmatch(line.value)
    return None if match is None else _Load(line.writes, match[1], *_index(*match.group(2, 3, 4)), 1, "")


def _group(lines: Sequence[Stmt], n: int) -> list[tuple[int, _Load]]:
    """Return the loads, each with its line, that can be done together at line `n`, which is the first of them."""
    first = _load(lines[n])
    if first is None:
        return []
    group = [(n, first)]
    passed: set[str] = set(lines[n].reads)  # what the lines between use or assign
    written = {first.target}
    for m in range(n + 1, len(lines)):
        line = lines[m]
        if not line.pure or written & {first.data, first.base}:
            break
        load = _load(line)
        if load is not None and load[1:3] == first[1:3] and load.target not in passed | written \
                and _fits([*(other for _, other in group), load]):
            group.append((m, load))
        else:
            passed |= line.reads
        written.add(line.writes)
    return group


def _fits(loads: Sequence[_Load]) -> bool:
    """Return whether loads do not overlap and are close together."""
    loads = sorted(loads, key=lambda load: load.off)
    near = loads[-1].off + loads[-1].size - loads[0].off <= _SPAN
    alike = len({load.order for load in loads if load.order}) < 2
    return near and alike and all(a.off + a.size <= b.off for a, b in itertools.pairwise(loads))


def _together(loads: list[_Load], pc: int, names: dict[str, Any]) -> Stmt:
    loads.sort(key=lambda load: load.off)
    layout, at = "", loads[0].off
    for load in loads:
        layout += f"{load.off - at}x" * (load.off > at) + _CODES[load.size]
        at = load.off + load.size
    order = max(load.order for load in loads)
    name = f"{order}_{layout}"
    names[name] = struct.Struct(("<" if order == "U" else ">") + layout).unpack_from
    text = f"{name}({loads[0].data}, {_index_text(loads[0].base, loads[0].off)})"
    targets = [load.target for load in loads]
    return Stmt(text, pc, targets[0], reads_of(text), False, also=tuple(targets[1:]))
