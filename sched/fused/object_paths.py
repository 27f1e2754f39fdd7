"""Copies of the blocks of a member for what is known on the way to them of objects: NULL or not, and who holds them.

References that a program moves are additions to `refs` of an object and to `REFS.held`. Where the sum is known, what
is added in between is not stored at all: it is only written back before something else may look. An object is asked
once whether it is held as usual, by comparing `refs` with the one reference that its list, tree or slot has.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from ebpfvm.engine.translate.statements import BlockCode, Stmt, assign, effect, live_at, reads_of
from ebpfvm.kernel.refs import COUNT
from ebpfvm.lazy_tuples import NamedTuple
from ebpfvm.sched.fused.glue import OUTSIDE
from ebpfvm.sched.fused.object_facts import LOST, QUIESCE, ObjectFacts, decided, rooted
from ebpfvm.sched.fused.object_stores import held_stored, is_single, saved, stored, unlocked

if TYPE_CHECKING:
    from ebpfvm.engine.translate.flow_graph import FlowGraph

_COPY: Final = 1 << 48  # copied blocks have numbers above all others
_MOST: Final = 8  # copies for each block, on average
_MORE: Final = 120  # most copies besides the first of each

_PLAIN: Final = re.compile(r"r\d+|[ost]_\w+|SCH|FREE")
_NUMBER: Final = re.compile(r"\d+|0x[0-9a-f]+|None")
_NEW: Final = re.compile(r"(NEW\d+)(?:_[ed])?\(\)")
_CELL: Final = re.compile(r"(\w+)\.cells\[(\d+)\]")
_TAKEN_OUT: Final = re.compile(r"[\w.\[\]]+\.pop(?:left)?\(\) if [\w.\[\]]+ else None|"
                               r"[\w.\[\]]+\[-?\d\] if [\w.\[\]]+ else None")
_GUARDED: Final = re.compile(r"if (.+?): (.+)")
_REFS: Final = re.compile(r"(\w+)\.refs ([+-]?)= (0x[0-9a-f]+|\d+|OWN(?: - 1)?)")
_HELD: Final = re.compile(r"REFS\.held ([+-])= 1")
_SET_CELL: Final = re.compile(r"(\w+)\.cells\[(\d+)\] = (.+)")
_LINK: Final = re.compile(r"[\w.\[\]]+\.(?:append|appendleft|remove)\((\w+)\)|\w+\.at = \d+")
_TAKE: Final = re.compile(r"(\w+) = TAKE\((\w+), \w+\)")
_FAULT: Final = re.compile(r"(?:GIVE\w*|H\d+(?:_[ed])?)\(.*\)|O\.leaks\(\)|LEAVEd\(.*\)")
_PUT: Final = re.compile(r"FREE\.take\((\w+)\)")
_DROP: Final = re.compile(r"(DROP\d+)(?:_[ed])?\((\w+)\)")
_ADD: Final = re.compile(r"ADD_[A-Z]+_\d+_(\d+)_\w+\(ticks, [\w.\[\]]+, (\w+), (0x[0-9a-f]+), OVER\w*\)")
_USED: Final = re.compile(r"(\w+)\.cells\[(\d+)\] is not None")
_CALL: Final = re.compile(r"\w\(")
_QUIET: Final = re.compile(r"\b(?:GET\d+(?:_[ed])?|len)\(")  # neither look at what is known here, nor change it
_LOOKS: Final = re.compile(r"[^()]*\(*(?:MEMBER_\w+|HASH\w*)\([^()]*\)[^()]*\)*[^()]*")  # change nothing


ONE_DROPPED: Final = "ONE_DROPPED"
"""A condition: the packet that has arrived is all that was put aside, and it is not on the list yet."""


class Known(NamedTuple):
    """What is known of the whole member.

    Attributes:
        own: one reference of the qdisc.
        owning: function that drops objects -> the cells of its objects that own others.
        empty: function that makes objects -> the cells of its objects that are None at first.
        types: instruction -> type of the object that it returns.
        locks: the instructions that take or release locks.
    """

    own: int
    owning: dict[str, tuple[int, ...]]
    empty: dict[str, tuple[int, ...]]
    types: dict[int, object]
    locks: frozenset[int]


class ObjectPaths:
    """Makes the copies.

    Args:
        graph, code: the blocks.
        facts: what is known at the beginning.
        known: see `Known`.

    Attributes:
        entry, made: the first of the copies, and all of them.
    """

    def __init__(self, graph: FlowGraph, code: dict[int, BlockCode], facts: ObjectFacts, known: Known) -> None:
        self.code = code
        self.own, self.owning, self.empty, self.types, self.locks = known
        self.live = live_at(code, graph)
        self.headers = set(graph.loops)
        self.most = min(_MOST * len(code), len(code) + _MORE)
        self.made: dict[int, BlockCode] = {}
        self._numbers: dict[object, int] = {}
        self._extra = 0
        self._work: list[tuple[int, int, int, ObjectFacts]] = []
        self.entry = self._at(graph.entry, 0, facts, [])
        while self._work:
            number, start, index, found = self._work.pop()
            self.made[number] = self._copied(start, index, found)

    def _at(self, start: int, index: int, facts: ObjectFacts, lines: list[Stmt]) -> int:
        """Return the copy of a block, from a line of it on, for what is known; what is lost is written back."""
        ends = not self.code[start].succs  # there is one end, to which all ways lead
        if ends or start in self.headers or (len(self._numbers) > self.most and not index):
            lines += stored(facts)
            facts = ObjectFacts()
        if not index:
            unsaved = facts.unsaved - self.live[start]
            lines += [effect(f"{name}.refs = {facts.refs[name]:#x}", OUTSIDE) for name in sorted(unsaved)]
            facts.unsaved -= unsaved
            lines += unlocked(facts, lambda lock: "." in lock and lock.partition(".")[0] not in self.live[start])
            facts = facts.live(self.live[start])
        key = start, index, facts.key()
        if key not in self._numbers:
            number = start if start in self.headers and not index else _COPY + len(self._numbers)
            self._numbers[key] = number
            self._work.append((number, start, index, facts.copy()))
        return self._numbers[key]

    def _copied(self, start: int, index: int, facts: ObjectFacts) -> BlockCode:
        block, lines = self.code[start], list[Stmt]()
        for n in range(index, len(block.lines)):
            line = block.lines[n]
            name, unit = self._asked(line, facts)
            if name and unit:
                lines += self._usual(name, unit, line, facts)
            elif name and start not in self.headers and len(self._numbers) <= self.most:
                no, yes = (self._at(start, n, facts.with_null(name, is_null), []) for is_null in (False, True))
                condition = f"{name} is None"
                return BlockCode(lines, condition, reads_of(condition), line.pc, None, (no, yes))
            lines += self._line(line, facts)
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
        if _CALL.search(_QUIET.sub("", condition)) or ".refs" in condition or "REFS" in condition:
            lines += stored(facts)
        succs = tuple(self._way(to, facts.after(condition, holds)) for to, holds in zip(block.succs, (False, True),
                                                                                     strict=True))
        return block._replace(lines=lines, condition=condition, reads=reads_of(condition), succs=succs)

    def _way(self, start: int, facts: ObjectFacts) -> int:
        """Return the copy of a block, after what has to be written back on the way to it."""
        lines: list[Stmt] = []
        return self._after(lines, self._at(start, 0, facts, lines))

    def _after(self, lines: list[Stmt], to: int) -> int:
        if not lines:
            return to
        self._extra += 1
        number = (_COPY << 1) + self._extra
        self.made[number] = BlockCode(lines, "", frozenset(), OUTSIDE, None, (to,))
        return number

    # ---- lines ------------------------------------------------------------------------------------------------------

    def _asked(self, line: Stmt, facts: ObjectFacts) -> tuple[str, int]:
        """Return the variable that must be known before a guarded line, and how it is usually held, 0 for whether NULL.

        Only objects that are not counted are held by one owner, which list, tree and slot know.
        """
        guarded = _GUARDED.fullmatch(facts.renamed(line.text)) if not line.writes else None
        condition, body = guarded.groups() if guarded is not None else ("", "")
        name = rooted(condition, body)
        if name is None or not _PLAIN.fullmatch(name) or name in ("SCH", "FREE"):
            return "", 0
        if name not in facts.null:
            return name, 0
        if facts.null[name] or name in facts.refs or not is_single(facts.types.get(name)):
            return "", 0
        mask = re.search(r"\.refs & (0x[0-9a-f]+)", condition)
        moved = re.search(rf"\b{name}\.refs -= (0x[0-9a-f]+)", body)
        number = int(mask[1], 0) if mask is not None else 0
        unit = number & -number or (int(moved[1], 0) + 1 if moved is not None else 0)
        return (name, unit) if unit else ("", 0)

    @staticmethod
    def _usual(name: str, unit: int, line: Stmt, facts: ObjectFacts) -> list[Stmt]:
        """Return the test that an object is held as it must be."""
        out = saved(facts, name)
        facts.refs[name] = unit
        return [*out, effect(f"if {name}.refs != {unit:#x}: O.unusual({name})", line.pc)]

    def _line(self, line: Stmt, facts: ObjectFacts) -> list[Stmt]:
        """Return what becomes of a line, and change what is known."""
        if line.writes:
            return self._assigned(line, facts)
        text = facts.renamed(line.text) if not _TAKE.search(line.text) else line.text
        if text in QUIESCE:
            return [line]
        if line.pc in self.locks:
            return self._locked(text, line, facts)
        guarded = _GUARDED.fullmatch(text)
        if guarded is None:
            return self._done(text, line, facts)
        condition, body = guarded.groups()
        found = decided(facts.renamed(condition), facts, self.own)
        if found is not None:
            return self._done(facts.renamed(body) if not _TAKE.search(body) else body, line, facts) if found else []
        fails = _FAULT.fullmatch(body)
        if fails and "REFS.held" in condition:
            return [*stored(facts), effect(text, line.pc)]
        if fails or _TAKE.fullmatch(body):  # a TAKE returns the same object, or fails
            return [_storing_first(condition, body, line.pc, facts)]
        out = [*stored(facts), line._replace(value=text, reads=reads_of(text))]
        facts.clobber()
        return out

    def _assigned(self, line: Stmt, facts: ObjectFacts) -> list[Stmt]:
        name, value = line.writes, facts.renamed(line.value)
        new, cell = _NEW.fullmatch(value), _CELL.fullmatch(value)
        if _PLAIN.fullmatch(value) and not line.also:
            out = unlocked(facts, lambda lock: lock.startswith(f"{name}."))
            if value != name:
                facts.forget(name)
                facts.same[name] = value
            return [*out, assign(name, value, line.pc)]
        if new is not None:
            root = f"o_n{line.pc}"
            out = held_stored(facts)
            facts.move(1)
            for each in (root, name):
                facts.forget(each)
            facts.born(root, self.empty.get(new[1], ()))
            facts.types[root] = self.types.get(line.pc)
            facts.same[name] = root
            return [*out, line._replace(writes=root), assign(name, root, line.pc)]
        if cell is not None and (cell[1], int(cell[2])) in facts.cells:
            known = facts.cells[cell[1], int(cell[2])]
            return self._assigned(line._replace(value=known, reads=reads_of(known), pure=True), facts)
        out = unlocked(facts, lambda lock: any(lock.startswith(f"{each}.") for each in (name, *line.also)))
        used = _USED.fullmatch(value)
        if used is not None and facts.is_none(used[1], (int(used[2]),)):
            facts.forget(name)
            facts.const[name] = "False"
            return [assign(name, "False", line.pc)]
        if _CALL.search(_QUIET.sub("", value)) and not _TAKEN_OUT.fullmatch(value):
            out += stored(facts)
            if not _LOOKS.fullmatch(value):
                facts.clobber()
        for each in (name, *line.also):
            facts.forget(each)
        if _NUMBER.fullmatch(value) and not line.also:
            facts.const[name] = value
            if value == "None":
                facts.null[name] = True
        if name in ("r0", f"t_{line.pc}_old") and line.pc in self.types:
            facts.types[name] = self.types[line.pc]
        return [*out, line._replace(value=value, reads=reads_of(value), idle=facts.renamed(line.idle))]

    @staticmethod
    def _locked(text: str, line: Stmt, facts: ObjectFacts) -> list[Stmt]:
        """Return what becomes of a line of taking or releasing a lock: what nobody sees is not stored."""
        guarded = _GUARDED.fullmatch(text)
        if guarded is None:
            lock, _, value = text.partition(" = ")
            facts.locks[lock] = value, facts.locks.get(lock, ("", ""))[1]
            return []
        lock = guarded[1].removeprefix("not ")
        free = "1" if lock != guarded[1] else "0"
        found = facts.locks.get(lock, ("", ""))[0]
        if found == free:
            return []
        if found:
            return [*stored(facts), effect(text, line.pc)]
        out = [_storing_first(guarded[1], guarded[2], line.pc, facts)]
        facts.locks[lock] = free, free
        return out

    def _done(self, text: str, line: Stmt, facts: ObjectFacts) -> list[Stmt]:
        """Return what becomes of statements that are executed."""
        out: list[Stmt] = []
        for part in text.split("; "):
            out += self._statement(part, line, facts)
        return out

    def _statement(self, text: str, line: Stmt, facts: ObjectFacts) -> list[Stmt]:
        refs, held, cell = _REFS.fullmatch(text), _HELD.fullmatch(text), _SET_CELL.fullmatch(text)
        if refs is not None:
            return self._counted(refs, text, line, facts)
        if held is not None and facts.held is not None:
            facts.held += 1 if held[1] == "+" else -1
            return []
        if cell is not None and not _CALL.search(cell[3]):
            value = facts.cell(cell[1], int(cell[2]), cell[3])
            return [effect(f"{cell[1]}.cells[{cell[2]}] = {value}", line.pc)]
        if _LINK.fullmatch(text):
            return [effect(text, line.pc)]
        put, drop = _PUT.fullmatch(text), _DROP.fullmatch(text)
        if put is not None and put[1] == "o_skb" and facts.refs.get("o_skb") == 1 and facts.put == () \
                and facts.held is not None:
            facts.put = "o_skb",
            facts.count("o_skb", self.own)
            facts.held -= 1
            return []
        if drop is not None and facts.held is not None:
            return self._dropped(drop, line, facts)
        added = _ADD.fullmatch(text)
        if added is not None and facts.held is not None and facts.refs.get(added[2], LOST) != LOST \
                and facts.is_none(added[2], (int(added[1]),)):
            out = [*stored(facts), effect(text, line.pc)]
            facts.move(-1)
            facts.count(added[2], facts.refs[added[2]] + int(added[3], 0) - 1)
            facts.unsaved.discard(added[2])
            facts.cells.pop((added[2], int(added[1])))
            facts.fresh.discard(added[2])
            return out
        if not _CALL.search(_QUIET.sub("", text)) and "REFS" not in text:
            return [effect(text, line.pc)]
        out = [*stored(facts), effect(text, line.pc)]
        facts.clobber()
        return out

    def _dropped(self, call: re.Match[str], line: Stmt, facts: ObjectFacts) -> list[Stmt]:
        """Return what becomes of the release of a reference to an object."""
        text, drop, name = call.group(0, 1, 2)
        refs = facts.refs.get(name, LOST)
        if refs != LOST and refs & COUNT and refs != 1:
            assert facts.held is not None
            facts.held -= 1
            facts.count(name, refs - 1)
            return []
        if refs == 1 and facts.is_none(name, self.owning[drop]):
            assert facts.held is not None
            facts.held -= 1
            facts.count(name, LOST)
            return [effect(f"{name}.refs = 0; {name}.last_holder = 'program'", line.pc),
                    effect(f"if {name}._region is not None: {name}.destroy()", line.pc)]
        out = [*stored(facts), effect(text, line.pc)]
        held = facts.held
        facts.clobber()
        facts.held = facts.stored = held
        facts.move(-1)
        return out

    def _counted(self, refs: re.Match[str], text: str, line: Stmt, facts: ObjectFacts) -> list[Stmt]:
        """Return what becomes of a change of an object's references."""
        name = refs[1]
        amount = self.own if refs[3] == "OWN" else self.own - 1 if refs[3].startswith("OWN") else int(refs[3], 0)
        before = facts.refs.get(name, LOST)
        if refs[2] and before == LOST:
            out = saved(facts, name)
            facts.count(name, LOST)
            return [*out, effect(text, line.pc)]
        facts.count(name, {"": amount, "+": before + amount, "-": before - amount}[refs[2]])
        return []


def _storing_first(condition: str, body: str, pc: int, facts: ObjectFacts) -> Stmt:
    """Return a guarded line that writes back what has not been stored yet, if it does anything."""
    kept = "".join(f"{stmt.text}; " for stmt in stored(facts.copy()))
    return effect(f"if {condition}: {kept}{body}", pc)
