"""Members of struct_ops as a fused run needs them: the qdisc by one name, what never changes as numbers, counters kept.

What a run's packets never have is a constant, if neither member writes it; their class tells the run if somebody else
does. The counters that programs keep in `struct Qdisc` are variables of the function, written back wherever it writes
its state back, as long as nothing else in a member might look at them.
"""

from __future__ import annotations

import ast
import re
from typing import TYPE_CHECKING, Final

from ebpfvm.engine.translate.program_body import GET, PUT
from ebpfvm.engine.translate.statements import reads_of
from ebpfvm.sched.fused.parsed import edited, expression, name_of, parsed

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from ebpfvm.engine.translate.flow_graph import FlowGraph
    from ebpfvm.engine.translate.statements import BlockCode, Stmt

_OBJECTS: Final = "SCH", "FREE", "o_skb"  # which a member that has them does not assign
KEPT: Final = "qlen", "backlog", "drops", "bytes", "packets", "requeues", "overlimits"
_U32: Final = KEPT[:3] + KEPT[5:]
KEPT_SIZES: Final = {name: 4 if name in _U32 else 8 for name in KEPT}
_LIMIT: Final = "(SCH.limit & 0xffffffff)"
_MEMORY: Final = re.compile(r"\b(?:LOAD|LOAD_PROBE|STORE|READ|READ_PROBE)\(")
_ASKED: Final = re.compile(r"\b[A-Z]\w*\([^()]*\bSCH\b(?!\.)")  # a call that has the qdisc as an argument
_NUMBER: Final = re.compile(r"\d+|0x[0-9a-f]+")
_BARE: Final = re.compile(r"\(*(\w+)\)*")
_QDISC: Final = re.compile(r"\bSCH\b(?!\.)")
_FRAMES: Final = ("STACK.depth += 1", "STACK.depth -= 1")
_ENTERS: Final = re.compile(r"\bf\d+\b|\bENTER\b")


