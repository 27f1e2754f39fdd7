"""Programs at the edge of a rule: every scene has programs on both sides, and runs that overstep are noticed."""

from __future__ import annotations

from random import Random
from types import SimpleNamespace
from typing import Any

import pytest

from ebpfvm.dialects import linux
from ebpfvm.isa.asm import assemble
from ebpfvm.loader.object import Program
from ebpfvm.testing import campaign, laws
from ebpfvm.testing.edge_text import EDGE_MAPS
from ebpfvm.testing.edges import SCENES, edge_inputs, edge_program
from ebpfvm.testing.inside import Recorder
from ebpfvm.testing.laws import Judged, LawBroken
from ebpfvm.testing.runs import Given
from ebpfvm.verifier import verify


@pytest.mark.parametrize("scene", SCENES)
def test_some_programs_of_a_scene_are_accepted_and_some_are_not(scene: str) -> None:
    found = {verify(edge_program(Random(f"{scene}{number}"), scene), linux(), log_level=0).ok for number in range(60)}
    assert found == {True, False}


def test_a_number_determines_the_case() -> None:
    assert campaign.edge_case(7) == campaign.edge_case(7)
    assert campaign.edge_case(7, ((6, 18),)).dialect.version == (6, 18)


def test_inputs_hold_the_numbers_that_the_program_compares_with() -> None:
    program = Program("prog", assemble("r0 = *(u32 *)(r1 + 8)\nif r0 > 1234 goto +0\nexit"), "sched_cls")
    seen = {one.fields.get("mark") for one in edge_inputs(Random(1), program, 60)}
    assert {1233, 1234, 1235} <= seen


def broken(text: str) -> str:
    """Run a program as if a verifier had accepted it without knowing anything, and return what is noticed."""
    code = assemble(text, dialect="llvm", maps={"fixed": 0, "ring": 1, "locked": 2})
    maps = tuple(EDGE_MAPS[name] for name in ("fixed", "ring", "locked"))
    program = Program("prog", code, "sched_cls", license="GPL", maps=maps)
    blind = Judged(verify(program, linux(), log_level=0), AnyState(), True, 1)
    with pytest.raises(LawBroken) as caught:
        laws.inside(program, linux(), [Given(bytes(60))], blind)
    return caught.value.what


class AnyState(Recorder):
    """States that include everything."""

    def __init__(self) -> None:
        super().__init__()
        empty: Any = SimpleNamespace(frames=(), refs=(SimpleNamespace(kind="ptr"),) * 9)
        self.states = {pc: [empty] for pc in range(99)}


LOOKUP = "*(u32 *)(r10 - 4) = 0\nr2 = r10\nr2 += -4\nr1 = {} ll\ncall 1\n"


@pytest.mark.parametrize(("text", "message"), [
    ("*(u64 *)(r10 - 12) = 0\nr0 = 0\nexit", "not aligned"),
    ("r10 += 8\nr0 = 0\nexit", "not the frame pointer"),
    (LOOKUP.format("fixed") + "*(u64 *)(r0 + 0) = 0\nr0 = 0\nexit", "may only read"),
    ("r1 = ring ll\nr2 = 8\nr3 = 0\ncall 131\nr6 = r0\nr1 = r0\nr2 = 0\ncall 132\nr0 = *(u64 *)(r6 + 0)\nexit",
     "given back"),
    (LOOKUP.format("locked") + "r6 = r0\nr1 = r0\ncall 93\ncall 7\nr1 = r6\ncall 94\nr0 = 0\nexit", "lock was held"),
    ("*(u64 *)(r10 - 304) = 0\ncall f\nexit\nf:\n*(u64 *)(r10 - 304) = 0\nr0 = 0\nexit", "use 608 bytes"),
    ("again:\ngoto again", "budget"),
])
def test_a_checked_run_notices(text: str, message: str) -> None:
    assert message in broken(text)


def test_a_result_outside_of_the_range_is_noticed() -> None:
    program = Program("prog", assemble("r0 = 9\nexit"), "cgroup_skb", license="GPL")
    blind = Judged(verify(program, linux(), log_level=0), AnyState(), True, 1)
    with pytest.raises(LawBroken, match="result 9, not in"):
        laws.inside(program, linux(), [Given(bytes(60))], blind)


def test_a_member_that_returns_nothing_may_leave_the_result_alone() -> None:
    program = Program("prog", assemble("exit"), "struct_ops", license="GPL", struct_ops=("Qdisc_ops", "reset"))
    verdict = laws.check(program, linux(), [Given(bytes(60))])
    assert verdict is not None and verdict.ok


def test_the_destination_of_an_acquiring_load_is_no_address() -> None:
    text = ("*(u64 *)(r10 - 8) = 7\nr1 = ring ll\nr2 = 8\nr3 = 0\ncall 131\nif r0 == 0 goto out\nr6 = r0\nr1 = r0\n"
            "r2 = 0\ncall 132\nr6 = load_acquire((u64 *)(r10 - 8))\nout:\nr0 = 0\nexit")
    code = assemble(text, dialect="llvm", maps={"ring": 0})
    program = Program("prog", code, "sched_cls", license="GPL", maps=(EDGE_MAPS["ring"],))
    verdict = laws.check(program, linux(), [Given(bytes(60))])
    assert verdict is not None and verdict.ok
