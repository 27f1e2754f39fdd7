"""Write the function of a fused run."""

from __future__ import annotations

import re
from itertools import chain, repeat
from typing import TYPE_CHECKING, Any, Final

from ebpfvm.engine.translate import counted_loops, structure
from ebpfvm.engine.translate.emit_maps import TEMPLATE
from ebpfvm.engine.translate.program_body import GET, PUT
from ebpfvm.engine.translate.source import add_constants, commented
from ebpfvm.kernel.refs import CTX_HOLDER
from ebpfvm.sched.account import DROPPED, SENT
from ebpfvm.sched.fused import map_code, sender_lines
from ebpfvm.sched.fused.arrivals import EPOCH
from ebpfvm.sched.fused.budget_places import budget_places
from ebpfvm.sched.fused.falling import falling
from ebpfvm.sched.fused.flow_steps import FlowSteps, hashed
from ebpfvm.sched.fused.fused_run import IDLE, NEVER, LineOrigin, SendingTimes
from ebpfvm.sched.fused.fused_steps import LOAD, SAVE
from ebpfvm.sched.fused.global_variables import Globals
from ebpfvm.sched.fused.glue import OUTSIDE, Glue
from ebpfvm.sched.fused.map_code import Views
from ebpfvm.sched.fused.reference_steps import PACKET_AT
from ebpfvm.sched.fused.renamed import Renamed, texts_of, with_texts
from ebpfvm.sched.fused.sender_run import SenderRun
from ebpfvm.sched.fused.untouched import untouched
from ebpfvm.sched.fused.wrapping import wrapping
from ebpfvm.sched.simulation import BOOT_NS, PROGRESS_EVERY

if TYPE_CHECKING:
    from ebpfvm.engine.translate import TranslatedRun
    from ebpfvm.engine.translate.program_body import ProgramBody
    from ebpfvm.maps.rbtree import Rbtree
    from ebpfvm.sched.account import Packet
    from ebpfvm.sched.fused.fused_run import FusedRun
    from ebpfvm.sched.fused.glue import Site
    from ebpfvm.sched.fused.member_form import MemberForm
    from ebpfvm.sched.fused.object_calls import ObjectCalls
    from ebpfvm.sched.fused.ops_glue import OpsGlue

HOOKS: Final = "enqueue", "dequeue"

Line = tuple[str, LineOrigin | None]

_KEEP: Final = "STATE_KEEP"  # what `SAVE` does
_WRITE: Final = "STATE_WRITE"  # what `PUT` does besides
_WORD: Final = re.compile("|".join((PUT, GET, SAVE, LOAD, _KEEP, _WRITE)))


_ROOM: Final = "if len(REFS.born) > REFS.room: REFS.live()"
_COUNTED: Final = ("if flow.delays is NONE: S.watch_flow(flow)", "o_skb.flow = flow", "o_skb.len = size",
                   "in_bytes += size", "flow.in_packets += 1", "more = size - flow.source.size",
                   "if more: flow.in_more += more")
_LABELLED: Final = ("if data is not last_data:", "    last_data = data", "    flow, protocol, usual = LABEL(data)",
                    "o_skb._bytes = data", "o_skb.protocol = protocol",
                    "o_skb.priority = usual if priority is None else priority")


