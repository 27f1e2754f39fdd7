"""The master law: an accepted program runs without fault and leak, and is at each step inside a state that the verifier
kept for that instruction. Besides: pruning changes no verdict, and both engines do the same.

`EBPFVM_PROGRAMS=n` runs n programs instead of a few hundred, from the number `EBPFVM_SEED` on (`tox -e laws`).
"""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path
from random import Random
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ebpfvm.dialects import linux, rfc6
from ebpfvm.isa.asm import assemble
from ebpfvm.isa.table import BY_CODE
from ebpfvm.loader.object import Program
from ebpfvm.loader.open import load
from ebpfvm.testing import campaign, generate, laws, strategies
from ebpfvm.testing.laws import LawBroken
from ebpfvm.testing.runs import Given
from ebpfvm.verifier import verify
from ebpfvm.verifier.domain import num
from ebpfvm.verifier.memory import regions
from ebpfvm.verifier.pruning import kept_states
from ebpfvm.verifier.values import pointers

if TYPE_CHECKING:
    from ebpfvm.contract import Dialect

PROGRAMS = int(os.environ.get("EBPFVM_PROGRAMS", "300"))
SEED = int(os.environ.get("EBPFVM_SEED", "0"))
SAMPLES = Path(__file__).parents[2] / "samples"


def sample_programs() -> list[Program]:
    """Real programs to change, of types that run on a packet; not those whose maps hold other maps from the start."""
    found = [program for path in sorted(SAMPLES.glob("*/*.o")) for program in load(path).programs.values()]
    return [program for program in found if program.struct_ops is None and not any(spec.init for spec in program.maps)]


def test_random_programs() -> None:
    report = campaign.run(SEED, PROGRAMS, sample_programs())
    print(report)
    assert not report.broken, "\n\n".join(f"case {seed}: {text}" for seed, text in list(report.broken.items())[:3])
    assert report.counts["accepted"] > PROGRAMS // 4
    assert report.counts["rejected"] > PROGRAMS // 4


DIALECTS = [pytest.param(linux((6, 18)), "sched_cls", id="sched_cls-6.18"), pytest.param(linux(), "xdp", id="xdp-7.2"),
            pytest.param(rfc6(), "qdisc", id="qdisc-7.2")]


@pytest.mark.parametrize("dialect, type", DIALECTS)
def test_by_hypothesis(dialect: Dialect, type: str) -> None:
    @settings(max_examples=15, deadline=None, suppress_health_check=list(HealthCheck), database=None)
    @given(strategies.cases(dialect, type, steps=5))
    def check(case: campaign.Case) -> None:
        laws.check(case.program, case.dialect, case.inputs)
    check()


@given(strategies.insns())
def test_instructions_are_of_the_table(insn: Any) -> None:
    assert any(row.matches(insn) and not row.unused(insn) for row in BY_CODE[insn.code])


@given(st.integers(0, 1 << 32))
def test_a_number_is_a_case(seed: int) -> None:
    one, other = campaign.case(seed), campaign.case(seed)
    assert (one.program.insns, one.inputs) == (other.program.insns, other.inputs)


def test_most_generated_programs_are_accepted() -> None:
    for type in generate.NETWORKING:
        dialect = rfc6() if type == "qdisc" else linux()
        found = [verify(generate.program(Random(seed), dialect, type), dialect, log_level=0).ok for seed in range(20)]
        assert sum(found) > 15, type


# ---- the laws have teeth: a verifier with a bug does not pass ---------------------------------------------------

GIVEN = Given(bytes(range(60)))
PACKET = "r2 = *(u32 *)(r1 + 76)\nr3 = *(u32 *)(r1 + 80)\nr4 = r2\nr4 += 14\nif r4 > r3 goto +1\n"
END = "r0 = 0\nexit"


def program(text: str) -> Program:
    return Program("prog", tuple(assemble(text + END)), "sched_cls", license="GPL")


