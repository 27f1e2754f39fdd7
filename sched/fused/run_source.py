"""Write the function of a fused run."""

from __future__ import annotations

import re
from itertools import repeat
from typing import TYPE_CHECKING, Any, Final

from ebpfvm.engine.translate import counted_loops, structure
from ebpfvm.engine.translate.source import add_constants, commented
from ebpfvm.kernel.refs import CTX_HOLDER
from ebpfvm.sched.account import DROPPED, SENT
from ebpfvm.sched.fused import global_variables, inline_maps
from ebpfvm.sched.fused.arrivals import EPOCH
from ebpfvm.sched.fused.fused_run import IDLE, STATE, LineOrigin
from ebpfvm.sched.fused.glue import OUTSIDE, Glue
from ebpfvm.sched.fused.ops_glue import ARRIVES, OpsCalls, OpsGlue
from ebpfvm.sched.sch_struct_ops import SchStructOps
from ebpfvm.sched.simulation import PROGRESS_EVERY

if TYPE_CHECKING:
    from ebpfvm.engine.translate import TranslatedRun
    from ebpfvm.engine.translate.program_body import ProgramBody
    from ebpfvm.sched.account import Packet
    from ebpfvm.sched.fused.fused_run import FusedRun
    from ebpfvm.sched.fused.glue import Site

HOOKS: Final = "enqueue", "dequeue"

Line = tuple[str, LineOrigin | None]

_NAME: Final = re.compile(r"\b[A-Z]\w*\b")
_STATE: Final = ", ".join(STATE)
_PUT: Final = f"S.put(({_STATE}))"
_GET: Final = f"{_STATE} = S.get(); heap = S.heap"
_TICK: Final = re.compile(r"ticks = REPEAT|next\(ticks, 0\) is None or ")
_BETWEEN: Final = {"PUT": _PUT, "GET": _GET}
# Names that mean the same in all programs.
_SHARED: Final = re.compile(r"(?:[DV]\d+(?:_\d)?|[UBP]\d|[UB]_\w+|PACK_\w+|HOLDER\d+|GET|LOAD|LOAD_PROBE|STORE|READ|"
                            r"STACK|ENTER|FAIL|HINT|SLICE|REFS|TAKE|GIVE|ACQUIRE|RELEASE|SWAP|EXCHANGE)")


