"""Mainline qdiscs in both engines: registers that hold objects change nothing of what a run reports."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

from ebpfvm.api import load, simulate
from ebpfvm.engine.translate import ranges
from ebpfvm.engine.translate.function_facts import FunctionFacts
from ebpfvm.engine.translate.ranges import (
    ANY,
    MIXED,
    NumRange,
    PtrOrigin,
    PtrRange,
    RangeState,
    is_object,
    join,
    known,
)
from ebpfvm.loader.variables import set_variables

SAMPLES = Path(__file__).parents[3] / "samples" / "mainline"
FLOWS = ["cbr:rate=6mbit,n=2,packets=60", "poisson:rate=2mbit,n=6,packets=15,size=300b",
         "cbr:rate=1mbit,prio=7,packets=9"]


def _told(name: str, engine: str, seed: int) -> tuple[Any, ...]:
    result = simulate(set_variables(load(SAMPLES / f"{name}.o"), {"limit": 40}), flows=FLOWS, rate="8mbit",
                      engine=engine, seed=seed, record=True)
    return result.packets, result.kernel_view, result.problems, result.dropped, result.out_packets


@pytest.mark.parametrize("seed", [1, 2])
@pytest.mark.parametrize("name", ["fifo", "prio", "fq", "drr", "codel", "pacer"])
def test_both_engines_report_the_same(name: str, seed: int) -> None:
    assert _told(name, "translate", seed) == _told(name, "interp", seed)


def test_a_fifo_is_operations_on_objects(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EBPFVM_DUMP", str(tmp_path))
    simulate(load(SAMPLES / "fifo.o"), flows=["cbr:rate=1mbit,packets=2"], rate="8mbit")
    for path in (*tmp_path.glob("*enqueue*"), *tmp_path.glob("*dequeue*")):
        code = "\n".join(line.partition("  #")[0] for line in path.read_text().splitlines())
        assert not re.search(r"\b(?:LOAD|LOAD_PROBE|STORE|ADDRESS|GET)\(", code)
        assert ".cells[" in code and ".kernel_view.qlen" in code


def test_joins_of_objects() -> None:
    one, other = (PtrOrigin(name, "held", maybe_null=True) for name in ("a", "b"))
    pointer = PtrRange(one, 8, 8)
    assert join(pointer, known(0)) == join(known(0), pointer) == pointer
    assert join(pointer, PtrRange(other, 8, 8)) == join(pointer, ANY) == PtrRange(MIXED, 8, 8)
    assert join(PtrRange(MIXED, 8, 8), known(0)) == PtrRange(MIXED, 8, 8)
    unknown = join(pointer, PtrRange(one, 0, 0))
    assert is_object(unknown) and isinstance(unknown, PtrRange) and unknown.lo != unknown.hi
    assert join(unknown, pointer) == unknown
    assert not is_object(join(NumRange(0, 1), known(5)))


def test_a_slot_that_only_one_way_has_is_kept_when_ranges_are_widened() -> None:
    facts = object.__new__(FunctionFacts)
    facts._stops = [0, 1 << 64]
    held = PtrRange(PtrOrigin("a", "held"), 0, 0)
    old, new = RangeState((ANY,), {}), RangeState((ANY,), {(-64, 8): held})
    assert facts._join(old, new, wide=True).slots == {(-64, 8): ranges.mixed(held)}
