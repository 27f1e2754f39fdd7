"""Tests that objects carry in declaration tags: what the tags say, and when such a test passes."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from ebpfvm.btf.encode import BtfBuilder
from ebpfvm.cli.main import main
from ebpfvm.dialects import linux
from ebpfvm.isa.asm import assemble
from ebpfvm.loader.object import Object, Program
from ebpfvm.testing.decl_tags import Pattern, expectation, number
from ebpfvm.testing.log_patterns import missing, python_regex
from ebpfvm.testing.tagged_programs import INCLUDE, TaggedResult, run_tagged
from ebpfvm.verifier import verify
from tests.house.tree import ROOT
from tests.unit.testing.test_plugin import collected

if TYPE_CHECKING:
    from pathlib import Path

CHECKS = ROOT / "samples/expect/checks.o"
_REFUSED = "expected to be accepted, but rejected: invalid read from stack R10 off=8 size=8 (errno 13)"
GOOD, BAD = "r0 = 2\nexit", "r0 = *(u64 *)(r10 + 8)\nexit"


def with_tags(code: str, *tags: str, type: str = "sched_cls", more: tuple[Program, ...] = (),
              auxiliary: str = "") -> list[TaggedResult]:
    """The results of an object that holds a program with these tags."""
    builder = BtfBuilder()
    main_id = builder.func("it")
    for tag in tags:
        builder.tag(f"comment:{tag}", main_id)
    for program in more:
        other = builder.func(program.name)
        if auxiliary:
            builder.tag(f"comment:{auxiliary}", other)
    programs = {"it": Program("it", tuple(assemble(code)), type), **{program.name: program for program in more}}
    return run_tagged(Object("it.o", programs, {}, "GPL", builder.btf()))


def only(code: str, *tags: str, type: str = "sched_cls") -> tuple[str, str]:
    (result,) = with_tags(code, *tags, type=type)
    return result.status, result.reason


@pytest.mark.parametrize(("code", "tags", "status", "reason"), [
    (GOOD, ["test_expect_success"], "passed", ""),
    (GOOD, [], "passed", ""),
    (GOOD, ["test_description=it"], "passed", ""),
    (GOOD, ["test_expect_failure"], "failed", "expected to be rejected, but accepted"),
    (BAD, ["test_expect_failure"], "passed", ""),
    (BAD, ["test_expect_success"], "failed", _REFUSED),
    (BAD, ["test_expect_failure", "test_expect_msg=invalid read from stack R10 off=8"], "passed", ""),
    (BAD, ["test_expect_failure", "test_expect_msg=invalid write"], "failed", "not in the log: 'invalid write'"),
    (GOOD, ["test_expect_success", "test_retval=2"], "passed", ""),
    (GOOD, ["test_expect_success", "test_retval=-1"], "failed", "the test run returned 2, not -1"),
    ("r0 = -1\nexit", ["test_retval=-1"], "passed", ""),
    ("r0 = -1\nexit", ["test_retval=0xffffffff"], "passed", ""),
    ("r0 = 5\nexit", ["test_retval=0xbadcafe"], "passed", ""),
    ("r0 = *(u32 *)(r1 + 0)\nexit", ["test_retval=TEST_DATA_LEN"], "passed", ""),
    (GOOD, ["test_retval=no_number"], "failed", "tag test_retval=no_number: 'no_number' is not a number, and not a "
                                                "name or expression that is known"),
    (GOOD, ["test_unheard_of=1"], "failed", "tag test_unheard_of=1: it is not known"),
    (GOOD, ["a remark"], "passed", ""),
    (GOOD, ["test_expect_success", "test_arch=ARM64"], "skipped", "for ARM64, and ebpfvm emulates X86_64"),
    (GOOD, ["test_expect_success", "test_arch=ARM64", "test_arch=x86_64"], "passed", ""),
    (GOOD, ["test_expect_success", "load_mode=no_jited"], "skipped", "for kernels without a JIT compiler"),
    (GOOD, ["test_expect_success", "load_mode=no_jited", "load_mode=jited"], "passed", ""),
    (BAD, ["test_expect_success", "test_jited=ret"], "failed", _REFUSED),
    (GOOD, ["test_jited=ret"], "skipped", "all else is as expected, but machine code: comparing them is "
                                          "not supported by ebpfvm"),
    (BAD, ["test_expect_failure", "test_expect_msg={{[}}"], "failed", "message '{{[}}': '[' without ']'")])
def test_a_program_is_compared_with_its_tags(code: str, tags: list[str], status: str, reason: str) -> None:
    assert only(code, *tags) == (status, reason)


def test_messages_are_found_in_order_whatever_the_order_of_numbered_tags() -> None:
    level = "test_log_level=2"
    assert only(GOOD, "test_expect_msg=R10=fp0", "test_expect_msg=; R0=2", level)[0] == "passed"
    assert only(GOOD, "test_expect_msg=; R0=2", "test_expect_msg=R10=fp0", level) == (
        "failed", "not in the log: 'R10=fp0', after the message before it")
    assert only(GOOD, "10:test_expect_msg=; R0=2", "9:test_expect_msg=R10=fp0", level)[0] == "passed"
    assert only(GOOD, "test_expect_msg=10=; R0=2", "test_expect_msg=9=R10=fp0", level)[0] == "passed"
    assert only(GOOD, "9:test_expect_msg=; R0=2", "10:test_expect_msg=R10=fp0", level)[0] == "failed"
    twice = "test_expect_msg=0: R1=ctx() R10=fp0"
    assert only(GOOD, f"1:{twice}", f"2:{twice}", level)[0] == "failed"


def test_a_text_can_be_forbidden_between_others() -> None:
    level = "test_log_level=2"
    assert only(GOOD, "test_expect_msg=R10=fp0", "test_expect_not_msg=call", "test_expect_msg=; R0=2",
                level)[0] == "passed"
    assert only(GOOD, "test_expect_not_msg=R10=fp0", "test_expect_msg=; R0=2", level) == (
        "failed", "in the log, and must not be there: 'R10=fp0'")
    assert only(GOOD, "test_expect_msg=; R0=2", "test_expect_not_msg=R10=fp0", level)[0] == "passed"


@pytest.mark.parametrize(("text", "found"), [
    ("R1 invalid mem access 'scalar'", True), ("R{{[0-9]}} invalid", True), ("R{{[[:digit:]]+ }}invalid", True),
    ("{{^R1}} invalid", True), ("{{^invalid}}", False), ("{{(R0|R1)}} invalid mem", True), ("R{{.}} mem", False),
    ("{{R[^ ]+ invalid}}", True), ("processed {{[0-9]+}} insns (limit", True), ("{{R1 .*$}}", True),
    ("{{scalar.*processed}}", False), ("{{scalar[^x]processed}}", False), ("a{{b", None), ("R{{1{1,2}}} inv", True),
    ("{{\\<mem\\>}}", True), ("{{m\\<em}}", False), ("off={{[+-]?}}8", False), ("'{{[[:alpha:]]*}}'", True)])
def test_patterns_are_texts_with_extended_regular_expressions(text: str, found: bool | None) -> None:
    log = "1: (61) r0 = *(u32 *)(r1 +0)\nR1 invalid mem access 'scalar'\nprocessed 2 insns (limit 1000000)\n"
    if found is None:
        assert "without '}}'" in only(GOOD, f"test_expect_msg={text}")[1]
    else:
        assert bool(missing(log, [Pattern(text)])) is not found


def test_sets_of_posix_know_no_escapes() -> None:
    assert python_regex(r"[\w]") == r"[\\w]"
    assert python_regex("[]a]") == r"[\]a]"
    assert python_regex("[^]a]") == r"[^\n\]a]"
    assert python_regex("a{x") == r"a\{x"


def test_kernels_forget_the_walk_of_accepted_programs_at_level_1() -> None:
    assert only(GOOD, "test_expect_msg=r0 = 2")[0] == "failed"
    assert only(GOOD, "test_expect_msg=processed 2 insns")[0] == "passed"


@pytest.mark.parametrize(("text", "value"), [
    ("5", 5), ("-1", -1), ("(1 << 3) | 2", 10), ("0x10UL", 16), ("010", 8), ("0", 0), ("INT_MIN", -(1 << 31)),
    ("XDP_TX", 3), ("~0", -1), ("BPF_F_TEST_STATE_FREQ", 8), ("(1U << 0)", 1)])
def test_numbers_are_those_of_c(text: str, value: int) -> None:
    assert number(text) == value


def test_flags_are_set_and_cleared() -> None:
    said = expectation(["comment:test_prog_flags=BPF_F_STRICT_ALIGNMENT", "comment:0:test_prog_flags=0x10",
                        "comment:1:test_prog_flags=!BPF_F_TEST_REG_INVARIANTS"])
    assert (said.flags, said.cleared) == (0x11, 0x80)
    code = """r2 = *(u32 *)(r1 + 76)
