"""The facts about all functions of a program; a function's facts start with what its callers pass."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from ebpfvm.contract.args import Arg
from ebpfvm.engine.translate.atoms import direct_slots
from ebpfvm.engine.translate.frame import classify
from ebpfvm.engine.translate.function_facts import FunctionFacts
from ebpfvm.engine.translate.inlining import inlined_graph
from ebpfvm.engine.translate.lookups import sharing
from ebpfvm.engine.translate.ranges import ANY, Abs, OriginKind, PtrOrigin, PtrRange, is_object, join, number_of
from ebpfvm.engine.translate.register_uses import live_after
from ebpfvm.engine.translate.sort_keys import cell_of
from ebpfvm.isa import codes as c

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from ebpfvm.contract.helper import Helper
    from ebpfvm.engine.translate.flow_graph import FlowGraph
    from ebpfvm.engine.translate.frame import FrameLayout
    from ebpfvm.engine.translate.inlined_nodes import CallbackLoop, Path
    from ebpfvm.engine.translate.ranges import RangeState, Slot
    from ebpfvm.engine.translate.unit import Unit
    from ebpfvm.isa.insn import Insn
    from ebpfvm.isa.table import Row
    from ebpfvm.kernel.layouts import Layout


_ATTEMPTS: Final = 4  # to find variables and facts that confirm each other


def _passed(helper: Helper) -> dict[int, int]:
    """Return what a helper passes to its callback, by argument: plain memory (0), or one of the helper's arguments."""
    passed = dict.fromkeys(helper.memory_to, 0)
    if helper.context_to:
        passed[helper.context_to] = [spec.kind for spec in helper.args].index(Arg.PTR_TO_STACK) + 1
    return passed


def _is_function(row: Row, insn: Insn) -> bool:
    """Return whether an instruction takes the address of a function."""
    return row.kind == "ld_imm64" and insn.src == c.BPF_PSEUDO_FUNC


def _wrong(unit: Unit, facts: FunctionFacts, frame: FrameLayout) -> set[Path]:
    """Return the copies that must stay functions, because of what the facts say about their calls and frames."""
    found = set()
    for copy in facts.function.frames:
        if copy.origin in frame.escapes:
            found.add(copy.path)
    for pc, state in facts.before.items():
        inlined = unit.steps.get(pc)
        if inlined is not None and inlined.loop is not None and inlined.kind == "begin" \
                and not _confirmed(unit, inlined.loop, state.regs, frame):
            found.add(inlined.loop.path)
    return found


def _beyond(unit: Unit, facts: FunctionFacts) -> set[Path]:
    """Return the walks that may have more rounds than there are copies of the callback for, or must not have copies."""
    found = set()
    for pc, state in facts.before.items():
        inlined = unit.steps.get(pc)
        if inlined is None or inlined.loop is None or inlined.loop.round is None:
            continue
        walked = unit.map_at(state.regs[inlined.loop.bound]) if inlined.kind == "next" else None
        if inlined.kind == "beyond" or (inlined.kind == "next" and (walked is None or not walked.has_nth)):
            found.add(inlined.loop.path)
    return found


def _confirmed(unit: Unit, loop: CallbackLoop, regs: Sequence[Abs], frame: FrameLayout) -> bool:
    """Return whether a helper calls back what seemed to be its callback, without flags, over a map that can be."""
    callback, flags = number_of(regs[2]), number_of(regs[4])
    if not callback.lo == callback.hi == unit.prog.func_base + loop.target or flags.hi or loop.key in frame.escapes:
        return False
    walked = unit.map_at(regs[1])
    return loop.helper.role == "loop" or (walked is not None and walked.is_walked)


def _settled(unit: Unit, graph: FlowGraph, args: Sequence[Abs]) -> tuple[FunctionFacts, FrameLayout]:
    """Return facts about a function, and the layout of its frame.

    The variables of the frame are guessed, and facts that track them must confirm that they are variables. So pointers
    to the frame that are kept in the frame stay known.
    """
    assumed: Mapping[Slot, tuple[Slot, ...]] = direct_slots(unit, graph)
    for _ in range(_ATTEMPTS):
        facts = FunctionFacts(unit, graph, args, assumed)
        frame = classify(unit, facts)
        if frame.local == assumed:
            return facts, frame
        assumed = frame.local
    facts = FunctionFacts(unit, graph, args)
    frame = classify(unit, facts)
    return FunctionFacts(unit, graph, args, frame.local) if frame.local else facts, frame


