"""Copies of the blocks of a member for what is known on the way to them of objects: NULL or not, and who holds them.

References that a program moves are additions to `refs` of an object and to `REFS.held`. Where the sum is known, what
is added in between is not stored at all: it is only written back before something else may look. A packet is asked
once whether it is held as usual, by comparing `refs` with the one reference that its slot has.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from ebpfvm.engine.translate.statements import BlockCode, Stmt, live_at, reads_of
from ebpfvm.sched.fused.glue import OUTSIDE
from ebpfvm.sched.fused.object_facts import ObjectFacts, decided
from ebpfvm.sched.fused.object_lines import Known, ObjectLines, calls
from ebpfvm.sched.fused.object_stores import added, counted, stored, unlocked
from ebpfvm.sched.fused.specialised import BODY, with_bodies

if TYPE_CHECKING:
    from ebpfvm.engine.translate.flow_graph import FlowGraph

_COPY: Final = 1 << 48  # copied blocks have numbers above all others
_MOST: Final = 8  # copies for each block, on average
_MORE: Final = 120  # most copies besides the first of each

ONE_DROPPED: Final = "ONE_DROPPED"
"""A condition: the packet that has arrived is all that was put aside, and it is not on the list yet."""


class _Varies(Exception):
    """What is known at the beginning of a loop is not the same on another way to it."""


class ObjectPaths(ObjectLines):
    """Makes the copies.

    Args:
        graph, code: the blocks.
        facts: what is known at the beginning.
        known: see `Known`.

    Attributes:
        entry, made: the first of the copies, and all of them.
    """

    def __init__(self, graph: FlowGraph, code: dict[int, BlockCode], facts: ObjectFacts, known: Known) -> None:
        self.code = with_bodies(code, set(graph.loops))
        super().__init__(known, (line for block in code.values() for line in block.lines))
        self.live = live_at(code, graph)
        self.headers = set(graph.loops)
        self.live |= {start + BODY: self.live[start] for start in self.headers}
        self.most = min(_MOST * len(code), len(code) + _MORE)
        self.written = {start: frozenset(name for each in body for line in code[each].lines
                                         for name in (line.writes, *line.also)) for start, body in graph.loops.items()}
        self._begin: dict[int, ObjectFacts] = {}  # what is known before loops
        self.made: dict[int, BlockCode] = {}
        while True:
            try:
                self._make(graph.entry, facts.copy())
                return
            except _Varies:
                continue

    def _make(self, entry: int, facts: ObjectFacts) -> None:
        self.made.clear()
        self._numbers: dict[object, int] = {}
        self._extra = 0
        self._work: list[tuple[int, int, int, ObjectFacts]] = []
        self.entry = self._at(entry, 0, facts, [])
        while self._work:
            number, start, index, found = self._work.pop()
            self.made[number] = self._copied(start, index, found)

    def _at(self, start: int, index: int, facts: ObjectFacts, lines: list[Stmt]) -> int:
        """Return the copy of a block, from a line of it on, for what is known; what is lost is written back."""
        ends = not self.code[start].succs  # there is one end, to which all ways lead
        if ends or start in self.headers or (len(self._numbers) > self.most and not index):
            lines += [*stored(facts), *([] if ends else self.begun(facts))]
            facts = self._beginning(start, facts)
        if not index:
            live = facts.live_roots(self.live[start])
            lines += added(facts, facts.deltas.keys() - live)
            lines += counted(facts, facts.unsaved - live)
            lines += unlocked(facts, lambda lock: "." in lock and lock.partition(".")[0] not in live)
            facts = facts.live(self.live[start])
        key = start, index, facts.key()
        if key not in self._numbers:
            number = start if start in self.headers and not index else _COPY + len(self._numbers)
            self._numbers[key] = number
            self._work.append((number, start, index, facts.copy()))
        return self._numbers[key]

    def _beginning(self, start: int, facts: ObjectFacts) -> ObjectFacts:
        """Return what is known where ways meet: how many references the program holds, if that is always the same."""
        made = ObjectFacts()
        made.held = facts.held
        if start in self.headers:
            made = facts.lasting(self.written[start])
            before = self._begin.get(start)
            if before is not None:
                made = made.common(before)
                if made.key() != before.key():
                    self._begin[start] = made
                    raise _Varies
            self._begin[start] = made.copy()
        elif not self.code[start].succs:  # several ends would lead nowhere
            before = self._begin.setdefault(start, made.copy())
            if before.held is not None and before.held != made.held:
                before.held = None
                raise _Varies
            made.held = before.held
        made.stored = made.held
        return made

    def _copied(self, start: int, index: int, facts: ObjectFacts) -> BlockCode:
        block, lines = self.code[start], list[Stmt]()
        for n in range(index, len(block.lines)):
            line = block.lines[n]
            name, unit = self.asked(line, facts)
            if name and unit:
                lines += self.usual(name, unit, line, facts)
            elif name and start not in self.headers and len(self._numbers) <= self.most:
                no, yes = (self._at(start, n, facts.with_null(name, is_null), []) for is_null in (False, True))
                condition = f"{name} is None"
                return BlockCode(lines, condition, reads_of(condition), line.pc, None, (no, yes))
            lines += self.line(line, facts)
        return self._ending(block, lines, facts)

    def _ending(self, block: BlockCode, lines: list[Stmt], facts: ObjectFacts) -> BlockCode:
        if len(block.succs) < 2:
            return block._replace(lines=lines, succs=tuple(self._at(each, 0, facts, lines) for each in block.succs))
        condition = facts.renamed(block.condition)
        found = decided(condition, facts, self.own)
        if condition == "FREE.packets":
            found = None if facts.put is None else bool(facts.put)
        elif condition == ONE_DROPPED:
            found = bool(facts.put)
            facts.put = () if found else None
        if found is not None:
            to = self._at(block.succs[found], 0, facts, lines)
            return block._replace(lines=lines, condition="", reads=frozenset(), succs=(to,))
        if calls(condition) or ".refs" in condition or "REFS" in condition:
            lines += stored(facts)
        succs = tuple(self._way(to, facts.after(condition, holds)) for to, holds in zip(block.succs, (False, True),
                                                                                     strict=True))
        return block._replace(lines=lines, condition=condition, reads=reads_of(condition), succs=succs)

    def _way(self, start: int, facts: ObjectFacts) -> int:
        """Return the copy of a block, after what has to be written back on the way to it."""
        lines: list[Stmt] = []
        to = self._at(start, 0, facts, lines)
        if not lines:
            return to
        self._extra += 1
        number = (_COPY << 1) + self._extra
        self.made[number] = BlockCode(lines, "", frozenset(), OUTSIDE, None, (to,))
        return number
