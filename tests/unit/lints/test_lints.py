"""Lints: each mistake that Linux accepts is reported at its line, and good qdiscs have none."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from ebpfvm.cli.main import main
from ebpfvm.dialects import linux
from ebpfvm.isa.asm import assemble
from ebpfvm.lints import LINTS, Lint, lints_of
from ebpfvm.loader import load
from ebpfvm.loader.object import Object, Program, StructOps
from ebpfvm.verifier import verify

SAMPLES = Path(__file__).parents[3] / "samples"
EXPECTED = {
    "no_limit": ["no-limit"], "unbounded": ["unbounded"], "reset_keeps": ["reset-keeps"], "no_bstats": ["no-bstats"],
    "no_qlen": ["no-qlen"], "no_backlog": ["no-backlog"], "success_for_drop": ["dropped-but-success"],
    "drop_for_success": ["kept-but-dropped"], "no_watchdog": ["no-watchdog"], "null_argument": ["null-option"],
    "address_kept": ["address-kept"], "borrowed_packet": ["borrowed-packet"], "unset_field": ["unset-field"],
    "unused_struct": ["missing-struct"]}
MARKED = ("no_bstats", "no_backlog", "no_watchdog", "null_argument", "address_kept", "unset_field")


def lints(path: Path) -> list[Lint]:
    found = load(str(path))
    return lints_of(found, {name: verify(program, linux((7, 2))) for name, program in found.programs.items()})


@pytest.mark.parametrize("path", sorted((SAMPLES / "mainline").glob("*.o")), ids=lambda path: path.stem)
def test_good_samples_have_none(path: Path) -> None:
    assert lints(path) == []


@pytest.mark.parametrize("path", sorted((SAMPLES / "broken_qdiscs").glob("*.o")), ids=lambda path: path.stem)
def test_a_broken_qdisc_has_its_lint_and_no_other(path: Path) -> None:
    assert [lint.id for lint in lints(path)] == EXPECTED.get(path.stem, [])


@pytest.mark.parametrize("name", MARKED)
def test_a_lint_is_placed_at_the_mistake_or_its_function(name: str) -> None:
    lines = (SAMPLES / "broken_qdiscs" / f"{name}.bpf.c").read_text().splitlines()
    mistake = next(number for number, line in enumerate(lines, 1) if "<-- the mistake" in line)
    (lint,) = lints(SAMPLES / "broken_qdiscs" / f"{name}.o")
    assert lint.line is not None
    assert mistake - lint.line.line in range(2 if name != "no_bstats" else 20)  # the branch, or the function's start


def test_programs_for_the_rfc_have_none() -> None:
    for path in (SAMPLES / "rfc").glob("*.o"):
        assert lints_of(load(str(path)), {}) == []


# ---- programs without a compiler ----------------------------------------------------------------------------------

CALLS = {1: "bpf_qdisc_skb_drop"}


def of_text(text: str, member: str = "enqueue") -> list[str]:
    """The lints of a program in the assembler's plain syntax; R6 is the packet, R7 the qdisc, R8 to_free."""
    insns = tuple(insn._replace(src=2) if insn.code == 0x85 else insn for insn in assemble(text))
    program = Program(name="prog", insns=insns, type="struct_ops", license="GPL", kfuncs=CALLS,
                      struct_ops=("Qdisc_ops", member))
    verdict = verify(program, linux((7, 2)))
    assert verdict.ok, verdict.message
    ops = StructOps("ops", "Qdisc_ops", {member: "prog"}, b"", False)
    found = Object("", {"prog": program}, {}, "GPL", None, (ops,))
    return [lint.id for lint in lints_of(found, {"prog": verdict})]


LOADS = "r6 = *(u64 *)(r1 + 0); r7 = *(u64 *)(r1 + 8); r8 = *(u64 *)(r1 + 16);"
DROP = "r1 = r6; r2 = r8; call 1;"


@pytest.mark.parametrize(("text", "ids"), [
    ("r0 = *(u64 *)(r1 + 0); exit", ["packet-leaked"]),
    (f"{LOADS} {DROP} r0 = 0; exit", ["dropped-but-success"]),
    (f"{LOADS} {DROP} r0 = 1; exit", []),
    (f"{LOADS} {DROP} r0 = 2; exit", []),
    (f"{LOADS} {DROP} r0 = 0x10000; exit", []),
    # Both ways join before the return, with the code in a register; only one of them is wrong.
    (f"{LOADS} r9 = 1; r1 = *(u32 *)(r7 + 20); if r1 > 5 goto +1; r9 = 0; {DROP} r0 = r9; exit",
     ["dropped-but-success"]),
    (f"{LOADS} r9 = 1; r1 = *(u32 *)(r7 + 20); if r1 > 5 goto +1; r9 = 2; {DROP} r0 = r9; exit", []),
    # The packet and the code go through the stack.
    (f"{LOADS} *(u64 *)(r10 - 8) = r6; r9 = 0; *(u64 *)(r10 - 16) = r9; r6 = 0; r6 = *(u64 *)(r10 - 8); {DROP} "
     "r0 = *(u64 *)(r10 - 16); exit", ["dropped-but-success"]),
    # A number that nobody knows.
    (f"{LOADS} r9 = *(u32 *)(r7 + 20); {DROP} r0 = r9; exit", []),
])
def test_paths_of_enqueue(text: str, ids: list[str]) -> None:
    only = ("packet-leaked", "dropped-but-success", "kept-but-dropped")
    assert [id for id in of_text(text) if id in only] == ids


@pytest.mark.parametrize(("text", "found"), [
    ("r6 = *(u64 *)(r1 + 8); r0 = *(u16 *)(r6 + 0); exit", True),
    ("r6 = *(u64 *)(r1 + 8); r0 = 0; if r6 == 0 goto +1; r0 = *(u16 *)(r6 + 0); exit", True),
    ("r6 = *(u64 *)(r1 + 8); r0 = 0; if r6 != 0 goto +1; exit; r0 = *(u16 *)(r6 + 0); exit", True),
    ("r6 = *(u64 *)(r1 + 16); r0 = 0; if r6 == 0 goto +1; r0 = *(u64 *)(r6 + 0); exit", True),
    ("r6 = *(u64 *)(r1 + 8); r0 = 0; if r6 != 0 goto +1; r0 = *(u16 *)(r6 + 0); exit", False),
    ("r6 = *(u64 *)(r1 + 0); r0 = *(u32 *)(r6 + 20); exit", False)])
def test_options_may_be_null_and_a_test_for_it_is_removed(text: str, found: bool) -> None:
    """Recorded on Linux 7.2 (bpf_po in test_core_record): the branch for NULL is gone, and the read crashes."""
    assert ("null-option" in of_text(text, "init")) == found


def test_verify_prints_them_without_changing_the_exit_status(capsys: pytest.CaptureFixture[str]) -> None:
    path = str(SAMPLES / "broken_qdiscs" / "no_limit.o")
    assert main(["verify", path]) == 0
    out = capsys.readouterr().out
    assert "warning: ./broken_qdiscs/base.h:44: enqueue: compares with sch->limit" in out
    assert LINTS["no-limit"].why in out
    assert main(["verify", path, "--json"]) == 0
    (row,) = json.loads(capsys.readouterr().out)["lints"]
    assert (row["id"], row["program"], row["line"]) == ("no-limit", "enqueue", 44)
