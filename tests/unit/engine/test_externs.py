"""Functions of the kernel that a program asks for before it calls them."""

from __future__ import annotations

from pathlib import Path

import pytest

import ebpfvm

OBJECT = Path(__file__).parents[1] / "verifier" / "objects" / "externs.o"


@pytest.mark.parametrize("engine", ["interp", "translate"])
@pytest.mark.parametrize(("name", "result"), [("absent_in_dead_branch", 2), ("present", 1), ("trap_in_dead_branch", 2)])
def test_asked_for(name: str, result: int, engine: str) -> None:
    program = ebpfvm.load(OBJECT).programs[name]
    assert ebpfvm.test_run(program, bytes(64), engine=engine).retval == result
