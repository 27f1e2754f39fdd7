"""What qdisc and device do around the programs, as blocks that follow those of the programs.

A program's result leads to one of these blocks instead of returning: what usually happens is in them, and everything
else is a call of the pipeline's own method between `PUT` and `GET`, which write the function's variables back and read
them again.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from ebpfvm.engine.translate.flow_graph import FlowGraph
from ebpfvm.engine.translate.program_body import GET, PUT
from ebpfvm.engine.translate.sinking import sunk
from ebpfvm.engine.translate.source import simplify
from ebpfvm.engine.translate.statements import NEXT_TICK, BlockCode, Stmt, assign, effect, effect_to, reads_of, sweep
from ebpfvm.ints import U32_MAX
from ebpfvm.kernel.refs import COUNT, CTX_UNIT, PROGRAM_UNIT
from ebpfvm.lazy_tuples import NamedTuple
from ebpfvm.sched.fused.arrivals import EPOCH
from ebpfvm.sched.fused.fused_run import NEVER
from ebpfvm.sched.fused.path_facts import PROGRAM, PathFacts
from ebpfvm.sched.fused.reference_steps import PACKET_AT
from ebpfvm.sched.fused.specialised import QUIESCE, Specialiser
from ebpfvm.sched.sch_bpf import SCH_BPF_DROP, SCH_BPF_PASS, SCH_BPF_THROTTLE

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from ebpfvm.engine.translate.program_body import ProgramBody
    from ebpfvm.kernel.refs import Holder
    from ebpfvm.sched.fused.fused_steps import Steps
    from ebpfvm.sched.fused.map_code import Views

OUTSIDE: Final = -1  # instruction of what belongs to no program
_NUMBER: Final = re.compile(r"\d+|0x[0-9a-f]+")
_FIELDS: Final = {"packet": "o_skb", "classid": "t_classid", "delay": "t_delay"}
_CONTEXT: Final = re.compile(r"\bo_c\.(packet|classid|delay)\b")
_HAND_OVER: Final = re.compile(r"\bo_c\.hand_over\((\w+)\)")
_STORED: Final = re.compile(r"g_c\.store\(0, 8, (\w+)\)")  # by its address: one of several packets
ADDRESS: Final = re.compile(r"\b[bgdko]_c\b")  # the context and its address


class Site(NamedTuple):
    """A place in the function where a program runs.

    Attributes:
        graph, code: the blocks of the program and of what follows it.
        usual, calls: see `Specialiser`.
    """

    graph: FlowGraph
    code: dict[int, BlockCode]
    usual: frozenset[str] = frozenset()
    calls: frozenset[str] = frozenset()


def needs_context(body: ProgramBody) -> bool:
    """Return whether a program uses its context other than by loads and stores of its fields."""
    texts = [text for block in body.code.values()
             for text in (*(line.text for line in block.lines if line.writes != "o_c"), block.condition)]
    return any(ADDRESS.search(_HAND_OVER.sub("", _STORED.sub("", _CONTEXT.sub("", text)))) for text in texts)


class Blocks:
    """Blocks around the blocks of a program.

    Args:
        body: the program.
        suffix: what the names of its budget and so on end with.
        budget: how many instructions it may execute.
    """

    def __init__(self, body: ProgramBody, suffix: str, budget: int) -> None:
        self.body = body
        self.suffix = suffix
        self.budget = budget
        self.code: dict[int, BlockCode] = {}
        self._fresh = max(body.code) + (1 << 33)
        self.end = self.block([])

    def block(self, lines: Iterable[str | Stmt], condition: str = "", succs: tuple[int, ...] = ()) -> int:
        """Add a block; a true condition leads to the second successor."""
        self._fresh += 1
        found = [line if isinstance(line, Stmt) else effect(line, OUTSIDE) for line in lines]
        self.code[self._fresh] = BlockCode(found, condition, reads_of(condition), OUTSIDE, None, succs)
        return self._fresh

    def choose(self, condition: str, yes: int, no: int) -> int:
        """Add a block that decides."""
        return self.block([], condition, (no, yes))

    def slowly(self, call: str, after: int, to: str = "") -> int:
        """Add a block that calls a method of the pipeline, and assigns what it returns to the variable `to`."""
        return self.block([PUT, effect_to(to, call, OUTSIDE) if to else call, GET], succs=(after,))

    @staticmethod
    def dropping(constant_size: bool, pooled: bool = False) -> list[str]:
        """Return the lines that drop a packet which only the qdisc holds; all have one size if `constant_size`.

        If `pooled`, it may be used again.
        """
        size = [] if constant_size else ["dropped_bytes += o_skb.len"]
        if pooled:
            return ["o_skb.refs = 0", "o_skb.flow.drops += 1", "dropped += 1", *size, "POOL.append(o_skb)"]
        return ["o_skb.fate = DROPPED", "o_skb.refs = 0", "o_skb.last_holder = HOLDER", "o_skb.flow.drops += 1",
                "dropped += 1", *size]

    def joined(self) -> tuple[FlowGraph, dict[int, BlockCode]]:
        """Return the blocks that can be reached; the program's budget is counted only if it might consume that."""
        entry = self.body.graph.entry
        graph, code = simplify(FlowGraph(entry, {}), _reachable(entry, self.code))
        if not self.body.counts:
            return graph, code
        free = {start: block._replace(lines=[line for line in block.lines if not line.value.startswith(NEXT_TICK)])
                for start, block in code.items()}
        passed = any("ticks" in line.value for block in free.values() for line in block.lines)  # to what may consume it
        if not passed and not graph.loops and self.budget > sum(len(block.lines) for block in code.values()):
            return graph, free
        begin = effect(f"ticks = REPEAT(None, BUDGET{self.suffix})", OUTSIDE)
        return graph, code | {entry: code[entry]._replace(lines=[begin, *code[entry].lines])}


