"""Graphs of a program: what may follow what, and the tree of paths that the verifier walked; as DOT and as SVG."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from ebpfvm.isa import codes as c
from ebpfvm.isa.disasm import kernel_text
from ebpfvm.lazy_dataclasses import dataclass, field
from ebpfvm.verifier.passes.subprogs import is_call, jump_target
from ebpfvm.verifier.report.walk_tree import EXIT, PRUNED, REJECTED

if TYPE_CHECKING:
    from collections.abc import Iterator

    from ebpfvm.isa.disasm import CallName
    from ebpfvm.loader.object import Program
    from ebpfvm.verifier.report.walk_tree import TreeRecorder, WalkedPath

_EXIT: Final = c.BPF_JMP | c.BPF_EXIT
_WIDE: Final = 72  # characters of a line
_TALL: Final = 24  # lines of a box
_COLOURS: Final = {"": "#ffffff", EXIT: "#e6f4e6", PRUNED: "#e8eef7", REJECTED: "#f9dede"}


@dataclass(frozen=True, slots=True)
class Box:
    """A node: a name that identifies it, lines of text, and a kind, which gives it its colour."""

    name: str
    lines: tuple[str, ...]
    kind: str = ""

    @property
    def colour(self) -> str:
        """The colour of its background."""
        return _COLOURS.get(self.kind, _COLOURS[""])


@dataclass(frozen=True, slots=True)
class Arrow:
    """An edge from one node to another; calls and pruning are dashed."""

    tail: str
    head: str
    label: str = ""
    dashed: bool = False


@dataclass(slots=True)
class Drawing:
    """A directed graph with a title."""

    title: str
    boxes: list[Box] = field(default_factory=list)
    arrows: list[Arrow] = field(default_factory=list)


# -- what may follow what ---------------------------------------------------------------------------------------------

def flow_graph(program: Program, call_name: CallName) -> Drawing:
    """Return the flow graph of a program: one box for each block of instructions, dashed arrows for calls."""
    graph = Drawing(f"{program.name}: flow graph")
    leaders = sorted(_leaders(program))
    for start, end in zip(leaders, [*leaders[1:], len(program.insns)], strict=True):
        graph.boxes.append(Box(f"b{start}", tuple(_code(program, range(start, end), call_name))))
        graph.arrows += [Arrow(f"b{start}", f"b{head}", label, dashed)
                         for head, label, dashed in _leaving(program, start, end) if head in leaders]
    return graph


def _leaders(program: Program) -> set[int]:
    found = {0, *program.func_names, *(info.insn_off for info in program.func_info)}
    for pc, insn in enumerate(program.insns):
        target = pc + 1 + insn.imm if is_call(insn) else jump_target(pc, insn)
        if target is not None:
            found.add(target)
        if insn.code == _EXIT or jump_target(pc, insn) is not None:
            found.add(pc + 1)
    return {pc for pc in found if 0 <= pc < len(program.insns)}


def _leaving(program: Program, start: int, end: int) -> Iterator[tuple[int, str, bool]]:
    """Yield the slots that a block leads to, with a label, and whether it is a call."""
    for pc in range(start, end):
        if is_call(program.insns[pc]):
            yield pc + 1 + program.insns[pc].imm, "call", True
    last = program.insns[end - 1]
    target, always = jump_target(end - 1, last), last.code & 0xF0 == c.BPF_JA
    if target is not None:
        yield target, "" if always else "yes", False
    if last.code != _EXIT and not (always and target is not None):
        yield end, "" if target is None else "no", False


# -- the paths that were walked ---------------------------------------------------------------------------------------

def path_graph(program: Program, tree: TreeRecorder, call_name: CallName) -> Drawing:
    """Return the tree of the paths that the verifier walked; where one was pruned, its box says so."""
    graph = Drawing(f"{program.name}: paths of the verifier" + ("" if tree.whole else ", the first ones"))
    for path in tree.paths:
        graph.boxes.append(Box(f"p{path.number}", tuple(_path_lines(program, path, call_name)), path.end))
        if path.parent is not None:
            graph.arrows.append(Arrow(f"p{path.parent}", f"p{path.number}", f"from {path.branch} to {path.first}",
                                      path.end == PRUNED and not path.slots))
    return graph


def _path_lines(program: Program, path: WalkedPath, call_name: CallName) -> Iterator[str]:
    shown = list(_code(program, path.slots, call_name))
    yield f"path {path.number}, {len(path.slots)} steps"
    yield from shown if len(shown) <= _TALL else [*shown[:_TALL // 2], "...", *shown[-_TALL // 2:]]
    if path.end == PRUNED:
        yield f"pruned at {path.stop}: a verified state covers this one"
    elif path.end != EXIT:
        yield f"{path.end}" + (f" at {path.stop}" if path.stop is not None else "")


def _code(program: Program, slots: range | list[int], call_name: CallName) -> Iterator[str]:
    """Yield instructions, and lines of C where they change."""
    place, second = "", False
    for pc in slots:
        if second:
            second = False
            continue
        known = program.line_at(pc)
        if known is not None and str(known) != place and known.text:
            yield f"; {known.text}"[:_WIDE]
        place, second = str(known), program.insns[pc].is_ld_imm64 and isinstance(slots, range)
        yield f"{pc}: {kernel_text(program.insns, pc, call_name=call_name)}"[:_WIDE]


# -- as text ----------------------------------------------------------------------------------------------------------

def dot_text(graph: Drawing) -> str:
    """Return a graph in the language of Graphviz."""
    lines = ["digraph program {", f"  label={_quoted(graph.title)}; labelloc=t; fontname=monospace;",
             "  node [shape=box, style=filled, fontname=monospace, fontsize=10];",
             "  edge [fontname=monospace, fontsize=9];"]
    for box in graph.boxes:
        label = "".join(f"{_escaped(line)}\\l" for line in box.lines)
        lines.append(f'  {box.name} [label="{label}", fillcolor="{box.colour}"];')
    for arrow in graph.arrows:
        words = [f"label={_quoted(arrow.label)}"] if arrow.label else []
        words += ["style=dashed"] if arrow.dashed else []
        lines.append(f"  {arrow.tail} -> {arrow.head}" + (f" [{', '.join(words)}]" if words else "") + ";")
    return "\n".join([*lines, "}", ""])


def _quoted(text: str) -> str:
    return f'"{_escaped(text)}"'


def _escaped(text: str) -> str:
    return "".join(char if char.isprintable() else " " for char in text).replace("\\", "\\\\").replace('"', '\\"')
