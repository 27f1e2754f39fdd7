"""Places where a rule can be switched off, and the source with that done."""

from __future__ import annotations

import ast
import copy
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

_EDGES: dict[type[ast.cmpop], type[ast.cmpop]] = {ast.Lt: ast.LtE, ast.LtE: ast.Lt, ast.Gt: ast.GtE, ast.GtE: ast.Gt}
_OTHERS: dict[type[ast.cmpop], type[ast.cmpop]] = {ast.Eq: ast.NotEq, ast.NotEq: ast.Eq, ast.Is: ast.IsNot,
                                                   ast.IsNot: ast.Is, ast.In: ast.NotIn, ast.NotIn: ast.In}


@dataclass(frozen=True, order=True)
class Mutant:
    """One change of one file.

    Attributes:
        path: the file, relative to the root of the tree.
        line: where the change is.
        kind: "off" (a condition that guards something never holds), "edge" (`<` for `<=` and so on), "other" (`==` for
            `!=` and so on), "operand" (one operand of `and`, `or` left out), "errno" (0 for a negative errno), "call"
            (a call made for its effect is left out).
        number: which node of the file's tree, in the order of `ast.walk`.
        part: which operand.
    """

    path: str
    line: int
    kind: str
    number: int
    part: int = 0

    def __str__(self) -> str:
        return f"{self.path}:{self.line}: {self.kind}" + (f" {self.part}" if self.kind == "operand" else "")


def mutants(path: Path, name: str) -> list[Mutant]:
    """Return all mutants of a file; `name` is its path relative to the root."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    hidden = _not_run(tree)
    nodes = [(number, node) for number, node in enumerate(ast.walk(tree))
             if isinstance(node, ast.expr | ast.stmt) and node not in hidden]
    return [Mutant(name, node.lineno, kind, number, part) for number, node in nodes for kind, part in _changes(node)]


def mutated(path: Path, mutant: Mutant) -> str:
    """Return the source of a file with one change."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    for number, node in enumerate(ast.walk(tree)):
        if number == mutant.number:
            _change(node, mutant)
            return ast.unparse(ast.fix_missing_locations(tree))
    raise ValueError(f"{mutant}: the file has changed")


def _changes(node: ast.AST) -> Iterator[tuple[str, int]]:
    if isinstance(node, ast.If) and not isinstance(node.test, ast.Constant):
        yield "off", 0
    elif isinstance(node, ast.Compare) and len(node.ops) == 1:
        if type(node.ops[0]) in _EDGES:
            yield "edge", 0
        elif type(node.ops[0]) in _OTHERS:
            yield "other", 0
    elif isinstance(node, ast.BoolOp):
        yield from (("operand", part) for part in range(len(node.values)))
    elif isinstance(node, ast.Return) and _is_errno(node.value):
        yield "errno", 0
    elif isinstance(node, ast.Expr) and isinstance(node.value, ast.Call):
        yield "call", 0


def _change(node: ast.AST, mutant: Mutant) -> None:
    if isinstance(node, ast.If):
        node.test = ast.BoolOp(ast.And(), [copy.deepcopy(node.test), ast.Constant(False)])  # its effects stay
    elif isinstance(node, ast.Compare):
        node.ops[0] = (_EDGES | _OTHERS)[type(node.ops[0])]()
    elif isinstance(node, ast.BoolOp):
        node.values = [value for part, value in enumerate(node.values) if part != mutant.part]
    elif isinstance(node, ast.Return):
        node.value = ast.Constant(0)
    elif isinstance(node, ast.Expr):
        node.value = ast.Constant(None)


def _is_errno(value: ast.expr | None) -> bool:
    """Return whether an expression is `-errno.X` or `-EX`."""
    if not (isinstance(value, ast.UnaryOp) and isinstance(value.op, ast.USub)):
        return False
    name = value.operand.attr if isinstance(value.operand, ast.Attribute) else getattr(value.operand, "id", "")
    return name.startswith("E") and name.isupper()


def _not_run(tree: ast.AST) -> set[ast.AST]:
    """Return the nodes of `if TYPE_CHECKING` and of decorators, which no test can notice."""
    found: set[ast.AST] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING":
            found.update(ast.walk(node))
        elif isinstance(node, ast.FunctionDef | ast.ClassDef):
            for decorator in node.decorator_list:
                found.update(ast.walk(decorator))
    return found