class Glue(Blocks):
    """Blocks around the blocks of a program of the RFC's qdisc."""

    ordinal = "ids"  # see `FusedRun`

    def prepare(self, views: Views, holder: Holder, handle: int, constant_size: bool, throttles: bool, pooled: bool,
                fields: dict[str, int], steps: tuple[Steps, ...]) -> None:
        """Take note of the program's maps, and of the qdisc.

        Args:
            views: the maps.
            holder, handle: the qdisc as a holder of references, and its handle.
            constant_size: whether all packets have one size.
            throttles: whether the function knows the qdisc's watchdog.
            pooled: whether packets are used again.
            fields: those of packets of which all have the same number, each with a dot before it.
            steps: what else knows what becomes of statements.
        """
        self.views = views
        self.own = holder.unit
        self.constants = {"OWN": holder.unit, "OWN_MASK": holder.mask, **fields}
        self.constant_size = constant_size
        self.throttles = throttles
        self.pooled, self.steps = pooled, steps
        self._fields = [("t_classid", str(handle)), ("t_delay", "0")]

    # ---- enqueue ----------------------------------------------------------------------------------------------------

    def enqueue(self) -> Site:
        """Return the enqueue program, and what qdisc and device do with its result."""
        end = self.end
        queued = self.choose("(o_skb.refs & OWN_MASK and o_skb.refs != OWN)",
                             self.block(["o_skb.refs -= OWN"], succs=(end,)),
                             self.slowly("S.enqueued(o_skb, 0, t_classid, t_delay)", end))
        drop = self.choose("(o_skb.refs == OWN and o_skb._region is None and o_skb._packet is None)",
                           self.block(self.dropping(self.constant_size, self.pooled), succs=(end,)),
                           self.slowly("S.enqueued(o_skb, 1, t_classid, t_delay)", end))

        def target(result: int) -> int | None:
            return {0: queued, SCH_BPF_DROP: drop}.get(result)

        other = self.slowly(f"S.enqueued(o_skb, r0 & {U32_MAX:#x}, t_classid, t_delay)", end)
        unknown = self.choose(f"(r0 & {U32_MAX:#x} == 0)", queued,
                              self.choose(f"(r0 & {U32_MAX:#x} == 1)", drop, other))
        return self._site(self._fields, target, unknown)

    # ---- dequeue ----------------------------------------------------------------------------------------------------

    def dequeue(self, send: list[str]) -> Site:
        """Return the dequeue program, and what happens to its packet; `send` puts `o_skb` on the wire."""
        end = self.end
        sent = self.block(send, succs=(end,))

        def asked(result: str) -> int:
            call = f"S.qdisc.dequeued(o_skb, {result}, t_classid, t_delay)"
            return self.slowly(call, self.choose("o_skb is None", end, sent), to="o_skb")

        dequeued = self.choose("o_skb is None", end, self.choose(
            f"o_skb.refs == {CTX_UNIT:#x}", self.block(["o_skb.refs = OWN"], succs=(sent,)), asked("0")))

        def target(result: int) -> int | None:
            if result == SCH_BPF_PASS:
                return None
            if result == SCH_BPF_THROTTLE and self.throttles:
                return self._throttled(asked(str(result)))
            return dequeued if not result else self.choose("o_skb is None", end, asked(str(result)))

        other = asked(f"r0 & {U32_MAX:#x}")
        unknown = self.choose(f"(r0 & {U32_MAX:#x} == 0)", dequeued, other)
        return self._site([("o_skb", "None"), *self._fields], target, unknown)

    def _throttled(self, asked: int) -> int:
        """Return the block that lets the watchdog ask again; `asked` has the qdisc do that."""
        count = "VIEW.overlimits += 1"
        armed = self.block([count], succs=(self.end,))
        arms = self.block([count, "armed = now + t_delay",
                           f"mark = rang = mark + 1 if mark > {self.ordinal} << {EPOCH} else "
                           f"({self.ordinal} << {EPOCH}) + 2"],
                          succs=(self.end,))
        another = self.choose(f"(armed == {NEVER} and now + t_delay < {NEVER})", arms, asked)
        return self.choose("o_skb is None", self.choose("(armed == now + t_delay)", armed, another), asked)

    # ---- both -------------------------------------------------------------------------------------------------------

    def _site(self, head: list[tuple[str, str]], target: Callable[[int], int | None], unknown: int) -> Site:
        """Put the blocks together."""
        body, entry = self.body, self.body.graph.entry
        known: dict[int, int] = {}
        for start, block in body.code.items():
            block = _of_context(block)
            if block.result is not None:
                block = self._leaving(block, target, unknown, known)
            self.code[start] = block
        begin = [assign(name, value, OUTSIDE) for name, value in head]
        self.code[entry] = self.code[entry]._replace(lines=[*begin, *self.code[entry].lines])
        graph, code = self.joined()
        facts = PathFacts.nothing()
        facts.intact[PROGRAM] = True
        if ("o_skb", "None") not in head:
            facts.null["o_skb"], facts.refs["o_skb"] = False, ("", self.own)
        found = Specialiser(graph, code, self.views, facts, self.constants, self.steps)
        graph, code = simplify(FlowGraph(found.entry, {}), found.made)
        code, _ = sweep(sunk(code, graph), graph)
        return Site(graph, code, frozenset(found.usual), frozenset(found.calls))

    def _leaving(self, block: BlockCode, target: Callable[[int], int | None], unknown: int,
                 known: dict[int, int]) -> BlockCode:
        """Return a block that ends the program as one that leads to what follows it."""
        result, lines = str(block.result), list(block.lines)
        if self.body.enters:
            lines.append(effect("STACK.depth -= 1", OUTSIDE))
        lines.append(effect(QUIESCE, OUTSIDE))
        found = None
        if _NUMBER.fullmatch(result):
            number = int(result, 0) & U32_MAX
            if number not in known:
                to = target(number)
                if to is not None:
                    known[number] = to
            found = known.get(number)
        if found is None:
            lines.append(assign("r0", result, block.pc))
            found = unknown
        return block._replace(lines=lines, result=None, reads=frozenset(), succs=(found,))


