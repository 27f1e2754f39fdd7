"""Convert a flow graph to nested Python statements: `if`, `for` (loops, counted against the budget), one-shot `while`.

The tree of dominators gives the nesting (Ramsey, "Beyond Relooper"). A block that several others jump to follows a
wrapper that contains them all; leaving the wrapper is the jump. Most wrappers turn out to be unnecessary, because the
jump's target is where control falls through anyway, or where the `break` of a loop leads. A `break` leaves only one
loop, so a jump out of several sets `go`, which each of these loops tests. A graph that has a cycle with two entries
becomes a loop over a decision tree instead (`dispatch_loop`).
"""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING, Final

from ebpfvm.engine.translate import dispatch_loop
from ebpfvm.engine.translate.dispatch_loop import Line
from ebpfvm.lazy_dataclasses import dataclass

if TYPE_CHECKING:
    from collections.abc import Mapping

    from ebpfvm.engine.translate.counted_loops import CountedLoop
    from ebpfvm.engine.translate.flow_graph import FlowGraph
    from ebpfvm.engine.translate.statements import BlockCode

MAX_DEPTH: Final = 18  # CPython: 20 statically nested blocks
MAX_INDENT: Final = 90  # CPython: 100 levels of indentation


class TooDeep(Exception):
    """Python cannot nest statements that deep."""


@dataclass(slots=True)
class BlockNode:
    """Straight code of a block."""

    start: int


@dataclass(slots=True)
class If:
    """The jump at the end of a block."""

    start: int
    then: list[Node]
    orelse: list[Node]


@dataclass(slots=True)
class Wrap:
    """A wrapper: leaving it leads to `label`."""

    label: int
    body: list[Node]


@dataclass(slots=True)
class LoopNode:
    """The loop of `header`; leaving it leads to `follow`."""

    header: int
    body: list[Node]
    follow: int | None = None


@dataclass(slots=True)
class Goto:
    """A jump to another block."""

    target: int


Node = BlockNode | If | Wrap | LoopNode | Goto


def lines_of(function: FlowGraph, code: Mapping[int, BlockCode], indent: int,
             counted: Mapping[int, CountedLoop] | None = None, called: frozenset[int] = frozenset()) -> list[Line]:
    """Return the body of a Python function that does what `code` does; its graph is `function`.

    `counted` are the loops of which the number of rounds is known, by header; `called` are the headers whose place is
    that of a budget that ends there.
    """
    if function.reducible:
        try:
            return nested(function, code, indent, counted or {}, called)
        except (TooDeep, RecursionError):
            pass
    return dispatch_loop.lines_of(function, code, indent)


def nested(function: FlowGraph, code: Mapping[int, BlockCode], indent: int, counted: Mapping[int, CountedLoop],
           called: frozenset[int], places: dict[int, int] | None = None) -> list[Line]:
    """Return nested statements, as `lines_of` does for a reducible graph.

    A block that neither returns nor has successors ends the statements. `places` says where budgets end in loops, by
    header; those that are missing are added.

    Raises:
        TooDeep, RecursionError: Python cannot nest them.
    """
    tree = NodeTree(function, code).build()
    printer = _Printer(code, _countable(tree, counted), called, loop_ends(function, code))
    printer.places = {} if places is None else places
    return printer.run(tree, indent)


def loop_ends(function: FlowGraph, code: Mapping[int, BlockCode]) -> dict[int, tuple[frozenset[int], int]]:
    """Return for each loop its instructions, and the last one of what leads back to its beginning."""
    inside = instructions(function, code)
    return {header: (inside[header], max(code[start].pc for start in body if header in code[start].succs))
            for header, body in function.loops.items()}


def instructions(function: FlowGraph, code: Mapping[int, BlockCode]) -> dict[int, frozenset[int]]:
    """Return the instructions of each loop."""
    return {header: frozenset(code[start].pc for start in body).union(
        *({line.pc for line in code[start].lines} for start in body)) for header, body in function.loops.items()}


