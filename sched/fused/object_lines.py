"""What becomes of the lines of a member for what is known of objects before them."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from ebpfvm.engine.translate.program_body import GET, PUT
from ebpfvm.engine.translate.statements import Stmt, assign, effect, reads_of
from ebpfvm.kernel.object_sorting import PLENTY
from ebpfvm.kernel.object_types import ObjectType
from ebpfvm.kernel.refs import COUNT, PROGRAM_UNIT
from ebpfvm.lazy_tuples import NamedTuple
from ebpfvm.sched.fused.glue import OUTSIDE
from ebpfvm.sched.fused.object_facts import CLOCK, LOST, ObjectFacts, decided, rooted
from ebpfvm.sched.fused.object_stores import added, around, counted, is_single, saved, stored, storing_first, unlocked
from ebpfvm.sched.fused.specialised import QUIESCE

if TYPE_CHECKING:
    from collections.abc import Iterable

_PLAIN: Final = re.compile(r"r\d+|[ost]_\w+|SCH|FREE")
_NUMBER: Final = re.compile(r"\d+|0x[0-9a-f]+|None")
_ADDRESS: Final = re.compile(r"\b(\w+)\.ptr\b")
_NEW: Final = re.compile(r"(NEW\d+)(?:_[ed])?\(\)")
_CELL: Final = re.compile(r"(\w+)\.cells\[(\d+)\]|(g_\w+)\[(\d+)\]|(K\d+)_(\d+)")
_TAKEN_OUT: Final = re.compile(r"[\w.\[\]]+\.pop(?:left)?\(\) if [\w.\[\]]+ else None|"
                               r"[\w.\[\]]+\[-?\d\] if [\w.\[\]]+ else None")
_LOOKED: Final = re.compile(r"([\w.]+(?:\[\d+\])?)\[0\] if \1 else None")
_UNLINKED: Final = re.compile(r"(\w+) if \1\.cells\[\d+\] is (\w+) else None")
_REMOVED: Final = re.compile(r"(\w+)\.remove\((\w+)\)")
_ROOT: Final = re.compile(r"\w+\.cells\[\d+\]")
_GUARDED: Final = re.compile(r"if (.+?): (.+)")
_LOCK_OF: Final = re.compile(r"H\d+(?:_[ed])?\(ENV(?:_[ed])?, (?:0x[0-9a-f]+|(b_\d+)(?: \+ \d+)?)\)")
_REFS: Final = re.compile(r"(\w+)\.refs ([+-]?)= (0x[0-9a-f]+|\d+|OWN(?: - 1)?)")
_HELD: Final = re.compile(r"REFS\.held ([+-])= 1")
_SET_CELL: Final = re.compile(r"([\w.]+(?:\[\d+\])?) = (.+)")
_LINK: Final = re.compile(r"[\w.\[\]]+\.(?:append|appendleft|remove)\((\w+)\)|\w+\.at = \d+")
_TAKE: Final = re.compile(r"(\w+) = TAKE\((\w+), \w+\)")
_FAULT: Final = re.compile(r"(?:GIVE\w*|H\d+(?:_[ed])?)\(.*\)|O\.leaks\(\)|LEAVEd\(.*\)")
_PUT: Final = re.compile(r"FREE\.take\((\w+)\)")
_DROP: Final = re.compile(r"(DROP\d+)(?:_[ed])?\((\w+)\)")
_ADD: Final = re.compile(r"ADD_([A-Z]+)_(\d+)_(\d+)_\w+\(ticks, ([\w.\[\]]+), (\w+), (0x[0-9a-f]+), (OVER\w*)\)")
_USED: Final = re.compile(r"(\w+)\.cells\[(\d+)\] is not None")
_ACQUIRED: Final = re.compile(r"\w+\.refs")
_STILL: Final = re.compile(r"\(?(\w+) if \1\.refs else None\)?")
_CALL: Final = re.compile(r"\w\(")
_QUIET: Final = re.compile(r"\b(?:(?:GET|EXISTING|AT)\d+(?:_[ed])?|[UBP]\d|[UB]_\w+|FIND_\w+|PACK_\w+|len|REPEAT|HIDE|"
                           r"next|LEAVE[ed]|HASH\w*|HINT)\(")
"""Calls that neither look at what is known here, nor change it."""
_MAY_RETIRE: Final = "RETIRED = True"
_LOOKS: Final = re.compile(r"[^()]*\(*(?:MEMBER_\w+|HASH\w*)\([^()]*\)[^()]*\)*[^()]*")  # change nothing


class Known(NamedTuple):
    """What is known of the whole member.

    Attributes:
        own: one reference of the qdisc.
        owning: function that drops objects -> the cells of its objects that own others.
        empty: function that makes objects -> the cells of its objects that are None at first.
        types: instruction -> type of the object that it returns.
        locks: the instructions that take or release locks.
        moving: the calls after which the program may hold more or fewer references.
        plain: function that makes objects without lists and trees -> their class, and their cells.
        plenty: whether the budget is more than the insertions of a run without loops can consume.
    """

    own: int
    owning: dict[str, tuple[int, ...]]
    empty: dict[str, tuple[int, ...]]
    types: dict[int, object]
    locks: frozenset[int]
    moving: frozenset[int]
    plain: dict[str, tuple[str, str]]
    plenty: bool


class ObjectLines:
    """Changes lines, and what is known.

    Args:
        known: see `Known`.
        lines: all lines of the member.
    """

    def __init__(self, known: Known, lines: Iterable[Stmt]) -> None:
        self.quiet_locks = _quiet_locks(known.locks, lines)
        self.own, self.owning, self.empty, self.types, self.locks, self.moving, self.plain, self.plenty = known
        self.ticks: list[Stmt] = []  # what makes the budget

    def asked(self, line: Stmt, facts: ObjectFacts) -> tuple[str, int]:
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
    def usual(name: str, unit: int, line: Stmt, facts: ObjectFacts) -> list[Stmt]:
        """Return the test that an object is held as it must be."""
        out = saved(facts, name)
        facts.refs[name] = unit
        if isinstance(facts.types.get(name), ObjectType):  # nobody but programs can hold it
            return out
        return [*out, effect(f"if {name}.refs != {unit:#x}: O.unusual({name})", line.pc)]

    def line(self, line: Stmt, facts: ObjectFacts) -> list[Stmt]:
        """Return what becomes of a line, and change what is known."""
        if line.value.startswith("ticks = ") and self.plenty:
            facts.unspent, self.ticks = True, [line]
            return []
        # Whoever asks for an object's address makes its memory, which depends on whether it has been freed.
        asked = {facts.same.get(name, name) for name in _ADDRESS.findall(line.text) if line.pc not in self.locks}
        before = stored(facts) if asked & {*facts.unsaved, *facts.deltas} else []
        out = [*before, *self._line(line, facts)]
        # What follows a call that changes anything is the same with and without loops before it.
        if facts.unspent and any("ticks" in each.value or each.value == _MAY_RETIRE for each in out):
            out = [*self.begun(facts), *out]
        return out

    def begun(self, facts: ObjectFacts) -> list[Stmt]:
        """Return what makes the budget, if that is not made yet."""
        out, facts.unspent = self.ticks if facts.unspent else [], False
        return out

    def _line(self, line: Stmt, facts: ObjectFacts) -> list[Stmt]:
        if line.writes:
            return self._assigned(line, facts)
        text = facts.renamed(line.text) if not _TAKE.search(line.text) else line.text
        if text == QUIESCE:  # only after a call that may delete something is there anything to free
            return [effect("if RETIRED: RETIRED = False; MEMORY.quiesce()", line.pc)]
        if line.pc in self.locks:
            return self._locked(text, line, facts)
        guarded = _GUARDED.fullmatch(text)
        if guarded is None:
            return self._done(text, line, facts)
        condition, body = guarded.groups()
        if _TAKE.fullmatch(body) or body.startswith("GIVE"):  # verified programs move what they hold
            return []
        if _ACQUIRED.fullmatch(condition) and body.startswith(f"{condition} += "):
            return self._done(body, line, facts)
        found = decided(facts.renamed(condition), facts, self.own)
        if found is not None:
            return self._done(facts.renamed(body) if not _TAKE.search(body) else body, line, facts) if found else []
        fails = _FAULT.fullmatch(body)
        if fails and "REFS.held" in condition:
            return [*stored(facts), effect(text, line.pc)]
        if fails or _TAKE.fullmatch(body):  # a TAKE returns the same object, or fails
            return [storing_first(condition, body, line.pc, facts)]
        return self._unknown(line._replace(value=text, reads=reads_of(text)), facts)

    def _unknown(self, line: Stmt, facts: ObjectFacts, moves: bool = True) -> list[Stmt]:
        """Return what becomes of a line that may look at anything, and change it."""
        out = [*stored(facts), line]
        if line.value not in (PUT, GET) and calls(line.text):
            out.append(effect(_MAY_RETIRE, line.pc))
        facts.clobber(moves and (line.pc in self.moving or line.pc == OUTSIDE))
        return out

    def _assigned(self, line: Stmt, facts: ObjectFacts) -> list[Stmt]:
        name, value = line.writes, _STILL.sub(r"\1", facts.renamed(line.value))
        new, cell = _NEW.fullmatch(value), _place(value)
        if _PLAIN.fullmatch(value) and not line.also:
            if value == name:
                return []
            out = self._left(name, facts)
            value = facts.renamed(value)
            facts.forget(name)
            facts.same[name] = value
            return [*out, assign(name, value, line.pc)]
        if new is not None:
            root, plain = f"o_n{line.pc}", self.plain.get(new[1])
            out = stored(facts) if plain is None or facts.held is None else []
            if plain is None or facts.held is None:
                facts.move(1)
            else:
                facts.held += 1
            for each in (root, name):
                out += self._left(each, facts)
                facts.forget(each)
            facts.born(root, self.empty.get(new[1], ()))
            facts.types[root] = self.types.get(line.pc)
            facts.same[name] = root
            if plain is None:
                return [*out, line._replace(writes=root), assign(name, root, line.pc)]
            facts.unsaved.add(root)
            return [*out, assign(root, f"new({plain[0]})", line.pc)._replace(pure=False),
                    effect(f"{root}.cells = {plain[1]}", line.pc), effect(f"{root}._region = None", line.pc),
                    effect(f"{root}.serial = REFS.serial = REFS.serial + 1", line.pc), effect(f"born({root})", line.pc),
                    assign(name, root, line.pc)]
        if cell is not None and cell in facts.cells:
            known = facts.cells[cell]
            return self._assigned(line._replace(value=known, reads=reads_of(known), pure=True), facts)
        unlinked = _UNLINKED.fullmatch(value)
        if unlinked is not None and facts.is_first(unlinked[1], unlinked[2]):
            return self._assigned(line._replace(value=unlinked[1], reads=frozenset((unlinked[1],)), pure=True), facts)
        looked, heir = _LOOKED.fullmatch(value), facts.heir(name)
        out = [stmt for each in (name, *line.also) for stmt in self._left(each, facts)] if value != name else []
        if value == "REFS.held" and facts.held is not None:
            value = str(facts.held)
        used = _USED.fullmatch(value)
        if used is not None and facts.is_none(used[1], (int(used[2]),)):
            facts.forget(name)
            facts.const[name] = "False"
            return [assign(name, "False", line.pc)]
        if calls(value) and not _TAKEN_OUT.fullmatch(value):
            out += stored(facts)
            if not _LOOKS.fullmatch(value):
                out.append(effect(_MAY_RETIRE, line.pc))
                facts.clobber(line.pc in self.moving)
        for each in (name, *line.also):
            facts.forget(each)
        if (_NUMBER.fullmatch(value) or value in (CLOCK, f"({CLOCK})")) and not line.also:
            facts.const[name] = value.strip("()")
            if value == "None":
                facts.null[name] = True
        if looked is not None:
            facts.first[name] = re.sub(rf"\b{name}\b", heir or "?", looked[1])
        elif name.endswith("_root") and _ROOT.fullmatch(value):
            facts.roots[name] = value
        elif _TAKEN_OUT.fullmatch(value):
            facts.first.clear()
        if name in ("r0", f"t_{line.pc}_old") and line.pc in self.types:
            facts.types[name] = self.types[line.pc]
        return [*out, line._replace(value=value, reads=reads_of(value), idle=facts.renamed(line.idle))]

    @staticmethod
    def _left(name: str, facts: ObjectFacts) -> list[Stmt]:
        """Return what is stored before a variable gets another object, unless another one stands for that."""
        if facts.handed_on(name):
            return []
        out = [*added(facts, [name]), *counted(facts, [name])]
        return [*out, *unlocked(facts, lambda lock: lock.startswith(f"{name}."))]

    def _locked(self, text: str, line: Stmt, facts: ObjectFacts) -> list[Stmt]:
        """Return what becomes of a line of taking or releasing a lock: what nobody sees is not stored."""
        guarded = _GUARDED.fullmatch(text)
        if guarded is None:
            lock, assigned, value = text.partition(" = ")
            if assigned:
                facts.locks[lock] = value, facts.locks.get(lock, ("", ""))[1]
                return []
            called = _LOCK_OF.fullmatch(text)
            if self.quiet_locks and called is not None and called[1]:
                return []
            out = [*stored(facts), effect(text, line.pc)]
            facts.locks.clear()
            return out
        lock = guarded[1].removeprefix("not ")
        free = "1" if lock != guarded[1] else "0"
        if lock not in facts.locks:
            facts.locks[lock] = free, free  # whatever a verified program takes is free, and whatever it gives is taken
        return [] if facts.locks[lock][0] == free else [*stored(facts), effect(text, line.pc)]

    def _done(self, text: str, line: Stmt, facts: ObjectFacts) -> list[Stmt]:
        """Return what becomes of statements that are executed."""
        out: list[Stmt] = []
        for part in text.split("; "):
            out += self._statement(part, line, facts)
        return out

    def _statement(self, text: str, line: Stmt, facts: ObjectFacts) -> list[Stmt]:
        refs, held, cell = _REFS.fullmatch(text), _HELD.fullmatch(text), _SET_CELL.fullmatch(text)
        if refs is not None:
            self._count(refs, facts)
            return []
        if held is not None and facts.held is not None:
            facts.held += 1 if held[1] == "+" else -1
            return []
        place = _place(cell[1]) if cell is not None and not _CALL.search(cell[2]) else None
        if cell is not None and place is not None:
            return [effect(f"{cell[1]} = {facts.cell(*place, cell[2])}", line.pc)]
        if _LINK.fullmatch(text):
            removed = _REMOVED.fullmatch(text)
            if removed is not None and facts.is_first(removed[2], removed[1]):
                text = f"del {removed[1]}[0]"
            facts.first.clear()
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
        sorted_in = _ADD.fullmatch(text)
        if sorted_in is not None and facts.held is not None and facts.refs.get(sorted_in[5], LOST) != LOST \
                and facts.is_none(sorted_in[5], (int(sorted_in[3]),)):
            return self._sorted(sorted_in, line, facts)
        if not calls(text) and "REFS" not in text:
            return [effect(text, line.pc)]
        return self._unknown(effect(text, line.pc), facts)

    @staticmethod
    def _sorted(call: re.Match[str], line: Stmt, facts: ObjectFacts) -> list[Stmt]:
        """Return what becomes of the insertion of an object into a tree."""
        how, key, cell, tree, name, unit, over = call.groups()
        refs = facts.refs[name] + int(unit, 0) - 1
        facts.first.clear()
        if how != "BY" or facts.put:
            out = [*stored(facts), effect(call[0], line.pc)]
            facts.move(-1)
            facts.count(name, refs)
            facts.unsaved.discard(name)
            facts.cells.pop((name, int(cell)))
            facts.fresh.discard(name)
            return out
        local, by = f"t_{line.pc}_tree", f"cells[{key}]"
        spend = around(facts, f"SPEND_{key}(ticks, {local}, {name}, {over})")
        out = [assign(local, tree, line.pc)._replace(pure=False),
               *([] if facts.unspent else [effect(f"if HINT(ticks) < {PLENTY}: {spend}", line.pc)]),
               effect(f"{local}.append({name}) if not {local} or {local}[-1].{by} <= {name}.{by} else "
                      f"SORT_{key}({local}, {name})", line.pc),
               effect(f"{name}.cells[{cell}] = {local}", line.pc)]
        assert facts.held is not None
        facts.held -= 1
        facts.count(name, refs)
        facts.cells.pop((name, int(cell)))
        facts.fresh.discard(name)
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
        if refs == LOST and name in facts.kept:
            assert facts.held is not None
            facts.held -= 1
            facts.deltas[name] = facts.deltas.get(name, 0) - 1
            return []
        if refs == 1 and facts.is_none(name, self.owning[drop]):
            assert facts.held is not None
            facts.held -= 1
            facts.count(name, LOST)
            return [effect(f"{name}.refs = 0; {name}.last_holder = 'program'", line.pc),
                    effect(f"if {name}._region is not None: {name}.retire(); RETIRED = True", line.pc)]
        out = self._unknown(effect(text, line.pc), facts, moves=False)
        facts.move(-1)
        return out

    def _count(self, refs: re.Match[str], facts: ObjectFacts) -> None:
        """Take note of a change of an object's references."""
        name = refs[1]
        amount = self.own if refs[3] == "OWN" else self.own - 1 if refs[3].startswith("OWN") else int(refs[3], 0)
        before = facts.refs.get(name, LOST)
        if not refs[2] or before != LOST:
            facts.count(name, {"": amount, "+": before + amount, "-": before - amount}[refs[2]])
            return
        more = amount if refs[2] == "+" else -amount
        facts.deltas[name] = facts.deltas.get(name, 0) + more
        if more < 0:
            facts.kept = {other for other in facts.kept if other != name and not facts.may_be(name, other)}
        elif more > PROGRAM_UNIT:
            facts.kept.add(name)


def _place(text: str) -> tuple[str, int] | None:
    """Return the object or value and the number of the cell that a text is; each kind has its numbers."""
    found = _CELL.fullmatch(text)
    if found is None:
        return None
    kind = found.lastindex // 2 - 1 if found.lastindex else 0
    return found[2 * kind + 1], int(found[2 * kind + 2]) + (kind << 20)


def calls(text: str) -> bool:
    """Return whether a text calls what may look at what is known here."""
    return _CALL.search(_QUIET.sub("", text)) is not None


def _quiet_locks(locks: frozenset[int], lines: Iterable[Stmt]) -> bool:
    """Return whether it is known of each call that takes or releases a lock whether that is in an element of a map.

    Then such calls come in pairs, and nobody sees them. A compiler may merge the releases of two locks.
    """
    texts = [line.text for line in lines if line.pc in locks and " = " not in line.text]
    return all(_GUARDED.fullmatch(text) or _LOCK_OF.fullmatch(text) for text in texts)
