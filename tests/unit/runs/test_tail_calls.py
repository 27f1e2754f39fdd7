"""Tail calls: how many, to what, from where; on both engines."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from ebpfvm.api import load
from ebpfvm.testrun import TestRun
from ebpfvm.testrun import test_run as run_once

OBJECT = load(Path(__file__).parent / "programs" / "tail_calls.o")
ENGINES = ("interp", "translate")


def run(name: str, engine: str, mark: int = 0, **more: Any) -> TestRun:
    return run_once(OBJECT.programs[name], ctx={"mark": mark}, engine=engine, kernel="6.18", source=OBJECT, **more)


@pytest.mark.parametrize("engine", ENGINES)
def test_a_refused_target_is_not_there(engine: str) -> None:
    result = run("jump", engine, 1)
    assert result.retval == 5
    assert [line for line in result.warnings if "slot 1 of map 'jumps' stays empty: the verifier refuses its program "
            "'refused' (invalid access to packet" in line]
    assert [run("jump", engine, mark).retval for mark in (0, 2, 4)] == [5, 77, 5]


def test_unverified_targets_are_run_when_asked_for() -> None:
    result = run("jump", "interp", 1, unverified=True, data=bytes(range(1, 65)))
    assert (result.retval, result.warnings) == (0x04030201, ())


@pytest.mark.parametrize("engine", ENGINES)
def test_how_many(engine: str) -> None:
    assert run("again", engine).retval == 34
    assert run("twice", engine).retval == 33 * 1000 - 1