class NodeTree:
    """Build the nodes of one function."""

    def __init__(self, function: FlowGraph, code: Mapping[int, BlockCode]) -> None:
        self.function = function
        self.code = code
        self.position = {start: n for n, start in enumerate(function.order)}
        self.inside: dict[int, list[int]] = {}  # block -> those that follow a wrapper around it
        self.behind: dict[int, list[int]] = {}  # header -> those that follow its loop
        self.inline: set[int] = set()
        for start in function.order[1:]:
            self._place(start)

    def _place(self, start: int) -> None:
        parent = self.function.idom[start]
        left = [header for header, body in self.function.loops.items() if parent in body and start not in body]
        forward = [pred for pred in self.function.blocks[start].preds if self.position[pred] < self.position[start]]
        ends = not self.code[start].succs and (self.code[start].result is not None or not left)
        if len(forward) == 1 and ends:
            self.inline.add(start)  # it returns, which is possible anywhere, or ends the statements outside of loops
        elif left:
            # The outermost loop that this jump leaves.
            self.behind.setdefault(min(left, key=self.position.__getitem__), []).append(start)
        elif len(forward) > 1:
            self.inside.setdefault(parent, []).append(start)
        else:
            self.inline.add(start)

    def build(self) -> list[Node]:
        tree = self._tree(self.function.entry)
        _resolve(tree, None)
        return _unwrap(tree)

    def _tree(self, start: int) -> list[Node]:
        body = self._sequence([BlockNode(start), *self._ending(start)], self.inside.get(start, []))
        if start not in self.function.loops:
            return body
        return self._sequence([LoopNode(start, body)], self.behind.get(start, []))

    def _ending(self, start: int) -> list[Node]:
        succs = self.code[start].succs
        if not succs:
            return []
        if len(succs) == 1:
            return self._branch(succs[0])
        return [If(start, self._branch(succs[1]), self._branch(succs[0]))]

    def _branch(self, target: int) -> list[Node]:
        if target in self.inline:
            self.inline.discard(target)
            return self._tree(target)
        return [Goto(target)]

    def _sequence(self, core: list[Node], children: list[int]) -> list[Node]:
        for child in sorted(children, key=self.position.__getitem__):
            core = [Wrap(child, core), *self._tree(child)]
        return core


def _resolve(nodes: list[Node], follow: int | None) -> None:
    """Remove jumps to where control goes anyway, and record in loops where leaving them leads."""
    for n, node in enumerate(nodes):
        if isinstance(node, Wrap):
            _resolve(node.body, node.label)
        elif isinstance(node, LoopNode):
            node.follow = follow
            _resolve(node.body, node.header)
        elif isinstance(node, If):
            _resolve(node.then, follow)
            _resolve(node.orelse, follow)
        elif isinstance(node, Goto) and node.target == follow:
            del nodes[n]
            return


def _jumps_to(nodes: list[Node], label: int) -> bool:
    """Return whether there is a jump to `label` that needs the wrapper."""
    for node in nodes:
        if isinstance(node, Goto) and node.target == label:
            return True
        if isinstance(node, If) and (_jumps_to(node.then, label) or _jumps_to(node.orelse, label)):
            return True
        if isinstance(node, Wrap) and _jumps_to(node.body, label):
            return True
        if isinstance(node, LoopNode) and node.follow != label and _jumps_to(node.body, label):
            return True
    return False


def _unwrap(nodes: list[Node]) -> list[Node]:
    """Return the nodes without wrappers that nothing jumps out of."""
    out: list[Node] = []
    for node in nodes:
        if isinstance(node, Wrap):
            node.body = _unwrap(node.body)
            if _jumps_to(node.body, node.label):
                out.append(node)
            else:
                out.extend(node.body)
        else:
            if isinstance(node, If):
                node.then, node.orelse = _unwrap(node.then), _unwrap(node.orelse)
            elif isinstance(node, LoopNode):
                node.body = _unwrap(node.body)
            out.append(node)
    return out


