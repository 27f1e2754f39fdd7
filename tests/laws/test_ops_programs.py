"""The laws for programs that fill members of `Qdisc_ops`, which nobody wrote by hand.

`EBPFVM_PROGRAMS=n` runs n programs instead of a few, from the number `EBPFVM_SEED` on. A law that also holds here: what
is allocated or queued is held by a list, a tree, a slot or the qdisc when a program has ended.
"""

from __future__ import annotations

import os
from collections import Counter
from random import Random

import pytest

from ebpfvm.dialects import linux
from ebpfvm.engine import Interpreter
from ebpfvm.isa.insn import Insn
from ebpfvm.kernel.refs import PROGRAM
from ebpfvm.testing import campaign, generated_ops, laws, mistakes
from ebpfvm.testing.laws import LawBroken
from ebpfvm.testing.ops_runs import machine
from ebpfvm.testing.runs import Given
from ebpfvm.verifier import verify

PROGRAMS = int(os.environ.get("EBPFVM_PROGRAMS", "60"))
SEED = int(os.environ.get("EBPFVM_SEED", "0"))


def test_random_programs() -> None:
    report = campaign.run(SEED, PROGRAMS, ops=True)
    print(report)
    assert not report.broken, "\n\n".join(f"case {seed}: {text}" for seed, text in list(report.broken.items())[:3])
    assert report.counts["accepted"] > PROGRAMS // 3
    assert report.counts["rejected"] > PROGRAMS // 6


def test_members_of_one_qdisc_share_lists_and_trees() -> None:
    """What one member has queued another takes out, in the same order in both engines."""
    done = Counter[str]()
    for seed in range(SEED, SEED + PROGRAMS // 5):  # each has five programs
        programs, dialect, calls = campaign.qdisc_case(seed)
        if programs:
            done.update(member for member, _ in calls[:laws.together(programs, dialect, calls)])
    assert min(done[member] for member in generated_ops.MEMBERS) > PROGRAMS // 5


@pytest.mark.parametrize("seed", [398, 1793, 2194])
def test_an_object_with_two_owners_is_put_into_a_list_twice(seed: int) -> None:
    report = campaign.run(seed, 1, ops=True)
    assert (report.broken, report.counts["accepted"]) == ({}, 1)


@pytest.mark.parametrize("seed", [3484, 33563, 10236, 19250, 50536])
def test_addresses_as_results_and_moved_packets(seed: int) -> None:
    """A program that returns an address, and one that takes a place inside of a packet's struct for the packet.

    10236 returns the packet that enqueue owns, which 7.2 accepts; 19250 stores an address in a map;
    50536 reads through a pointer to text of the kernel, which yields zero where there is nothing.
    """
    report = campaign.run(seed, 1, ops=True)
    assert (report.broken, report.counts["accepted"]) == ({}, 1)


@pytest.mark.parametrize("member", generated_ops.MEMBERS)
def test_most_are_accepted_and_keep_what_they_own(member: str) -> None:
    good, kinds = 0, Counter[str]()
    for seed in range(12):
        one = generated_ops.program(Random(seed), linux(), member)
        if not verify(one, linux(), log_level=0).ok:
            continue
        good += 1
        runner = machine(one, linux(), Interpreter(budget=laws.BUDGET))
        for _ in range(3):
            outcome = runner(Given(bytes(60)))
            if outcome.fault:
                assert laws.allowed(outcome), outcome.fault
                break
            held = [name for _, names in outcome.held for name in names]
            assert PROGRAM not in held
            kinds.update(name.partition(" ")[0] for name in held)
    assert good > 8
    assert kinds["map"] > 5


def test_a_number_is_a_case() -> None:
    one, other = campaign.ops_case(7), campaign.ops_case(7)
    assert one.program.insns == other.program.insns
    assert (one.program.kfuncs, one.inputs) == (other.program.kfuncs, other.inputs)


def test_a_forgotten_release_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    """The laws have teeth: a verifier that takes another program for this one lets a leak pass."""
    program = generated_ops.program(Random(3), linux(), "enqueue", 1)
    code = [Insn(0xBF, 6, 1), Insn(0x79, 7, 6), Insn(0xB7), Insn(0x95)]
    release = [Insn(0xBF, 1, 7), Insn(0x85, 0, 2, 0, 1)]
    leaky = mistakes.replaced(program, code)
    right = mistakes.replaced(program, [*code[:2], *release, *code[2:]], {1: "bpf_kfree_skb"})
    assert not verify(leaky, linux()).ok
    assert verify(right, linux()).ok
    real = verify
    monkeypatch.setattr(laws, "verify", lambda _, dialect, **more: real(right, dialect, **more))
    with pytest.raises(LawBroken):
        laws.check(leaky, linux(), [Given(bytes(60))])


def test_an_allocation_that_no_path_reaches() -> None:
    """Two copies of a number are tested: the verifier knows that they are equal, the translator does not."""
    code = [Insn(0x85, imm=5), Insn(0xBF, 6, 0), Insn(0xBF, 7, 0), Insn(0x25, 6, 0, 4, 5), Insn(0xB5, 7, 0, 3, 5),
            Insn(0xB7, 1, imm=99999), Insn(0xB7, 2), Insn(0x85, 0, 2, 0, 1), Insn(0xB7), Insn(0x95)]
    program = mistakes.replaced(generated_ops.program(Random(3), linux(), "init", 1), code, {1: "bpf_obj_new"})
    verdict = laws.check(program, linux(), [Given(bytes(60))])
    assert verdict is not None and verdict.ok


def test_inserted_instructions_move_jumps() -> None:
    code = [Insn(0xB7), Insn(0x15, 0, 0, 1), Insn(0xB7, 1), Insn(0x05, 0, 0, -2), Insn(0x95)]
    program = mistakes.replaced(campaign.ops_case(0).program, code)
    found = mistakes.inserted(program, 2, [Insn(0xB7, 5), Insn(0xB7, 6)]).insns
    assert [insn.off for insn in found if insn.code in (0x15, 0x05)] == [3, -4]
