"""Copies of blocks for what is known on the way to them (`PathFacts`), and statements for what is usual then.

The statements that programs consist of are looked at as trees. Those that are about references become fewer stores,
those about maps the code of the maps (`reference_steps`, `map_steps`); before anything else that might look at them,
what was left out so far is written back.
"""

from __future__ import annotations

import ast
from typing import TYPE_CHECKING, Final

from ebpfvm.engine.translate.emit_calls import OF_FLOW
from ebpfvm.engine.translate.program_body import GET, PUT
from ebpfvm.engine.translate.statements import BlockCode, Stmt, assign, live_at, reads_of
from ebpfvm.sched.fused.fused_steps import Branch, Split, Steps
from ebpfvm.sched.fused.map_steps import MapSteps
from ebpfvm.sched.fused.parsed import (
    edited,
    expression,
    is_none,
    masked,
    name_of,
    parsed,
    unparsed,
    with_names,
)
from ebpfvm.sched.fused.path_facts import PathFacts, is_variable
from ebpfvm.sched.fused.reference_steps import AddressSteps, ReferenceSteps

if TYPE_CHECKING:
    from ebpfvm.engine.translate.flow_graph import FlowGraph
    from ebpfvm.sched.fused.map_code import Views

_COPY: Final = 1 << 48  # copied blocks have numbers above all others
BODY: Final = 1 << 47  # what was the header of a loop
_MOST: Final = 4  # copies for each block, on average
_MORE: Final = 160  # most copies besides the first of each
QUIESCE: Final = "QUIESCE"  # a line: a program has ended, so what it deleted is freed
_PURE: Final = {"from_bytes", "bytes", "len", "REPEAT", "ENTER"}
_GIVEN: Final = ("t_classid", "t_delay")  # are only used where something unusual happens, and known there too
_REGION: Final = {"load", "store", "read", "write"}
_MEMORY: Final = {"RELEASE", "LOAD", "LOAD_PROBE", "STORE", "READ"}


