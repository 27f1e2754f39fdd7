"""A whole program as Python source: its functions, the table from lines to instructions, and the text for readers.

Only `GeneratedSource.code` is ever compiled. It consists of numbers and of names that the translator chose, and never
contains text from an object. `GeneratedSource.annotated` is the same code, line for line, followed by the disassembly
and the C source as comments, for tracebacks and dumps.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, Final

from ebpfvm.engine.place import insn_text, line_text, namer
from ebpfvm.engine.steps import PRIMITIVES
from ebpfvm.engine.translate import counted_loops, flow_graph, local_values
from ebpfvm.engine.translate.dispatch_loop import Line
from ebpfvm.engine.translate.emit import Emitter
from ebpfvm.engine.translate.held_pointers import NeverHeld
from ebpfvm.engine.translate.program_facts import ProgramFacts
from ebpfvm.engine.translate.ranges import PtrRange
from ebpfvm.engine.translate.statements import TICK, BlockCode, effect, sweep
from ebpfvm.engine.translate.structure import lines_of
from ebpfvm.engine.translate.unit import Unit
from ebpfvm.kernel.emulated import BPF_MAX_LOOPS
from ebpfvm.lazy_tuples import NamedTuple

if TYPE_CHECKING:
    from ebpfvm.engine.translate.function_facts import FunctionFacts
    from ebpfvm.kernel.memory import Memory
    from ebpfvm.kernel.program import LoadedProgram

_CLONE: Final = 1 << 32  # copied blocks have numbers above all slots
_SMALL: Final = 3
_FRAME: Final = ("d_f", "v8_f", "v4_f", "v2_f", "b_f")
_CONST: Final = re.compile(r"\b(?:D(\d+)|V(\d+)_(\d))\b")


class GeneratedSource(NamedTuple):
    """The generated code.

    Attributes:
        code: the code to compile.
        slots: instruction of each line, from line 1 on.
        names: objects that the code refers to, by name.
        entries: where functions start.
        enters: whether the program itself needs a frame (otherwise its caller accounts for one).
        objects: entry -> the arguments (from 1) of the function that are objects.
    """

    code: str
    slots: tuple[int, ...]
    names: dict[str, Any]
    enters: bool
    entries: tuple[int, ...]
    objects: dict[int, tuple[int, ...]]

    def without_budget(self, budget: int) -> GeneratedSource:
        """Return the code without what consumes ticks, if a run of it cannot consume `budget` of them."""
        texts = self.code.splitlines()
        consuming = [text for text in texts if "ticks" in text and not text.startswith("def ")]
        if len(self.entries) > 1 or len(consuming) >= budget or any(text.strip() != TICK for text in consuming):
            return self
        return self._replace(code="\n".join([text.replace(TICK, "pass") for text in texts]) + "\n")

    def annotated(self, prog: LoadedProgram) -> str:
        """Return the code with comments."""
        out, last = [], -1
        for text, pc in zip(self.code.splitlines(), self.slots, strict=True):
            out.append(commented(text, prog, pc) if pc != last and text.strip() else text)
            last = pc
        return "\n".join(out) + "\n"


def commented(text: str, prog: LoadedProgram, pc: int) -> str:
    """Return a line of code with the instruction and the line of C that it comes from."""
    insn, line = insn_text(prog.program, pc, namer(prog)), line_text(prog.program, pc)
    return f"{text:<70}  # {pc}: {_plain(insn)} | {_plain(line)}"


def _plain(text: str | None) -> str:
    """Return text from an object on one line, whatever it contains."""
    return "".join(char if char.isprintable() else "?" for char in text or "")


def generate(unit: Unit) -> GeneratedSource:
    """Return the translation of all functions of `unit`."""
    try:
        return _generated(unit)
    except NeverHeld:
        plain = Unit(unit.prog, unit.layout)
        plain.held.used = False
        source = _generated(plain)
        unit.templates = plain.templates
        return source


def _generated(unit: Unit) -> GeneratedSource:
    program = ProgramFacts(unit)
    names: dict[str, Any] = dict(PRIMITIVES)
    lines: list[Line] = []
    enters = False
    for entry in program.facts:
        made, entered = _function(program, entry, names)
        lines += made
        if entry == 0:
            enters = entered
    code = "\n".join("    " * indent + text for indent, text, _ in lines) + "\n"
    add_constants(unit.memory, code, names)
    return GeneratedSource(code, tuple(unit.slot(node) for _, _, node in lines), names, enters, tuple(program.facts),
                           {entry: _objects(facts) for entry, facts in program.facts.items() if entry})


def _objects(facts: FunctionFacts) -> tuple[int, ...]:
    """Return the arguments of a function that are objects."""
    return tuple(n for n, value in enumerate(facts.args, 1) if isinstance(value, PtrRange)
                 and value.origin.kind == "held")


class FunctionBlocks(NamedTuple):
    """One function as blocks, before control flow becomes nested statements.

    Attributes:
        graph, code: the blocks and what follows each.
        head: the `def`, and the lines before the first block.
        enters: whether it uses a frame.
        calls: whether it calls something that may need a frame.
    """

    graph: flow_graph.FlowGraph
    code: dict[int, BlockCode]
    head: list[Line]
    enters: bool
    calls: bool


def _function(program: ProgramFacts, entry: int, names: dict[str, Any]) -> tuple[list[Line], bool]:
    unit, facts = program.unit, program.facts[entry]
    graph, code, head, enters, calls = blocks_of(program, entry, names)
    if enters or (entry and calls):
        code = {start: _leaving(block) for start, block in code.items()}
    if entry and calls and not enters:
        head.append((1, "STACK.depth += 1", entry))
    return head + lines_of(graph, code, 1, counted_loops.find(graph, code, facts), frozenset(unit.steps)), enters


def blocks_of(program: ProgramFacts, entry: int, names: dict[str, Any]) -> FunctionBlocks:
    """Return the blocks of the function at `entry`; what they refer to is added to `names`."""
    unit, facts, frame = program.unit, program.facts[entry], program.frames[entry]
    emitter = Emitter(unit, facts, frame, names)
    code = {start: emitter.block(block) for start, block in facts.function.blocks.items()
            if block.pcs[0] in facts.before}
    graph, code = simplify(facts.function, code)
    code = {start: local_values.reuse(block) for start, block in code.items()}
    code, live = sweep(code, graph, lambda block: local_values.merge(local_values.swap(block), names))
    code = {start: local_values.pairs(local_values.merge(local_values.merge_bytes(block), names))
            for start, block in code.items()}
    head, enters = _head(unit, emitter, entry, live)
    return FunctionBlocks(graph, code, head, enters, emitter.calls)


def _leaving(block: BlockCode) -> BlockCode:
    """Return the block with the frame released wherever the function returns."""
    lines = [line._replace(value=line.value.replace(": return ", ": STACK.depth -= 1; return "))
             if line.value.startswith("if ") else line for line in block.lines]
    if block.result is not None:
        lines.append(effect("STACK.depth -= 1", block.pc))
    return block._replace(lines=lines)


def _head(unit: Unit, emitter: Emitter, entry: int, live: frozenset[str]) -> tuple[list[Line], bool]:
    """Return the `def` and the lines before the first block, and whether the function uses a frame."""
    arguments = "g_c" if entry == 0 else "r1=0, r2=0, r3=0, r4=0, r5=0"
    lines: list[Line] = []
    enters = False
    for line in reversed(emitter.prologue(entry)):
        if not line.writes:
            wanted = live & set(_FRAME)
            enters = bool(wanted)
            text = ", ".join(name if name in wanted else "_" for name in _FRAME)
            if enters:
                lines.append((1, f"{text} = ENTER()", entry))
        elif line.writes in live:
            lines.append((1, line.text, entry))
            live = (live - {line.writes}) | line.reads
    given = set(re.findall(r"\w+", arguments))
    lines += [(1, f"{name} = 0", entry) for name in sorted(live - given - set(_FRAME))]
    if emitter.may_goto:
        lines.append((1, f"loops = {BPF_MAX_LOOPS}", entry))
    return [(0, f"def f{entry}(ticks, {arguments}):", entry), *reversed(lines)], enters


def add_constants(memory: Memory, code: str, names: dict[str, Any]) -> None:
    """Add the data of regions that never move, and views of it."""
    for match in _CONST.finditer(code):
        number = int(match[1] or match[2])
        if match[0] in names:
            continue
        data = memory.regions[number].data
        if match[1]:
            names[match[0]] = data
        else:
            size = int(match[3])
            whole = memoryview(data)[:len(data) // size * size]
            names[match[0]] = whole.cast("Q") if size == 8 else whole.cast("I") if size == 4 else whole.cast("H")


def simplify(function: flow_graph.FlowGraph, code: dict[int, BlockCode]
             ) -> tuple[flow_graph.FlowGraph, dict[int, BlockCode]]:
    """Return a simpler graph with its code.

    It follows jumps to jumps, merges blocks that always follow each other, and duplicates a small final block for each
    path to it.
    """
    code = {start: block._replace(succs=tuple(_follow(s, code) for s in block.succs)) for start, block in code.items()}
    code = {start: block if len(set(block.succs)) == len(block.succs)
            else block._replace(succs=block.succs[:1], condition="", reads=frozenset())
            for start, block in code.items()}
    changed = True
    while changed:
        changed = _copy_endings(function.entry, code) | _join_chains(function.entry, code)
    graph = flow_graph.FlowGraph(function.entry, {start: flow_graph.BasicBlock(start, [block.pc], list(block.succs))
                                          for start, block in code.items()})
    flow_graph.analyse(graph)
    return graph, {start: code[start] for start in graph.order}


def _preds(entry: int, code: dict[int, BlockCode]) -> dict[int, list[int]]:
    """Return the predecessors of reachable blocks, and remove the other blocks."""
    preds: dict[int, list[int]] = {entry: []}
    work = [entry]
    while work:
        start = work.pop()
        for successor in code[start].succs:
            if successor not in preds:
                preds[successor] = []
                work.append(successor)
            preds[successor].append(start)
    for start in set(code) - set(preds):
        del code[start]
    return preds


def _copy_endings(entry: int, code: dict[int, BlockCode]) -> bool:
    fresh = max(_CLONE, *code)
    copied = False
    for start, incoming in _preds(entry, code).items():
        block = code[start]
        if block.result is None or len(block.lines) > _SMALL or len(incoming) < 2 or start == entry:
            continue
        copied = True
        for pred in incoming[1:]:
            fresh += 1
            code[fresh] = block
            code[pred] = code[pred]._replace(succs=tuple(fresh if s == start else s for s in code[pred].succs))
    return copied


def _join_chains(entry: int, code: dict[int, BlockCode]) -> bool:
    joined = False
    preds = _preds(entry, code)
    for start in list(code):
        while start in code and len(code[start].succs) == 1:
            successor = code[start].succs[0]
            if len(preds[successor]) != 1 or successor in (start, entry):
                break
            first, second = code[start], code.pop(successor)
            code[start] = second._replace(lines=first.lines + second.lines)
            for following in second.succs:
                preds[following] = [start if pred == successor else pred for pred in preds[following]]
            joined = True
    return joined


def _follow(start: int, code: dict[int, BlockCode]) -> int:
    """Return where a jump to `start` ends up, skipping blocks that only jump."""
    seen = {start}
    while True:
        block = code[start]
        if block.lines or block.result is not None or len(block.succs) != 1 or block.succs[0] in seen:
            return start
        start = block.succs[0]
        seen.add(start)
