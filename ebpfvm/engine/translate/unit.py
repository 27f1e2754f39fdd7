"""The program that is translated: its functions, and the facts about its maps, calls and contexts."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ebpfvm.contract.args import Ret
from ebpfvm.engine.translate import flow_graph
from ebpfvm.engine.translate.held_pointers import HeldPointers
from ebpfvm.engine.translate.map_facts import MapFacts, facts_of, inner_facts
from ebpfvm.engine.translate.ranges import ANY, Abs, NumRange, OriginKind, PtrOrigin, PtrRange, known, slot_at
from ebpfvm.isa import codes as c

if TYPE_CHECKING:
    from ebpfvm.contract.helper import Helper
    from ebpfvm.contract.kfunc import Kfunc
    from ebpfvm.engine.translate.flow_graph import FlowGraph
    from ebpfvm.engine.translate.inlined_nodes import InlinedFrame, InlinedStep
    from ebpfvm.engine.translate.ranges import RangeState
    from ebpfvm.kernel.layouts import Layout
    from ebpfvm.kernel.memory import Region
    from ebpfvm.kernel.program import LoadedProgram

# Helpers that return the start of a value; for other helpers, the result's place in its region is found at run time.
_WHOLE_VALUES = ("lookup", "lookup_percpu")


class Unit:
    """A program to translate.

    Args:
        prog: the program.
        layout: layout of the context, None for a context of plain bytes.

    Attributes:
        insns, rows: by node; the first are those of the program by slot.
        starts: where functions start.
        callbacks: entries of functions that helpers call.
        uses: entry slot -> number of places that call the function or take its address.
        frame_of: copied nodes with the copy that they belong to.
        steps: nodes that do something beside, or in place of, their instruction.
        ctx: where pointers to the context are counted from.
        templates: of the maps of maps whose inner maps are assumed to be alike.
        registers: slot -> registers read and written, as far as asked for (`register_uses.registers_of`).
        held: the pointers that are objects.
    """

    def __init__(self, prog: LoadedProgram, layout: Layout | None) -> None:
        self.prog = prog
        self.layout = layout
        self.memory = prog.kernel.memory
        self.insns = list(prog.program.insns)
        self.rows = flow_graph.rows(self.insns)
        self.uses, self.callbacks = flow_graph.entries(self.insns, self.rows)
        if prog.catches:
            self.callbacks.add(prog.catches)
            self.uses[prog.catches] += 1
        self.starts = sorted(self.uses)
        self.frame_of: dict[int, InlinedFrame] = {}
        self.steps: dict[int, InlinedStep] = {}
        self._slots = list(range(len(self.insns)))
        self._flows: dict[int, dict[int, list[int]]] = {}
        self._plain: dict[int, FlowGraph] = {}
        # Programs that fill struct_ops see `struct sk_buff`.
        fills = prog.type is not None and prog.type.fills
        self.skb_layout = prog.kernel.skb_layout if prog.kernel.skb_layout.fields and not fills else None
        self.registers: dict[int, tuple[set[int], set[int]]] = {}
        self._consts: dict[int, PtrOrigin] = {}
        self._maps = {found.region.base: facts_of(number, found) for number, found in enumerate(prog.maps)}
        self._inner_maps: dict[int, MapFacts | None] = {}
        self.templates: list[Any] = []
        # r1 of a program with a plain context points to its first byte.
        self.ctx = PtrOrigin("c", "ctx", 0, layout=layout)
        self.held = HeldPointers(self)

    def slot(self, node: int) -> int:
        """Return the slot of a node's instruction."""
        return self._slots[node]

    def target(self, node: int) -> int:
        """Return the function that the instruction of `node` calls or takes the address of."""
        return self._slots[node] + 1 + self.insns[node].imm

    def flow(self, entry: int) -> dict[int, list[int]]:
        """Return what may follow each instruction of the function at `entry`."""
        if entry not in self._flows:
            self._flows[entry] = flow_graph.flow_of(self.insns, self.rows, entry)
        return self._flows[entry]

    def plain(self, entry: int) -> FlowGraph:
        """Return the flow graph of the function at `entry` with its own instructions only."""
        if entry not in self._plain:
            self._plain[entry] = flow_graph.build(entry, self.flow(entry))
        return self._plain[entry]

    def copy(self, slot: int, frame: InlinedFrame | None = None) -> int:
        """Return a new node with the instruction at `slot`; in an inlined function, it uses that one's registers."""
        insn, row = self.insns[slot], self.rows[slot]
        if frame is not None and row is not None:
            if "dst" in row.uses and insn.dst > 5:
                insn = insn._replace(dst=frame.first + insn.dst - 6)
            if "src" in row.uses and insn.src > 5:
                insn = insn._replace(src=frame.first + insn.src - 6)
        if frame is not None:
            self.frame_of[len(self.insns)] = frame
        self.insns.append(insn)
        self.rows.append(row)
        self._slots.append(slot)
        return len(self._slots) - 1

    def const_origin(self, region: Region) -> PtrOrigin:
        """Return the origin of a region that lives as long as its map."""
        if region.id not in self._consts:
            self._consts[region.id] = PtrOrigin(f"k{region.id}", "const", 0, region=region)
        return self._consts[region.id]

    def map_at(self, address: Abs) -> MapFacts | None:
        """Return what is known of the map that `address` refers to, which may be one of several alike."""
        if isinstance(address, PtrRange):
            return address.origin.inner if not address.lo and not address.hi else None
        return self._maps.get(address.lo) if address.lo == address.hi else None

    def _inner(self, outer: MapFacts) -> MapFacts | None:
        """Return what the inner maps of a map of maps have in common, None for other maps."""
        if outer.number is None:
            return None
        if outer.number not in self._inner_maps:
            found = self._inner_maps[outer.number] = inner_facts(outer)
            if found is not None and not found.mixed:
                self.templates.append(outer.found.template)
        return self._inner_maps[outer.number]

    def helper(self, pc: int) -> Helper | None:
        """Return the helper called at `pc`."""
        insn = self.insns[pc]
        return self.prog.helpers.get(insn.imm) if insn.src == 0 else None

    def always_there(self, state: RangeState) -> bool:
        """Return whether the map in r1 has the key that r2 points to, whatever happens."""
        found, key = self.map_at(state.regs[1]), state.regs[2]
        if found is None or not found.all_keys or not isinstance(key, PtrRange):
            return False
        if key.origin.kind != "fp" or key.lo != key.hi:
            return False
        value = state.slots.get((slot_at(key), found.key_size))
        return isinstance(value, NumRange) and value.hi < found.all_keys

    def known_result(self, pc: int, state: RangeState) -> Abs:
        """Return what is known of the number that the call at `pc` returns."""
        helper, flags = self.helper(pc), state.regs[4]
        stores = helper is not None and helper.map_op == "update" and self.always_there(state)
        return known(0) if stores and isinstance(flags, NumRange) and flags.hi == 0 else ANY

    def kfunc(self, pc: int) -> Kfunc | None:
        """Return the kfunc called at `pc`."""
        insn = self.insns[pc]
        return self.prog.kfuncs.get(insn.imm) if insn.src == c.BPF_PSEUDO_KFUNC_CALL else None

    def may_acquire(self, entry: int) -> bool:
        """Return whether the function at `entry` may acquire references."""
        for pc in self.flow(entry):
            row, helper = self.rows[pc], self.helper(pc)
            if row is None or row.kind != "call":
                continue
            if row.op == "call_local":
                if self.may_acquire(self.target(pc)):
                    return True
            elif helper is None or not helper.map_op:
                return True
        return False

    def call_result(self, pc: int, state: RangeState) -> tuple[OriginKind, dict[str, Any]] | None:
        """Return kind and attributes of the origin that the call at `pc` creates; None if it creates none."""
        kfunc = self.kfunc(pc)
        if kfunc is not None:
            if kfunc.ret.struct == "sk_buff" and kfunc.ret.pointers == 1 and self.skb_layout is not None:
                return "object", {"start": 0, "maybe_null": "ret_null" in kfunc.flags, "layout": self.skb_layout}
            return None
        helper = self.helper(pc)
        if helper is None or helper.role == "tail_call":
            return None
        if helper.role == "kptr_xchg" and self.skb_layout is not None and _holds_packets(state.regs[1]):
            return "object", {"start": 0, "maybe_null": True, "layout": self.skb_layout}
        if helper.ret.kind is Ret.PTR_TO_MAP_VALUE:
            found = self.map_at(state.regs[1])
            whole = helper.map_op in _WHOLE_VALUES
            if found is None:
                return "plain", {"start": 0 if whole else None, "maybe_null": True, "checked": True}
            # A map of maps gives a map: nothing is ever loaded from that.
            return "plain", {"start": 0 if whole else None, "maybe_null": True, "inner": self._inner(found),
                             "shape": found.shape if whole else None, "map": found,
                             "checked": found.mixed or (found.shape is not None and not whole),
                             "fields": found.fields}
        return None


def _holds_packets(slot: Abs) -> bool:
    """Return whether a slot of a map's value is a kptr that holds packets."""
    return isinstance(slot, PtrRange) and slot.lo == slot.hi and any(
        field.offset == slot.lo and field.kind == "kptr_ref" and field.struct == "sk_buff"
        for field in slot.origin.fields)
