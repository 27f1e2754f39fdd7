"""Basic blocks, dominators and loops of one function of a program.

The dominators are computed as in Cooper, Harvey and Kennedy, "A Simple, Fast Dominance Algorithm".
"""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Final

from ebpfvm.engine.common import jump_target
from ebpfvm.isa import codes as c
from ebpfvm.isa.table import row_of
from ebpfvm.lazy_dataclasses import dataclass, field

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from ebpfvm.engine.translate.inlined_nodes import InlinedFrame
    from ebpfvm.isa.insn import Insn
    from ebpfvm.isa.table import Row


@dataclass(slots=True)
class BasicBlock:
    """A basic block.

    Attributes:
        start: slot of its first instruction; identifies the block.
        pcs: slots of its instructions, without the second halves of 64-bit loads.
        succs: blocks that may follow; for a conditional jump, first the fall-through, then the target.
        preds: blocks that may precede it.
    """

    start: int
    pcs: list[int]
    succs: list[int]
    preds: list[int] = field(default_factory=list)


@dataclass(slots=True)
class FlowGraph:
    """The flow graph of one function of a program.

    Attributes:
        entry: slot of its first instruction.
        blocks: by start slot.
        order: reverse postorder of the blocks.
        idom: immediate dominator of each block but the entry.
        loops: header -> blocks of its loop, including the header.
        reducible: whether every cycle has one entry.
        frames: the copies of other functions in it.
        live: the registers that are live at the start of each block, once somebody has asked for them.
    """

    entry: int
    blocks: dict[int, BasicBlock]
    order: list[int] = field(default_factory=list)
    idom: dict[int, int] = field(default_factory=dict)
    loops: dict[int, set[int]] = field(default_factory=dict)
    reducible: bool = True
    frames: tuple[InlinedFrame, ...] = ()
    live: dict[int, frozenset[int]] = field(default_factory=dict)

    @property
    def registers(self) -> int:
        """The number of registers that it has, with those of copies."""
        return 11 + 8 * max((frame.depth for frame in self.frames), default=0)

    def dominates(self, a: int, b: int) -> bool:
        """Return whether every path to `b` passes `a`."""
        while b != a:
            if b == self.entry:
                return False
            b = self.idom[b]
        return True


FP: Final = 10


def rows(insns: Sequence[Insn]) -> list[Row | None]:
    """Return the row of each slot.

    It is None for the second half of a 64-bit load, and for what no verified program ever executes (6.18 does not look
    at instructions that its walk never reaches).
    """
    found: list[Row | None] = []
    second = False
    for insn in insns:
        row = None if second else row_of(insn)
        found.append(None if row is None or _is_dead(row, insn) else row)
        second = not second and insn.is_ld_imm64
    return found


def _is_dead(row: Row, insn: Insn) -> bool:
    """Return whether an instruction names a register that does not exist, or writes the frame pointer."""
    if max(insn.dst, insn.src) > FP:
        return True
    if row.kind == "atomic":
        return row.fetch and insn.src == FP and row.op != "cmpxchg"
    return insn.dst == FP and row.kind in ("alu", "ld_imm64", "ldx", "load_acquire")


def entries(insns: Sequence[Insn], table: Sequence[Row | None]) -> tuple[Counter[int], set[int]]:
    """Return where functions start, with the number of places that refer to each; and which of them are callbacks."""
    starts, callbacks = Counter({0: 1}), set()
    for pc, insn in enumerate(insns):
        row = table[pc]
        if row is None:
            continue
        target = pc + 1 + insn.imm
        if row.op == "call_local":
            starts[target] += 1
        elif row.kind == "ld_imm64" and insn.src == c.BPF_PSEUDO_FUNC:
            starts[target] += 1
            callbacks.add(target)
    return starts, callbacks


def _next(insns: Sequence[Insn], table: Sequence[Row | None], pc: int) -> list[int]:
    row, insn = table[pc], insns[pc]
    if row is None or row.kind == "exit":
        return []
    if row.kind == "ja":
        return [jump_target(insn, pc)]
    after = pc + 2 if insn.is_ld_imm64 else pc + 1
    if row.kind in ("jmp", "may_goto"):
        target = jump_target(insn, pc)
        return [after] if target == after else [after, target]
    return [after]


def build(entry: int, flow: Mapping[int, list[int]]) -> FlowGraph:
    """Return the flow graph of the function that starts at `entry`; `flow` has what may follow each instruction."""
    incoming: dict[int, int] = {entry: 2}
    for following in flow.values():
        for target in following:
            # The target of a branch starts a block even if nothing else leads there.
            incoming[target] = incoming.get(target, 0) + (1 if len(following) == 1 else 2)
    function = FlowGraph(entry, {})
    for start in sorted(pc for pc in flow if incoming.get(pc, 0) != 1):
        pcs = [start]
        while len(flow[pcs[-1]]) == 1 and incoming[flow[pcs[-1]][0]] == 1:
            pcs.append(flow[pcs[-1]][0])
        function.blocks[start] = BasicBlock(start, pcs, list(flow[pcs[-1]]))
    analyse(function)
    return function


def flow_of(insns: Sequence[Insn], table: Sequence[Row | None], entry: int) -> dict[int, list[int]]:
    """Return what may follow each instruction of a function, without unreachable ones."""
    flow: dict[int, list[int]] = {}
    work = [entry]
    while work:
        pc = work.pop()
        if pc not in flow:
            flow[pc] = _next(insns, table, pc)
            work.extend(flow[pc])
    return flow


def analyse(function: FlowGraph) -> None:
    """Compute order, predecessors, dominators and loops from the successors."""
    function.order = _reverse_postorder(function)
    function.blocks = {start: function.blocks[start] for start in function.order}
    for block in function.blocks.values():
        block.preds = []
    for start in function.order:
        for successor in function.blocks[start].succs:
            function.blocks[successor].preds.append(start)
    function.idom = _dominators(function)
    _find_loops(function)


def _reverse_postorder(function: FlowGraph) -> list[int]:
    seen, postorder = {function.entry}, []
    stack = [(function.entry, iter(function.blocks[function.entry].succs))]
    while stack:
        start, successors = stack[-1]
        for successor in successors:
            if successor not in seen:
                seen.add(successor)
                stack.append((successor, iter(function.blocks[successor].succs)))
                break
        else:
            stack.pop()
            postorder.append(start)
    return postorder[::-1]


def _dominators(function: FlowGraph) -> dict[int, int]:
    position = {start: n for n, start in enumerate(function.order)}
    idom = {function.entry: function.entry}
    changed = True
    while changed:
        changed = False
        for start in function.order[1:]:
            known = [pred for pred in function.blocks[start].preds if pred in idom]
            best = known[0]
            for other in known[1:]:
                while best != other:
                    if position[best] > position[other]:
                        best = idom[best]
                    else:
                        other = idom[other]
            if idom.get(start) != best:
                idom[start] = best
                changed = True
    del idom[function.entry]
    return idom


def _find_loops(function: FlowGraph) -> None:
    position = {start: n for n, start in enumerate(function.order)}
    function.loops, function.reducible = {}, True
    for start in function.order:
        for successor in function.blocks[start].succs:
            if position[successor] > position[start]:
                continue
            if not function.dominates(successor, start):
                function.reducible = False
                continue
            body = function.loops.setdefault(successor, {successor})
            work = [start]
            while work:
                block = work.pop()
                if block not in body:
                    body.add(block)
                    work.extend(function.blocks[block].preds)