class ProgramFacts:
    """The facts of every function that a program can reach, callers first.

    Attributes:
        facts: entry slot -> facts; without functions that are only ever part of others.
        frames: entry slot -> layout of the frame.
    """

    def __init__(self, unit: Unit) -> None:
        self.unit = unit
        self.facts: dict[int, FunctionFacts] = {}
        self.frames: dict[int, FrameLayout] = {}
        self._needed = {0, unit.prog.catches}
        self._args: dict[int, tuple[Abs, ...]] = {}
        self._arguments: dict[tuple[int, str], PtrOrigin] = {}
        self._analyse()

    def _analyse(self) -> None:
        self._args[0] = (PtrRange(self.unit.ctx, 0, 0), ANY, ANY, ANY, ANY)
        for entry in self._callers_first():
            if entry in self._needed:
                self._analyse_function(entry)
                self._pass_on(entry)

    def _analyse_function(self, entry: int) -> None:
        """Find the facts of a function, with those calls inlined that the facts allow to be."""
        refused: set[Path] = set()
        longer: set[Path] = set()
        args = self._args.get(entry, (ANY,) * 5)
        while True:
            graph = inlined_graph(self.unit, entry, refused, longer)
            facts, frame = _settled(self.unit, graph, args)
            wrong = _wrong(self.unit, facts, frame)
            refused |= wrong
            if wrong:
                continue
            beyond = _beyond(self.unit, facts)
            if not beyond:
                break
            longer |= beyond
        shared = sharing(self.unit, facts)
        if shared:
            more = FunctionFacts(self.unit, graph, args, frame.local, shared)
            if classify(self.unit, more) == frame:
                facts = more
        self.facts[entry], self.frames[entry] = facts, frame

    def _callers_first(self) -> list[int]:
        callees = {entry: self._callees(entry) for entry in self.unit.starts}
        order: list[int] = []
        seen: set[int] = set()

        def visit(entry: int) -> None:
            if entry not in seen:
                seen.add(entry)
                for callee in callees[entry]:
                    visit(callee)
                order.append(entry)

        if self.unit.prog.catches:
            visit(self.unit.prog.catches)
        visit(0)
        return order[::-1]

    def _callees(self, entry: int) -> list[int]:
        found = []
        for pc in self.unit.flow(entry):
            insn, row = self.unit.insns[pc], self.unit.rows[pc]
            if row is not None and (row.op == "call_local" or _is_function(row, insn)):
                found.append(self.unit.target(pc))
        return found

    def _pass_on(self, entry: int) -> None:
        """Pass what this function knows on to the functions that it calls."""
        facts = self.facts[entry]
        live, loops, keyed = live_after(self.unit, facts.function), self._loops(facts), self._keyed(facts)
        for pc, state in facts.before.items():
            row, insn = self.unit.rows[pc], self.unit.insns[pc]
            if row is None or pc in self.unit.steps:
                continue
            if _is_function(row, insn) and self.unit.target(pc) not in keyed \
                    and (insn.dst in live[pc].after or self.unit.target(pc) not in loops):
                self._needed.add(self.unit.target(pc))
            if row.kind != "call":
                continue
            if row.op == "call_local":
                self._needed.add(self.unit.target(pc))
                self._meet(self.unit.target(pc), state.regs[1:6])
            elif insn.src == 0:
                self._pass_to_callback(pc, state.regs)
            else:
                self._pass_to_order(pc, state)

    def _loops(self, facts: FunctionFacts) -> set[int]:
        """Return the callbacks of the loops in a function."""
        steps = (self.unit.steps.get(pc) for pc in facts.before)
        return {step.loop.target for step in steps if step is not None and step.loop is not None}

    def _keyed(self, facts: FunctionFacts) -> set[int]:
        """Return the functions that only order trees, and by a number, so that nothing has to call them."""
        found: set[int] = set()
        others: set[int] = set()
        for pc, state in facts.before.items():
            row = self.unit.rows[pc]
            if row is None or row.kind != "call" or pc in self.unit.steps:
                continue
            order = self.unit.held.sorts(pc, state)
            by_number = order is not None and cell_of(self.unit, *order) is not None
            passed = {number_of(value).lo - self.unit.prog.func_base for value in state.regs[1:6]}
            (found if by_number else others).update(passed & self.unit.callbacks)
        return found - others

    def _pass_to_callback(self, pc: int, regs: Sequence[Abs]) -> None:
        helper = self.unit.helper(pc)
        for reg in range(1, 6):
            value = regs[reg]
            address = value.lo if not isinstance(value, PtrRange) and value.lo == value.hi else -1
            target = address - self.unit.prog.func_base
            if target not in self.unit.callbacks:
                continue
            passed = _passed(helper) if helper is not None else {}
            self._meet(target, [ANY if n not in passed else regs[passed[n]] if passed[n] else self._plain(n)
                                for n in range(1, 6)])

    def _pass_to_order(self, pc: int, state: RangeState) -> None:
        """Pass two nodes to the function that orders a tree, or nothing that is known to another callback."""
        found = self.unit.held.sorts(pc, state)
        if found is not None:
            target, root = found
            node = self.unit.held.to(root.kind, root.at)
            self._join(target, [node, node, ANY, ANY, ANY])
            return
        for value in state.regs[1:6]:
            target = number_of(value).lo - self.unit.prog.func_base
            if target in self.unit.callbacks:
                self._join(target, (ANY,) * 5)

    def _meet(self, target: int, args: Sequence[Abs]) -> None:
        self._join(target, [self._argument(n, value) for n, value in enumerate(args, 1)])

    def _join(self, target: int, fresh: Sequence[Abs]) -> None:
        old = self._args.get(target)
        self._args[target] = tuple(map(join, old, fresh)) if old is not None else tuple(fresh)

    def _argument(self, n: int, value: Abs) -> Abs:
        """Return what a callee knows about an argument: context and constants unchanged, other pointers as its own."""
        if is_object(value):
            return ANY  # callers pass addresses
        if not isinstance(value, PtrRange) or value.origin.kind in ("ctx", "const"):
            return value
        if value.origin.kind == "object":
            if value.lo or value.hi:
                return ANY
            return PtrRange(self._argument_origin(n, "object", value.origin.layout), 0, 0)
        return self._plain(n)

    def _plain(self, n: int) -> Abs:
        return PtrRange(self._argument_origin(n, "plain"), 0, 0)

    def _argument_origin(self, n: int, kind: OriginKind, layout: Layout | None = None) -> PtrOrigin:
        if (n, kind) not in self._arguments:
            start = 0 if kind == "object" else None
            self._arguments[n, kind] = PtrOrigin(f"a{n}", kind, start, maybe_null=True, layout=layout,
                                                         checked=kind == "plain")
        return self._arguments[n, kind]
