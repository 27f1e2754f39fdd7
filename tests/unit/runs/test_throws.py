"""bpf_throw ends a program from any depth, on both engines alike."""

from __future__ import annotations

from pathlib import Path

import pytest

from ebpfvm.api import load
from ebpfvm.testrun import test_run as run_once

OBJECT = load(Path(__file__).parent / "programs" / "throws.o")
# What a program returns for mark 3 and 7, and what its map holds then.
CASES = {"plain": (107, 7), "tagged": (107, 14), "behind_a_loop": (6, 10), "jumps_in": (1004, 1014)}
SEEN = {"plain": (7, 0), "tagged": (7, 7), "behind_a_loop": (10, 0)}


@pytest.mark.parametrize("engine", ["interp", "translate"])
@pytest.mark.parametrize("name", CASES)
def test_what_is_thrown(name: str, engine: str) -> None:
    program = OBJECT.programs[name]
    for mark, wanted in zip((3, 7), CASES[name], strict=True):
        result = run_once(program, ctx={"mark": mark}, engine=engine, kernel="6.18", source=OBJECT)
        assert result.retval == wanted, mark
    for index, spec in enumerate(program.maps):
        if name in SEEN and spec.name == "seen":
            assert tuple(int.from_bytes(value, "little") for value in result.maps[index].values()) == SEEN[name]
