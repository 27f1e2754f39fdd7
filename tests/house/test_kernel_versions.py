"""Kernels differ by named rules: no other code asks for a version or a dialect, and each name says a difference."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from dataclasses import fields, replace
from pathlib import Path

import pytest

from ebpfvm.contract.rules import DESCRIBED, Rules, rfc6_rules
from ebpfvm.dialects import linux, rfc6
from ebpfvm.errors import UsageError
from tests.house.tree import ROOT, modules, parsed, shown

RULES = ROOT / "ebpfvm" / "contract" / "rules.py"
DIALECTS = ROOT / "ebpfvm" / "dialects"
# What user and programmer write for a kernel becomes a dialect here; nothing else depends on it.
ENTRANCES = ("judging.py", "experiments.py")
NAMES = [item.name for item in fields(Rules) if item.name != "version"]


def _elsewhere() -> Iterator[Path]:
    for path in modules().values():
        if path != RULES and DIALECTS not in path.parents and path.name not in ENTRANCES:
            yield path


def _is_version(node: ast.expr) -> bool:
    """Return whether it is a version: an attribute or a variable of that name, or a pair such as (7, 2)."""
    if isinstance(node, ast.Tuple):
        numbers = [part.value for part in node.elts if isinstance(part, ast.Constant)]
        return len(numbers) == 2 and numbers[0] in range(4, 10) and isinstance(numbers[1], int)
    return isinstance(node, ast.Attribute) and node.attr == "version" and ast.unparse(node.value).endswith(
        ("dialect", "env", "rules"))


def _names_dialect(node: ast.expr) -> bool:
    if isinstance(node, ast.Constant):
        return node.value in ("rfc6", "linux")
    return isinstance(node, ast.Attribute) and node.attr == "name" and ast.unparse(node.value).endswith("dialect")


def test_nobody_compares_versions_or_names_of_dialects() -> None:
    found = [f"{shown(path)}:{node.lineno}: {ast.unparse(node)}"
             for path in _elsewhere() for node in ast.walk(parsed(path)) if isinstance(node, ast.Compare)
             if not isinstance(node.ops[0], ast.In | ast.NotIn)
             and any(_is_version(part) or _names_dialect(part) for part in (node.left, *node.comparators))]
    assert found == [], "ask for a named difference of ebpfvm.contract.rules.Rules"


def test_the_walk_knows_no_version() -> None:
    """In the verifier no attribute of that name is read, whether it is compared or handed on."""
    verifier = ROOT / "ebpfvm" / "verifier"
    assert [f"{shown(path)}:{node.lineno}" for path in _elsewhere() if verifier in path.parents
            for node in ast.walk(parsed(path)) if isinstance(node, ast.Attribute) and node.attr in ("new", "version")
            and ast.unparse(node.value).endswith(("env", "rules", "dialect"))] == []


def test_every_rule_is_read() -> None:
    read = {node.attr for path in _elsewhere() for node in ast.walk(parsed(path)) if isinstance(node, ast.Attribute)
            if node.attr in NAMES and ast.unparse(node.value).endswith("rules")}
    read |= {node.attr for node in ast.walk(parsed(RULES)) if isinstance(node, ast.Attribute)
             and ast.unparse(node.value) == "self"}
    assert set(NAMES) - read == set()


def test_every_rule_differs_in_a_kernel_that_is_described() -> None:
    kernels = [*DESCRIBED.values(), *map(rfc6_rules, DESCRIBED.values())]
    assert [name for name in NAMES if len({getattr(rules, name) for rules in kernels}) == 1] == []


def test_every_rule_says_what_differs() -> None:
    body = next(node for node in parsed(RULES).body if isinstance(node, ast.ClassDef)).body
    bare = [ast.unparse(node.target) for node, after in zip(body, [*body[1:], ast.Pass()], strict=True)
            if isinstance(node, ast.AnnAssign) and not (isinstance(after, ast.Expr) and isinstance(
                after.value, ast.Constant))]
    assert bare == []


def test_a_version_that_nobody_has_described_cannot_be_asked_for() -> None:
    for asked in (linux, rfc6):
        with pytest.raises(UsageError, match=r"Linux 5\.4 are not known; take one of 6\.1, 6\.12, 6\.18, 7\.2"):
            asked((5, 4))


def test_a_dialect_has_one_version() -> None:
    """It is that of its rules, so the two cannot contradict each other."""
    other = linux((6, 18)).derive(rules=replace(linux().rules, version=(7, 9)))
    assert other.version == (7, 9)
