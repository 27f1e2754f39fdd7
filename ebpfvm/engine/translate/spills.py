"""Pointers to the frame, and to keys of walks, that a function keeps in its frame: which slots may hold them.

A variable of the frame that contains such a pointer is followed as a register is, as long as nothing but direct loads
and stores reaches the variable. A pointer that ceases to be known on the way counts as lost.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from ebpfvm.engine.translate.ranges import PtrRange, slot_at

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from ebpfvm.engine.translate.flow_graph import BasicBlock
    from ebpfvm.engine.translate.function_facts import FunctionFacts
    from ebpfvm.engine.translate.ranges import RangeState, Slot
    from ebpfvm.engine.translate.unit import Unit


def is_private(value: object) -> bool:
    """Return whether a value points to what only the function itself, with what it inlines, can reach."""
    return isinstance(value, PtrRange) and value.origin.kind in ("fp", "key")


def spilled(unit: Unit, pc: int, state: RangeState) -> Slot | None:
    """Return where the store at `pc` puts a pointer to the frame or a key, if that is a slot of the running frame."""
    row, insn = unit.rows[pc], unit.insns[pc]
    if row is None or row.kind != "st" or row.source == "k" or row.width != 64:
        return None
    value, base = state.regs[insn.src], state.regs[insn.dst]
    frame = unit.frame_of.get(pc)
    if not is_private(value) or not isinstance(value, PtrRange) or value.lo != value.hi:
        return None
    if not isinstance(base, PtrRange) or base.origin.kind != "fp" or base.lo != base.hi \
            or insn.dst != (10 if frame is None else frame.fp):
        return None
    return slot_at(base, insn.off), 8


def is_followed(slot: Slot | None, tracked: Mapping[Slot, tuple[Slot, ...]]) -> bool:
    """Return whether what is stored in a slot stays known."""
    return slot is not None and tracked.get(slot) == (slot,)


def shown(facts: FunctionFacts, read: Iterable[Slot]) -> Iterator[PtrRange]:
    """Yield the pointers in slots that helpers read, which may follow them, as bpf_snprintf follows its arguments."""
    areas = list(read)
    for state in facts.before.values():
        for slot, value in state.slots.items():
            if isinstance(value, PtrRange) and is_private(value) and any(
                    off < slot[0] + slot[1] and slot[0] < off + size for off, size in areas):
                yield value


def lost(unit: Unit, facts: FunctionFacts, read: Iterable[Slot]) -> Iterator[PtrRange]:
    """Yield the pointers in slots that cease to be known on the way to where the slots are read.

    Args:
        read: areas that helpers read.
    """
    held = {slot for state in facts.before.values() for slot, value in state.slots.items() if is_private(value)}
    if not held:
        return
    always = {slot for slot in held if any(off < slot[0] + slot[1] and slot[0] < off + size for off, size in read)}
    live = _live(unit, facts, held, always)
    for start, successor in facts.edges:
        out, into = facts.leaving(start).slots, facts.before[successor].slots
        for slot in live[successor]:
            value = out.get(slot)
            if isinstance(value, PtrRange) and is_private(value) and not is_private(into.get(slot)):
                yield value


def _live(unit: Unit, facts: FunctionFacts, held: set[Slot], always: set[Slot]) -> dict[int, set[Slot]]:
    """Return the slots that may be read later, at the start of each block."""
    blocks = facts.function.blocks
    live: dict[int, set[Slot]] = {start: set(always) for start in blocks}
    work = list(blocks)
    while work:
        start = work.pop()
        now = set().union(always, *(live[successor] for successor in blocks[start].succs))
        now = _before(unit, facts, blocks[start], now, held) | always
        if now != live[start]:
            live[start] = now
            work.extend(blocks[start].preds)
    return live


def _before(unit: Unit, facts: FunctionFacts, block: BasicBlock, live: set[Slot], held: set[Slot]) -> set[Slot]:
    for pc in reversed(block.pcs):
        row, insn = unit.rows[pc], unit.insns[pc]
        if pc not in facts.before or pc in unit.steps or row is None or row.kind not in ("ldx", "load_acquire", "st"):
            continue
        base = facts.before[pc].regs[insn.dst if row.kind == "st" else insn.src]
        if not isinstance(base, PtrRange) or base.origin.kind != "fp":
            continue
        slot = slot_at(base, insn.off), row.width // 8
        if slot in held:
            live = live - {slot} if row.kind == "st" else live | {slot}
    return live