class RunSource:
    """The source of a run's function.

    Args:
        run: the run.
        programs: the enqueue and the dequeue program.
        bodies: their code.
        packet: the class of the packets.

    Attributes:
        names: what the code refers to.
        lines: the lines, each with its origin.
    """

    def __init__(self, run: FusedRun, programs: tuple[TranslatedRun, TranslatedRun],
                 bodies: tuple[ProgramBody, ProgramBody], packet: type[Packet]) -> None:
        self.run = run
        self.programs, self.bodies = programs, bodies
        self.spec = run.spec
        self.names = self._names(packet)
        self.lines: list[Line] = []
        self._region, self._refs = ARRIVES if isinstance(run.qdisc, SchStructOps) else ("None", "OWN")
        self._dequeue = self._glue(1).dequeue(self._send())
        self._write()
        self.lines = global_variables.as_locals(self.lines, run.kernel.memory)
        self._add_constants()

    @property
    def code(self) -> str:
        """The text to compile."""
        return "\n".join(text for text, _ in self.lines) + "\n"

    @property
    def annotated(self) -> str:
        """The same, line for line, with the instruction and the line of C that each comes from."""
        out, last = [], None
        for text, origin in self.lines:
            shown = origin is not None and origin != last
            out.append(commented(text, origin.program.prog.program, origin.slot) if shown and origin else text)
            last = origin
        return "\n".join(out) + "\n"

    def _names(self, packet: type[Packet]) -> dict[str, Any]:
        run, refs = self.run, self.run.kernel.refs
        own = refs.holder(run.qdisc.holder)

        def hand_over(skb: Any) -> None:
            refs.give(skb, CTX_HOLDER)

        found = OpsCalls(run, run.qdisc, self.programs).names() if isinstance(run.qdisc, SchStructOps) else {}
        return {**found, **self.programs[0].runtime(), "OWN": own.unit, "OWN_MASK": own.mask,
                "HOLDER": run.qdisc.holder, "HANDLE": run.qdisc.handle, "MEMORY": run.kernel.memory, "REFS": refs,
                "KERNEL": run.kernel, "DROPPED": DROPPED, "SENT": SENT, "HAND_OVER": hand_over, "REPEAT": repeat,
                "Packet": packet, "new": object.__new__}

    # ---- the function -----------------------------------------------------------------------------------------------

    def _write(self) -> None:
        run = self.run
        self._text(0, "def run(S):")
        self._text(1, _GET, "born = REFS.born.append", "try:")
        if run.in_step is not None:
            self._text(2, "for t, row in S.in_step.rounds():", "    for flow in row:")
            indent = 4
        else:
            self._text(2, "ARR = S.pending", "while True:", "    t, number, source = ARR[0] if ARR else LAST",
                       f"    if t >= {run.until}: t, number, source = LAST")
            self.names["LAST"] = run.until, 0, None
            indent = 3
        self._departures(indent)
        self._arrival(indent)
        self._text(1, "except BaseException as error:", "    if not S.away: " + _PUT, "    S.ended(error)", "    raise",
                   _PUT)

    def _departures(self, indent: int) -> None:
        """Write what happens before the next arrival."""
        in_step = self.run.in_step
        number = f"(ids + 1 << {EPOCH}) - (S.in_step.count << {EPOCH})" if in_step is not None else "number"
        tie = f"ids - begun < {in_step.count} or t == {self.run.until}" if in_step is not None else \
            "number < S.number_of(begun, after)"
        self._text(indent, "while free_at <= t or heap and heap[0][0] <= t:",
                   "    if heap and heap[0][0] <= t:",
                   f"        if free_at == {IDLE} and t == {self.run.until}: {_PUT}; return",
                   f"        which = S.first(t, {number}, free_at, begun, after)",
                   "        if which == 2: break",
                   "        if which == 0:",
                   f"            {_PUT}",
                   "            if not S.other(): return",
                   f"            {_GET}",
                   "            continue",
                   f"    elif free_at == t and ({tie}): break")
        self._sent(indent + 1)
        self._site(1, self._dequeue, indent + 1)

    def _sent(self, indent: int) -> None:
        """Write what happens when the last bit of a packet has left."""
        run = self.run
        self._text(indent, "o_skb = sending", "last = now = free_at", "KERNEL.clock = now", "o_skb.departure = now",
                   f"o_skb.flow.delays.append(now + {run.device.link.delay} - o_skb.arrival)")
        if self.spec is None:
            self._text(indent, "more = o_skb.len - o_skb.flow.source.size", "if more: o_skb.flow.out_more += more")
        if run.device.sink.writer is not None:
            self.names |= {"WRITE": run.device.sink.writer.write, "ZERO": run.device.sink.epoch}
            self._text(indent, "WRITE(now + ZERO, o_skb.len, o_skb.payload())")
        self._text(indent, "if not odd and o_skb.refs == OWN and o_skb._region is None and o_skb._packet is None:",
                   "    o_skb.fate = SENT", "    o_skb.refs = 0", "    o_skb.last_holder = HOLDER", "    sent += 1")
        if self.spec is None:
            self._text(indent, "    sent_bytes += o_skb.len")
        self._text(indent, "else:", f"    {_PUT}", "    S.disposed(o_skb)", f"    {_GET}",
                   "sending = None", f"free_at = {IDLE}")

    def _send(self) -> list[str]:
        """Return the lines that put a packet on the wire."""
        link = self.run.device.link
        lines = ["if now > last: rest = 0"]  # after an idle time
        if self.spec is not None:
            duration, rest = link.occupied(self.spec.size)
            if rest:
                lines += [f"rest += {rest}", f"free_at = now + {duration}",
                          f"if rest >= {link.rate}: rest -= {link.rate}; free_at += 1"]
            else:
                lines = [f"free_at = now + {duration}"]
        else:
            self.names["occupied"] = link.occupied
            lines += ["free_at, more = occupied(o_skb.len)", "free_at += now", "rest += more",
                      f"if rest >= {link.rate}: rest -= {link.rate}; free_at += 1"]
        return [*lines, "sending = o_skb", "begun = ids", "after = mark"]

    def _arrival(self, indent: int) -> None:
        """Write how a packet arrives, and the enqueue program."""
        run = self.run
        if run.in_step is not None:
            self._text(indent, "if flow is None:",
                       f"    if t == {run.until}: {_PUT}; return",
                       f"    {_PUT}", "    flow = S.begin()", f"    {_GET}")
        else:
            self._text(indent, f"if source is None or ids >= {run.cap}: {_PUT}; return")
        self._text(indent, "now = t", "KERNEL.clock = t", "ids += 1", "o_skb = new(Packet)", "o_skb.id = ids",
                   "o_skb.arrival = t")
        if run.in_step is not None:
            self._text(indent, "o_skb.flow = flow")
        else:
            self._text(indent, "o_skb._bytes, size, flow, o_skb.protocol, o_skb.priority = source.arrive(ids)",
                       "if flow.delays == (): S.watch_flow(flow)", "o_skb.flow = flow", "o_skb.len = size",
                       "in_bytes += size", "flow.in_packets += 1", "more = size - flow.source.size",
                       "if more: flow.in_more += more")
        self._text(indent, "o_skb._packet = o_skb.fate = None", f"o_skb._region = {self._region}",
                   "o_skb.departure = o_skb.address = 0",
                   "o_skb.serial = REFS.serial = REFS.serial + 1", f"o_skb.refs = {self._refs}", "born(o_skb)",
                   "if len(REFS.born) > REFS.room: REFS.live()")
        if run.account.log is not None:
            self.names["LOG"] = run.account.log
            self._text(indent, "LOG.append(o_skb)")
        self._site(0, self._glue(0).enqueue(), indent)
        self._text(indent, "if sending is None:")
        self._site(1, self._dequeue, indent + 1)
        if run.simulation.progress is not None:
            self.names["PROGRESS"] = run.simulation.progress
            self._text(indent, f"if not ids & {PROGRESS_EVERY}: {_PUT}; PROGRESS(ids); {_GET}")

    # ---- programs ---------------------------------------------------------------------------------------------------

    def _glue(self, which: int) -> Glue:
        qdisc = self.run.qdisc
        if isinstance(qdisc, SchStructOps):
            glue = OpsGlue(self.bodies[which], "ed"[which], self.names["OWN"], self.spec is not None)
            glue.arguments = tuple(qdisc.layouts[HOOKS[which]].fields)
            return glue
        return Glue(self.bodies[which], "ed"[which], self.names["OWN"], self.spec is not None)

    def _site(self, which: int, site: Site, indent: int) -> None:
        """Write the blocks of a program and what follows it."""
        body, program = self.bodies[which], self.programs[which]
        unit = body.unit
        counted = counted_loops.find(site.graph, site.code, body.facts)
        made = structure.nested(site.graph, site.code, indent, counted, frozenset(unit.steps))
        renamed = [self._renamed(_BETWEEN.get(text, text), which) for _, text, _ in made]
        firsts = inline_maps.first_of_walks(renamed, self.names, self._repeated(site, which))
        if not site.graph.loops and program.budget > len(made):  # no line is executed twice
            firsts |= {text: "" for text in renamed if _TICK.match(text)}
        for (depth, _, node), text in zip(made, renamed, strict=True):
            origin = None if node == OUTSIDE else LineOrigin(program, unit.slot(node))
            text = firsts.get(text, text)
            self.lines += [("    " * depth + line, origin) for line in self._inlined(text) if line]
        if not made:
            self._text(indent, "pass")

    def _repeated(self, site: Site, which: int) -> set[str]:
        """Return the lines that are in loops."""
        return {self._renamed(line.text, which) for start in set().union(*site.graph.loops.values())
                for line in site.code[start].lines}

    def _inlined(self, text: str) -> list[str]:
        """Return a line with a common operation on an rbtree map as that operation's own code."""
        lines = inline_maps.expanded(text, self.names)
        if lines is None:
            return [text]
        self.names |= inline_maps.NAMES | {"MEMORY_LIMIT": self.run.kernel.limits.map_memory}
        return lines

    def _renamed(self, text: str, which: int) -> str:
        """Return a line in which the names of objects are those of this program."""
        program, own = self.programs[which], self.bodies[which].names
        suffix = "ed"[which]

        def renamed(match: re.Match[str]) -> str:
            name = match[0]
            if _SHARED.fullmatch(name):
                if name in own:
                    self.names[name] = own[name]
                return name
            if name in own:
                found = own[name]
            elif name in ("ENV", "OVER"):
                found = program.runtime()[name]
            else:
                return name
            self.names[f"{name}_{suffix}"] = found
            return f"{name}_{suffix}"

        self.names |= {f"BUDGET{suffix}": program.budget, f"LEAVE{suffix}": program.leave}
        self.names |= {name: found for name, found in own.items() if name.islower()}
        return _NAME.sub(renamed, text)

    def _text(self, indent: int, *texts: str) -> None:
        self.lines += [("    " * indent + text, None) for text in texts]

    def _add_constants(self) -> None:
        add_constants(self.run.kernel.memory, self.code, self.names)
