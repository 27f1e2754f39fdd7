"""The texts with which the verifier refuses, read from its source: each line that `Refuse` or `unsupported` is given.

A text with values in it becomes a regular expression in which each value may be anything. Where a text is not written
in the call itself it is followed: to what a name was assigned, to what a function returns, and, for a parameter, to
what its callers pass.
"""

from __future__ import annotations

import ast
import re
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path

from tests.house.tree import ROOT, parsed

VERIFIER = ROOT / "ebpfvm" / "verifier"
SOURCES = (*sorted(VERIFIER.rglob("*.py")), ROOT / "ebpfvm" / "isa" / "legality.py")
ANYTHING = ".*"
OURS = " not supported by ebpfvm"
_DEEPEST = 8
_LOG = re.compile(r"(cur|old)\\ state:")  # lines of a log, and no message

Function = ast.FunctionDef | ast.AsyncFunctionDef


@dataclass(frozen=True)
class Scope:
    """Where an expression stands: its file and the functions around it, the innermost first."""

    path: Path
    functions: tuple[Function, ...] = ()

    @property
    def name(self) -> str:
        """The file and the outermost function."""
        return f"{self.path.name}:{self.functions[-1].name if self.functions else ''}"


@dataclass
class _Index:
    """What stands where in the sources."""

    calls: dict[str, list[tuple[Scope, ast.Call]]] = field(default_factory=lambda: defaultdict(list))
    functions: dict[str, list[Scope]] = field(default_factory=lambda: defaultdict(list))
    constants: dict[str, list[tuple[Scope, ast.expr]]] = field(default_factory=lambda: defaultdict(list))

    def read(self, node: ast.AST, scope: Scope) -> None:
        """Take in a part of a file."""
        if isinstance(node, Function):
            scope = Scope(scope.path, (node, *scope.functions))
            self.functions[node.name].append(scope)
        elif isinstance(node, ast.Call):
            self.calls[_last(node.func)].append((scope, node))
        elif not scope.functions:
            for name, value in _bound(node):
                self.constants[name].append((scope, value))
        for child in ast.iter_child_nodes(node):
            self.read(child, scope)


@cache
def _index() -> _Index:
    index = _Index()
    for path in SOURCES:
        index.read(parsed(path), Scope(path))
    return index


@cache
def templates() -> dict[str, list[str]]:
    """Return each text as a regular expression, with the places ("file.py:function") that refuse with it."""
    found: dict[str, list[str]] = defaultdict(list)
    for name in ("Refuse", "unsupported"):
        for scope, call in _index().calls[name]:
            if scope.name != "signal.py:unsupported":
                for text in _texts(scope, call):
                    found[text].append(scope.name)
    return {text: places for text, places in found.items() if not _LOG.match(text)}


def _texts(scope: Scope, call: ast.Call) -> Iterator[str]:
    if _last(call.func) == "unsupported":
        yield from (text + re.escape(OURS) for text in _resolve(call.args[0], scope, 0))
        return
    for argument in call.args[2:]:  # property and errno come first
        yield from _resolve(argument.value if isinstance(argument, ast.Starred) else argument, scope, 0)


def _last(node: ast.expr) -> str:
    return node.id if isinstance(node, ast.Name) else node.attr if isinstance(node, ast.Attribute) else ""


def _bound(node: ast.AST) -> Iterator[tuple[str, ast.expr]]:
    """Yield the names that a statement or expression binds, with what they are bound to."""
    targets: list[ast.expr] = []
    if isinstance(node, ast.Assign):
        targets = node.targets
    elif isinstance(node, ast.AnnAssign | ast.NamedExpr | ast.AugAssign):
        targets = [node.target]
    elif isinstance(node, ast.For):
        yield from ((_last(node.target), node.iter),)
    value = getattr(node, "value", None)
    for target in targets:
        if isinstance(target, ast.Tuple) and isinstance(value, ast.Tuple):
            yield from ((_last(one), part) for one, part in zip(target.elts, value.elts, strict=False))
        elif value is not None:
            yield _last(target), value


def _resolve(node: ast.expr, scope: Scope, depth: int) -> set[str]:
    """Return what an expression may be, as regular expressions."""
    if depth > _DEEPEST:
        return {ANYTHING}
    match node:
        case ast.Constant(value=str(text)):
            return {re.escape(text)}
        case ast.Constant():
            return set()
        case ast.JoinedStr(values=parts):
            return {_joined(parts)}
        case ast.IfExp(body=one, orelse=other):
            return _resolve(one, scope, depth) | _resolve(other, scope, depth)
        case ast.BoolOp(values=parts) | ast.Tuple(elts=parts) | ast.List(elts=parts):
            return set().union(*(_resolve(part, scope, depth) for part in parts))
        case ast.BinOp(op=ast.Mod(), left=left):
            return {re.sub(r"%\w", ANYTHING, text) for text in _resolve(left, scope, depth)}
        case ast.BinOp(left=left, right=right):
            ends = _resolve(right, scope, depth) or {ANYTHING}
            return {one + other for one in _resolve(left, scope, depth) for other in ends}
        case ast.Subscript(value=table):
            return _resolve(table, scope, depth + 1)
        case ast.Dict(values=values):
            return set().union(*(_resolve(part, scope, depth) for part in values))
        case ast.Name(id=name):
            return _name(name, scope, depth + 1)
        case ast.Call(func=function):
            return _returned(_last(function), depth + 1)
    return {ANYTHING}


def _joined(parts: list[ast.expr]) -> str:
    text = "".join(re.escape(part.value) if isinstance(part, ast.Constant) and isinstance(part.value, str) else ANYTHING
                   for part in parts)
    return re.sub(r"(\.\*)+", ANYTHING, text)


def _name(name: str, scope: Scope, depth: int) -> set[str]:
    """Return what a variable, a parameter or a constant may be."""
    for at, function in enumerate(scope.functions):
        inside = Scope(scope.path, scope.functions[at:])
        values = [value for node in ast.walk(function) for bound, value in _bound(node) if bound == name]
        if values:
            return set().union(*(_resolve(value, inside, depth) for value in values))
        parameters = [item.arg for item in (*function.args.args, *function.args.kwonlyargs)]
        if name in parameters:
            return _passed(function, name, parameters.index(name), depth) or {ANYTHING}
    constants = _index().constants[name]
    own = [item for item in constants if item[0].path == scope.path] or constants
    return set().union(*(_resolve(value, place, depth) for place, value in own)) or {ANYTHING}


def _returned(name: str, depth: int) -> set[str]:
    """Return what the functions of this name return."""
    found: set[str] = set()
    for scope in _index().functions[name]:
        for node in ast.walk(scope.functions[0]):
            if isinstance(node, ast.Return) and node.value is not None:
                found |= _resolve(node.value, scope, depth)
    return found or {ANYTHING}


def _passed(function: Function, name: str, at: int, depth: int) -> set[str]:
    """Return what callers pass for a parameter."""
    found: set[str] = set()
    arguments = function.args.args
    place = at - (bool(arguments) and arguments[0].arg == "self")
    for scope, call in _index().calls[function.name]:
        given = next((item.value for item in call.keywords if item.arg == name), None)
        if given is None and place < len(call.args):
            given = call.args[place]
        if given is not None and function not in scope.functions:
            found |= _resolve(given, scope, depth)
    return found
