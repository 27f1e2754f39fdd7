"""Which registers are live: read later, before they are written."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ebpfvm.lazy_tuples import NamedTuple

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ebpfvm.engine.translate.flow_graph import FlowGraph
    from ebpfvm.engine.translate.inlined_nodes import InlinedStep
    from ebpfvm.engine.translate.unit import Unit


def argument_count(unit: Unit, entry: int) -> int:
    """Return the number of arguments that the function at `entry` takes."""
    return max((reg for reg in live_registers(unit, unit.plain(entry))[entry] if reg < 6), default=0)


def live_registers(unit: Unit, function: FlowGraph) -> dict[int, frozenset[int]]:
    """Return the registers that are live at the start of each block."""
    if function.live:
        return function.live
    blocks = {start: _uses_and_kills(unit, function.blocks[start].pcs) for start in function.order}
    live: dict[int, frozenset[int]] = dict.fromkeys(function.order, frozenset())
    work = list(function.order)
    while work:
        start = work.pop()
        block, (reads, writes) = function.blocks[start], blocks[start]
        now = frozenset().union(*(live[successor] for successor in block.succs)) - writes | reads
        if now != live[start]:
            live[start] = now
            work.extend(block.preds)
    function.live = live
    return live


def _uses_and_kills(unit: Unit, pcs: Sequence[int]) -> tuple[frozenset[int], frozenset[int]]:
    """Return the registers that instructions read before they write them, and those that they write."""
    reads: set[int] = set()
    writes: set[int] = set()
    for pc in reversed(pcs):
        read, written = registers_of(unit, pc)
        reads = (reads - written) | read
        writes |= written
    return frozenset(reads), frozenset(writes)


class Liveness(NamedTuple):
    """Registers that are live before an instruction, after it, and after it without those that it writes."""

    before: frozenset[int]
    kept: frozenset[int]
    after: frozenset[int]


def live_after(unit: Unit, function: FlowGraph) -> dict[int, Liveness]:
    """Return the live registers at each instruction."""
    blocks = live_registers(unit, function)
    found: dict[int, Liveness] = {}
    for block in function.blocks.values():
        now = frozenset().union(*(blocks[successor] for successor in block.succs))
        for pc in reversed(block.pcs):
            reads, writes = registers_of(unit, pc)
            after, kept = now, now - writes
            now = kept | reads
            found[pc] = Liveness(now, kept, after)
    return found


def registers_of(unit: Unit, pc: int) -> tuple[set[int], set[int]]:
    """Return the registers that the instruction at `pc` reads and writes, without r10; do not change the sets."""
    if pc in unit.steps:
        return _registers_of_step(unit.steps[pc])
    found = unit.registers.get(pc)
    if found is None:
        found = unit.registers[pc] = _registers(unit, pc)
    return found


def _registers(unit: Unit, pc: int) -> tuple[set[int], set[int]]:
    row, insn = unit.rows[pc], unit.insns[pc]
    if row is None:
        return set(), set()
    if row.kind == "call":
        helper, kfunc = unit.helper(pc), unit.kfunc(pc)
        count = 5 if helper is None and kfunc is None else len(helper.args if helper else kfunc.params if kfunc else ())
        return set(range(1, count + 1)), set(range(6))
    if row.kind == "exit":
        return {0}, set()
    if row.kind in ("ld_abs", "ld_ind"):
        return {6, insn.src} if row.kind == "ld_ind" else {6}, {0}
    writes = {insn.dst} if row.kind in ("alu", "ldx", "load_acquire", "ld_imm64") else set()
    reads = {insn.dst} if row.kind in ("jmp", "st", "store_release", "atomic") else set()
    if row.kind == "alu" and row.op != "mov" and not row.op.startswith("movsx"):
        reads |= {insn.dst}
    if "src" in row.uses:
        reads |= {insn.src}
    if row.kind == "atomic" and row.op == "cmpxchg":
        reads |= {0}
    return reads - {10}, writes


def _registers_of_step(inlined: InlinedStep) -> tuple[set[int], set[int]]:
    """Return the registers that a node of an inlined function reads and writes."""
    own, loop = set(range(inlined.frame.first, inlined.frame.first + 5)), inlined.loop
    if loop is None:
        return set(), own
    kept = {loop.context, loop.counter, loop.bound}
    return {"begin": ({1, 3}, kept | set(range(6))), "check": ({loop.bound}, set()), "refuse": (set(), set(range(6))),
            "next": ({loop.counter, loop.bound}, set()), "visit": (kept, own | {loop.counter, *range(6)}),
            "again": ({0}, own | set(range(1, 6))), "beyond": (set(), set()),
            "done": ({loop.counter}, kept | set(range(6)))}[inlined.kind]
