"""Put local functions and callbacks of loops into the flow graph of their caller, before values are looked at.

An instruction of a flow graph is a *node*: its slot, or, in a copy of a function, a number above all slots, for which
`Unit` has instruction, row and slot as well. An inlined call leads to the copy's first node, and the copy's exits lead
to the instruction after the call. A helper that calls back becomes a loop of nodes of its own:

    begin -> next -> visit -> the callback ... its exits -> next -> visit or done
               \\-> done -> the instruction after the call

A walk that visits two elements at most, which the facts have to confirm, has no loop but a copy of the callback for
each round, if the callback calls nothing, so that the map cannot change: looking for the first element is usual.

The loop starts with "visit", so that it consumes one tick of the budget for each call, as calls by the helper do.

Copies share r0 to r5 with their caller, as the calling convention permits. r6 to r10 have numbers of their own at each
depth, followed by three registers for a loop: the context of its callback, the number of calls, and the map or limit.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from ebpfvm.engine.translate import flow_graph
from ebpfvm.engine.translate.inlined_nodes import CallbackLoop, InlinedFrame, InlinedStep
from ebpfvm.engine.translate.ranges import FP, PtrOrigin
from ebpfvm.isa import codes as c

if TYPE_CHECKING:
    from ebpfvm.engine.translate.flow_graph import FlowGraph
    from ebpfvm.engine.translate.inlined_nodes import Path, StepKind
    from ebpfvm.engine.translate.unit import Unit

_SMALL: Final = 64  # instructions of a function that is copied to each of its callers
_DEEPEST: Final = 8  # functions that are copied into each other
_LARGE: Final = 500  # ... of one that is moved to its only caller
_ROUNDS: Final = 2  # elements that a walk without a loop visits at most
_GROWTH: Final = 1500  # instructions that all copies in one function may have together
# What returns from the function by itself, or counts per frame.
_KEPT_APART: Final = ("ld_abs", "ld_ind", "may_goto")

_MEMORY: Final = {"loop": 0, "walk_map": 2}  # how many pointers to memory the callback gets, by role of the helper

def inlined_graph(unit: Unit, entry: int, refused: set[Path], longer: set[Path]) -> FlowGraph:
    """Return the flow graph of the function at `entry`, with copies of what it calls unless they are `refused`.

    The walks in `longer` may have more than two rounds.
    """
    return _Inliner(unit, refused, longer).graph(entry)


class _Inliner:
    def __init__(self, unit: Unit, refused: set[Path], longer: set[Path]) -> None:
        self.unit = unit
        self.refused = refused
        self.longer = longer
        self.flow: dict[int, list[int]] = {}
        self.frames: list[InlinedFrame] = []
        self.around: list[int] = []
        self.grown = 0
        self.loops: dict[int, dict[int, int]] = {}
        self.movable: dict[int, bool] = {}

    def graph(self, entry: int) -> FlowGraph:
        for slot in self.unit.flow(entry):
            self.unit.steps.pop(slot, None)  # what an earlier attempt has inlined
        self._copy(entry, None, ())
        graph = flow_graph.build(entry, self.flow)
        graph.frames = tuple(self.frames)
        return graph

    def _copy(self, entry: int, frame: InlinedFrame | None, path: Path) -> tuple[int, list[int]]:
        """Add a function to the flow, and return its first node and its exits."""
        unit, flow = self.unit, self.unit.flow(entry)
        nodes = {pc: pc for pc in flow} if frame is None else {pc: unit.copy(pc, frame) for pc in flow}
        for pc, following in flow.items():
            self.flow[nodes[pc]] = [nodes[target] for target in following]
        if entry not in self.loops:
            self.loops[entry] = loops_in(unit, entry)
        depth = frame.depth + 1 if frame is not None else 1
        if not unit.plain(entry).reducible:  # then blocks consume ticks, and there must not be more of them
            depth = _DEEPEST
        self.around.append(entry)
        for pc in flow:
            row = unit.rows[pc]
            if row is not None and row.kind == "call":
                self._call(pc, nodes[pc], (*path, pc), depth, entry)
        self.around.pop()
        exits = [nodes[pc] for pc in flow if (row := unit.rows[pc]) is not None and row.kind == "exit"]
        return nodes[entry], exits

    def _call(self, pc: int, node: int, path: Path, depth: int, entry: int) -> None:
        row = self.unit.rows[pc]
        assert row is not None
        if row.op == "call_local":
            target = self.unit.target(pc)
            if self._wanted(target, path, depth):
                self._local(node, target, self._frame(path, depth))
            return
        found = self.loops[entry].get(pc)
        if found is not None and self._wanted(found, path, depth):
            walks = _is_walk(self.unit, pc) and path not in self.longer and is_quiet(self.unit, found)
            (self._rounds if walks else self._loop)(pc, node, found, self._frame(path, depth))

    def _wanted(self, target: int, path: Path, depth: int) -> bool:
        size = len(self.unit.flow(target))
        if path in self.refused or depth >= _DEEPEST or target in self.around:
            return False
        if target not in self.movable:
            self.movable[target] = is_movable(self.unit, target)
        if not self.movable[target]:
            return False
        return size <= (_LARGE if self.unit.uses[target] == 1 else _SMALL) and self.grown + size <= _GROWTH

    def _frame(self, path: Path, depth: int) -> InlinedFrame:
        number = len(self.frames) + 1
        frame = InlinedFrame(path, depth, PtrOrigin(f"f{number}", "fp", FP.start, frame=number))
        self.frames.append(frame)
        return frame

    def _local(self, node: int, target: int, frame: InlinedFrame) -> None:
        self.grown += len(self.unit.flow(target))
        after = self.flow[node]
        first, exits = self._copy(target, frame, frame.path)
        self.unit.steps[node] = InlinedStep("enter", frame)
        self.flow[node] = [first]
        for leaving in exits:
            self.unit.steps[leaving] = InlinedStep("leave", frame)
            self.flow[leaving] = after

    def _loop(self, pc: int, node: int, target: int, frame: InlinedFrame) -> None:
        self.grown += len(self.unit.flow(target))
        unit, after, helper = self.unit, self.flow[node], self.unit.helper(pc)
        assert helper is not None
        visit, again = unit.copy(pc, None), unit.copy(pc, None)
        loop = CallbackLoop(frame.path, helper, target, visit, PtrOrigin(f"{visit}k", "key", 0),
                            frame.first)

        def add(number: int, kind: StepKind, following: list[int]) -> int:
            unit.steps[number] = InlinedStep(kind, frame, loop)
            self.flow[number] = following
            return number

        def done(kind: StepKind = "done") -> int:
            return add(unit.copy(pc, None), kind, after)

        first, exits = self._copy(target, frame, frame.path)
        start = add(unit.copy(pc, None), "next", [visit, done()])
        if not loop.walks:
            start = add(unit.copy(pc, None), "check", [start, done("refuse")])
        add(node, "begin", [start])
        add(again, "next", [visit, done()])
        add(visit, "visit", [first])
        for leaving in exits:
            add(leaving, "again", [again, done()])


    def _rounds(self, pc: int, node: int, target: int, frame: InlinedFrame) -> None:
        """Add a walk with a copy of its callback for each round."""
        unit, after, helper = self.unit, self.flow[node], self.unit.helper(pc)
        assert helper is not None
        following = unit.copy(pc, None)
        for number in reversed(range(_ROUNDS)):
            self.grown += len(unit.flow(target))
            own = self._frame(frame.path, frame.depth) if number else frame
            visit, start, done = unit.copy(pc, None), unit.copy(pc, None), unit.copy(pc, None)
            key = PtrOrigin(f"{visit}k", "key", 0)
            loop = CallbackLoop(frame.path, helper, target, visit, key, frame.first, number)
            if number == _ROUNDS - 1:
                unit.steps[following], self.flow[following] = InlinedStep("beyond", own, loop), after
            first, exits = self._copy(target, own, own.path)
            for leaving in exits:
                unit.steps[leaving], self.flow[leaving] = InlinedStep("again", own, loop), [following, done]
            unit.steps[visit], self.flow[visit] = InlinedStep("visit", own, loop), [first]
            unit.steps[start], self.flow[start] = InlinedStep("next", own, loop), [visit, done]
            unit.steps[done], self.flow[done] = InlinedStep("done", own, loop), after
            following = start
        unit.steps[node], self.flow[node] = InlinedStep("begin", frame, loop), [following]


def _is_walk(unit: Unit, pc: int) -> bool:
    helper = unit.helper(pc)
    return helper is not None and helper.role != "loop"


def is_quiet(unit: Unit, entry: int) -> bool:
    """Return whether the function at `entry` is small and calls nothing."""
    flow = unit.flow(entry)
    return len(flow) <= _SMALL and not any((row := unit.rows[pc]) is not None and row.kind == "call" for pc in flow)


def loops_in(unit: Unit, entry: int) -> dict[int, int]:
    """Return the calls of helpers that call back in a loop, with the callbacks that their argument seems to be.

    `FunctionFacts` confirm it later.
    """
    graph = unit.plain(entry)
    found: dict[int, int] = {}
    for block in graph.blocks.values():
        held: dict[int, int] = {}
        for pc in block.pcs:
            row, insn = unit.rows[pc], unit.insns[pc]
            if row is None:
                continue
            if row.op == "call" and 2 in held:
                helper = unit.helper(pc)
                if helper is not None and helper.context_to and len(helper.memory_to) == _MEMORY.get(helper.role):
                    found[pc] = held[2]
            if row.kind == "call":
                held = {reg: target for reg, target in held.items() if reg > 5}
            elif row.kind == "ld_imm64" and insn.src == c.BPF_PSEUDO_FUNC:
                held[insn.dst] = unit.target(pc)
            elif row.name == "mov64_x" and insn.src in held:
                held[insn.dst] = held[insn.src]
            elif row.kind in ("alu", "ldx", "load_acquire", "ld_imm64"):
                held.pop(insn.dst, None)
    return found


def is_movable(unit: Unit, entry: int) -> bool:
    """Return whether the function at `entry` can be part of another one."""
    for pc in unit.flow(entry):
        row = unit.rows[pc]
        if row is None or row.kind in _KEPT_APART:
            return False
        helper = unit.helper(pc) if row.op == "call" else None
        if helper is not None and helper.role == "tail_call":
            return False
    return unit.plain(entry).reducible