class Specialiser:
    """Makes the copies.

    Args:
        graph, code: the blocks.
        views: the maps.
        facts: what is known at the beginning.
        constants: names that stand for numbers, and with a dot, fields of which all packets have the same number.
        more: what knows what becomes of some statements, besides references and maps.

    Attributes:
        entry, made: the first of the copies, and all of them.
        usual, calls: the operations that became code, and those that are called though nothing unusual has happened.
    """

    def __init__(self, graph: FlowGraph, code: dict[int, BlockCode], views: Views, facts: PathFacts,
                 constants: dict[str, int], more: tuple[Steps, ...] = ()) -> None:
        self.headers = set(graph.loops)
        # Where ways meet: nothing is known there.
        self.meetings = self.headers | {start for start, block in code.items() if not block.succs}
        self.code = with_bodies(code, self.headers)
        self.constants = {name: f"{value:#x}" for name, value in constants.items()}
        self.views = views
        self.steps: tuple[Steps, ...] = *more, AddressSteps(), ReferenceSteps(), MapSteps(views)
        self.live = live_at(code, graph)
        self.live |= {start + BODY: self.live[start] for start in self.headers}
        self.most = min(_MOST * len(code), len(code) + _MORE)
        self.made: dict[int, BlockCode] = {}
        self.usual: set[str] = set()
        self.calls: set[str] = set()
        self._numbers: dict[object, int] = {}
        self._work: list[tuple[int, int, int, Branch]] = []
        self.entry = self._at(graph.entry, 0, Branch(facts), begins=True)
        while self._work:
            number, start, index, branch = self._work.pop()
            self.made[number] = self._copied(start, index, branch)

    def _at(self, start: int, index: int, branch: Branch, begins: bool = False) -> int:
        """Return the copy of a block, from a line of it on, for what is known; `begins` if that is not in its midst."""
        facts = branch.facts
        cold = branch.cold or bool(facts.cold) or (begins and self._full and not facts.is_late)
        if cold or (begins and start in self.meetings):
            assert not facts.is_late, "what is not stored yet"
            given: dict[str, int] = {name: facts.const[name] for name in _GIVEN if name in facts.const} if cold else {}
            facts = PathFacts.nothing(cold and start not in self.meetings)
            if start not in self.meetings:
                facts.const.update(given)
        facts = facts.copy()
        facts.keep(self._live(start, index, facts))
        key = start, index, begins, facts.key(), branch.lines
        if key not in self._numbers:
            # It keeps its number, by which others know it.
            number = start if start in self.meetings and begins else _COPY + len(self._numbers)
            self._numbers[key] = number
            self._work.append((number, start, index, branch._replace(facts=facts)))
        return self._numbers[key]

    @property
    def _full(self) -> bool:
        return len(self._numbers) > self.most

    def _live(self, start: int, index: int, facts: PathFacts) -> frozenset[str]:
        """Return the variables that are used from a line on, by themselves or through what is known of others."""
        block = self.code[start]
        live = set(self.live[start])
        if index:
            live = set(block.reads).union(*(self.live[after] for after in block.succs))
            for line in reversed(block.lines[index:]):
                live = live - {line.writes, *line.also} | line.reads
        live |= {facts.addresses[name] for name in live & facts.addresses.keys()}
        live |= {facts.parts[name][0] for name in live & facts.parts.keys()}
        live |= {facts.root(name) for name in live}
        live |= {name for (bpf_map, key), name in facts.found.items() if {bpf_map, key} & live or not is_variable(key)}
        known = {key for computed, key in facts.keys.items() if live.issuperset(computed[1:])}
        return frozenset(live | known | {name for (_, key), name in facts.found.items() if key in known})

    # ---- one block --------------------------------------------------------------------------------------------------

    def _copied(self, start: int, index: int, branch: Branch) -> BlockCode:
        block, lines, facts = self.code[start], [*branch.lines], branch.facts.copy()
        for n in range(index, len(block.lines)):
            found = self._step(self._substituted(block.lines[n], facts), facts)
            if isinstance(found, Split):
                no, yes = (self._at(start, n if way.again else n + 1, _stored(way, block.lines[n].pc))
                           for way in (found.no, found.yes))
                condition = f"({found.condition})"
                return BlockCode([*lines, *found.before], condition, reads_of(condition), block.lines[n].pc, None,
                                 (no, yes))
            lines += found
        return self._ending(block, lines, facts)

    def _ending(self, block: BlockCode, lines: list[Stmt], facts: PathFacts) -> BlockCode:
        condition = self._with(block.condition.strip(), self._known(facts))
        tree = facts.undecided(expression(condition)) if condition else None
        condition = f"({unparsed(tree)})" if tree is not None else ""
        decided = facts.decided(tree) if tree is not None else None
        succs = block.succs if decided is None else (block.succs[decided],)
        asks = (facts.gone and ".base" in condition) or (decided is None and ".refs" in condition)
        if facts.cold or self._full or asks or self.meetings.intersection(succs):
            lines = [*lines, *facts.store_late(block.pc)]
        if decided is not None or tree is None:
            condition = "" if decided is not None else block.condition
            return block._replace(lines=lines, condition=condition, reads=reads_of(condition or block.result or ""),
                                  succs=tuple(self._at(each, 0, Branch(facts), begins=True) for each in succs))
        no, yes = facts.copy(), facts.copy()
        _learn(tree, no, yes)
        return block._replace(lines=lines, condition=condition, reads=reads_of(condition),
                              succs=(self._at(succs[0], 0, Branch(no), begins=True),
                                     self._at(succs[1], 0, Branch(yes), begins=True)))

    def _known(self, facts: PathFacts) -> dict[str, str]:
        """Return what stands for names: constants, and the variables that others are copies of."""
        return self.constants | facts.same | {name: f"{value:#x}" for name, value in facts.const.items()}

    def _substituted(self, line: Stmt, facts: PathFacts) -> Stmt:
        if line.value == QUIESCE:
            return line
        known = self._known(facts)
        value, idle = self._with(line.value, known), self._with(line.idle, known)
        return line if value == line.value else line._replace(value=value, reads=reads_of(value), idle=idle)

    def _with(self, text: str, known: dict[str, str]) -> str:
        """Return a line with names replaced, and the heads of maps by their variables."""
        text = with_names(text, known)
        edits = []
        for part in parsed(text).attributes if "." in text else ():
            found = self._field(part.node)
            if found:
                edits.append((part.begin, part.end, found))
        return edited(text, edits)

    def _field(self, node: ast.expr) -> str:
        """Return what stands for an attribute: a variable or a number; "" if it stays."""
        if not isinstance(node, ast.Attribute) or not isinstance(node.ctx, ast.Load):
            return ""
        if node.attr == "head":
            found = self.views.map(node.value)
            return found.head if found is not None else ""
        return self.constants.get(f".{node.attr}", "") if name_of(node.value).startswith("o_") else ""

    # ---- one line ---------------------------------------------------------------------------------------------------

    def _step(self, line: Stmt, facts: PathFacts) -> list[Stmt] | Split:
        """Return what becomes of a line, and change what is known."""
        if line.value == QUIESCE:
            return facts.quiesced(line.pc)
        gone = facts.store_late(line.pc) if facts.gone and _needs_gone(line, facts) else []
        found = self._become(line, facts)
        return found._replace(before=(*gone, *found.before)) if isinstance(found, Split) else [*gone, *found]

    def _become(self, line: Stmt, facts: PathFacts) -> list[Stmt] | Split:
        """Return what becomes of a line that is not the end of the program."""
        node = parsed(line.text).node
        for steps in self.steps if node is not None else ():
            assert node is not None
            after = facts.copy() if facts.cold else facts
            found = steps.step(line, node, after)
            if found is not None and (not facts.cold or not isinstance(found, Split)):
                if facts.cold:
                    facts.become(after)
                else:
                    self.usual.update(map(_operation, parsed(line.text).calls))
                    self.usual |= {"first"} if isinstance(getattr(node, "value", None), ast.IfExp) else set()
                return found
        return self._other(line, node, facts)

    def _other(self, line: Stmt, node: ast.stmt | None, facts: PathFacts) -> list[Stmt]:
        """Return what becomes of a line that is about nothing in particular."""
        before = [] if line.value not in (PUT, GET) else _forget_all(line, facts)
        looks = line.value not in (PUT, GET) and (not isinstance(node, (ast.Assign, ast.AugAssign, ast.Expr)))
        for call in parsed(line.text).calls:
            if not self._is_pure(call):
                before += facts.forget_references(line.pc)
                facts.cells.clear()
                looks = looks or not _of_region(call)
        if looks:
            self.calls.update(map(_operation, () if facts.cold else parsed(line.text).calls))
            return [*before, *self.views.called(line, facts)]
        if any(name in facts.late for name in (line.writes, *line.also)):
            before += facts.store_references(line.pc)
        for name in filter(None, (line.writes, *line.also)):
            facts.forget(name)
        if isinstance(node, ast.Assign) and not line.also:
            return [*before, *self._assigned(line, node, facts)]
        return [*before, line]

    def _is_pure(self, call: ast.Call) -> bool:
        """Return whether a call changes nothing, and looks at nothing that this knows better."""
        name = name_of(call.func)
        if name == "next" and name_of(call.args[0]) == "ticks":
            return True
        if name in _PURE or unparsed(call.func).startswith(("S.", "POOL.")) or _is_bare(call):
            return True
        if isinstance(call.func, ast.Attribute) and call.func.attr == "to_bytes":
            return True
        return isinstance(getattr(self.views.names.get(name), "__self__", None), dict)

    def _assigned(self, line: Stmt, node: ast.Assign, facts: PathFacts) -> list[Stmt]:
        """Return what becomes of an assignment, and take note of it."""
        target, value, name = node.targets[0], node.value, line.writes
        place = _cell(target)
        if place is not None:
            _store_cell((facts.root(place[0]), place[1]), value, facts)
        if not name:
            return [line]
        if line.pure and "&" in line.value:
            line = _masked_once(line, facts)
            value = expression(line.value)
        cell = _cell(value)
        known = facts.cells.get((facts.root(cell[0]), cell[1])) if cell is not None else None
        if known is not None:
            line = assign(name, known, line.pc)
            value = expression(known)
        _take_note(name, value, cell, facts)
        return [line]


