"""A verification that needs more than it may use ends with the limit's name, and is no verdict."""

from __future__ import annotations

from pathlib import Path

import pytest

import ebpfvm
from ebpfvm.cli.main import main
from ebpfvm.errors import LimitError
from ebpfvm.isa.asm import assemble
from ebpfvm.isa.insn import encode
from ebpfvm.limits import Limits

# A loop whose rounds differ, so that each keeps a state or more.
ROUNDS = """
    r6 = 0
again:
    call 7
    if r0 > 5 goto on
on:
    r6 += 1
    if r6 < 3000 goto again
    r0 = 0
    exit"""


def program() -> ebpfvm.Program:
    return ebpfvm.Program.from_bytes(encode(assemble(ROUNDS)), type="sched_cls", license="GPL")


@pytest.mark.parametrize(("limits", "level"), [(Limits(verifier_states=10), 1), (Limits(log_lines=10), 2)])
def test_a_limit_of_the_verifier_is_named(limits: Limits, level: int) -> None:
    name = "verifier_states" if level == 1 else "log_lines"
    with pytest.raises(LimitError, match=f"the verifier reached the limit {name}") as caught:
        ebpfvm.verify(program(), log_level=level, limits=limits)
    assert caught.value.name == name


def test_ordinary_limits_are_not_reached() -> None:
    assert ebpfvm.verify(program()).ok


def test_every_way_to_judge_knows_the_limits(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code = tmp_path / "rounds.bin"
    code.write_bytes(encode(assemble(ROUNDS)))
    assert main(["prog", "run", str(code), "--raw", "--type", "tc", "--limit", "verifier_states=10"]) == 5
    assert "reached the limit verifier_states" in capsys.readouterr().err
    with pytest.raises(LimitError):
        ebpfvm.test_run(program(), engine="translate", limits=Limits(verifier_states=10))
