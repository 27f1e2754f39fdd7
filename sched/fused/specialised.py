"""Copies of blocks for what is known on the way to them: constants, which objects are NULL, and who holds a packet.

A reference that a program acquires and gives away is an addition to `refs` each time. Where the number is known, as it
is from the arrival of a packet on, it is stored instead, and the checks before it are left out. What is stored when
stays the same, so a fault finds the same state.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final, NamedTuple

from ebpfvm.engine.translate.statements import VARIABLE, BlockCode, Stmt, effect, live_at, reads_of
from ebpfvm.ints import U32_MAX

if TYPE_CHECKING:
    from ebpfvm.engine.translate.flow_graph import FlowGraph

_COPY: Final = 1 << 48  # copied blocks have numbers above all others
_MOST: Final = 3  # copies for each block, on average
_MORE: Final = 40  # most copies besides the first of each
_CONST: Final = re.compile(r"\d+|0x[0-9a-f]+")
_NULL: Final = re.compile(r"\(?(o_\w+) is (not )?None\)?")
_GUARDED: Final = re.compile(r"if (o_\w+) is not None(?: and (.+?))?: (.+)")
_ADD: Final = re.compile(r"(o_\w+)\.refs ([+-])= (0x[0-9a-f]+|\d+|OWN)")
_SET: Final = re.compile(r"(o_\w+)\.refs = (OWN|\d+)")
_HELD: Final = re.compile(r"not (o_\w+)\.refs & (0x[0-9a-f]+)")
_ACQUIRE: Final = re.compile(r"if not (o_\w+)\.refs: ACQUIRE\(\1\)")
_FOLDED: Final = re.compile(r"(?:0x[0-9a-f]+|[\d\s<>=!&|+()-])*")
_REFS: Final = re.compile(r"\b(o_\w+)\.refs\b")
_OWN: Final = re.compile(r"\bOWN(_MASK)?\b")
# What changes no references of a packet that the program knows already.
_HARMLESS: Final = re.compile(r"(?:\w+ = )?(?:PUT\d+|GET\d+|EXISTING\d+|o_\d+\.(?:put|get)|from_bytes|INNER\d+)\(")
_CALL: Final = re.compile(r"\w\(")


class PathFacts(NamedTuple):
    """What is known: constants, NULL or not, references, and variables that are copies of others."""

    const: dict[str, int]
    null: dict[str, bool]
    refs: dict[str, int]
    same: dict[str, str]

    def copy(self) -> PathFacts:
        """Return a copy."""
        return PathFacts(dict(self.const), dict(self.null), dict(self.refs), dict(self.same))

    def key(self) -> tuple[object, ...]:
        """Return what is known, as a key."""
        return tuple(frozenset(part.items()) for part in self)

    def forget(self, name: str) -> None:
        """Forget what is known of a variable that is assigned."""
        for part in self:
            part.pop(name, None)
        for other in [other for other, root in self.same.items() if root == name]:
            del self.same[other]


class Specialiser:
    """Makes the copies.

    Args:
        graph, code: the blocks.
        own: one reference of the qdisc.
        packet: a variable with a packet that only the qdisc holds at the beginning; "" for none.

    Attributes:
        entry, made: the first of the copies, and all of them.
    """

    def __init__(self, graph: FlowGraph, code: dict[int, BlockCode], own: int, packet: str) -> None:
        self.code, self.own = code, own
        self.live = live_at(code, graph)
        self.most = min(_MOST * len(code), len(code) + _MORE)
        self.headers = set(graph.loops)
        self.made: dict[int, BlockCode] = {}
        self._numbers: dict[object, int] = {}
        self._work: list[tuple[int, int, int, PathFacts]] = []
        begin = {packet: False} if packet else {}, {packet: own} if packet else {}
        self.entry = self._at(graph.entry, 0, PathFacts({}, *begin, {}))
        while self._work:
            number, start, index, facts = self._work.pop()
            self.made[number] = self._copied(start, index, facts)

    def _at(self, start: int, index: int, facts: PathFacts) -> int:
        """Return the copy of a block, from a line of it on, for what is known."""
        if start in self.headers or len(self._numbers) > self.most:
            facts = PathFacts({}, {}, {}, {})
        live = self.live[start] if not index else frozenset({*facts.const, *facts.null, *facts.refs, *facts.same})
        live |= {root for name, root in facts.same.items() if name in live}
        facts = facts.copy()
        for part in facts:
            for name in part.keys() - live:
                del part[name]
        key = start, index, facts.key()
        if key not in self._numbers:
            # A loop's header keeps its number, by which others know it.
            number = start if start in self.headers and not index else _COPY + len(self._numbers)
            self._numbers[key] = number
            self._work.append((number, start, index, facts))
        return self._numbers[key]

    def _copied(self, start: int, index: int, facts: PathFacts) -> BlockCode:
        block, lines = self.code[start], list[Stmt]()
        for n in range(index, len(block.lines)):
            line = block.lines[n]
            guarded = _GUARDED.fullmatch(line.text)
            if guarded is not None and self._null(guarded[1], facts) is None and start not in self.headers \
                    and len(self._numbers) <= self.most:
                known, other = facts.copy(), facts.copy()
                known.null[self._root(guarded[1], facts)] = False
                other.null[self._root(guarded[1], facts)] = True
                condition = f"{guarded[1]} is None"
                return BlockCode(lines, condition, reads_of(condition), line.pc, None,
                                 (self._at(start, n, known), self._at(start, n, other)))
            lines += self._line(line, facts)
        return self._ending(block, lines, facts)

    def _ending(self, block: BlockCode, lines: list[Stmt], facts: PathFacts) -> BlockCode:
        if len(block.succs) < 2:
            return block._replace(lines=lines, succs=tuple(self._at(each, 0, facts) for each in block.succs))
        decided = self._decided(block.condition, facts)
        if decided is not None:
            return block._replace(lines=lines, condition="", reads=frozenset(),
                                  succs=(self._at(block.succs[decided], 0, facts),))
        no, yes = facts.copy(), facts.copy()
        match = _NULL.fullmatch(block.condition.removeprefix("not ").strip())
        if match is not None:
            root = self._root(match[1], facts)
            is_null = (match[2] is None) != block.condition.startswith("not ")
            yes.null[root], no.null[root] = is_null, not is_null
        return block._replace(lines=lines, succs=(self._at(block.succs[0], 0, no), self._at(block.succs[1], 0, yes)))

    # ---- facts ------------------------------------------------------------------------------------------------------

    @staticmethod
    def _root(name: str, facts: PathFacts) -> str:
        return facts.same.get(name, name)

    def _null(self, name: str, facts: PathFacts) -> bool | None:
        return facts.null.get(self._root(name, facts))

    def _decided(self, condition: str, facts: PathFacts) -> bool | None:
        """Return whether a condition is true, None if that is not known."""
        text = condition
        negated = text.startswith("not ")
        match = _NULL.fullmatch(text.removeprefix("not ").strip())
        if match is not None:
            null = self._null(match[1], facts)
            return None if null is None else (null == (match[2] is None)) != negated
        text = _REFS.sub(lambda found: str(facts.refs.get(self._root(found[1], facts), found[0])), text)
        text = _OWN.sub(lambda found: f"{self.own * (U32_MAX if found[1] else 1):#x}", text)
        text = VARIABLE.sub(lambda found: str(facts.const.get(found[0], found[0])), text)
        if not _FOLDED.fullmatch(re.sub(r"\b(?:and|or|not)\b", "", text)):
            return None
        return bool(eval(text, {"__builtins__": {}}))  # digits and operators only

    def _line(self, line: Stmt, facts: PathFacts) -> list[Stmt]:
        """Return what becomes of a line, and change what is known."""
        text = line.text
        guarded = _GUARDED.fullmatch(text)
        if guarded is not None:
            return self._guarded(guarded, line, facts)
        match = _ACQUIRE.fullmatch(text)
        if match is not None and facts.refs.get(self._root(match[1], facts)):
            return []
        match = _ADD.fullmatch(text)
        if match is not None:
            return [self._added(match, line, facts)]
        match = _SET.fullmatch(text)
        if match is not None:
            facts.refs.clear()
            facts.refs[self._root(match[1], facts)] = self.own if match[2] == "OWN" else int(match[2])
            return [line]
        return self._other(line, facts)

    def _guarded(self, guarded: re.Match[str], line: Stmt, facts: PathFacts) -> list[Stmt]:
        """Return what becomes of a line that only does something if an object is not NULL."""
        name, condition, body = guarded.groups()
        null = self._null(name, facts)
        if null:
            return []
        if condition is None and null is False:
            out = []
            for part in body.split("; "):
                match = _ADD.fullmatch(part)
                stmt = effect(part, line.pc)
                out.append(self._added(match, stmt, facts) if match is not None else stmt)
            return out
        held = _HELD.fullmatch(condition or "")
        if held is not None and null is False:
            refs = facts.refs.get(self._root(held[1], facts))
            if refs is not None and refs & int(held[2], 0):
                return []
        facts.refs.clear()
        if line.writes or "= TAKE(" in body:
            facts.forget(name)
            facts.null[name] = False
        return [line]

    def _added(self, match: re.Match[str], line: Stmt, facts: PathFacts) -> Stmt:
        """Return an addition to the references of a packet, as a store if the sum is known."""
        root = self._root(match[1], facts)
        before = facts.refs.get(root)
        amount = self.own if match[3] == "OWN" else int(match[3], 0)
        facts.refs.clear()  # another variable may be the same packet
        if before is None:
            return line
        facts.refs[root] = after = before + amount if match[2] == "+" else before - amount
        return effect(f"{match[1]}.refs = {after:#x}", line.pc)

    def _other(self, line: Stmt, facts: PathFacts) -> list[Stmt]:
        if line.value in ("PUT", "GET") or (_CALL.search(line.value) and not _HARMLESS.match(line.text)):
            facts.refs.clear()
        for name in filter(None, (line.writes, *line.also)):
            facts.forget(name)
        if not line.writes or line.also:
            return [line]
        if _CONST.fullmatch(line.value):
            facts.const[line.writes] = int(line.value, 0)
        elif line.value == "None":
            facts.null[line.writes] = True
        elif VARIABLE.fullmatch(line.value):
            if line.value in facts.const:
                facts.const[line.writes] = facts.const[line.value]
            elif self._root(line.value, facts) != line.writes:
                facts.same[line.writes] = self._root(line.value, facts)
        return [line]