def with_bodies(code: dict[int, BlockCode], headers: set[int]) -> dict[int, BlockCode]:
    """Return blocks in which the headers of loops are empty, because those are not copied."""
    out = dict(code)
    for start in headers:
        out[start + BODY] = code[start]
        out[start] = BlockCode([], "", frozenset(), code[start].pc, None, (start + BODY,))
    return out


def _forget_all(line: Stmt, facts: PathFacts) -> list[Stmt]:
    """Return what is to be stored before anybody may look, and forget what they may change."""
    for part in (facts.found, facts.first, facts.cells, facts.intact):
        part.clear()
    return [*facts.store_late(line.pc), *facts.forget_references(line.pc)]


def _operation(call: ast.Call) -> str:
    """Return the name of what is called, without numbers."""
    text = call.func.attr if isinstance(call.func, ast.Attribute) else name_of(call.func)
    return text.partition("_")[0].rstrip("0123456789").lower()


def _masked_once(line: Stmt, facts: PathFacts) -> Stmt:
    """Return an assignment in which a number that is cut by several masks is cut by one."""
    node, mask = masked(line.value)
    source, shift, before = facts.parts.get(facts.root(name_of(node)), ("", -1, -1))
    if source and not shift:
        return assign(line.writes, f"{source} & {mask & before:#x}", line.pc)
    return line if mask < 0 else assign(line.writes, f"({unparsed(node)}) & {mask:#x}", line.pc)