class MemberForm:
    """Changes the blocks of members.

    Args:
        constants: attribute of packets -> its text, `{}` in which stands for the packet.
        calls: function of a packet -> the text that stands for a call of it.
    """

    def __init__(self, constants: dict[str, str], calls: dict[str, str]) -> None:
        self._constants, self._calls = constants, calls
        self._kept: set[str] = set()
        self._hidden = False  # whether a variable may be the qdisc where a line uses it
        self._limited = False  # whether the qdisc's limit is a variable, too: nothing in a member changes it

    @property
    def saved(self) -> str:
        """Statements that write the counters back, each followed by a semicolon."""
        return "".join(f"KVIEW.{name} = K_{name}; " for name in sorted(self._kept))

    @property
    def loaded(self) -> str:
        """Statements that read them again, each after a semicolon."""
        kept = "".join(f"; K_{name} = KVIEW.{name}" for name in sorted(self._kept))
        return f"; KVIEW = SCH.kernel_view{kept}" + (f"; K_limit = {_LIMIT}" if self._limited else "")

    def changed(self, graph: FlowGraph, code: dict[int, BlockCode]) -> dict[int, BlockCode]:
        """Return the blocks of a member in that form."""
        for _ in range(2):  # what is computed from constants may be a constant
            known = _constants(graph.entry, code)
            code = {start: self._block(block, dict(known[start])) for start, block in code.items()}
            code = _decided(graph.entry, code)
        self._hidden |= _hides_qdisc(graph.entry, code)
        return _without_frames(code)

    def _block(self, block: BlockCode, known: dict[str, str]) -> BlockCode:
        lines = []
        for line in block.lines:
            new = self._line(line, known)
            _take_note(new, known)
            lines.append(new)
        condition = self._text(block.condition, known)
        return block._replace(lines=lines, condition=condition,
                              reads=reads_of(condition) | reads_of(block.result or ""))

    def keep(self, members: Iterable[dict[int, BlockCode]]) -> None:
        """Keep the counters in variables, if nothing in the members may look at them in memory."""
        texts = [text for code in members for block in code.values() for text in _seen(block)]
        if not self._hidden and not any(looks_at_memory(text) or _ASKED.search(text) for text in texts):
            self._kept = {name for name in KEPT for text in texts if f"SCH.kernel_view.{name}" in text}
            rest = [text.replace(_LIMIT, "") for text in texts]
            self._limited = rest != texts and not any("SCH.limit" in text for text in rest)

    def with_kept(self, code: dict[int, BlockCode]) -> dict[int, BlockCode]:
        """Return blocks with variables instead of the counters that are kept."""
        return _mapped(code, self._counter)

    def _counter(self, text: str) -> str:
        if self._limited:
            text = text.replace(_LIMIT, "K_limit")
        if "SCH.kernel_view" not in text:
            return text
        for name in self._kept:
            if name in _U32:
                text = text.replace(f"(SCH.kernel_view.{name} & 0xffffffff)", f"K_{name}")
            text = re.sub(rf"\bSCH\.kernel_view\.{name}\b", f"K_{name}", text)
        return text.replace("SCH.kernel_view", "KVIEW")

    def _line(self, line: Stmt, known: dict[str, str]) -> Stmt:
        value = self._text(line.value, known)
        return line if value == line.value else line._replace(value=value, reads=reads_of(value),
                                                              idle=self._text(line.idle, known))

    def _text(self, text: str, known: dict[str, str]) -> str:
        if not text or text.startswith("STATE_"):
            return text
        found, edits = parsed(text.strip()), []
        objects = {name_of(part.node.value) for part in (*found.attributes, *found.items)}  # type: ignore[attr-defined]
        known = {name: value for name, value in known.items() if value in _OBJECTS or name not in objects}
        for part in found.names:
            if part.node.id in known and isinstance(part.node.ctx, ast.Load):  # type: ignore[attr-defined]
                edits.append((part.begin, part.end, known[part.node.id]))  # type: ignore[attr-defined]
        for part in found.attributes:
            of = name_of(part.node.value)  # type: ignore[attr-defined]
            new = self._constants.get(part.node.attr) if of and of not in ("SCH", "FREE") else None  # type: ignore[attr-defined]
            if new is not None and isinstance(part.node.ctx, ast.Load):  # type: ignore[attr-defined]
                edits = [edit for edit in edits if not part.begin <= edit[0] < part.end]
                edits.append((part.begin, part.end, new.format(of)))
        for call in found.calls:
            new = self._calls.get(name_of(call.func))
            if new is not None:
                edits = [edit for edit in edits if not call.col_offset <= edit[0] < (call.end_col_offset or 0)]
                edits.append((call.col_offset, call.end_col_offset or 0, new.format(name_of(call.args[-1]))))
        return _folded(edited(text.strip(), edits) if edits else text)


def looks_at_memory(text: str) -> bool:
    """Return whether a line may read or write memory of which only the address is known."""
    return _MEMORY.search(text) is not None


def _mapped(code: dict[int, BlockCode], change: Callable[[str], str]) -> dict[int, BlockCode]:
    """Return blocks with all their texts changed."""
    found = {}
    for start, block in code.items():
        lines = [line if (value := change(line.value)) == line.value else
                 line._replace(value=value, reads=reads_of(value), idle=change(line.idle)) for line in block.lines]
        condition = change(block.condition)
        found[start] = block._replace(lines=lines, condition=condition,
                                      reads=reads_of(condition) | reads_of(block.result or ""))
    return found


def _texts(block: BlockCode) -> list[str]:
    return [*(line.text for line in block.lines), block.condition, block.result or ""]


def _seen(block: BlockCode) -> list[str]:
    """Return the texts of a block that run while the function has the state."""
    away, found = False, [block.condition, block.result or ""]
    for line in block.lines:
        away = line.value == PUT or (away and line.value != GET)
        found += [] if away else [line.text]
    return found


def _take_note(line: Stmt, known: dict[str, str]) -> None:
    """Take note of what a line assigns."""
    for name in filter(None, (line.writes, *line.also)):
        known.pop(name, None)
    value = _bare(line.value)
    if line.writes and not line.also and (value in _OBJECTS or _NUMBER.fullmatch(value)):
        known[line.writes] = value


def _bare(text: str) -> str:
    """Return a text without parentheses if it is one name or number."""
    found = _BARE.fullmatch(text)
    return found[1] if found else text


