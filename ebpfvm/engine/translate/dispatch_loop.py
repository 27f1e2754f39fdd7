"""Any flow graph as a loop over a decision tree of block numbers, for what Python's statements cannot express."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

    from ebpfvm.engine.translate.flow_graph import FlowGraph
    from ebpfvm.engine.translate.statements import BlockCode

Line = tuple[int, str, int]  # indentation, text, slot


def lines_of(function: FlowGraph, code: Mapping[int, BlockCode], indent: int) -> list[Line]:
    """Return a loop over a tree of comparisons of the number of the next block."""
    number = {start: n for n, start in enumerate(function.order)}
    lines: list[Line] = [(indent, "go = 0", function.entry), (indent, "for _ in ticks:", function.entry)]

    def go(target: int) -> str:
        return f"go = {number[target]}"

    def leaf(start: int, depth: int) -> None:
        block = code[start]
        lines.extend((depth, line.text, line.pc) for line in block.lines)
        if block.result is not None:
            lines.append((depth, f"return {block.result}", block.pc))
        elif len(block.succs) == 2:
            yes, no = number[block.succs[1]], number[block.succs[0]]
            lines.append((depth, f"go = {yes} if {block.condition} else {no}", block.pc))
        elif block.succs:
            lines.append((depth, go(block.succs[0]), block.pc))

    def tree(low: int, high: int, depth: int) -> None:
        if high - low == 1:
            leaf(function.order[low], depth)
            return
        middle = (low + high) // 2
        pc = code[function.order[middle]].pc
        lines.append((depth, f"if go < {middle}:", pc))
        tree(low, middle, depth + 1)
        lines.append((depth, "else:", pc))
        tree(middle, high, depth + 1)

    tree(0, len(function.order), indent + 1)
    lines += [(indent, "else:", function.entry), (indent + 1, "OVER()", function.entry)]
    return [line if line[1] else (line[0], "pass", line[2]) for line in lines]
