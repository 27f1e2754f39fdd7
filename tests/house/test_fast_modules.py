"""What `scripts/build_fast.py` compiles keeps to what mypyc can compile, which is otherwise noticed much later."""

from __future__ import annotations

import ast

import pytest

from scripts.build_fast import MODULES
from tests.house.tree import ROOT


@pytest.mark.parametrize("module", MODULES)
def test_classes_stand_at_the_top_level(module: str) -> None:
    tree = ast.parse((ROOT / f"ebpfvm/verifier/{module}.py").read_text(encoding="utf-8"))
    top = {id(node) for node in tree.body}
    assert [node.name for node in ast.walk(tree) if isinstance(node, ast.ClassDef) and id(node) not in top] == []