def _hides_qdisc(entry: int, code: dict[int, BlockCode]) -> bool:
    """Return whether some line uses a variable that may be the qdisc there; to copy it is no use."""
    known: dict[int, set[str]] = {entry: set()}
    work = [entry]
    while work:
        start = work.pop()
        block, names = code[start], set(known[start])
        for line in block.lines:
            copied = bool(line.writes) and (_bare(line.value) in names or _QDISC.search(line.value) is not None)
            if not names.isdisjoint(line.reads) and _bare(line.value) not in names:
                return True
            names.difference_update((line.writes, *line.also))
            names |= {line.writes} if copied else set()
        if not names.isdisjoint(reads_of(block.condition) | reads_of(block.result or "")):
            return True
        for succ in block.succs:
            if succ not in known or not names <= known[succ]:
                known[succ] = known.get(succ, set()) | names
                work.append(succ)
    return False


def _constants(entry: int, code: dict[int, BlockCode]) -> dict[int, dict[str, str]]:
    """Return the variables that certainly have the qdisc, or one number, at the start of each block."""
    known: dict[int, dict[str, str]] = {entry: {}}
    work = [entry]
    while work:
        start = work.pop()
        here = dict(known[start])
        for line in code[start].lines:
            if (name := _bare(line.value)) in here:
                line = line._replace(value=here[name])
            _take_note(line, here)
        for succ in code[start].succs:
            before = known.get(succ)
            after = here if before is None else {name: text for name, text in before.items() if here.get(name) == text}
            if after != before:
                known[succ] = after
                work.append(succ)
    return {start: known.get(start, {}) for start in code}


def _without_frames(code: dict[int, BlockCode]) -> dict[int, BlockCode]:
    """Return blocks that do not count frames, if no function is entered that might look."""
    texts = [text for block in code.values() for text in _texts(block)]
    if any(_ENTERS.search(text) for text in texts):
        return code
    return {start: block._replace(lines=[line for line in block.lines if line.value not in _FRAMES])
            for start, block in code.items()}


def _decided(entry: int, code: dict[int, BlockCode]) -> dict[int, BlockCode]:
    """Return the blocks that can be reached, without the branches that constants decide."""
    found: dict[int, BlockCode] = {}
    work = [entry]
    while work:
        start = work.pop()
        if start in found:
            continue
        block = code[start]
        node = expression(block.condition.strip()) if block.condition else None
        if isinstance(node, ast.Constant):
            block = block._replace(condition="", reads=frozenset(), succs=(block.succs[bool(node.value)],))
        found[start] = block
        work.extend(block.succs)
    return found


def _computed(node: ast.AST, done: list[ast.AST]) -> ast.AST:
    """Return a tree in which operations on numbers are computed, and add those to `done`; it changes the tree."""
    for field, value in ast.iter_fields(node):
        if isinstance(value, list):
            value[:] = [_computed(part, done) if isinstance(part, ast.AST) else part for part in value]
        elif isinstance(value, ast.expr):
            setattr(node, field, _computed(value, done))
    if isinstance(node, ast.BoolOp) and len(node.values) == 2 and _is_number(node.values[0]):
        done.append(node)
        return node.values[bool(node.values[0].value) == isinstance(node.op, ast.And)]  # type: ignore[attr-defined]
    parts = {ast.BinOp: ("left", "right"), ast.Compare: ("left",), ast.UnaryOp: ("operand",)}.get(type(node), ())
    operands = [getattr(node, part) for part in parts] + getattr(node, "comparators", [])
    if not operands or not all(map(_is_number, operands)):
        return node
    try:
        found = eval(compile(ast.fix_missing_locations(ast.Expression(node)), "", "eval"))  # type: ignore[arg-type]
    except ArithmeticError:
        return node
    done.append(node)
    return ast.Constant(found)


def _is_number(node: ast.expr) -> bool:
    return isinstance(node, ast.Constant) and isinstance(node.value, int)


def _folded(text: str) -> str:
    """Return a line in which numbers are computed."""
    if not _NUMBERS.search(text):
        return text
    tree, done = ast.parse(text.strip()), list[ast.AST]()
    found = _computed(tree, done)
    return ast.unparse(found) if done and len(tree.body) == 1 else text


_NUMBERS: Final = re.compile(r"(?<![\w.])\d\w*\)? (?:[&|^+*-]|//|[<>]{1,2}=?|[!=]=) \(?\d|not \(?\d|\(\d\w*\)|"
                             r"\b\d (?:or|and) ")