def _stored(way: Branch, pc: int) -> Branch:
    """Return a way on, which begins with what is not stored yet if it is unusual."""
    return way._replace(lines=(*way.facts.store_late(pc), *way.lines)) if way.cold and way.facts.is_late else way


def _needs_gone(line: Stmt, facts: PathFacts) -> bool:
    """Return whether a line asks for an address, which a deleted value gets only if it is known as such."""
    return ".base" in line.value or any(name in facts.gone for name in (line.writes, *line.also))


def _is_bare(call: ast.Call) -> bool:
    """Return whether a helper is called that does not look at its environment."""
    return len(call.args) > 1 and is_none(call.args[0]) and name_of(call.func).startswith(("H", OF_FLOW))


def _of_region(call: ast.Call) -> bool:
    """Return whether a call only reads or writes memory, frees a packet, or ends the run."""
    if isinstance(call.func, ast.Attribute):
        return call.func.attr in _REGION
    return name_of(call.func) in _MEMORY or name_of(call.func).startswith("OVER")


def _cell(node: ast.expr) -> tuple[str, int] | None:
    """Return the value and the index if an expression is an item of a map's value."""
    if not isinstance(node, ast.Subscript) or not isinstance(node.slice, ast.Constant):
        return None
    name = name_of(node.value)
    return (name, node.slice.value) if name.startswith("g_") else None  # type: ignore[return-value]


def _store_cell(place: tuple[str, int], value: ast.expr, facts: PathFacts) -> None:
    for other in [other for other in facts.cells if other[1] == place[1]]:
        del facts.cells[other]  # two variables may have the same value
    if is_none(value):
        facts.cells[place] = "None"
    elif is_variable(name_of(value)):
        facts.cells[place] = facts.root(name_of(value))


def _take_note(name: str, value: ast.expr, cell: tuple[str, int] | None, facts: PathFacts) -> None:
    """Take note of what a variable is."""
    known = facts.number(value)
    if known is not None:
        facts.const[name] = known
    elif is_none(value):
        facts.null[name] = True
    elif isinstance(value, ast.Name) and is_variable(value.id):
        root = facts.root(value.id)
        if root in facts.const:
            facts.const[name] = facts.const[root]
        elif root != name:
            facts.same[name] = root
    elif isinstance(value, ast.BinOp) and isinstance(value.right, ast.Constant):
        source, number = facts.root(name_of(value.left)), value.right.value
        if isinstance(value.op, ast.RShift) and source:
            facts.parts[name] = source, number, -1  # type: ignore[assignment]
        elif isinstance(value.op, ast.BitAnd):
            facts.parts[name] = source, 0, number  # type: ignore[assignment]
    elif cell is not None:
        facts.cells[facts.root(cell[0]), cell[1]] = name


def _learn(condition: ast.expr | None, no: PathFacts, yes: PathFacts) -> None:
    """Take note of what follows from a condition that is false, or true."""
    while isinstance(condition, ast.UnaryOp) and isinstance(condition.op, ast.Not):
        condition, no, yes = condition.operand, yes, no
    if isinstance(condition, ast.Compare) and is_none(condition.comparators[0]) and name_of(condition.left):
        null = isinstance(condition.ops[0], ast.Is)
        root = no.root(name_of(condition.left))
        no.null[root], yes.null[root] = not null, null