@dataclass(slots=True)
class _Open:
    """A Python loop that is being printed.

    Attributes:
        leave: block that `break` leads to.
        again: block that `continue` leads to, None for a wrapper.
        through: blocks that jumps from inside lead to through this loop.
    """

    leave: int | None
    again: int | None
    through: set[int]


class _Printer:
    """Print nodes as lines."""

    def __init__(self, code: Mapping[int, BlockCode], counted: Mapping[int, CountedLoop],
                 called: frozenset[int], ends: Mapping[int, tuple[frozenset[int], int]]) -> None:
        self.called, self.ends = called, ends
        self.places: dict[int, int] = {}
        self.code = code
        self.counted = counted
        self.omitted = {place for loop in counted.values() for place in loop.omitted}
        self.lines: list[Line] = []
        self.open: list[_Open] = []
        self.pc = 0

    def run(self, nodes: list[Node], indent: int) -> list[Line]:
        self._nodes(nodes, indent)
        return self.lines

    def _add(self, indent: int, text: str) -> None:
        if indent > MAX_INDENT:
            raise TooDeep
        self.lines.append((indent, text, self.pc))

    def _nodes(self, nodes: list[Node], indent: int) -> bool:
        """Print nodes, and return whether control can reach their end."""
        for node in nodes:
            if isinstance(node, BlockNode):
                if not self._block(node.start, indent):
                    return False
            elif isinstance(node, If):
                if not self._if(node, indent):
                    return False
            elif isinstance(node, Goto):
                self._goto(node.target, indent)
                return False
            elif isinstance(node, LoopNode) and node.header in self.counted:
                self._counted_loop(node, self.counted[node.header], indent)
            else:
                self._loop(node, indent)
        return True

    def _block(self, start: int, indent: int) -> bool:
        code = self.code[start]
        for n, line in enumerate(code.lines):
            if (start, n) not in self.omitted:
                self.pc = line.pc
                self._add(indent, line.text)
        self.pc = code.pc
        if code.result is not None:
            self._add(indent, f"return {code.result}")
            return False
        return True

    def _if(self, node: If, indent: int) -> bool:
        """Print a branch that does not fall through, and the other one after it, which saves indentation."""
        code = self.code[node.start]
        self.pc = code.pc
        then, orelse = node.then, node.orelse
        if not then and not orelse:
            return True
        test = code.condition
        if not then or (_returns(orelse) and not _returns(then)):
            then, orelse, test = orelse, then, f"not {code.condition}"
        self._add(indent, f"if {test}:")
        before = len(self.lines)
        reaches = self._nodes(then, indent + 1)
        if len(self.lines) == before:
            self._add(indent + 1, "pass")
        if not orelse:
            return True
        self.pc = code.pc
        if not reaches:
            return self._nodes(orelse, indent)
        self._add(indent, "else:")
        before = len(self.lines)
        self._nodes(orelse, indent + 1)
        if len(self.lines) == before:
            self._add(indent + 1, "pass")
        return True

    def _loop(self, node: LoopNode | Wrap, indent: int) -> None:
        if len(self.open) >= MAX_DEPTH:
            raise TooDeep
        loop = isinstance(node, LoopNode)
        this = _Open(node.follow if isinstance(node, LoopNode) else node.label,
                     node.header if isinstance(node, LoopNode) else None, set())
        mark = len(self.lines)
        self._add(indent, "for _ in ticks:" if loop else "while True:")
        self.open.append(this)
        reaches = self._nodes(node.body, indent + 1)
        self.open.pop()
        if not loop and reaches:
            self._add(indent + 1, "break")
        if loop:
            if len(self.lines) == mark + 1:
                self._add(indent + 1, "pass")
            if this.again is not None:
                self.pc = (self.places.setdefault(this.again, this.again) if this.again in self.called
                           else self._ended(this.again, self.pc))
            self._add(indent, "else:")
            self._add(indent + 1, "OVER()")
        self._passed_on(this, mark, indent)

    def _counted_loop(self, node: LoopNode, loop: CountedLoop, indent: int) -> None:
        """Print a loop that Python counts; what follows its last round is in its `else`."""
        if len(self.open) >= MAX_DEPTH:
            raise TooDeep
        *body, last = node.body
        this = _Open(node.follow, node.header, set())
        mark = len(self.lines)
        self._add(indent, "left = HINT(ticks)")
        rounds = loop.rounds
        if not rounds.isdigit():
            self._add(indent, f"rounds = {rounds}")
            rounds = "rounds"
        self._add(indent, f"for _ in SLICE(ticks, {rounds}):")
        before = len(self.lines)
        self.open.append(this)
        self._nodes(body, indent + 1)
        if len(self.lines) == before:
            self._add(indent + 1, "pass")
        self.pc = self._ended(node.header, self._pc_after(last, indent + 1))
        self.open.pop()
        self._add(indent, "else:")
        self._add(indent + 1, f"if left < {rounds}: OVER()")
        self._nodes(_after(node), indent + 1)
        self._passed_on(this, mark, indent)

    def _ended(self, header: int, pc: int) -> int:
        """Return where a budget ends in a loop: at `pc`, what was printed last, unless that follows the loop."""
        inside, latch = self.ends[header]
        return self.places.setdefault(header, pc if pc in inside else latch)

    def _pc_after(self, node: Node, indent: int) -> int:
        """Return the instruction of the last line that `node` would be printed as, where a budget that ends counts."""
        lines, through = self.lines, [set(loop.through) for loop in self.open]
        self.lines = []
        self._nodes([node], indent)
        found, self.lines = self.pc, lines
        for loop, before in zip(self.open, through, strict=True):
            loop.through = before
        return found

    def _passed_on(self, this: _Open, mark: int, indent: int) -> None:
        """Print the jumps that lead through a loop, which begins at line `mark`, to others."""
        if this.through:
            self.lines.insert(mark, (indent, "go = -1", self.pc))
            for target in sorted(this.through):
                self._add(indent, f"if go == {target}:")
                self._goto(target, indent + 1)

    def _goto(self, target: int, indent: int) -> None:
        """Print a jump out of the loops that are open."""
        for depth in range(len(self.open) - 1, -1, -1):
            found = self.open[depth]
            if target not in (found.again, found.leave):
                continue
            crossed = self.open[depth + 1:]
            if not crossed:
                self._add(indent, "continue" if target == found.again else "break")
                return
            for other in crossed:
                other.through.add(target)
            self._add(indent, f"go = {target}")
            self._add(indent, "break")
            return
        raise TooDeep  # no enclosing loop leads there: cannot happen in a reducible graph


