"""Switch off a rule of the verifier while a test runs.

A planted bug is a small change of the text of one function. The function's code is replaced where it is, so that all
who have imported it run the changed one; the text that is to be changed must occur exactly once, so that a bug cannot
be forgotten when the code changes.
"""

from __future__ import annotations

import ast
import importlib
import inspect
from contextlib import contextmanager
from dataclasses import dataclass
from types import CodeType, FunctionType
from typing import TYPE_CHECKING, Any

from ebpfvm.dialects import linux
from ebpfvm.testing import campaign, laws
from ebpfvm.verifier.domain import arithmetic

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator


@dataclass(frozen=True)
class PlantedBug:
    """A rule that is switched off.

    Attributes:
        name: what is forgotten, in a few words.
        module: module in `ebpfvm.verifier`.
        function: name of the function, with its class if it has one.
        old, new: the text, and what stands there instead.
        found: number of the first case of `ebpfvm.testing.campaign.edge_case` that is known to find it.
    """

    name: str
    module: str
    function: str
    old: str
    new: str
    found: int


@dataclass(frozen=True)
class BugFound:
    """The first case that finds a bug, and the law that broke."""

    number: int
    law: str


def first_found(numbers: Iterable[int]) -> BugFound | None:
    """Return the first of these cases that breaks a law; a traceback does not count."""
    for number in numbers:
        case = campaign.edge_case(number)
        try:
            laws.check(case.program, case.dialect, case.inputs)
        except laws.LawBroken as broken:
            return BugFound(number, broken.law)
    return None


@contextmanager
def planted(bug: PlantedBug) -> Iterator[None]:
    """Run the body with the bug."""
    module = importlib.import_module(f"ebpfvm.verifier.{bug.module}")
    function: Any = module
    for name in bug.function.split("."):
        function = inspect.getattr_static(function, name)
    assert isinstance(function, FunctionType)
    source = inspect.getsource(module)
    first, last = _lines(source, bug.function)
    lines = source.splitlines(keepends=True)
    body = "".join(lines[first - 1:last])
    assert body.count(bug.old) == 1, f"{bug.name}: {bug.old!r} occurs {body.count(bug.old)} times in {bug.function}"
    changed = "".join([*lines[:first - 1], body.replace(bug.old, bug.new), *lines[last:]])
    before = function.__code__
    function.__code__ = _code(compile(changed, module.__file__ or "", "exec"), bug.function.split("."))
    _forget_results()
    try:
        yield
    finally:
        function.__code__ = before
        _forget_results()


def _lines(source: str, function: str) -> tuple[int, int]:
    """Return the first and the last line of a function."""
    found: Any = ast.parse(source)
    for name in function.split("."):
        found = next(node for node in found.body if getattr(node, "name", "") == name)
    assert found.end_lineno is not None
    return found.lineno, found.end_lineno


def _code(outer: CodeType, path: list[str]) -> CodeType:
    for name in path:
        outer = next(item for item in outer.co_consts if isinstance(item, CodeType) and item.co_name == name)
    return outer


def _forget_results() -> None:
    """Empty the caches of arithmetic, whose results the bug may change."""
    for rules in (linux((6, 18)).rules, linux((7, 2)).rules):
        found = arithmetic.arithmetic_of(rules.circular_numbers, rules.coarse)
        tables = (found.alu, found.unary, found.branch, found.branch_itself, found.assume)
        functions = [function for table in tables for function in table.values()]
        for function in (*functions, found.cast, found.sext, found.sync, found.pointer_add, found.pointer_sub):
            _empty(function, 3)


def _empty(function: Any, depth: int) -> None:
    for cell in getattr(function, "__closure__", None) or ():
        if isinstance(cell.cell_contents, dict):
            cell.cell_contents.clear()
        elif callable(cell.cell_contents) and depth:
            _empty(cell.cell_contents, depth - 1)