def broken_law(text: str, given: Given = GIVEN) -> str:
    with pytest.raises(LawBroken) as caught:
        laws.check(program(text), linux(), [given])
    return caught.value.law


def test_a_missing_bounds_check_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    text = PACKET.replace("goto +1", "goto +0") + "r5 = *(u8 *)(r2 + 13)\n"
    assert not verify(program(text), linux()).ok
    monkeypatch.setattr(regions, "packet", lambda *args: None)
    laws.check(program(text), linux(), [Given(bytes(14))])
    assert broken_law(text.replace("+ 13", "+ 14"), Given(bytes(14))) == "fault"


def test_a_wrong_range_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    text = "r2 = *(u32 *)(r1 + 8)\nr2 += 1\nr3 = r2\nr4 = r3\n"
    laws.check(program(text), linux(), [GIVEN])
    real = verify

    def narrow(judged: Program, dialect: Dialect, **more: Any) -> Any:
        observe = more["observe"]

        def changed(pc: int, state: Any, live: Any) -> None:
            state = state.copy()
            value = state.frames[0].regs[3]
            if value is not None and value.type == 1 and not value.num.is_const:
                state.frames[0].regs[3] = value._replace(num=num.const(5))
            observe(pc, state, live)
        return real(judged, dialect, **(more | {"observe": changed}))
    monkeypatch.setattr(laws, "verify", narrow)
    assert broken_law(text) == "inside"


def test_a_wrong_offset_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    text = "r2 = r10\nr2 += -8\nr3 = r2\n"
    laws.check(program(text), linux(), [GIVEN])
    real = pointers._add
    monkeypatch.setattr(pointers, "_add", lambda w, ptr, amount: real(w, ptr, amount)._replace(off=ptr.off))
    assert broken_law(text) == "inside"


def test_careless_pruning_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    text = "r2 = *(u32 *)(r1 + 8)\nr6 = 1\nif r2 == 0 goto +2\nr6 = r10\nr6 += -8\n*(u64 *)(r6 + 0) = 1\n"
    assert not verify(program(text), linux()).ok
    monkeypatch.setattr(kept_states.KeptStates, "visited", _always_seen)
    assert broken_law(text) == "prune"


def _always_seen(self: Any, pc: int) -> bool:
    if not self.w.env.prune:
        return False
    seen = self.__dict__.setdefault("seen", set())
    found = pc in seen
    seen.add(pc)
    return found


def test_bytes_of_a_pointer_where_another_path_has_numbers() -> None:
    """A kernel accepts it in this order, and refuses the other; both are harmless."""
    text = "r6 = r1\n*(u64 *)(r10 - 48) = r6\nr0 = *(u32 *)(r1 + 0)\nif r0 == 7 goto +1\n*(u32 *)(r10 - 44) = r0\n" \
           "r2 = 1\nr3 = 1\nr4 = 1\nif r0 == 9 goto +1\nr5 = 1\nr2 = 3\nif r0 == 10 goto +1\nr5 = 2\n" \
           "r2 = *(u8 *)(r10 - 43)\n"
    judged = laws.judge(program(text), linux())
    assert judged is not None
    assert judged.verdict.ok
    assert not judged.exact
    laws.check(program(text), linux(), [GIVEN])


def test_engines_that_differ_are_found(monkeypatch: pytest.MonkeyPatch) -> None:
    one = program("r2 = *(u32 *)(r1 + 0)\n")
    judged = laws.judge(one, linux())
    assert judged is not None
    outcomes = laws.inside(one, linux(), [GIVEN], judged)
    laws.engines(one, linux(), [GIVEN], outcomes)
    with pytest.raises(LawBroken, match="translator"):
        laws.engines(one, linux(), [GIVEN], [replace(outcomes[0], result=1)])


def test_engines_may_differ_in_an_address_that_a_program_returns() -> None:
    """Memory is numbered when it is first asked for, and an engine may never ask for the map that is walked here."""
    found = campaign.case(8072832)
    verdict = laws.check(found.program, found.dialect, found.inputs)
    assert verdict is not None and verdict.ok