def _after(node: LoopNode) -> list[Node]:
    """Return what follows the last round of a loop that ends with the decision whether to go round again."""
    last = node.body[-1]
    assert isinstance(last, If)
    after = copy.deepcopy(last.then or last.orelse)
    _resolve(after, node.follow)
    return after


def _countable(tree: list[Node], counted: Mapping[int, CountedLoop]) -> dict[int, CountedLoop]:
    """Return those of `counted` that end with the decision whether to go round again."""
    found: dict[int, CountedLoop] = {}
    for node in tree:
        if isinstance(node, If):
            found |= _countable(node.then, counted) | _countable(node.orelse, counted)
        elif isinstance(node, Wrap | LoopNode):
            found |= _countable(node.body, counted)
        if isinstance(node, LoopNode) and node.header in counted:
            loop, last = counted[node.header], node.body[-1]
            if isinstance(last, If) and last.start == loop.latch and not (last.then and last.orelse) \
                    and (node.follow is None or not _jumps_to(_after(node), node.follow)):
                found[node.header] = loop
    return found


def _returns(nodes: list[Node]) -> bool:
    """Return whether control certainly does not reach the end (looking at the last node only)."""
    if not nodes:
        return False
    last = nodes[-1]
    if isinstance(last, Goto):
        return True
    return isinstance(last, If) and _returns(last.then) and _returns(last.orelse)