class RunSource:
    """The source of a run's function, for the RFC's qdisc (`OpsSource` is for those of struct_ops).

    Args:
        run: the run.
        programs: the enqueue and the dequeue program.
        bodies: their code.
        packet: the class of the packets.

    Attributes:
        names: what the code refers to.
        sites: where the programs run.
        lines: the lines, each with its origin.
        arrives: region and references of a packet that arrives.
        clock: what sets the clock, if the programs may look at it at any time.
    """

    arrives: tuple[str, str] = "None", "OWN"
    clock: tuple[str, ...] = ()

    def __init__(self, run: FusedRun, programs: tuple[TranslatedRun, TranslatedRun],
                 bodies: tuple[ProgramBody, ProgramBody], packet: type[Packet]) -> None:
        self.run = run
        self.senders = run if isinstance(run, SenderRun) else None
        self._state = ", ".join(run.state)
        self.programs = programs
        self.spec = run.spec
        self.holder = run.kernel.refs.holder(run.qdisc.holder)
        self.names = self._names(packet)
        self.named: dict[int, Rbtree] = {}
        found = [Renamed(body, program.runtime(), suffix, self.names).body
                 for body, program, suffix in zip(bodies, programs, "ed", strict=True)]
        self._views: list[Views] = []
        self.globals = Globals(chain.from_iterable(map(texts_of, found)), run.kernel.memory)
        self.bodies = [with_texts(body, self.globals.changed) for body in found]
        self.lines: list[Line] = []
        self.untouched = run.folds and untouched(bodies)
        self.pooled = self.untouched and run.account.log is None
        self.kept: tuple[MemberForm | ObjectCalls, ...] = ()
        first, second = self._glues()
        self.sites = first.enqueue(), second.dequeue(self._send())
        if not any("armed = " in line.text for block in self.sites[1].code.values() for line in block.lines):
            run.watchdog = None  # it is never set in the function
        self._write()
        self._finish()

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
            out.append(commented(text, origin.program.prog, origin.slot) if shown and origin else text)
            last = origin
        return "\n".join(out) + "\n"

    def _names(self, packet: type[Packet]) -> dict[str, Any]:
        run, refs = self.run, self.run.kernel.refs

        def hand_over(skb: Any) -> None:
            refs.give(skb, CTX_HOLDER)

        found: dict[str, Any] = {}
        for program, suffix in zip(self.programs, "ed", strict=True):
            found |= {f"BUDGET{suffix}": program.budget, f"LEAVE{suffix}": program.leave}
        return {**found, **self.programs[0].runtime(), "OWN": self.holder.unit, "HOLDER": run.qdisc.holder,
                "MEMORY": run.kernel.memory, "REFS": refs, "KERNEL": run.kernel, "DROPPED": DROPPED, "SENT": SENT,
                "HAND_OVER": hand_over, PACKET_AT: run.kernel.memory.owner, "REPEAT": repeat, "Packet": packet,
                "new": object.__new__, "HASHED": hashed, "NONE": (), "BYTES": map_code.MapBytes(run.kernel),
                **map_code.NAMES}

    # ---- the function -----------------------------------------------------------------------------------------------

    def _write(self) -> None:
        run = self.run
        self._text(0, "def run(S):")
        head = ["head = S.only.head"] if run.only is not None else []
        if self.senders is not None:
            head.append("source = what = current = None")
        self._text(1, "LENT = RETIRED = False", "turn = 0", *head, f"{GET}", "born = REFS.born.append", "try:")
        if run.in_step is not None:
            self._text(2, "for t, row in S.in_step.rounds():", *([f"    {_ROOM}"] if self._rows else []),
                       "    for flow in row:")
            indent = 4
        elif run.only is not None:
            late = [] if run.until == NEVER else [f"    if t > {run.until}: t = {run.until}"]
            self._text(2, "last_data = None", "for head in S.only.heads():", "    t, size, data, priority = head",
                       f"    t += {BOOT_NS}", *late)
            self.names["LABEL"] = run.simulation.flows.label
            indent = 3
        elif self.senders is not None:
            self._text(2, *sender_lines.next_of(self.senders))
            self.names |= sender_lines.names_of(self.senders)
            indent = 3
        else:
            self._text(2, "ARR = S.pending", "while True:", "    t, number, source = ARR[0] if ARR else LAST",
                       f"    if t >= {run.until}: t, number, source = LAST")
            self.names["LAST"] = run.until, 0, None
            indent = 3
        self._text(indent, "while True:")
        self._events(indent + 1)
        self._text(1, "except BaseException as error:", f"    if not S.away and not LENT: {_KEEP}",
                   f"    if not S.away: {_WRITE}", "    S.ended(error)", "    raise", f"{PUT}")

    def _events(self, indent: int) -> None:
        """Write what happens at one event.

        `turn` is 0, or says after a tie which event is next (see `FusedRun.first`); while the dequeue program runs, it
        says which event that follows, with 0 for a departure.
        """
        self._text(indent, "if heap and heap[0][0] <= t and not turn:")
        self._other(indent + 1)
        later = ("", "") if self.run.watchdog is None else (" and free_at < armed", " and t < armed")
        self._text(indent, f"elif free_at < t{later[0]} or turn == 1:", "    turn = 0")
        self._sent(indent + 1)
        self._text(indent, f"elif t < free_at{later[1]} or turn == 2:", "    turn = 0")
        self._arrival(indent + 1)
        self._text(indent, "    if sending is not None:", *self._progress("        "), "        break", "    turn = 2")
        if self.run.watchdog is not None:
            self._watchdog(indent)
        self._tie(indent)
        self._site(1, self.sites[1], indent)
        after = "if turn:" if self.run.watchdog is None else "if turn == 2:"
        self._text(indent, after, "    turn = 0", *self._progress("    "), "    break")
        if self.run.watchdog is not None:
            self._text(indent, "if turn:", "    turn = 0", "    if sending is None:", f"        {PUT}",
                       "        S.fruitless()", f"        {GET}", "    else: WATCHDOG.idle = 0")
        if self.senders is not None:  # what comes next may have changed
            self._text(indent, "break")

    def _progress(self, indent: str) -> list[str]:
        """Return the lines that tell how many packets have arrived."""
        tell = self.run.simulation.progress
        if tell is None:
            return []
        self.names["PROGRESS"] = tell
        return [f"{indent}if not ids & {PROGRESS_EVERY}: {PUT}; PROGRESS(ids); {GET}"]

    def _watchdog(self, indent: int) -> None:
        """Write what happens when the watchdog fires, before it asks for a packet."""
        run = self.run
        self.names |= {"WATCHDOG": run.watchdog, "VIEW": run.qdisc.kernel_view}
        self._text(indent, "elif armed < t and armed < free_at or turn == 3:",
                   f"    if t == {run.until} and free_at == {IDLE}{self._idle} and S.ends(ids - sent - dropped): "
                   f"{PUT}; return",
                   "    now = armed", f"    armed = {NEVER}", "    woken += 1",
                   "    if sending is not None:", "        turn = 0", f"        {PUT}", "        S.fruitless()",
                   f"        {GET}", "        continue", "    turn = 3")

    def _first(self) -> str:
        """Return the call that says what is next."""
        run, number = self.run, "number"
        if run.in_step is not None:
            number = f"(ids + 1 << {EPOCH}) - (S.in_step.count << {EPOCH})"
        elif run.only is not None:
            number = f"ids << {EPOCH} if ids > {run.first_packet} else {run.only.number}"
        return f"S.first((t, {number}), free_at, begun, after, (armed, rang))"

    def _other(self, indent: int) -> None:
        """Write what happens before the next arrival if an event is due that is not in the function."""
        self._text(indent, f"turn = {self._first()}", "if turn: continue",
                   f"if free_at == {IDLE} and t == {self.run.until}{self._idle}: {PUT}; return",
                   f"{PUT}", "if not S.other(): return", f"{GET}",
                   "continue" if self.senders is None else "break")  # what comes next may have changed

    @property
    def _idle(self) -> str:
        """The condition that nothing goes on, in a state in which that follows if there are no senders that react."""
        return "" if self.senders is None else " and not S.goes_on()"

    def _tie(self, indent: int) -> None:
        """Write which of several events at the same time is next."""
        in_step = self.run.in_step
        self._text(indent, "else:")
        if in_step is not None:
            self._text(indent, f"    if t < armed: turn = 2 if ids - begun < {in_step.count} or "
                               f"t == {self.run.until} else 1; continue")
        self._text(indent, f"    turn = {self._first()}", "    continue")

    def _sent(self, indent: int) -> None:
        """Write what happens when the last bit of a packet has left."""
        run = self.run
        departs, delay = ["o_skb.departure = now"], run.device.link.delay
        self._text(indent, "o_skb = sending", "last = now = free_at", *self.clock,
                   *([] if self.pooled else departs), f"o_skb.flow.delays.append(now + {delay} - o_skb.arrival)")
        if self.spec is None:
            self._text(indent, "more = o_skb.len - o_skb.flow.source.size", "if more: o_skb.flow.out_more += more")
        if self.senders is not None:
            self._text(indent, *sender_lines.departure_of(self.senders))
        if run.device.sink.writer is not None:
            self.names |= {"WRITE": run.device.sink.writer.write, "ZERO": run.device.sink.epoch}
            self._text(indent, "WRITE(now + ZERO, o_skb.len, o_skb.payload())")
        self._text(indent, "if not odd and o_skb.refs == OWN and o_skb._region is None and o_skb._packet is None:",
                   *(["    POOL.append(o_skb)"] if self.pooled else
                     ["    o_skb.fate = SENT", "    o_skb.last_holder = HOLDER"]),
                   "    o_skb.refs = 0", "    sent += 1")
        if self.spec is None:
            self._text(indent, "    sent_bytes += o_skb.len")
        self._text(indent, "else:", *(f"    {text}" for text in (departs if self.pooled else [])), f"    {PUT}",
                   "    S.disposed(o_skb)", f"    {GET}",
                   "sending = None", f"free_at = {IDLE}")

    def _send(self) -> list[str]:
        """Return the lines that put a packet on the wire."""
        link = self.run.device.link
        lines = ["rest = 0 if now > last else rest"]  # after an idle time
        carry = [f"more = rest >= {link.rate}", "free_at += more", f"rest -= {link.rate} if more else 0"]
        if self.spec is not None:
            duration, rest = link.occupied(self.spec.size)
            if rest:
                lines += [f"rest += {rest}", f"free_at = now + {duration}", *carry]
            else:
                lines = [f"free_at = now + {duration}"]
        else:
            self.names["TIMES"] = SendingTimes(link)
            lines += ["free_at, more = TIMES[o_skb.len]", "free_at += now", "rest += more", *carry]
        return [*lines, "sending = o_skb", f"begun = {self.run.ordinal}", "after = mark"]

    def _arrival(self, indent: int) -> None:
        """Write how a packet arrives, and the enqueue program."""
        run = self.run
        if self.senders is not None:
            self._text(indent, *sender_lines.arrival_of(self.senders, self.clock, self._born()), *_COUNTED)
            self._entering(indent)
            return
        if run.in_step is not None:
            self._text(indent, "if flow is None:",
                       f"    if t == {run.until}: {PUT}; return",
                       f"    {PUT}", "    flow = S.begin()", "    if flow is None: return", f"    {GET}")
        else:
            over = "source is None" if run.only is None else f"t == {run.until}"
            self._text(indent, f"if {over} or ids >= {run.cap}: {PUT}; return")
        self._text(indent, "now = t", *self.clock, "ids += 1", *self._born(), "o_skb.id = ids",
                   "o_skb.arrival = t")
        if run.in_step is not None:
            self._text(indent, "o_skb.flow = flow")
        else:
            self._text(indent, *_LABELLED if run.only is not None else (
                "o_skb._bytes, size, flow, o_skb.protocol, o_skb.priority = source.arrive(ids)",))
            self._text(indent, *_COUNTED)
        self._entering(indent)

    def _entering(self, indent: int) -> None:
        """Write how a packet gets its first reference, and the enqueue program."""
        run = self.run
        self._text(indent, "o_skb.serial = REFS.serial = REFS.serial + 1", f"o_skb.refs = {self.arrives[1]}")
        if run.account.log is not None:
            self.names["LOG"] = run.account.log
            self._text(indent, "LOG.append(o_skb)")
        self._site(0, self.sites[0], indent)

    @property
    def _rows(self) -> bool:
        """Whether it is tested for each row of packets whether there are so many that the dead ones must go."""
        return self.run.in_step is not None and not self.pooled

    def _born(self) -> list[str]:
        """Return the lines that make a packet with what all have at first, or take one that nobody uses any more."""
        made = ["o_skb = new(Packet)", "o_skb._packet = o_skb.fate = None", f"o_skb._region = {self.arrives[0]}",
                "o_skb.departure = o_skb.address = o_skb.hash = 0",
                *([] if self._rows else [_ROOM]), "born(o_skb)"]
        if not self.pooled:
            return made
        return ["if POOL:", "    o_skb = POOL.pop()", "    o_skb.address = o_skb.hash = 0",
                "else:", *(f"    {text}" for text in made)]

    # ---- programs ---------------------------------------------------------------------------------------------------

    def _glues(self) -> tuple[Glue | OpsGlue, Glue | OpsGlue]:
        """Return what qdisc and device do around the programs."""
        return self._glue(0), self._glue(1)

    def _glue(self, which: int) -> Glue:
        body = self.bodies[which]
        templates = {f"o_{name.removeprefix(TEMPLATE)}": found for name, found in body.names.items()
                     if name.startswith(TEMPLATE)}
        group = self.run.in_step.group if self.untouched and self.run.in_step is not None else None
        steps = (FlowSteps(),) if not which and group is not None else ()
        fields = {} if group is None else {".len": group.size, ".priority": group.priority, ".protocol": group.protocol}
        views = Views(self.names, self.named, templates)
        self.names[f"LOOK{'ed'[which]}"] = views.look
        self._views.append(views)
        found = Glue(body, "ed"[which], self.programs[which].budget)
        found.ordinal = self.run.ordinal
        found.prepare(views, self.holder, self.run.qdisc.handle, self.spec is not None,
                      self.run.watchdog is not None, self.pooled, fields, steps)
        return found

    def _site(self, which: int, site: Site, indent: int) -> None:
        """Write the blocks of a program and what follows it."""
        body, program = self.bodies[which], self.programs[which]
        unit = body.unit
        counted = counted_loops.find(site.graph, site.code, body.facts)
        places = budget_places(site.graph, site.code, body)
        asked = site.graph, site.code, indent, counted, frozenset(unit.steps), places
        try:
            made = falling(*asked)
        except (structure.TooDeep, RecursionError):
            made = structure.nested(*asked)
        for depth, text, node in made:
            origin = None if node == OUTSIDE else LineOrigin(program, unit.slot(node))
            self.lines.append(("    " * depth + wrapping(text), origin))
        if not made:
            self._text(indent, "pass")

    def _finish(self) -> None:
        """Replace the words for what is written back and read again by the statements that do so."""
        saved, loaded = self._maps()
        kept, again = "".join(part.saved for part in self.kept), "".join(part.loaded for part in self.kept)
        rest = "; S.only.head = head" if self.run.only is not None else ""
        write = f"{kept}{self.globals.saved}S.put(({self._state})){rest}"
        look = "".join(f"; LOOK{which}()" for which, views in zip("ed", self._views, strict=False) if views.inner)
        pool = "; POOL = S.pool" if self.pooled else ""
        read = f"{self._state} = S.get(){self.globals.loaded}{again}; heap = S.heap{pool}{look}"
        words = {PUT: "; ".join(filter(None, (saved, write))), GET: "; ".join(filter(None, (read, loaded))),
                 SAVE: f"LENT = True; {saved}", LOAD: f"{loaded}; LENT = False", _KEEP: saved or "pass", _WRITE: write}
        add_constants(self.run.kernel.memory, "\n".join([self.code, *words.values()]), self.names)
        for n, (text, origin) in enumerate(self.lines):
            if "STATE_" in text:
                self.lines[n] = _WORD.sub(lambda match: words[match[0]], text), origin

    def _maps(self) -> tuple[str, str]:
        """Return the statements that write what is known of maps back, and those that read it again."""
        return map_code.saved(self.named), map_code.loaded(self.named)

    def _text(self, indent: int, *texts: str) -> None:
        self.lines += [("    " * indent + text, None) for text in texts]
