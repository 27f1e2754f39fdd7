"""`ebpfvm explain`: the programs that it shows are what it says of them."""

from __future__ import annotations

import re

import pytest

from ebpfvm.cli.main import main
from ebpfvm.cli.property_examples import EXAMPLES
from ebpfvm.dialects import linux
from ebpfvm.isa.asm import assemble
from ebpfvm.loader.object import MapSpec, Program
from ebpfvm.verifier import verify
from ebpfvm.verifier.machine.properties import PROPERTIES
from ebpfvm.verifier.report.verdict import Verdict

MAPS = (MapSpec("array", 4, 16, 2, name="array"), MapSpec("hash", 8, 24, 8, name="hash"),
        MapSpec("prog_array", 4, 4, 4, name="programs"), MapSpec("ringbuf", 0, 0, 4096, name="ring"))


def judged(type: str, text: str) -> Verdict:
    kernel = linux()
    numbers = {helper.name: number for number, helper in kernel.helpers.items()}
    code = re.sub(r"call (bpf_\w+)", lambda found: f"call {numbers[found[1]]}", text)
    return verify(Program(name="prog", insns=assemble(code), type=type, license="GPL", maps=MAPS), kernel)


@pytest.mark.parametrize("id", EXAMPLES)
def test_the_broken_program_violates_the_property_and_the_mended_one_none(id: str) -> None:
    example = EXAMPLES[id]
    assert judged(example.type, example.broken).property == id
    mended = judged(example.type, example.mended)
    assert mended.ok, mended.message


def test_examples_are_of_properties_that_exist() -> None:
    assert set(EXAMPLES) <= set(PROPERTIES)


def test_the_command_shows_rule_and_programs(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["explain", "null-dereference"]) == 0
    out = capsys.readouterr().out
    assert PROPERTIES["null-dereference"].rule in out
    assert out.index("Broken") < out.index("Mended") < out.index("if r0 == 0 goto out")


def test_a_property_without_programs_is_explained_too(capsys: pytest.CaptureFixture[str]) -> None:
    id = next(id for id in PROPERTIES if id not in EXAMPLES)
    assert main(["explain", id]) == 0
    assert "Broken" not in capsys.readouterr().out


def test_a_wrong_id_gets_a_hint(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["explain", "packet-bound"]) == 2
    assert "did you mean 'packet-bounds'?" in capsys.readouterr().err
