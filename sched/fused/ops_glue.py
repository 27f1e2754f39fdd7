"""What a qdisc of struct_ops and its device do around the members enqueue and dequeue, as blocks that follow theirs.

The arguments are the packet, a constant for the qdisc, and a constant for the list of packets to free; the packet that
dequeue returns is a variable. `OpsCalls` does what is not frequent, on the objects of the pipeline.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, Final, Never

from ebpfvm.engine.translate.flow_graph import FlowGraph
from ebpfvm.engine.translate.ranges import PtrRange, number_of
from ebpfvm.engine.translate.source import simplify
from ebpfvm.engine.translate.statements import BlockCode, Stmt, assign, effect, reads_of, sweep
from ebpfvm.errors import InternalError
from ebpfvm.kernel.kernel_structs import QDISC, SK_BUFF, structs_of
from ebpfvm.kernel.object_sorting import PLENTY
from ebpfvm.kernel.object_types import ObjectType
from ebpfvm.kernel.refs import COUNT, PROGRAM_UNIT
from ebpfvm.sched.account import Packet
from ebpfvm.sched.fused.fused_packet import UNUSUAL, is_usual
from ebpfvm.sched.fused.glue import ADDRESS, OUTSIDE, Blocks, Site
from ebpfvm.sched.fused.member_form import MemberForm
from ebpfvm.sched.fused.object_calls import ObjectCalls, class_of
from ebpfvm.sched.fused.object_facts import ObjectFacts
from ebpfvm.sched.fused.object_lines import Known
from ebpfvm.sched.fused.object_paths import ONE_DROPPED, ObjectPaths
from ebpfvm.sched.fused.object_tidy import tidied
from ebpfvm.sched.fused.specialised import QUIESCE

if TYPE_CHECKING:
    from ebpfvm.contract.helper import Helper
    from ebpfvm.contract.kfunc import Kfunc
    from ebpfvm.engine.translate import TranslatedRun
    from ebpfvm.engine.translate.program_body import ProgramBody
    from ebpfvm.engine.translate.ranges import Abs
    from ebpfvm.kernel.refs import RefCounted
    from ebpfvm.sched.fused.fused_run import FusedRun
    from ebpfvm.sched.sch_struct_ops import SchStructOps

ARRIVES: Final = "STRUCTS", str(PROGRAM_UNIT)
"""Region and references of a packet that arrives: the program has it."""

_ARGUMENTS: Final = {"e": ("o_skb", "SCH", "FREE"), "d": ("SCH",)}
_CONTEXT: Final = re.compile(r"\bo_c\.(\w+)_object\b")
_GIVEN: Final = re.compile(r"if r0 and .*o_c\.given = r0.*")
_GIVES: Final = "(r0.address or r0.locate() if r0 else 0)"
_PUT_ASIDE: Final = re.compile(r"\b(\w+)\.put\((\w+)\)")


_WRITTEN: Final = re.compile(r"\b\w+\.(\w+) (?:[-+|&^]|<<|>>)?= ")


class OpsCalls:
    """What the generated function calls for a qdisc of struct_ops."""

    def __init__(self, run: FusedRun, qdisc: SchStructOps, programs: tuple[TranslatedRun, TranslatedRun]) -> None:
        self._qdisc, self._kernel, self._device = qdisc, run.kernel, run.device
        self._structs = structs_of(run.kernel)
        self._enqueue, self._dequeue = programs

    def names(self) -> dict[str, Any]:
        """Return what the code refers to."""
        free = self._qdisc.to_free
        return {"O": self, "SCH": self._qdisc, "FREE": free, "STRUCTS": self._structs,
                "HIDE": self._structs.hide}

    def leaks(self) -> None:
        """Raise the fault that enqueue ends with references, among which may be that to its packet."""
        refs = self._kernel.refs
        if refs.held > 1:
            self._enqueue.leave(1, 0)
        refs.program_exit(0, self._enqueue.prog.name)

    def freed(self) -> None:
        """Drop the packets on the list of packets to free."""
        for packet in self._qdisc.to_free.emptied():
            self._device.drop(packet, self._qdisc.holder)

    def unusual(self, held: RefCounted) -> Never:
        """Raise the error that an object is not held as every accepted program leaves it."""
        raise InternalError(f"a fused run found {held} held by {', '.join(self._kernel.refs.names(held))}")

    def dropped(self, skb: Packet) -> None:
        """Drop a packet that would be the only one on that list."""
        self._structs.hide(skb)
        self._device.drop(skb, self._qdisc.holder)

    def returned(self, address: int) -> Packet | None:
        """Return the packet at the address that dequeue has returned, None for NULL."""
        refs, memory = self._kernel.refs, self._kernel.memory
        if refs.held:
            self._dequeue.leave(0, address)
        if memory.retired or memory.retired_bytes:
            memory.quiesce()
        return self._qdisc.dequeued(address)


class OpsGlue(Blocks):
    """Blocks around the blocks of a member.

    Attributes:
        arguments: the names of its arguments.
        own: one reference of the qdisc.
        constant_size: whether all packets have one size.
        blocks: the blocks of the member, with its arguments as variables, in the form of `MemberForm`.
    """

    arguments: tuple[str, ...] = ()
    own: int = 0
    constant_size: bool = False
    blocks: dict[int, BlockCode]

    # ---- enqueue ----------------------------------------------------------------------------------------------------

    def enqueue(self) -> Site:
        """Return enqueue, and what follows it; the device does not care for the result."""
        end = self.end
        slow = self.slowly("O.dropped(o_skb)", end)
        usual = self.block(["o_skb._region = None", *self.dropping(self.constant_size)], succs=(end,))
        dropped = self.choose("(o_skb.refs == OWN)", self.choose(
            "(o_skb._region is STRUCTS and o_skb._packet is None)", usual, slow), slow)
        after = self.choose("FREE.packets", self.choose(ONE_DROPPED, dropped, self.slowly("O.freed()", end)), end)
        last = [effect(text, OUTSIDE) for text in ("if REFS.held: O.leaks()", QUIESCE)]
        code = {start: block if block.result is None else self._next(block, [*block.lines, *last], after)
                for start, block in self.blocks.items()}
        facts = ObjectFacts()
        facts.null |= {"o_skb": False}
        facts.refs |= {"o_skb": PROGRAM_UNIT}
        facts.fresh.add("o_skb")
        facts.types["o_skb"] = structs_of(self.body.unit.prog.kernel).layout("sk_buff")
        facts.held, facts.stored, facts.put = 1, 0, ()
        return self._made(code, facts)

    # ---- dequeue ----------------------------------------------------------------------------------------------------

    def dequeue(self, send: list[str]) -> Site:
        """Return dequeue, and what happens to its packet; `send` puts `o_skb` on the wire."""
        end = self.end
        sent = self.block(send, succs=(end,))
        leak = "if REFS.held: LEAVEd(0, {})"
        nothing = self.block([leak.format(0), QUIESCE], succs=(end,))
        found = self.choose("o_skb is None", end, sent)
        slow = self.slowly("o_skb = O.returned(o_skb.address or o_skb.locate())", found)
        number = self.choose("r0 == 0", nothing, self.slowly("o_skb = O.returned(r0)", found))
        known = self.block([f"o_skb.refs += OWN - {PROGRAM_UNIT}; REFS.held -= 1",
                            leak.format("o_skb.address or o_skb.locate()"), QUIESCE,
                            "o_skb._region = None if o_skb._region is STRUCTS else HIDE(o_skb)"], succs=(sent,))
        packet = self.choose("o_skb", self.choose(f"(o_skb.refs & {COUNT:#x})", known, slow), nothing)
        code = {}
        for start, block in self.blocks.items():
            if block.result == _GIVES:
                lines = [line for line in block.lines if not _GIVEN.fullmatch(line.text)]
                block = self._next(block, [*lines, assign("o_skb", "r0", block.pc)], packet)
            elif block.result == "0":
                block = self._next(block, block.lines, nothing)
            elif block.result is not None:
                block = self._next(block, [*block.lines, assign("r0", block.result, block.pc)], number)
            code[start] = block
        facts = ObjectFacts()
        facts.held = facts.stored = 0
        return self._made(code, facts)

    # ---- both -------------------------------------------------------------------------------------------------------

    def prepare(self, form: MemberForm) -> dict[int, BlockCode]:
        """Return the blocks of the member, with its arguments as variables, in another form."""
        return form.changed(self.body.graph, {start: _with_arguments(block, _ARGUMENTS[self.suffix], self.arguments)
                                              for start, block in self.body.code.items()})

    def _next(self, block: BlockCode, lines: list[Stmt], after: int) -> BlockCode:
        """Return a block that ends the member as one that leads to what follows it."""
        if self.body.enters:
            lines = [*lines, effect("STACK.depth -= 1", OUTSIDE)]
        return block._replace(lines=lines, result=None, reads=frozenset(), succs=(after,))

    def _known(self) -> Known:
        """Return what is known of the types of objects that functions make and drop."""
        facts, unit = self.body.facts, self.body.unit
        owning, types, locks, moving = {}, {}, set(), set()
        for pc in facts.before:
            row = unit.rows[pc]
            if pc in unit.steps or row is None or row.kind != "call":
                continue
            kfunc, helper = unit.kfunc(pc), unit.helper(pc)
            if _moves(kfunc, helper):
                moving.add(pc)
            if (kind := held_type(facts.after(pc).regs[0])) is not None:
                types[pc] = kind
            if helper is not None and helper.role in ("lock", "unlock"):
                locks.add(pc)
            if kfunc is not None and kfunc.role == "obj_drop" and isinstance(
                    kind := held_type(facts.before[pc].regs[1]), ObjectType):
                owning[f"DROP{pc}"] = *kind.shape.kptrs.values(), *kind.shape.roots.values()
        made = self.made()
        empty = {f"NEW{number}": (*kind.shape.kptrs.values(), *kind.shape.nodes.values())
                 for number, kind in made.items()}
        plain = {f"NEW{number}": (f"KIND{number}", repr(kind.shape.fresh)) for number, kind in made.items()
                 if not kind.shape.roots}
        return Known(self.own, owning, empty, types, frozenset(locks), frozenset(moving), plain,
                     self.budget >= PLENTY)

    def made(self) -> dict[str, ObjectType]:
        """Return the types of the objects that it makes, by the numbers of their types."""
        facts, unit, found = self.body.facts, self.body.unit, {}
        for pc in facts.before:
            kfunc = unit.kfunc(pc) if pc not in unit.steps else None
            if kfunc is not None and kfunc.role == "obj_new" and isinstance(
                    kind := held_type(facts.after(pc).regs[0]), ObjectType):
                found[f"{number_of(facts.before[pc].regs[1]).lo}"] = kind
        return found

    def _made(self, code: dict[int, BlockCode], facts: ObjectFacts) -> Site:
        """Put the blocks together."""
        self.code |= code
        graph, found = self.joined()
        paths = ObjectPaths(graph, found, facts, self._known())
        graph, found = simplify(FlowGraph(paths.entry, {}), paths.made)
        found, _ = sweep({start: block._replace(lines=tidied(block.lines)) for start, block in found.items()}, graph)
        return Site(graph, found)


def _moves(kfunc: Kfunc | None, helper: Helper | None) -> bool:
    """Return whether a program may hold more or fewer references after a call."""
    if kfunc is None:
        return helper is None or helper.ret.acquire or any(spec.release for spec in helper.args)
    return bool(kfunc.role or kfunc.expands or kfunc.flags & {"acquire", "release"})


def prepared(first: OpsGlue, second: OpsGlue, run: FusedRun) -> tuple[MemberForm, ObjectCalls]:
    """Change both members into their form, and return what did that."""
    written = {name for glue in (first, second) for block in glue.body.code.values() for line in block.lines
               for name in _WRITTEN.findall(line.text)}
    packets: list[Any] = run.kernel.refs.live()
    usual = [name for name in UNUSUAL if name not in written and all(
        not isinstance(skb, Packet) or is_usual(skb, name) for skb in packets)]
    constants = {name: "0" for name in usual if name != "wire_len"}
    if run.in_step is not None:
        group = run.in_step.group
        same = {"priority": group.priority, "protocol": group.protocol, "len": group.size}
        constants |= {name: str(value) for name, value in same.items() if name not in written}
        constants["wire_len"] = str(group.size)
    elif "wire_len" in usual:
        constants["wire_len"] = "{}.len"
    known = {id(QDISC["running"]): {"e": "0", "d": "1"}}
    if "sk" in constants:
        known[id(SK_BUFF["sk"])] = {"e": "0", "d": "0"}
    calls = {f"{name}_{glue.suffix}": known[id(found)][glue.suffix] for glue in (first, second)
             for name, found in glue.body.names.items() if id(found) in known}
    form = MemberForm(constants, calls)
    for glue in (first, second):
        glue.blocks = glue.prepare(form)
    form.keep((first.blocks, second.blocks))
    calls_of = ObjectCalls(run.kernel, (first.blocks, second.blocks), run.in_step is not None)
    for glue in (first, second):
        glue.blocks = calls_of.replaced(form.with_kept(glue.blocks))
        calls_of.names |= {f"KIND{number}": class_of(kind, run.kernel.graph) for number, kind in glue.made().items()}
    return form, calls_of


def held_type(value: Abs) -> object:
    """Return the type of the object that a value points to."""
    return value.origin.held if isinstance(value, PtrRange) else None


def needs_address(body: ProgramBody, which: str, layout: tuple[str, ...]) -> bool:
    """Return whether a member uses the address of its context, or of an argument."""
    for block in body.code.values():
        found = _with_arguments(block, _ARGUMENTS[which], layout)
        texts = [*(line.text for line in found.lines if not _GIVEN.fullmatch(line.text)), found.condition,
                 found.result or ""]
        if any(ADDRESS.search(text) for text in texts):
            return True
    return False


def _with_arguments(block: BlockCode, arguments: tuple[str, ...], fields: tuple[str, ...]) -> BlockCode:
    """Return the block with the arguments as variables and constants."""
    names = dict(zip(fields, arguments, strict=True))

    def renamed(text: str) -> str:
        text = _CONTEXT.sub(lambda match: names.get(match[1], match[0]), text)
        return _PUT_ASIDE.sub(r"\1.take(\2)", text)

    lines = []
    for line in block.lines:
        if line.writes == "o_c" or (line.pure and ADDRESS.fullmatch(line.writes)):
            continue
        value = renamed(line.value)
        lines.append(line._replace(value=value, reads=reads_of(value), idle=renamed(line.idle)))
    condition = renamed(block.condition)
    return block._replace(lines=lines, condition=condition, reads=reads_of(condition) | reads_of(block.result or ""))
