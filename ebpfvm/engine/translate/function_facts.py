"""The range pass: a fixed point over all paths of what each register and stack slot holds before each instruction.

It is independent of the verifier. The verifier's state pruning ignores the values of imprecise numbers, so that the
ranges seen on its walk do not cover every path; here every path is joined, with widening at loop headers.
"""

from __future__ import annotations

import heapq
from typing import TYPE_CHECKING, Any, Final

from ebpfvm.contract.maptype import BPF_F_RDONLY_PROG
from ebpfvm.engine.common import immediate
from ebpfvm.engine.translate import inlined_facts, ranges
from ebpfvm.engine.translate.ranges import (
    ANY,
    OPPOSITE,
    Abs,
    NumRange,
    PtrOrigin,
    PtrRange,
    RangeState,
    entry_state,
    known,
    number_of,
    slot_at,
)
from ebpfvm.engine.translate.register_uses import live_registers
from ebpfvm.errors import Fault
from ebpfvm.ints import S32_MAX, S64_MAX, U32_MAX, U64_MAX
from ebpfvm.isa import codes as c
from ebpfvm.kernel.emulated import FRAME_SIZE
from ebpfvm.kernel.memory import REGION_SHIFT
from ebpfvm.kernel.typed_values import TypedValue

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from ebpfvm.engine.translate.flow_graph import BasicBlock, FlowGraph
    from ebpfvm.engine.translate.inlined_nodes import CallbackLoop, InlinedFrame, InlinedStep
    from ebpfvm.engine.translate.ranges import Slot
    from ebpfvm.engine.translate.unit import Unit
    from ebpfvm.isa.insn import Insn
    from ebpfvm.isa.table import Row

_VISITS_BEFORE_WIDENING: Final = 3
FRAME_POINTER: Final = 10


