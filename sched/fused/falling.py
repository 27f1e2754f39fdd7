"""Print a reducible flow graph as statements that fall through to what follows, for functions that run often.

`structure` leaves a wrapper by `break`, and passes a jump out of several of them on from one to the next. Here nothing
is wrapped: what several jumps lead to stands behind all that jumps to it, under a test of `go` unless nothing else
comes there, so that a jump is an assignment and falling through. Only loops are left by `break`. What comes later has
a greater number, so that one test leads past several.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from ebpfvm.engine.translate.structure import MAX_INDENT, BlockNode, Goto, If, LoopNode, NodeTree, TooDeep, loop_ends
from ebpfvm.lazy_dataclasses import dataclass

if TYPE_CHECKING:
    from collections.abc import Mapping

    from ebpfvm.engine.translate.counted_loops import CountedLoop
    from ebpfvm.engine.translate.dispatch_loop import Line
    from ebpfvm.engine.translate.flow_graph import FlowGraph
    from ebpfvm.engine.translate.statements import BlockCode

Nodes = list[Any]  # nodes of `structure`, and meetings

_MANY: Final = 5  # so many tests that follow each other can be passed by one


@dataclass(slots=True)
class Meeting:
    """Nodes, and behind them the blocks, by label, that jumps from what is before each lead to."""

    core: Nodes
    parts: list[tuple[int, Nodes]]


@dataclass(slots=True)
class _Labels:
    """The parts of a `Meeting` that is being printed.

    Attributes:
        parts: them.
        tests: what each is printed under, "" if all jumps lead there.
        left: the labels that follow.
        alone: the next label if all jumps lead there.
    """

    parts: list[tuple[int, Nodes]]
    tests: list[str]
    left: set[int]
    alone: int | None = None

    def proceed(self, number: int) -> None:
        """Note that the next part to print is the one after that with a number, -1 for what is before all."""
        if number >= 0:
            self.left.discard(self.parts[number][0])
        follows = number + 1 < len(self.parts) and not self.tests[number + 1]
        self.alone = self.parts[number + 1][0] if follows else None


class _FallingTree(NodeTree):
    """Build the nodes of a graph."""

    def falling(self) -> Nodes:
        """Return the nodes."""
        return self._tree(self.function.entry)

    def _sequence(self, core: Nodes, children: list[int]) -> Nodes:
        if not children:
            return core
        ordered = sorted(children, key=self.position.__getitem__)
        return [Meeting(core, [(child, self._tree(child)) for child in ordered])]


def falling(function: FlowGraph, code: Mapping[int, BlockCode], indent: int, counted: Mapping[int, CountedLoop],
            called: frozenset[int], places: Mapping[int, int]) -> list[Line]:
    """Return nested statements, as `structure.nested` does.

    Raises:
        TooDeep, RecursionError: Python cannot nest them.
    """
    printer = _FallingPrinter(code, counted, called, places)
    printer.ends = {header: end for header, (_, end) in loop_ends(function, code).items()}
    nodes = _FallingTree(function, code).falling()
    printer.number(nodes)
    printer.nodes(nodes, indent)
    return printer.lines


class _FallingPrinter:
    """Print nodes as lines.

    Attributes:
        lines: the lines.
        ends: header -> the last instruction of what leads back to it.
    """

    def __init__(self, code: Mapping[int, BlockCode], counted: Mapping[int, CountedLoop], called: frozenset[int],
                 places: Mapping[int, int]) -> None:
        self.code, self.counted, self.called, self.places = code, counted, called, places
        self.ends: Mapping[int, int] = {}
        self.lines: list[Line] = []
        self._omitted: set[tuple[int, int]] = set()
        self._open: list[int | _Labels] = []  # headers of loops that are open, and labels that follow
        self._numbers: dict[int, int] = {}
        self._leaving: dict[int, frozenset[int]] = {}
        self._pc = 0

    def _add(self, indent: int, text: str) -> None:
        if indent > MAX_INDENT:
            raise TooDeep
        self.lines.append((indent, text, self._pc))

    def _jumps(self, nodes: Nodes) -> frozenset[int]:
        """Return where jumps out of nodes lead."""
        return frozenset().union(*map(self._jumps_of, nodes))

    def _jumps_of(self, node: Any) -> frozenset[int]:
        if isinstance(node, Goto):
            return frozenset((node.target,))
        if isinstance(node, If):
            return self._jumps(node.then) | self._jumps(node.orelse)
        found = self._leaving.get(id(node))
        if found is None:
            found = frozenset()
            if isinstance(node, LoopNode):
                found = self._jumps(node.body) - {node.header}
            elif isinstance(node, Meeting):
                inside = self._jumps(node.core).union(*(self._jumps(body) for _, body in node.parts))
                found = inside.difference(label for label, _ in node.parts)
            self._leaving[id(node)] = found
        return found

    # ---- nodes ------------------------------------------------------------------------------------------------------

    def nodes(self, nodes: Nodes, indent: int) -> bool:
        """Print nodes, and return whether control can reach their end."""
        for node in nodes:
            if isinstance(node, BlockNode):
                reaches = self._block(node.start, indent)
            elif isinstance(node, If):
                reaches = self._if(node, indent)
            elif isinstance(node, Goto):
                reaches = self._goto(node.target, indent)
            elif isinstance(node, LoopNode):
                reaches = self._loop(node, indent)
            else:
                reaches = self._meeting(node, indent)
            if not reaches:
                return False
        return True

    def _block(self, start: int, indent: int) -> bool:
        code = self.code[start]
        for n, line in enumerate(code.lines):
            if (start, n) not in self._omitted:
                self._pc = line.pc
                self._add(indent, line.text)
        self._pc = code.pc
        if code.result is not None:
            self._add(indent, f"return {code.result}")
        return code.result is None

    def _if(self, node: If, indent: int) -> bool:
        """Print a branch; what follows one that control does not leave at its end needs no `else`."""
        code, (then, reaches), (orelse, also) = self.code[node.start], *(
            self._apart(nodes, node.start, indent + 1) for nodes in (node.then, node.orelse))
        test = code.condition
        if not then and not orelse:
            return reaches or also
        if not then or (reaches and not also and orelse):
            then, orelse, reaches, also, test = orelse, then, also, reaches, f"not {code.condition}"
        self._pc = code.pc
        self._add(indent, f"if {test}:")
        self.lines += then
        if orelse and not reaches:
            self.lines += _shifted(orelse)
        elif orelse and orelse[0][1].startswith("if ") and _is_one(orelse):
            (_, text, pc), *rest = _shifted(orelse)
            self.lines += [(indent, f"el{text}", pc), *rest]
        elif orelse:
            self._add(indent, "else:")
            self.lines += orelse
        return reaches or also

    def _apart(self, nodes: Nodes, start: int, indent: int) -> tuple[list[Line], bool]:
        """Return the lines of a branch of a block."""
        lines, self.lines, self._pc = self.lines, [], self.code[start].pc
        reaches = self.nodes(nodes, indent)
        found, self.lines = self.lines, lines
        return found, reaches

    def _meeting(self, node: Meeting, indent: int) -> bool:
        tests, waiting = list[str](), self._jumps(node.core)
        for label, after in node.parts:
            tests.append("" if waiting == {label} else f"if go == {self._numbers[label]}:")
            waiting = waiting - {label} | self._jumps(after)
        labels = _Labels(node.parts, tests, {label for label, _ in node.parts})
        self._open.append(labels)
        labels.proceed(-1)
        reaches, first = self.nodes(node.core, indent), 0
        while first < len(tests):
            last = first + 1
            while tests[first] and last < len(tests) and tests[last]:
                last += 1
            reaches = self._parts(labels, first, last, indent)
            first = last
        self._open.pop()
        return reaches

    def _parts(self, labels: _Labels, first: int, last: int, indent: int) -> bool:
        """Print parts of a meeting that all have a test, or one; return whether control can get behind them."""
        size, reaches = last - first, True
        count = -(-size // _MANY) if size >= _MANY else 0  # groups that are passed by one test
        for n in range(count):
            begin, end = first + size * n // count, first + size * (n + 1) // count
            self._add(indent, f"if go <= {self._numbers[labels.parts[end - 1][0]]}:")
            self._parts_of(labels, range(begin, end), indent + 1)
        if not count:
            reaches = self._parts_of(labels, range(first, last), indent)
        return reaches

    def _parts_of(self, labels: _Labels, numbers: range, indent: int) -> bool:
        reaches = True
        for n in numbers:
            labels.proceed(n)
            reaches = self._part(labels.parts[n][1], labels.tests[n], indent)
        return reaches

    def _part(self, nodes: Nodes, test: str, indent: int) -> bool:
        """Print nodes under a test; return whether control can get behind them."""
        if not test:
            return self.nodes(nodes, indent)
        self._add(indent, test)
        before = len(self.lines)
        self.nodes(nodes, indent + 1)
        if len(self.lines) == before:
            self._add(indent + 1, "pass")
        return True

    # ---- jumps and loops --------------------------------------------------------------------------------------------

    def number(self, nodes: Nodes) -> None:
        """Give what is jumped to in nodes its number, in the order in which it is printed."""
        for node in nodes:
            if isinstance(node, If):
                self.number(node.then)
                self.number(node.orelse)
            elif isinstance(node, LoopNode):
                self.number(node.body)
            elif isinstance(node, Meeting):
                self.number(node.core)
                for label, after in node.parts:
                    self._numbers[label] = len(self._numbers) + 1
                    self.number(after)

    def _crossed(self, target: int) -> tuple[int, bool]:
        """Return how many loops a jump leaves, and whether all that comes to where it leads does so from here."""
        crossed = 0
        for n, found in enumerate(reversed(self._open)):
            if isinstance(found, _Labels):
                if target in found.left:
                    return crossed, target == found.alone and n == crossed < 2
            elif found == target:
                return crossed, crossed == 0
            else:
                crossed += 1
        raise TooDeep  # nothing around leads there: cannot happen in a reducible graph

    def _goto(self, target: int, indent: int) -> bool:
        crossed, alone = self._crossed(target)
        again = not crossed and any(found == target for found in self._open)
        if not alone:
            self._add(indent, f"go = {self._numbers[target]}")
        if crossed or again:
            self._add(indent, "continue" if again else "break")
        return not crossed and not again

    def _loop(self, node: LoopNode, indent: int) -> bool:
        if node.header in self.counted and self._by_count(node, self.counted[node.header], indent):
            return self._taken_on(node, indent)
        self._add(indent, "for _ in ticks:")
        self._body(node, indent)
        self._pc = node.header if node.header in self.called else self._ended(node.header)
        self._add(indent, "else:")
        self._add(indent + 1, "OVER()")
        return self._taken_on(node, indent)

    def _body(self, node: LoopNode, indent: int) -> None:
        before = len(self.lines)
        self._open.append(node.header)
        self.nodes(node.body, indent + 1)
        self._open.pop()
        if len(self.lines) == before:
            self._add(indent + 1, "pass")

    def _ended(self, header: int) -> int:
        """Return where a budget ends in a loop."""
        return self.places.get(header, self.ends[header])

    def _by_count(self, node: LoopNode, loop: CountedLoop, indent: int) -> bool:
        """Print a loop that Python counts; return False if it does not end with whether to go round again."""
        body, again = self._last(node.body), Goto(node.header)
        last = body[-1]
        if not isinstance(last, If) or last.start != loop.latch or (last.then == [again]) == (last.orelse == [again]):
            return False
        self._omitted.update(loop.omitted)
        after = last.orelse if last.then == [again] else last.then
        body[-1] = again
        rounds = loop.rounds
        self._add(indent, "left = HINT(ticks)")
        if not rounds.isdigit():
            self._add(indent, f"rounds = {rounds}")
            rounds = "rounds"
        self._add(indent, f"for _ in SLICE(ticks, {rounds}):")
        self._body(node, indent)
        body[-1] = last
        self._pc = self._ended(node.header)
        self._add(indent, "else:")
        self._add(indent + 1, f"if left < {rounds}: OVER()")
        self.nodes(after, indent + 1)
        return True

    def _last(self, nodes: Nodes) -> Nodes:
        """Return the nodes that are last in nodes."""
        while isinstance(nodes[-1], Meeting):
            nodes = nodes[-1].parts[-1][1]
        return nodes

    def _taken_on(self, node: LoopNode, indent: int) -> bool:
        """Print what takes the jumps that leave a loop out of the one around it; return whether any others do."""
        targets = self._jumps_of(node)
        far = [target for target in sorted(targets) if self._crossed(target)[0]]
        if far and len(far) == len(targets):
            self._add(indent, "break")
            return False
        if far:
            self._add(indent, f"if {' or '.join(f'go == {self._numbers[target]}' for target in far)}: break")
        return True


def _shifted(lines: list[Line]) -> list[Line]:
    """Return lines with one step of indentation less."""
    return [(indent - 1, text, pc) for indent, text, pc in lines]


def _is_one(lines: list[Line]) -> bool:
    """Return whether lines that begin with an `if` are one statement."""
    first = lines[0][0]
    return all(indent > first or text.startswith(("elif ", "else:")) for indent, text, _ in lines[1:]) \
        and ": " not in lines[0][1].partition(":")[2] and lines[0][1].endswith(":")
