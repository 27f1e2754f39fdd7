"""Adapters, the laws over them, the reducer, the files of findings, and campaigns."""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Sequence
from functools import partial
from pathlib import Path

import pytest

from ebpfvm.cli.main import main
from ebpfvm.contract import Dialect
from ebpfvm.dialects import linux
from ebpfvm.errors import LoadError, UsageError
from ebpfvm.isa.asm import assemble
from ebpfvm.lazy_dataclasses import replace
from ebpfvm.loader.object import FuncInfo, Program
from ebpfvm.testing import adapter_laws, campaign, case_files
from ebpfvm.testing.adapters import Adapter, AdapterError, CommandAdapter, Observed, Opinion, OwnAdapter
from ebpfvm.testing.fuzzing import CampaignState, Fuzzer, FuzzTarget
from ebpfvm.testing.reducer import reduce
from ebpfvm.testing.runs import Given
from ebpfvm.verifier import verify

INPUTS = [Given(bytes(60)), Given(bytes(range(64)))]
GOOD = Program("it", tuple(assemble("r0 = *(u32 *)(r1 + 0)\nif r0 > 60 goto out\nr0 = 1\nout:\nexit")), "sched_cls")
BAD = Program("it", tuple(assemble("r3 = 1\nr0 = *(u64 *)(r10 + 8)\nexit")), "sched_cls")


class Credulous(Adapter):
    """A verifier that accepts everything, and an engine that returns one more."""

    name = "credulous"

    def judge(self, program: Program) -> Opinion:
        return Opinion(True)

    def run(self, program: Program, inputs: Sequence[Given]) -> list[Observed]:
        seen = OwnAdapter(linux()).run(program, inputs)
        return [replace(one, result=(one.result or 0) + 1) for one in seen]


def test_laws_hold_for_both_engines() -> None:
    own, other = OwnAdapter(linux()), OwnAdapter(linux(), "translate")
    assert adapter_laws.same_verdict(GOOD, own, other).ok
    assert not adapter_laws.same_verdict(BAD, own, other).ok
    assert [one.result for one in adapter_laws.no_fault(GOOD, own, INPUTS)] == [1, 64]
    adapter_laws.same_results(GOOD, own, other, INPUTS)
    adapter_laws.same_again(GOOD, other, INPUTS)
    adapter_laws.same_with_padding(GOOD, own, INPUTS)
    adapter_laws.same_with_padding(BAD, own)


def test_what_differs_is_named_with_both_answers() -> None:
    own, wrong = OwnAdapter(linux()), Credulous()
    with pytest.raises(adapter_laws.Disagreement) as found:
        adapter_laws.same_verdict(BAD, wrong, own)
    assert found.value.kind == "false accept"
    assert found.value.answers == {"credulous": "accepted",
                                   own.name: "rejected: invalid read from stack R10 off=8 size=8"}
    with pytest.raises(adapter_laws.Disagreement, match="false reject"):
        adapter_laws.same_verdict(BAD, own, wrong)
    with pytest.raises(adapter_laws.Disagreement, match="result") as found:
        adapter_laws.same_results(GOOD, wrong, own, INPUTS)
    assert found.value.answers["credulous"] == "run 0: 0x2"
    with pytest.raises(adapter_laws.Disagreement, match="fault"):
        adapter_laws.no_fault(BAD, wrong, INPUTS)


def test_without_an_answer_a_law_says_nothing() -> None:
    own = OwnAdapter(linux())
    assert adapter_laws.same_verdict(BAD, Adapter(), own).ok is None
    assert not adapter_laws.same_verdict(BAD, own, Adapter()).ok
    adapter_laws.same_results(GOOD, own, Adapter(), INPUTS)


def test_commands_judge_and_run(tmp_path: Path) -> None:
    script = tmp_path / "judge.py"
    script.write_text("import sys\ncode = open(sys.argv[1], 'rb').read()\nprint('too long')\n"
                      "sys.exit(len(code) > 32 and sys.argv[2] == 'sched_cls')\n")
    run = [sys.executable, "-c", "import sys; print(hex(len(open(sys.argv[1], 'rb').read())))", "{data}"]
    with CommandAdapter([sys.executable, str(script), "{program}", "{type}"], run) as command:
        assert command.judge(BAD) == Opinion(True)
        assert command.judge(replace(GOOD, insns=GOOD.insns * 2)) == Opinion(False, "too long")
        assert command.run(GOOD, INPUTS) == [Observed(60), Observed(64)]
    with CommandAdapter(run=["echo", "no number"]) as command, pytest.raises(AdapterError, match="expected a number"):
        command.run(GOOD, INPUTS)
    with CommandAdapter(judge=["/none/at/all"]) as command, pytest.raises(AdapterError):
        command.judge(GOOD)


def _violates(dialect: Dialect, property: str, program: Program) -> bool:
    return verify(program, dialect, log_level=0).property == property


def test_a_program_is_cut_to_what_shows_the_difference() -> None:
    for number in (11, 16, 19):
        case = campaign.case(number) if number % 2 else campaign.ops_case(number)
        verdict = verify(case.program, case.dialect, log_level=0)
        wanted = verdict.property
        assert wanted
        small = reduce(case.program, partial(_violates, case.dialect, wanted))
        assert verify(small, case.dialect).property == wanted
        assert len(small.insns) <= 9 < len(case.program.insns)