class FunctionFacts:
    """Facts of one function.

    Args:
        unit: the program.
        function: its flow graph.
        args: what r1 to r5 hold at entry.
        tracked: direct stack accesses that nothing else can reach -> the atoms that they consist of.
        shared: slot of a look-up -> that of another one whose variables it shares.

    Attributes:
        before: slot -> state before the instruction; reachable instructions only.
        edges: (block, successor) pairs that can be taken.
        defined: slot -> origin that the instruction there creates.
    """

    def __init__(self, unit: Unit, function: FlowGraph, args: Sequence[Abs],
                 tracked: Mapping[Slot, tuple[Slot, ...]] | None = None,
                 shared: Mapping[int, int] | None = None) -> None:
        self.unit = unit
        self.function = function
        self.tracked = tracked or {}
        self._shared = shared or {}
        self.args = tuple(args)
        self.before: dict[int, RangeState] = {}
        self._after: dict[int, RangeState] = {}
        self.edges: set[tuple[int, int]] = set()
        self.defined: dict[int, PtrOrigin] = {}
        self._stops = _stops(unit, function)
        self._solve(args)

    def _solve(self, args: Sequence[Abs]) -> None:
        function = self.function
        position = {start: n for n, start in enumerate(function.order)}
        at: dict[int, RangeState] = {function.entry: entry_state(args, function.registers)}
        visits = dict.fromkeys(function.order, 0)
        work, waiting = [0], {function.entry}
        dead = _dead(self.unit, function)
        while work:
            start = function.order[heapq.heappop(work)]
            waiting.discard(start)
            visits[start] += 1
            block = function.blocks[start]
            for successor, state in self._run(block, at[start]):
                self.edges.add((start, successor))
                old, regs = at.get(successor), state.regs
                if any(regs[reg] is not ANY for reg in dead[successor]):
                    changed = list(regs)
                    for reg in dead[successor]:
                        changed[reg] = ANY
                    state = RangeState(tuple(changed), state.slots)
                new = state if old is None else self._join(old, state, visits[successor] >= _VISITS_BEFORE_WIDENING)
                if new != old:
                    at[successor] = new
                    if successor not in waiting:
                        waiting.add(successor)
                        heapq.heappush(work, position[successor])

    def _join(self, old: RangeState, new: RangeState, wide: bool) -> RangeState:
        if old == new:
            return old
        join = ranges.join
        regs = tuple([a if a is b else join(a, b) for a, b in zip(old.regs, new.regs, strict=True)])
        slots = old.slots
        if slots is not new.slots:
            slots = {slot: value if value is new.slots[slot] else join(value, new.slots[slot])
                     for slot, value in slots.items() if slot in new.slots}
            slots |= {slot: ranges.mixed(value) for here, there in ((old.slots, new.slots), (new.slots, old.slots))
                      if len(there) < len(here) or len(slots) < len(here)
                      for slot, value in here.items() if slot not in there and ranges.is_object(value)}
        if wide:
            regs = tuple([after if before is after else ranges.widen(before, after, self._stops)
                          for before, after in zip(old.regs, regs, strict=True)])
            slots = {slot: ranges.widen(old.slots[slot], value, self._stops) if slot in old.slots else value
                     for slot, value in slots.items()}
        return RangeState(regs, slots)

    def _run(self, block: BasicBlock, state: RangeState) -> list[tuple[int, RangeState]]:
        """Interpret `block`, and return the successors that can follow, each with its state."""
        for pc in block.pcs[:-1]:
            self.before[pc] = state
            state = self._step(pc, state)
        last = block.pcs[-1]
        self.before[last] = state
        row, inlined = self.unit.rows[last], self.unit.steps.get(last)
        if inlined is not None and len(block.succs) == 2:
            return inlined_facts.branch(inlined, block.succs, self._step(last, state))
        if row is not None and row.kind == "jmp" and len(block.succs) == 2:
            return self._branch(block, row, self.unit.insns[last], state)
        state = self._step(last, state)
        return [(successor, state) for successor in block.succs]

    def _branch(self, block: BasicBlock, row: Row, insn: Insn, state: RangeState) -> list[tuple[int, RangeState]]:
        a = state.regs[insn.dst]
        b = state.regs[insn.src] if row.source == "x" else known(insn.imm & U64_MAX)
        if isinstance(a, PtrRange) or isinstance(b, PtrRange):
            return [(successor, state) for successor in block.succs]
        if row.width == 32 and row.source == "k":
            b = known(insn.imm & U32_MAX)
        out = []
        for successor, op in zip(block.succs, (OPPOSITE[row.op], row.op), strict=True):
            found = ranges.refine(op, row.width, a, b)
            if found is None:
                continue
            regs = list(state.regs)
            regs[insn.dst] = found[0]
            if row.source == "x":
                regs[insn.src] = found[1]
            out.append((successor, RangeState(tuple(regs), state.slots)))
        return out

    def _step(self, pc: int, state: RangeState) -> RangeState:
        """Return the state after the instruction at `pc`."""
        row, insn = self.unit.rows[pc], self.unit.insns[pc]
        if pc in self.unit.steps:
            return self._inlined(pc, self.unit.steps[pc], state)
        if row is None:
            return state
        if row.kind == "alu":
            b = state.regs[insn.src] if row.source == "x" else known(insn.imm & U64_MAX)
            return _set(state, insn.dst, ranges.alu(row, state.regs[insn.dst], b))
        if row.kind == "ld_imm64":
            return _set(state, insn.dst, self._immediate(pc))
        if row.kind in ("ldx", "load_acquire"):
            return self._load(pc, row, insn, state)
        if row.kind in ("st", "store_release"):
            return self._store(row, insn, state)
        if row.kind == "atomic":
            return self._atomic(row, insn, state)
        if row.kind == "call":
            return self._call(pc, insn, state)
        if row.kind in ("ld_abs", "ld_ind"):
            return _set(state, 0, NumRange(0, (1 << row.width) - 1))
        return state

    def _inlined(self, pc: int, inlined: InlinedStep, state: RangeState) -> RangeState:
        loop, value = inlined.loop, None
        if inlined.kind == "visit" and loop is not None and loop.walks:
            value = self.defined[pc] = self._visited(pc, loop, state)
        return inlined_facts.step(inlined, state, self.atoms_of(inlined.frame), value)

    def _visited(self, pc: int, loop: CallbackLoop, state: RangeState) -> PtrOrigin:
        """Return the origin of the values that a walk visits."""
        found, old = self.unit.map_at(state.regs[loop.bound]), self.defined.get(pc)
        if old is not None and old.map == found:
            return old
        if found is None:
            return PtrOrigin(f"{loop.visit}v", "plain", 0, checked=True)
        return PtrOrigin(f"{loop.visit}v", "plain", 0, map=found, fields=found.fields, shape=found.shape,
                         checked=found.mixed)

    def atoms_of(self, frame: InlinedFrame) -> list[Slot]:
        """Return the variables that the frame of an inlined function consists of."""
        end = -FRAME_SIZE * frame.origin.frame
        return [atom for atoms in self.tracked.values() for atom in atoms if end - FRAME_SIZE <= atom[0] < end]

    def after(self, pc: int) -> RangeState:
        """Return the state after the reachable instruction at `pc`."""
        found = self._after.get(pc)
        if found is None:
            found = self._after[pc] = self._step(pc, self.before[pc])
        return found

    def leaving(self, start: int) -> RangeState:
        """Return the state at the end of a block, before its jump narrows anything."""
        return self.after(self.function.blocks[start].pcs[-1])

    def _immediate(self, pc: int) -> Abs:
        try:
            value = immediate(self.unit.prog, self.unit.slot(pc))
        except Fault:
            return ANY
        region = self.unit.memory.regions.get(value >> REGION_SHIFT)
        if self.unit.insns[pc].src in (c.BPF_PSEUDO_MAP_VALUE, c.BPF_PSEUDO_MAP_IDX_VALUE) and region is not None \
                and not isinstance(region, TypedValue):
            off = value - region.base
            return ranges.pointer_to(self.unit.const_origin(region), off, off, 0)
        return known(value)

    def _origin(self, pc: int, state: RangeState, kind: Any, **more: Any) -> tuple[PtrOrigin, RangeState]:
        """Return the origin that `pc` creates, and a state that has forgotten pointers to the one it created before."""
        first = self._shared.get(pc, pc)
        origin = self.defined.get(first)
        if origin is None:
            origin = self.defined[first] = PtrOrigin(str(first), kind, **more)
        self.defined[pc] = origin
        return origin, ranges.forget(origin, state)

    def _load(self, pc: int, row: Row, insn: Insn, state: RangeState) -> RangeState:
        pointer = state.regs[insn.src]
        if row.sign:
            return _set(state, insn.dst, ANY)
        plain = NumRange(0, (1 << row.width) - 1)
        if ranges.is_object(pointer):
            return _set(state, insn.dst, plain)
        if not isinstance(pointer, PtrRange):
            return _set(state, insn.dst, ANY)  # a four-byte field may yield a pointer
        if pointer.lo != pointer.hi:
            return _set(state, insn.dst, plain if pointer.origin.layout is None else ANY)
        off, size = pointer.lo + insn.off, row.width // 8
        constant = _frozen(pointer.origin, off, size)
        if constant is not None:
            return _set(state, insn.dst, known(constant))
        if pointer.origin.kind == "fp":
            return _set(state, insn.dst, state.slots.get((slot_at(pointer, insn.off), size), plain))
        if pointer.origin.layout is None:
            return _set(state, insn.dst, plain)
        return self._load_field(pc, insn, state, pointer.origin, off, size)

    def _load_field(self, pc: int, insn: Insn, state: RangeState, origin: PtrOrigin, off: int, size: int) -> RangeState:
        how = origin.layout.reading(off, size)
        if how is None:
            return _set(state, insn.dst, ANY)
        access = how.field.access
        held = self.unit.held.argument(how.field)
        if held is not None:
            return _set(state, insn.dst, held)
        if access in ("pkt", "pkt_meta", "pkt_end"):
            made, state = self._origin(pc, state, "packet", of=origin.name if origin.kind == "ctx" else "")
            return _set(state, insn.dst, PtrRange(made, 0, 0))
        if access == "skb" and not how.field.write and self.unit.skb_layout is not None:
            made, state = self._origin(pc, state, "object", maybe_null=True, start=0, layout=self.unit.skb_layout)
            return _set(state, insn.dst, PtrRange(made, 0, 0))
        return _set(state, insn.dst, ANY if how.mask is None else NumRange(0, how.mask))

    def _store(self, row: Row, insn: Insn, state: RangeState) -> RangeState:
        pointer = state.regs[insn.dst]
        if not self.tracked or not isinstance(pointer, PtrRange) or pointer.origin.kind != "fp":
            return state
        slot = slot_at(pointer, insn.off), row.width // 8
        if slot not in self.tracked:
            return state
        value = known(insn.imm & U64_MAX) if row.source == "k" else state.regs[insn.src]
        slots = dict(state.slots)
        for atom in self.tracked[slot]:
            slots[atom] = value if atom[1] == 8 else _narrow(number_of(value), 8 * (atom[0] - slot[0]), 8 * atom[1])
        return RangeState(state.regs, slots)

    def _atomic(self, row: Row, insn: Insn, state: RangeState) -> RangeState:
        pointer = state.regs[insn.dst]
        slots = state.slots
        if isinstance(pointer, PtrRange) and pointer.origin.kind == "fp":
            changed = self.tracked.get((slot_at(pointer, insn.off), row.width // 8), ())
            slots = {slot: value for slot, value in slots.items() if slot not in changed}
        state = RangeState(state.regs, slots)
        if not row.fetch:
            return state
        return _set(state, 0 if row.op == "cmpxchg" else insn.src, NumRange(0, (1 << row.width) - 1))

    def _call(self, pc: int, insn: Insn, state: RangeState) -> RangeState:
        held = self.unit.held.result(pc, state)
        made = self.unit.call_result(pc, state) if held is None else None
        result: Abs = held or self.unit.known_result(pc, state)
        if made is not None:
            kind, more = made
            origin, state = self._origin(pc, state, kind, **more)
            result = PtrRange(origin, 0, 0)
        regs = (result, ANY, ANY, ANY, ANY, ANY, *state.regs[6:])
        return RangeState(regs, state.slots)


def _dead(unit: Unit, function: FlowGraph) -> dict[int, list[int]]:
    """Return the registers that nobody reads before they are written, at the start of each block; never r10."""
    live = live_registers(unit, function)
    return {start: [reg for reg in range(function.registers) if reg not in live[start] and reg != FRAME_POINTER]
            for start in function.order}


def _frozen(origin: PtrOrigin, off: int, size: int) -> int | None:
    """Return the number at a place of a map that nobody writes any more, such as .rodata; None for other places."""
    found: Any = origin.region.owner if origin.kind == "const" else None
    if not getattr(found, "frozen", False) or not found.flags & BPF_F_RDONLY_PROG:
        return None
    if not 0 <= off <= origin.region.size - size:
        return None
    number: int = origin.region.load(off, size)
    return number


def _narrow(value: NumRange, shift: int, width: int) -> NumRange:
    """Return `width` bits of a number, from bit `shift` on."""
    top = (1 << width) - 1
    if value.lo == value.hi:
        return known(value.lo >> shift & top)
    if not shift:
        return value if value.hi <= top else ranges.number_between(0, top, min(value.zeros, width))
    return NumRange(0, min(top, value.hi >> shift))


def _set(state: RangeState, reg: int, value: Abs) -> RangeState:
    regs = state.regs
    return RangeState((*regs[:reg], value, *regs[reg + 1:]), state.slots)


def _stops(unit: Unit, function: FlowGraph) -> list[int]:
    """Return the bounds at which widening stops: numbers that this function compares with, and limits of the sizes."""
    stops = {0, 1, 255, 65535, S32_MAX, U32_MAX, S64_MAX, U64_MAX}
    for block in function.blocks.values():
        row, insn = unit.rows[block.pcs[-1]], unit.insns[block.pcs[-1]]
        if row is not None and row.kind == "jmp" and row.source == "k" and insn.imm >= 0:
            stops |= {max(insn.imm - 1, 0), insn.imm, insn.imm + 1}
    return sorted(stops)
