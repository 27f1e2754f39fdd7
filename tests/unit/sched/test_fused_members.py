"""What the function of a fused run contains of the members of a qdisc of struct_ops."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from ebpfvm.api import load, simulate
from ebpfvm.sched.fused.object_facts import ObjectFacts, decided
from tests.laws import fused_mainline

SAMPLES = Path(__file__).parents[3] / "samples" / "mainline"


def _fused(name: str, folder: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.setenv("EBPFVM_DUMP", str(folder))
    simulate(load(SAMPLES / f"{name}.o"), flows=["cbr:rate=1mbit,packets=2"], rate="8mbit", engine="fused")
    lines = (folder / "ebpfvm-fused.py").read_text().splitlines()
    return "\n".join(line.partition("  #")[0] for line in lines)


def test_references_and_locks_that_nobody_sees_are_not_stored(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    code = _fused("fifo", tmp_path, monkeypatch)
    assert not re.search(r"\b(?:TAKE|GIVE\w*)\(|REFS\.held [+-]=", code)
    assert not re.search(r"^ *V\d+_4\[\d\] = ", code, re.MULTILINE)  # the lock
    assert code.count("O.unusual(") == 4  # a node and a packet, in dequeue, which is in the function twice


@pytest.mark.parametrize("name", ["fifo", "prio", "drr", "pacer", "fq"])
def test_samples_are_fused(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert _fused(name, tmp_path, monkeypatch).startswith("def run(S):")


def test_a_run_without_packets_reports_no_objects() -> None:
    """The loop is stopped before the first packet arrives."""
    assert fused_mainline.check(2006) == ""


def test_conditions_that_are_decided() -> None:
    facts = ObjectFacts()
    facts.null |= {"r1": False, "r2": True}
    facts.refs["r1"] = 1 << 64
    facts.held = 0
    own = 1 << 96
    for text, expected in (("r1 is not None", True), ("not r2", True), ("r3", None), ("r2 and r3", False),
                           ("r1 and not r1.refs & 0xffffffff", True), ("REFS.held", False),
                           ("(r1.refs == OWN)", False), ("(o_skb.refs & OWN_MASK)", None)):
        assert decided(text, facts, own) is expected, text
