"""A rejected program is walked on the verifier's path, with what it knew at each step."""

from __future__ import annotations

import pytest

from ebpfvm import load, verify
from ebpfvm.cli.main import main
from ebpfvm.debugger.cursor import Cursor
from ebpfvm.debugger.recording import Recording
from ebpfvm.debugger.stops import parse_stop
from ebpfvm.debugger.verifier_path import recording_of
from ebpfvm.dialects import linux, rfc6
from ebpfvm.limits import DEFAULTS, Limits
from tests.house.tree import ROOT
from tests.unit.debugger.recordings import assembled

BROKEN = sorted((ROOT / "samples/broken").glob("*.o"))
BRANCHES = """
    r6 = *(u32 *)(r1 + 0)
    r0 = 1
    if r6 > 7 goto +1
    r0 = 2
    if r6 > 3 goto +1
    exit
    r1 = 0
    r0 = *(u32 *)(r1 + 0)
    exit
"""


def path_of(text: str, limits: Limits = DEFAULTS) -> Recording:
    """Return the path of a rejected program that is written in assembler."""
    return recording_of(verify(assembled(text, "socket_filter")), linux(), limits)


def test_it_ends_at_the_rejected_instruction() -> None:
    for path in BROKEN:
        for program in load(path).programs.values():
            verdict = verify(program)
            found = recording_of(verdict, rfc6(), DEFAULTS)
            assert not found.steps or found.steps[-1].pc == verdict.pc, path.name
            assert found.outcome == verdict.message


def test_it_is_one_path_and_not_the_whole_walk() -> None:
    assert [step.pc for step in path_of(BRANCHES).steps] == [0, 1, 2, 3, 4, 6, 7]


def test_the_state_is_what_the_verifier_knew() -> None:
    found = path_of(BRANCHES)
    cursor = Cursor(found)
    cursor.go(len(found.steps) - 1)
    assert cursor.state["known", 0, "R1"] == "0"
    cursor.go(4)
    assert cursor.state["known", 0, "R6"] == "scalar(smin=smin32=0,smax=umax=smax32=umax32=7,var_off=(0x0; 0x7))"
    cursor.go(0)
    assert cursor.state == {("known", 0, "R1"): "ctx()", ("known", 0, "R10"): "fp0"}


def test_a_long_path_keeps_its_end() -> None:
    assert [step.pc for step in path_of(BRANCHES, Limits(debug_steps=2)).steps] == [6, 7]


def test_the_stop_at_a_fault_is_where_it_is_rejected() -> None:
    cursor = Cursor(path_of(BRANCHES))
    assert cursor.find([parse_stop("fault")]) is not None
    assert cursor.step is not None
    assert cursor.step.pc == 7


def test_an_accepted_program_has_no_such_path() -> None:
    assert path_of("r0 = 0; exit").steps == []


def test_the_command_walks_it(capsys: pytest.CaptureFixture[str]) -> None:
    object_ = str(ROOT / "samples/broken/null_check.o")
    assert main(["debug", object_, "-e", "end", "-e", "backi", "-e", "regs", "-e", "quit"]) == 0
    out, err = capsys.readouterr()
    assert "R0    map_value_or_null(id=1,map=packets,ks=4,vs=8)" in out.splitlines()
    assert "this is the path that the verifier walked; --unverified runs the program instead" in err


def test_the_program_runs_if_that_is_asked_for(capsys: pytest.CaptureFixture[str]) -> None:
    object_ = str(ROOT / "samples/broken/null_check.o")
    assert main(["debug", object_, "--unverified", "-e", "regs", "-e", "quit"]) == 0
    assert "recorded " in capsys.readouterr().err
