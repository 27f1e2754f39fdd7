"""The property ids of refusals that no row of tests/data records, and where an id is shown."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import pytest

from ebpfvm.cli.main import main
from ebpfvm.dialects import linux
from ebpfvm.isa.asm import assemble
from ebpfvm.loader import load
from ebpfvm.loader.object import MapSpec, Program
from ebpfvm.verifier import verify
from ebpfvm.verifier.explanation.message_sentences import explain
from ebpfvm.verifier.machine import properties as p
from ebpfvm.verifier.machine.env import Caps
from ebpfvm.verifier.machine.properties import PROPERTIES, Property

SAMPLES = Path(__file__).parents[3] / "samples"
OBJECTS = Path(__file__).parent / "objects"


def prog(text: str, type: str = "socket_filter", maps: Sequence[MapSpec] = ()) -> Program:
    return Program(name="prog", insns=assemble(text), type=type, license="GPL", maps=tuple(maps))


def compiled(name: str, program: str) -> Program:
    return load(OBJECTS / f"{name}.o").programs[program]


def test_an_accepted_program_violates_nothing() -> None:
    assert verify(prog("r0 = 0\nexit"), linux()).property == ""


@pytest.mark.parametrize(("program", "caps"), [
    (Program(name="prog", insns=assemble("r0 = 0\nexit"), type="sched_cls", license="GPL"), Caps(net_admin=False)),
    (prog("r0 = 0\nagain:\nr0 += 1\nif r0 < 9 goto again\nexit"), Caps(bpf=False)),
    (prog("call pc+2\nr0 = 0\nexit\nr0 = 0\nexit"), Caps(bpf=False))])
def test_a_right_is_missing(program: Program, caps: Caps) -> None:
    assert verify(program, linux(), caps=caps).property == "missing-capability"


# Texts that rules.py and verdicts.json have programs for; tests/data has rows with an id for all other properties.
ELSEWHERE = {
    "constant-operand": prog("r0 = 1\nr0 /= 0\nexit"),
    "spill-size": prog("*(u32 *)(r10 - 8) = r1\nr0 = 0\nexit"),
    "packet-bounds": prog("r2 = *(u32 *)(r1 + 76)\nr0 = *(u8 *)(r2 + 0)\nexit", type="sched_cls"),
    "map-value-bounds": prog("*(u32 *)(r10 - 4) = 0\nr2 = r10\nr2 += -4\nr1 = map[id:0]\ncall 1\nif r0 == 0 goto out\n"
                             "r0 = *(u64 *)(r0 + 8)\nout:\nr0 = 0\nexit", maps=[MapSpec("array", 4, 8, 1, name="m")]),
    "map-definition": prog("r0 = 0\nexit", maps=[MapSpec("array", 8, 4, 1, name="broken")]),
    "graph-lock": compiled("lists72", "add_without_lock"),
    "compiler-trap": compiled("externs", "trap_reached"),
    "context-constant": prog("*(u32 *)(r1 + 8) = 5\nr0 = 0\nexit", type="sched_cls"),
}
JUDGES = {"context-constant": (6, 1)}


@pytest.mark.parametrize("id", ELSEWHERE)
def test_the_property_is_named(id: str) -> None:
    assert verify(ELSEWHERE[id], linux(JUDGES.get(id, (7, 2)))).property == id


def test_commands_print_the_id_in_json(capsys: pytest.CaptureFixture[str]) -> None:
    leak = str(SAMPLES / "broken" / "leak.o")
    assert main(["verify", leak, "--json"]) == 1
    (program,) = json.loads(capsys.readouterr().out)["programs"]
    assert program["property"] == "reference-leak"
    assert main(["verify", str(SAMPLES / "tc" / "dscp.o"), "--json"]) == 0
    assert {item["property"] for item in json.loads(capsys.readouterr().out)["programs"]} == {""}


@pytest.mark.parametrize("violated", PROPERTIES.values(), ids=list(PROPERTIES))
def test_every_property_is_explained_whatever_the_message(violated: Property) -> None:
    said = explain(violated, "a text that no kernel says")
    assert said.endswith(".") and said[0].isupper() and "{" not in said


def test_the_explanation_follows_the_property_and_not_the_words() -> None:
    """Messages of different properties look alike."""
    message = "timer pointer in R1 map_uid=0 doesn't match map pointer in R2 map_uid=1"
    assert "another map is passed with it" in explain(p.FIELD_OF_MAP, message)
    assert "compare the index" not in explain(p.SIZE_ARGUMENT, "R2 min value is negative")
    assert explain(p.SIZE_ARGUMENT, "R2 min value is negative").startswith("The size in R2")
    assert explain(p.MAP_VALUE_BOUNDS, "R2 min value is negative").startswith("The offset in R2")
