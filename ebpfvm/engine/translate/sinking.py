"""Compute values no earlier than where ways part, and on those ways only that use them.

What is usual often needs a value in one form only, and what is unusual another one: the parts of a key that has been
found, say. `sweep` keeps a value that is used on any way; here it goes down those ways.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from ebpfvm.engine.translate.statements import ADDRESS_TAKEN, VARIABLE, BlockCode, Stmt, live_at

if TYPE_CHECKING:
    from collections.abc import Mapping

    from ebpfvm.engine.translate.flow_graph import FlowGraph

# A value that only consists of variables, numbers and operators: it is the same wherever its variables are.
_COMPUTED: Final = re.compile(rf"(?:{VARIABLE.pattern}|\b(?:0x[0-9a-f]+|\d+|None)\b|[\s&|^<>+*()-])*")


def sunk(code: Mapping[int, BlockCode], function: FlowGraph) -> dict[int, BlockCode]:
    """Return code in which such values are computed as late as possible."""
    live, found = live_at(code, function), dict(code)
    for start in function.order:
        block = found[start]
        if len(block.succs) != 2 or any(len(function.blocks[succ].preds) > 1 for succ in block.succs):
            continue
        kept, moved = _parted(block)
        if not moved:
            continue
        found[start] = block._replace(lines=kept)
        for succ in block.succs:
            wanted, live[succ] = _wanted(moved, live[succ])
            found[succ] = found[succ]._replace(lines=[*wanted, *found[succ].lines])
    return found


def _parted(block: BlockCode) -> tuple[list[Stmt], list[Stmt]]:
    """Return the lines that stay in a block, and those that the rest of it neither uses nor affects."""
    kept: list[Stmt] = []
    moved: list[Stmt] = []
    used, changed = set(block.reads), set[str]()
    for line in reversed(block.lines):
        if line.pure and line.writes not in used | changed and not line.reads & changed and _is_computed(line):
            moved.append(line)
        else:
            kept.append(line)
            used |= line.reads
        changed.update((line.writes, *line.also) if line.writes else line.reads)  # a line may assign what it reads
    return kept[::-1], moved[::-1]


def _wanted(moved: list[Stmt], live: frozenset[str]) -> tuple[list[Stmt], frozenset[str]]:
    """Return the lines that a way uses, by itself or by others of them, and what is live before these."""
    wanted: list[Stmt] = []
    for line in reversed(moved):
        if line.writes in live:
            wanted.append(line)
            live = live - {line.writes} | line.reads
    return wanted[::-1], live


def _is_computed(line: Stmt) -> bool:
    return _COMPUTED.fullmatch(line.value) is not None or ADDRESS_TAKEN.fullmatch(line.value) is not None
