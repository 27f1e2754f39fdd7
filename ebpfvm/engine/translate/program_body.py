"""The code of a program as part of a larger function, for who runs it so often that each call counts.

`body_of` returns the blocks of a program's entry function, as the translator emits them, with everything that it calls
in them. The caller adds blocks of its own, which begin where the program would have returned, and prints them all with
`structure.nested`. The caller does what the program's entry would have done: a budget, the environment, the frame.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, Final

from ebpfvm.engine.steps import PRIMITIVES
from ebpfvm.engine.translate import counted_loops, source, structure
from ebpfvm.engine.translate.program_facts import ProgramFacts
from ebpfvm.engine.translate.statements import VARIABLE, BlockCode, Stmt, assign, effect
from ebpfvm.engine.translate.unit import Unit
from ebpfvm.lazy_tuples import NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from ebpfvm.engine.translate.flow_graph import FlowGraph
    from ebpfvm.engine.translate.function_facts import FunctionFacts
    from ebpfvm.kernel.layouts import Layout
    from ebpfvm.kernel.program import LoadedProgram

# Lines for the caller to replace: before and after something that may look at its state.
PUT: Final = "STATE_PUT"
GET: Final = "STATE_GET"
_RETURNS: Final = re.compile(r"\breturn\b")
_FUNCTION: Final = re.compile(r"\bf\d+\(")
_TICKS: Final = re.compile(r"\bticks\b")


class ProgramBody(NamedTuple):
    """The blocks of a program.

    Attributes:
        unit, facts: what is known of the program, and of its entry function.
        graph, code: the blocks and what follows each; those that return have a `result`.
        names: objects that the code refers to, by name.
        enters: whether it enters a frame, which must be left wherever it returns.
        counts: whether it consumes its budget, the iterator `ticks`.
        places: where budgets end in its loops, by header; other code that is made of it says the same.
        refusal: why the code cannot be part of another function; "" if it can.
    """

    unit: Unit
    facts: FunctionFacts
    graph: FlowGraph
    code: dict[int, BlockCode]
    names: dict[str, Any]
    enters: bool
    counts: bool
    places: dict[int, int]
    refusal: str


def body_of(prog: LoadedProgram, layout: Layout) -> ProgramBody:
    """Return the body of a verified program that runs on contexts of `layout`."""
    unit = Unit(prog, layout)
    program = ProgramFacts(unit)
    names: dict[str, Any] = dict(PRIMITIVES)
    made = source.blocks_of(program, 0, names)
    code = dict(made.code)
    first = code[made.graph.entry]
    head = [_statement(text, node) for _, text, node in made.head[1:]]
    code[made.graph.entry] = first._replace(lines=[*head, *first.lines])
    code = {start: block._replace(lines=list(_put_and_got(unit, block.lines))) for start, block in code.items()}
    texts = [text for block in code.values() for text in (*(line.text for line in block.lines), block.condition)]
    counts = any(_TICKS.search(text) for text in texts) or bool(made.graph.loops)
    refusal = _refusal(unit, made.graph.reducible and len(program.facts) == 1, texts)
    if not refusal and made.graph.entry in made.graph.loops:  # there is no place for what is done once
        refusal = "a loop begins with its first instruction"
    places: dict[int, int] = {}
    if not refusal and made.graph.loops:
        refusal = _find_places(unit, program.facts[0], made, places)
    return ProgramBody(unit, program.facts[0], made.graph, code, names, made.enters, counts, places, refusal)


def _find_places(unit: Unit, facts: FunctionFacts, made: source.FunctionBlocks, places: dict[int, int]) -> str:
    """Take note of where budgets end in loops, as the program by itself says it; return a refusal."""
    counted = counted_loops.find(made.graph, made.code, facts)
    try:
        structure.nested(made.graph, made.code, 1, counted, frozenset(unit.steps), places)
    except (structure.TooDeep, RecursionError):
        return "it is nested too deeply for Python"
    return ""


def _put_and_got(unit: Unit, lines: Iterable[Stmt]) -> Iterator[Stmt]:
    """Yield lines, with PUT and GET around calls that may add events: the caller's state must be written back."""
    for line in lines:
        found = unit.helper(line.pc) or unit.kfunc(line.pc) if f"H{line.pc}(" in line.value else None
        arms = found is not None and found.arms
        if arms:
            yield effect(PUT, line.pc)
        yield line
        if arms:
            yield effect(GET, line.pc)


def _statement(text: str, node: int) -> Stmt:
    """Return a line as a statement; what it assigns is only left out if its uses can be told."""
    name, equals, value = text.partition(" = ")
    return assign(name, value, node) if equals and VARIABLE.fullmatch(name) else effect(text, node)


def _refusal(unit: Unit, one: bool, texts: list[str]) -> str:
    prog = unit.prog
    calls = [unit.helper(pc) or unit.kfunc(pc) for pc, row in enumerate(unit.rows) if row is not None
             and row.op == "call"]
    if any(called is not None and called.changes_packet for called in calls):
        return "it may change the size of packets"
    if not one or any(_FUNCTION.search(text) for text in texts):
        return "one of its functions stays a function"
    if prog.catches or any(kfunc.role == "throw" for kfunc in prog.kfuncs.values()):
        return "it throws exceptions"
    if any(_RETURNS.search(text) for text in texts):
        return "it makes tail calls, or loads packet bytes with BPF_ABS or BPF_IND"
    return ""
