"""A real kernel says of each rule's program what we say: verdict, errno, message."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from ebpfvm.contract.rules import DESCRIBED
from ebpfvm.dialects.linux import linux
from ebpfvm.testing.oracle import Judgement, Oracle, kernel_version, why_not
from ebpfvm.testing.programs import Generator, mutate
from ebpfvm.verifier import Verdict, explore, verify
from tests.unit.verifier.rules import RULES, Rule

pytestmark = [pytest.mark.kernel, pytest.mark.skipif(bool(why_not()), reason=why_not() or "-")]


@pytest.fixture(scope="module")
def oracle() -> Iterator[Oracle]:
    if kernel_version() not in DESCRIBED:
        pytest.skip("no rules for this kernel's version")
    with Oracle(linux(kernel_version())) as found:
        yield found


def agree(ours: Verdict, theirs: Judgement) -> None:
    """Verdict, errno and the last lines of the log."""
    assert ours.ok == theirs.ok, (ours.message, theirs.lines[-3:])
    assert ours.errno == theirs.errno
    wanted = ours.message.splitlines()
    said = [line for line in theirs.lines if not line.startswith(("cur state:", "old state:"))]
    # A message may follow on what was left of a branch's line, and some have no line end of their own.
    for mine, line in zip(wanted, said[len(said) - len(wanted):], strict=True):
        assert line.split("processed ")[0].endswith(mine)
    assert ours.processed == theirs.processed


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.name)
def test_rule(rule: Rule, oracle: Oracle) -> None:
    program = rule.program()
    agree(verify(program, oracle.dialect), oracle.judge(program))


# Left out: programs that run into the limit of a million instructions, which take long and tell nothing new.
SLOW = {168, 233, 239}
LONG = 20_000  # longer walks print more than the kernel is given room for, and take it ten seconds


@pytest.mark.parametrize("start", range(0, 300, 50))
def test_random_programs(start: int, oracle: Oracle) -> None:
    for seed in range(start, start + 50):
        if seed in SLOW:
            continue
        program = Generator(seed, ("sched_cls", "xdp", "socket_filter")[seed % 3], 8 + seed % 40).program()
        ours, theirs = verify(program, oracle.dialect), oracle.judge(program)
        # How many CPUs there are is the kernel's to know.
        if any(insn.code == 0x85 and insn.imm == 8 for insn in program.insns):
            assert not (ours.ok and not theirs.ok), seed
        else:
            agree(ours, theirs)


@pytest.mark.parametrize("rule", RULES[::4], ids=lambda rule: rule.name)
def test_mutated_rules(rule: Rule, oracle: Oracle, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(explore, "LIMIT", LONG)
    for seed in range(30):
        program = mutate(rule.program(), seed)
        ours = verify(program, oracle.dialect)
        if ours.processed < LONG:
            agree(ours, oracle.judge(program))