def test_jumps_calls_and_functions_are_mended() -> None:
    code = assemble("r6 = 1\nif r6 == 5 goto +3\nr7 = 1\nr8 = 1\nr9 = 1\ncall +1\nexit\nr1 = 1\nr0 = 7\nexit")
    program = Program("it", tuple(code), "xdp", func_info=(FuncInfo(0, 1), FuncInfo(7, 2)))
    small = reduce(program, lambda one: any(insn.imm == 7 for insn in one.insns) and any(
        insn.code == 0x85 for insn in one.insns))
    assert [insn.code for insn in small.insns] == [0x85, 0xB7]
    assert small.insns[0].imm == 0
    assert [info.insn_off for info in small.func_info] == [0, 1]


@pytest.mark.parametrize("number", range(12))
def test_a_finding_is_read_back_as_it_was(number: int, tmp_path: Path) -> None:
    case = campaign.ops_case(number) if number % 3 == 0 else campaign.case(number)
    path = tmp_path / "case.s"
    path.write_text(case_files.text_of(case, "a title", {"this": "accepts\nit"}))
    again = case_files.read(path)
    assert "# this: accepts it\n" in path.read_text()
    first, second = (verify(one.program, one.dialect) for one in (case, again))
    assert (first.ok, first.message, first.log) == (second.ok, second.message, second.log)
    assert (again.inputs, again.dialect.name) == (case.inputs, case.dialect.name)


def test_a_file_that_is_no_finding_is_refused(tmp_path: Path) -> None:
    for text in ("r0 = 0\nexit\n", "#! ebpfvm.case/1\n#! !!!\nexit\n"):
        (tmp_path / "case.s").write_text(text)
        with pytest.raises(LoadError, match="is no case"):
            case_files.read(tmp_path / "case.s")
    with pytest.raises(LoadError, match="cannot be read"):
        case_files.read(tmp_path / "none.s")


class Strict(FuzzTarget):
    """A target that calls every program with a multiplication wrong."""

    def _word(self, case: campaign.Case) -> str:
        if any(insn.code & 0xF7 == 0x27 for insn in case.program.insns):
            raise adapter_laws.Disagreement("no_product", "product", case.program, {"it": "multiplies"})
        return "accepted"


def test_a_campaign_reduces_and_keeps_what_it_finds(tmp_path: Path) -> None:
    fuzzer = Fuzzer(Strict("engines", ["xdp"]), CampaignState({}, 100), tmp_path / "found")
    fuzzer.run(112)
    state = fuzzer.state
    assert state.counts.total() == 12
    assert state.findings
    row = state.findings[0]
    assert row["law"] == "no_product product"
    assert row["reduced"] == 1 < row["size"]
    case = case_files.read(Path(row["file"]))
    assert len(case.program.insns) == 1
    assert "# it: multiplies\n# type xdp\n" in Path(row["file"]).read_text()


def test_a_campaign_continues_where_it_was_stopped(tmp_path: Path) -> None:
    path = tmp_path / "state.json"
    options = {"seed": 0}
    fuzzer = Fuzzer(FuzzTarget("engines"), CampaignState.load(path, options))
    fuzzer.run(4, save=path)
    again = CampaignState.load(path, options)
    assert (again.next, again.counts) == (4, fuzzer.state.counts)
    whole = Fuzzer(FuzzTarget("engines"), CampaignState(options, 0))
    whole.run(8)
    rest = Fuzzer(FuzzTarget("engines"), again)
    rest.run(8)
    assert rest.state.counts == whole.state.counts
    with pytest.raises(UsageError, match="other options"):
        CampaignState.load(path, {"seed": 1})
    path.write_text("{}")
    with pytest.raises(LoadError, match="not the state of a campaign"):
        CampaignState.load(path, options)


def test_the_command_reports_what_it_found(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    state, out = str(tmp_path / "state.json"), str(tmp_path / "found")
    command = ["fuzz", "--against", "command", "--command", "true", "--type", "xdp", "--seed", "1", "--state", state,
               "--out", out]
    assert main([*command, "--count", "2"]) in (0, 1)
    capsys.readouterr()
    assert main([*command, "--count", "8", "--json"]) == 1
    data = json.loads(capsys.readouterr().out)
    assert (data["schema"], data["next"], sum(data["counts"].values())) == ("ebpfvm.fuzz/1", 9, 8)
    row = data["findings"][0]
    assert row["law"] == "same_verdict false reject"
    assert row["reduced"] == 1
    assert main(["fuzz", "--against", "command", "--command", "true", "--replay", row["file"]]) == 1
    assert "different, same_verdict false reject" in capsys.readouterr().out
    assert main(["fuzz", "--against", "command", "--command", "false", "--replay", row["file"]]) == 0


def test_findings_are_printed_if_there_is_no_folder(capsys: pytest.CaptureFixture[str]) -> None:
    command = ["fuzz", "--against", "command", "--command", "false", "--type", "xdp", "--count", "3", "--seed", "9"]
    assert main(command) == 1
    out = capsys.readouterr().out
    assert "same_verdict false accept" in out
    assert "#! ebpfvm.case/1" in out


@pytest.mark.parametrize(("words", "text"), [
    (["--count", "0"], "--count: expected"), (["--type", "kprobe"], "no programs of this type are generated"),
    (["--against", "command"], "needs a command"), (["--kernel", "0.1"], "0.1")])
def test_wrong_words_are_named(words: list[str], text: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["fuzz", *words]) == 2
    assert text in capsys.readouterr().err


def test_a_campaign_takes_the_time_that_its_help_shows(capsys: pytest.CaptureFixture[str]) -> None:
    """The help said 10m, which is no time."""
    with pytest.raises(SystemExit):
        main(["fuzz", "--help"])
    shown = re.findall(r"as in (\d+\w+)", " ".join(capsys.readouterr().out.split()))
    assert shown and all(main(["fuzz", "--count", "1", "--time", time]) == 0 for time in shown)
