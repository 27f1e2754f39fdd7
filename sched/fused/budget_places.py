"""Where a budget ends in the loops of a fused program: at the instruction that the program by itself names."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ebpfvm.engine.translate.structure import instructions
from ebpfvm.sched.fused.glue import OUTSIDE

if TYPE_CHECKING:
    from collections.abc import Mapping

    from ebpfvm.engine.translate.flow_graph import FlowGraph
    from ebpfvm.engine.translate.program_body import ProgramBody
    from ebpfvm.engine.translate.statements import BlockCode


def budget_places(graph: FlowGraph, code: Mapping[int, BlockCode], body: ProgramBody) -> dict[int, int]:
    """Return where budgets end in the loops of `code`, which was made of `body`, by header.

    A loop is what has become of the smallest loop of the program that has all its instructions: blocks are copied and
    joined, so that neither its header nor what is printed last in it are the same as there.
    """
    whole = instructions(body.graph, body.code)
    found = {}
    for header, inside in instructions(graph, code).items():
        loops = [each for each in body.places if whole[each] >= inside - {OUTSIDE}]
        if loops:
            found[header] = body.places[min(loops, key=lambda each: len(whole[each]))]
    return found