r3 = *(u32 *)(r1 + 80)
r4 = r2
r4 += 14
if r4 > r3 goto out
r0 = *(u32 *)(r2 + 1)
out:
r0 = 0
exit"""
    assert only(code, "test_expect_success")[0] == "passed"
    assert only(code, "test_expect_failure", "test_expect_msg=misaligned packet access",
                "test_prog_flags=BPF_F_STRICT_ALIGNMENT")[0] == "passed"


def test_with_every_state_kept_more_states_are_counted() -> None:
    code = "r0 = *(u32 *)(r1 + 0)\nif r0 > 5 goto l1\nr0 = 1\nl1:\nif r0 > 9 goto l2\nr0 = 2\nl2:\nexit"
    program = Program("it", tuple(assemble(code)), "sched_cls")
    usual = verify(program, linux())
    every = verify(replace(program, flags=8), linux())
    assert usual.ok and every.ok
    assert every.stats["states"] > usual.stats["states"]


def test_loads_without_privileges_are_tests_of_their_own() -> None:
    results = with_tags(GOOD, "test_expect_success", "test_expect_failure_unpriv", type="xdp")
    assert [(item.name, item.status) for item in results] == [("it", "passed"), ("it @unpriv", "passed")]
    results = with_tags(GOOD, "test_expect_success_unpriv", type="xdp")
    assert [(item.name, item.status) for item in results] == [("it @unpriv", "failed")]
    results = with_tags(GOOD, "test_expect_success_unpriv", "test_retval=2", type="socket_filter")
    assert [item.status for item in results] == ["passed", "skipped"]
    assert results[1].reason == ("the rules for processes without CAP_BPF and CAP_PERFMON are not supported by ebpfvm")
    caps = "test_caps_unpriv=CAP_BPF|CAP_PERFMON"
    assert [item.status for item in with_tags(GOOD, "test_expect_success_unpriv", caps,
                                              type="socket_filter")] == ["passed"]
    assert [item.status for item in with_tags(GOOD, "test_expect_success_unpriv", caps)] == ["failed"]


def test_auxiliary_programs_are_loaded_with_the_others_and_are_no_tests() -> None:
    other = Program("other", tuple(assemble(BAD)), "sched_cls")
    (result,) = with_tags(GOOD, "test_expect_success", more=(other,), auxiliary="test_auxiliary")
    assert result.status == "failed"
    assert "auxiliary program other: invalid read from stack" in result.reason
    (result,) = with_tags(GOOD, "test_expect_success", more=(other,), auxiliary="test_auxiliary_unpriv")
    assert result.status == "passed"


def test_what_is_not_modelled_is_skipped() -> None:
    status, reason = only("r0 = 0\nexit", "test_retval=0", type="kprobe")
    assert status == "skipped"
    assert "verdict and log are as expected, but the program cannot be run" in reason


def test_the_sample_is_as_it_says(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["test", str(CHECKS)]) == 0
    assert capsys.readouterr().out.endswith("\n4 passed, 0 failed, 1 skipped\n")
    assert main(["test", f"{CHECKS}:header", "--json", "--engine", "translate"]) == 0
    data = json.loads(capsys.readouterr().out)
    assert (data["schema"], data["ok"], data["passed"]) == ("ebpfvm.test/1", True, 1)
    assert data["tests"][0]["accepted"] is True


def test_the_command_says_what_is_wrong(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["test"]) == 2
    assert main(["test", f"{CHECKS}:none"]) == 2
    assert "it has: count_bytes, no_null_check, header, address" in capsys.readouterr().err
    assert main(["test", str(ROOT / "none.o")]) == 3
    assert main(["test", "--include"]) == 0
    assert str(INCLUDE) in capsys.readouterr().out
    assert (INCLUDE / "bpf_expect.h").is_file()


def test_programs_without_tags_are_expected_to_be_accepted(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["test", str(ROOT / "samples/broken/leak.o")]) == 1
    out = capsys.readouterr().out
    assert "failed leak: expected to be accepted, but rejected: Unreleased reference" in out
    assert "leak.bpf.c:" in out


def test_pytest_collects_objects_with_tags(tmp_path: Path) -> None:
    shutil.copy(CHECKS, tmp_path)
    shutil.copy(ROOT / "samples/broken/leak.o", tmp_path)
    wrong = CHECKS.read_bytes().replace(b"invalid mem access", b"invalid mem excess")
    (tmp_path / "wrong.o").write_bytes(wrong)
    found = collected(tmp_path, "-v", "--bpf-kernel", "7.2")
    assert found.returncode == 1, found.stdout + found.stderr
    assert "checks.o::no_null_check PASSED" in found.stdout
    assert "wrong.o::no_null_check FAILED" in found.stdout
    assert "no_null_check: not in the log: \"R0 invalid mem excess 'map_value_or_null'\"" in found.stdout
    assert "R0 invalid mem access 'map_value_or_null'" in found.stdout
    assert "1 failed, 7 passed, 2 skipped" in found.stdout
