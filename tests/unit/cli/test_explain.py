"""`ebpfvm explain`: the programs that it shows are what it says of them."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

import pytest

from ebpfvm.btf.encode import BtfBuilder
from ebpfvm.cli.c_examples import C_EXAMPLES
from ebpfvm.cli.main import main
from ebpfvm.cli.property_examples import EXAMPLES
from ebpfvm.cli.rarer_examples import RARER, USUAL, Setting
from ebpfvm.dialects import linux
from ebpfvm.isa.asm import assemble
from ebpfvm.lazy_dataclasses import replace
from ebpfvm.loader import load
from ebpfvm.loader.object import FuncInfo, LineInfo, MapSpec, Program
from ebpfvm.testing.generated_special import LOCKED, prototypes
from ebpfvm.verifier import verify
from ebpfvm.verifier.machine.env import Caps
from ebpfvm.verifier.machine.properties import PROPERTIES
from ebpfvm.verifier.report.verdict import Verdict

MAPS = (MapSpec("array", 4, 16, 2, name="array"), MapSpec("hash", 8, 24, 8, name="hash"),
        MapSpec("prog_array", 4, 4, 4, name="programs"), MapSpec("ringbuf", 0, 0, 4096, name="ring"), LOCKED,
        MapSpec("array", 4, 8, 1, map_flags=0x80, name="fixed", data=b"abc".ljust(8, b"\0")),
        MapSpec("array", 8, 8, 1, name="wrong"))
COMPILED = Path(__file__).with_name("c_examples")


def judged(type: str, text: str, setting: Setting = USUAL) -> Verdict:
    kernel = linux(tuple(map(int, setting.kernel.split(".")))) if setting.kernel else linux()
    numbers = {helper.name: number for number, helper in kernel.helpers.items()}
    kfuncs: dict[str, int] = {}

    def called(found: re.Match[str]) -> str:
        name = found[1]
        if name in numbers:
            return f"call {numbers[name]}"
        return f"call kfunc[id:{kfuncs.setdefault(name, 100_000 + len(kfuncs))}]"
    code = assemble(re.sub(r"call ((?:__)?bpf_\w+)", called, text))
    program = Program(name="prog", insns=code, type=type, license=setting.license, maps=MAPS[:setting.maps],
                      kfuncs={number: name for name, number in kfuncs.items()}, sleepable=setting.sleepable,
                      struct_ops=("Qdisc_ops", setting.hook) if setting.hook else None)
    if setting.btf or setting.globals:
        program = with_functions(program, setting.globals)
    lines = tuple(LineInfo(at, "prog.c", "", number, 1) for number, at in enumerate(setting.lines, 1))
    program = replace(program, line_info=lines)
    caps = Caps(**{setting.missing: False}) if setting.missing else Caps()
    return verify(program, kernel, caps=caps)


def with_functions(program: Program, globals: Sequence[int]) -> Program:
    """Return the program with BTF for its functions: the main one, static ones, and global ones of two numbers."""
    named = [pc + insn.imm + 1 for pc, insn in enumerate(program.insns)
             if (insn.code == 0x85 and insn.src == 1) or (insn.is_ld_imm64 and insn.src == 4)]
    builder = BtfBuilder()
    ids = prototypes(builder, len({0, *named}), frozenset(globals))
    infos = tuple(FuncInfo(start, id) for start, id in zip(sorted({0, *named}), ids, strict=True))
    return replace(program, btf=builder.btf(), func_info=infos)


@pytest.mark.parametrize("id", EXAMPLES)
def test_the_broken_program_violates_the_property_and_the_mended_one_none(id: str) -> None:
    example = EXAMPLES[id]
    assert judged(example.type, example.broken).property == id
    mended = judged(example.type, example.mended)
    assert mended.ok, mended.message


@pytest.mark.parametrize("id", RARER)
def test_so_do_the_programs_that_need_more(id: str) -> None:
    example = RARER[id]
    assert judged(example.type, example.broken, example.setting).property == id
    mended = judged(example.mended_type or example.type, example.mended, example.mended_setting or example.setting)
    assert mended.ok, mended.message


@pytest.mark.parametrize("id", C_EXAMPLES)
def test_so_do_the_programs_in_c(id: str) -> None:
    """`python -m tests.unit.cli.c_examples.compile_examples` compiles them anew."""
    verdicts = [compiled(id, name, text) for name, text in C_EXAMPLES[id]._asdict().items()]
    assert verdicts[0].property == id
    assert verdicts[1].ok, verdicts[1].message


def compiled(id: str, name: str, text: str) -> Verdict:
    """Judge a compiled program, whose line records must be lines of the text."""
    (program,) = load(COMPILED / f"{id}.{name}.o").programs.values()
    lines = text.splitlines()
    own = [record for record in program.line_info if record.file.endswith("prog.bpf.c")]
    assert own
    assert all(lines[record.line - 1].strip() == record.text.strip() for record in own), "compile the examples anew"
    return verify(program, linux())


def test_every_property_has_programs() -> None:
    assert sorted([*EXAMPLES, *RARER, *C_EXAMPLES]) == sorted(PROPERTIES)


def test_the_setting_is_told(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["explain", "gpl-only"]) == 0
    out = capsys.readouterr().out
    assert "Broken (program type sched_cls, license Proprietary):" in out and "Mended (without that):" in out
    assert main(["explain", "unsupported"]) == 0
    assert "Mended (type sched_cls):" in capsys.readouterr().out


def test_the_command_shows_rule_and_programs(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["explain", "null-dereference"]) == 0
    out = capsys.readouterr().out
    assert PROPERTIES["null-dereference"].rule in out
    assert out.index("Broken") < out.index("Mended") < out.index("if r0 == 0 goto out")


def test_programs_in_c_are_shown_too(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["explain", "graph-lock"]) == 0
    broken, mended = capsys.readouterr().out.split("Broken:")[1].split("Mended:")
    assert "    bpf_spin_lock(&lock);" in mended.expandtabs(4)
    assert "bpf_spin_lock(" not in broken


def test_very_long_programs_are_shortened(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["explain", "too-many-functions"]) == 0
    out = capsys.readouterr().out
    assert "lines like these" in out and len(out.splitlines()) < 60


def test_a_wrong_id_gets_a_hint(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["explain", "packet-bound"]) == 2
    assert "did you mean 'packet-bounds'?" in capsys.readouterr().err
