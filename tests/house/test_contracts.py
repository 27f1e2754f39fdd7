"""The verifier and the engines ask what a declaration says, and name no helper, kfunc or map type."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from dataclasses import fields
from pathlib import Path
from typing import Any, get_args

import pytest

from ebpfvm.btf.fields import STRUCT_KINDS
from ebpfvm.contract import ArgSpec, CtxField, Helper, Kfunc, KfuncParam, MapType, ProgType, RetSpec, roles
from ebpfvm.contract.kfunc import FLAGS
from ebpfvm.dialects import kfuncs, linux, rfc6
from ebpfvm.dialects.built import BUILT
from ebpfvm.dialects.helpers import BY_NAME
from tests.house.tree import ROOT, modules, parsed, shown

KERNELS = (linux(), linux((6, 18)), rfc6())
FUNCTIONS = frozenset(BY_NAME) | frozenset(kfuncs.BY_NAME) | frozenset[str]().union(
    *(kernel.unmodelled for kernel in KERNELS))
# Kernel structs of the same name as a function, and map types whose names are words of other things too; that nobody
# compares a type's name, the second test sees.
STRUCTS = frozenset(STRUCT_KINDS)
WORDS = frozenset({"array", "hash", "stack", "queue", "ringbuf", "arena", "unspec"})
# Sets of names that a contract itself has.
SETS = {"funcs", "helpers", "kfuncs"}
THINGS = ("helper", "kfunc", ".type", "general", "offered", "thrower")


def _sources() -> Iterator[Path]:
    for name, path in modules().items():
        if name.startswith(("ebpfvm.verifier", "ebpfvm.engine")):
            yield path


def _docstrings(tree: ast.AST) -> set[int]:
    return {id(node.body[0].value) for node in ast.walk(tree)
            if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef) and node.body
            and isinstance(node.body[0], ast.Expr)}


def test_no_helper_kfunc_or_map_type_is_named() -> None:
    names = (FUNCTIONS - STRUCTS) | (frozenset(BUILT) - WORDS)
    found = [f"{shown(path)}:{node.lineno}: {node.value!r}" for path in _sources() for node in ast.walk(parsed(path))
             if isinstance(node, ast.Constant) and node.value in names and id(node) not in _docstrings(parsed(path))]
    assert found == [], "ask for a role or an option of the declaration (ebpfvm/contract)"


def _is_name(node: ast.expr) -> bool:
    return isinstance(node, ast.Attribute) and node.attr == "name" and ast.unparse(node.value).endswith(THINGS)


def _judged(node: ast.AST) -> bool:
    """Return whether what is done depends on a name: it is compared, looked up in a table or taken apart."""
    if isinstance(node, ast.Compare):
        sides = (node.left, *node.comparators)
        by_contract = isinstance(node.comparators[0], ast.Attribute) and node.comparators[0].attr in SETS
        return any(map(_is_name, sides)) and not by_contract
    if isinstance(node, ast.Subscript):
        return _is_name(node.slice)
    if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
        tables = node.func.attr == "get" and bool(node.args) and _is_name(node.args[0])
        return tables or (node.func.attr in ("startswith", "endswith", "removeprefix") and _is_name(node.func.value))
    return False


def test_names_are_shown_and_decide_nothing() -> None:
    assert [f"{shown(path)}:{node.lineno}: {ast.unparse(node)}" for path in _sources() for node in ast.walk(
        parsed(path)) if isinstance(node, ast.expr) and _judged(node)] == []


def test_bodies_of_helpers_ask_what_a_map_type_says() -> None:
    """Which map types a helper takes stands in `MapType.funcs`, for programs that nobody verified too."""
    assert [f"{shown(path)}:{node.lineno}: {ast.unparse(node)}" for name, path in modules().items()
            if name.startswith("ebpfvm.funcs") for node in ast.walk(parsed(path)) if isinstance(node, ast.expr)
            and _judged(node) and "map.type.name" in ast.unparse(node)] == []


# What the variables are called that hold such a thing, where it is read.
READERS: tuple[tuple[type[Any], tuple[str, ...]], ...] = (
    (Helper, ("helper", "general", "offered", "found", "item")), (Kfunc, ("kfunc", "found", "item", "thrower")),
    (MapType, ("type", "kind", "map_type", "item", "inner")), (ArgSpec, ("spec", "before")), (RetSpec, ("ret",)),
    (ProgType, ("prog_type", "kind", "item", "type", "of")), (CtxField, ("field", "item", "found", "self")),
    (KfuncParam, ("param", "ret", "behind")))


@pytest.mark.parametrize(("declaration", "variables"), READERS, ids=lambda value: getattr(value, "__name__", ""))
def test_every_fact_is_read(declaration: type[Any], variables: tuple[str, ...]) -> None:
    read = {node.attr for name, path in modules().items() if not name.startswith(("ebpfvm.contract.helper",
                                                                                 "ebpfvm.contract.kfunc",
                                                                                 "ebpfvm.contract.maptype",
                                                                                 "ebpfvm.testing"))
            for node in ast.walk(parsed(path)) if isinstance(node, ast.Attribute)
            and ast.unparse(node.value).split(".")[-1].split("(")[0] in variables}
    assert [item.name for item in fields(declaration) if item.name not in read] == []


def _declared() -> list[Helper | Kfunc]:
    return [*BY_NAME.values(), *kfuncs.BY_NAME.values()]


def test_every_role_is_somebodys() -> None:
    helpers, functions = list(BY_NAME.values()), list(kfuncs.BY_NAME.values())
    for words, used in ((roles.HelperRole, {item.role for item in helpers}),
                        (roles.KfuncRole, {item.role for item in functions}),
                        (roles.MapOp, {item.map_op for item in helpers}),
                        (roles.Callback, {item.callback for item in _declared()}),
                        (roles.DynptrKind, {item.dynptr for item in functions})):
        assert set(get_args(words)) == set(used)


def test_every_flag_of_a_kfunc_is_somebodys_and_is_asked_for() -> None:
    used = frozenset[str]().union(*(item.flags for kernel in KERNELS for item in kernel.kfuncs.values()))
    assert FLAGS - used - {"device_bound"} == set()  # a kernel's for hardware that no dialect has
    asked = {node.value for name, path in modules().items() if name.startswith(("ebpfvm.verifier", "ebpfvm.engine"))
             for node in ast.walk(parsed(path)) if isinstance(node, ast.Constant)}
    assert FLAGS - asked == set()


def test_every_word_of_a_contract_is_asked_for() -> None:
    """A role that no rule and no engine asks for says nothing."""
    asked = {node.value for name, path in modules().items() if name.startswith(("ebpfvm.verifier", "ebpfvm.engine"))
             for node in ast.walk(parsed(path)) if isinstance(node, ast.Constant)}
    words = {*get_args(roles.HelperRole), *get_args(roles.KfuncRole), *get_args(roles.MapOp)}
    assert words - asked - {""} == set()


def test_the_verifier_is_there() -> None:
    assert len(list(_sources())) > 50 and (ROOT / "ebpfvm" / "verifier").is_dir()