def _reachable(entry: int, code: dict[int, BlockCode]) -> dict[int, BlockCode]:
    found, work = {}, [entry]
    while work:
        start = work.pop()
        if start not in found:
            found[start] = code[start]
            work.extend(code[start].succs)
    return found


def _of_context(block: BlockCode) -> BlockCode:
    """Return the block with the fields of its context as variables."""
    lines = []
    for line in block.lines:
        if line.writes == "o_c" or (line.pure and ADDRESS.fullmatch(line.writes)):
            continue
        stored = _STORED.fullmatch(line.text)
        if stored is not None:
            lines += _handed_over(stored[1], line.pc)
            continue
        text = _variables(line.text)
        name, equals, value = text.partition(" = ")
        if not line.writes and equals and name in _FIELDS.values():  # a store to the context
            lines.append(assign(name, value, line.pc))
        elif line.value != _variables(line.value):
            value = _variables(line.value)
            lines.append(line._replace(value=value, reads=reads_of(value), idle=_variables(line.idle)))
        else:
            lines.append(line)
    condition = _variables(block.condition)
    result = block.result if block.result is None else _variables(block.result)
    return block._replace(lines=lines, condition=condition, reads=reads_of(condition) | reads_of(result or ""),
                          result=result)


def _handed_over(address: str, pc: int) -> list[Stmt]:
    """Return what `emit_objects.store_packet` makes of a store, for a packet of which only the address is known."""
    found = "o_stored"
    return [effect_to(found, f"{PACKET_AT}({address})", pc),
            effect(f"if {found} is not None and not {found}.refs & {COUNT:#x}: HAND_OVER({found})", pc),
            effect(f"if {found} is not None: {found}.refs += {CTX_UNIT - PROGRAM_UNIT:#x}; REFS.held -= 1", pc),
            assign("o_skb", found, pc)]


def _variables(text: str) -> str:
    text = _HAND_OVER.sub(r"HAND_OVER(\1)", text)
    return _CONTEXT.sub(lambda match: _FIELDS[match[1]], text)
