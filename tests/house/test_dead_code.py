"""Nothing is kept that nobody uses: names that are mentioned once, where they are bound, and parameters not read."""

from __future__ import annotations

import ast
import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import fields, is_dataclass
from functools import cache
from pathlib import Path

import pytest

from ebpfvm.contract import Dialect
from ebpfvm.contract.rules import Rules
from ebpfvm.limits import Limits
from tests.house.tree import ROOT, modules, parsed, python_files, shown

# Called by the libraries that define them: argparse, cmd, pytest and Textual (which reads constants too), and ply, cmd
# and Textual by the beginning of the name.
CALLED_FROM_OUTSIDE = re.compile(r"_print_message|[pt]_\w+|__\w+__|do_[a-z]+|preloop|emptyline|completenames|"
                                 r"runtest|reportinfo|compose|(on|action)_[a-z_]+|BINDINGS|CSS|ENABLE_COMMAND_PALETTE")

Function = ast.FunctionDef | ast.AsyncFunctionDef


@cache
def mentions() -> Counter[str]:
    """Count each word in the Python files and in the documentation, which names what a library user may call."""
    texts = (path.read_text(encoding="utf-8") for path in (*python_files(), *ROOT.glob("docs/**/*.md")))
    return Counter(word for text in texts for word in re.findall(r"\w+", text))


def bound(path: Path) -> Iterator[tuple[str, int]]:
    """(name, line) of each function, method, class and constant of a module that nothing registers.

    Decorators register, and so does being an object of a declaring class, which a package finds by its type.
    """
    tree = parsed(path)
    for node in ast.walk(tree):
        if isinstance(node, Function | ast.ClassDef) and not registered(node):
            yield node.name, node.lineno
    for node in tree.body:
        if isinstance(node, ast.Assign | ast.AnnAssign) and not declares(node.value):
            for target in node.targets if isinstance(node, ast.Assign) else [node.target]:
                yield from ((name.id, node.lineno) for name in ast.walk(target) if isinstance(name, ast.Name))


def registered(node: Function | ast.ClassDef) -> bool:
    return any(ast.unparse(decorator).split("(")[0] not in ("property", "staticmethod", "classmethod", "dataclass",
                                                            "functools.cache", "functools.lru_cache", "cache")
               for decorator in node.decorator_list)


def declares(value: ast.expr | None) -> bool:
    return isinstance(value, ast.Call) and isinstance(value.func, ast.Name) and value.func.id[0].isupper()


def test_what_is_bound_is_used() -> None:
    """A method of the same name in several classes counts once for each; `_name` may be found as `name` in a text."""
    places: dict[str, list[str]] = {}
    for path in modules().values():
        for name, line in bound(path):
            if not CALLED_FROM_OUTSIDE.fullmatch(name):
                places.setdefault(name, []).append(f"{shown(path)}:{line}: {name}")
    strays = [place for name, found in places.items() for place in found
              if mentions()[name] == len(found) and not (name.startswith("_") and mentions()[name[1:]])]
    assert strays == []


def unread(function: Function) -> list[str]:
    """The parameters that a function with a body does not read; `_name` says that this is meant."""
    body = [node for node in function.body if not (isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant))]
    if not body or (len(body) == 1 and isinstance(body[0], ast.Raise)):
        return []
    read = {name.id for node in body for name in ast.walk(node) if isinstance(name, ast.Name)}
    args = function.args
    names = [arg.arg for arg in (*args.posonlyargs, *args.args, *args.kwonlyargs)]
    return [name for name in names if name not in read and name not in ("self", "cls") and name[0] != "_"]


def test_parameters_are_read() -> None:
    """Functions that are only ever called are free to choose their parameters; those that are values are not."""
    values: set[str] = set()
    functions: dict[str, list[tuple[Path, Function]]] = {}
    for path in modules().values():
        called = {id(node.func) for node in ast.walk(parsed(path)) if isinstance(node, ast.Call)}
        for node in ast.walk(parsed(path)):
            if isinstance(node, ast.Name | ast.Attribute) and id(node) not in called:
                values.add(node.id if isinstance(node, ast.Name) else node.attr)
            elif isinstance(node, Function) and not registered(node):
                functions.setdefault(node.name, []).append((path, node))
    strays = [f"{shown(path)}:{function.lineno}: {function.name}({name})"
              for name_, found in functions.items() if len(found) == 1 and name_ not in values
              for path, function in found for name in unread(function) if not CALLED_FROM_OUTSIDE.fullmatch(name_)]
    assert strays == []


@pytest.mark.parametrize("record", [Limits, Dialect, Rules])
def test_what_is_declared_for_others_is_read_by_them(record: type) -> None:
    """A limit that nobody reads bounds nothing, and a difference between versions that nobody reads makes none."""
    assert is_dataclass(record)
    read = {node.attr for path in modules().values() for node in ast.walk(parsed(path))
            if isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Load)}
    assert {item.name for item in fields(record)} - read == set()
