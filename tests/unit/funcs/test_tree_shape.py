"""Trees have the shape that those of Linux have, after each of 500 random steps.

A program adds items by `less`, which counts what it is asked; finds them by bpf_rbtree_left and right, and removes
them; and says what is at a place in the tree. The record is that of Linux 6.18.44.
"""

from __future__ import annotations

import json
from pathlib import Path

import pytest

import ebpfvm
from ebpfvm.testrun import Session

TESTS = Path(__file__).parents[2]
RECORD = json.loads((TESTS / "data" / "tree_shapes_6_18.json").read_text())
STEP = ebpfvm.load(TESTS / "unit" / "verifier" / "objects" / "tree_shape.o").programs["tree_step"]


@pytest.mark.parametrize("engine", ["interp", "translate"])
def test_trees_have_the_shape_that_linux_gives_them(engine: str) -> None:
    session = Session(STEP, engine=engine)
    seen = [session.run(bytes(64), {"mark": step}).retval for step in RECORD["steps"]]
    assert seen == RECORD["seen"]
    assert len({step & 3 for step in RECORD["steps"]}) == 3
