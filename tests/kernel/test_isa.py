"""What the kernel says about single instructions: its text of them, and why it refuses malformed ones."""

from __future__ import annotations

import os
import platform
import random
import re
from functools import cache

import pytest

from ebpfvm.contract.rules import rules_of
from ebpfvm.isa.asm import assemble
from ebpfvm.isa.disasm import kernel_text
from ebpfvm.isa.insn import Insn, encode
from ebpfvm.isa.legality import check_fields, check_registers, check_slot
from ebpfvm.isa.table import ROWS
from tests.kernel import sysbpf
from tests.kernel.test_random_programs import program

pytestmark = pytest.mark.kernel

# Refusals that have other reasons than the fields of one instruction, and come before.
_OTHER = ("jump out of range", "unreachable insn", "last insn is not", "invalid destination", "pseudo btf_id", "fd",
          "BTF", "kernel btf_id", "R6 != pointer to skb", "associated arena")


@cache
def _why_not() -> str:
    return sysbpf.why_not()


@pytest.fixture(autouse=True)
def _kernel() -> None:
    if _why_not():
        pytest.skip(_why_not())


def _version() -> tuple[int, int]:
    major, minor = platform.release().split(".")[:2]
    return int(major), int(re.match(r"\d+", minor)[0])  # type: ignore[index]


_NO_FD = 1 << 24  # above what a process may have open


def _random_slot(rng: random.Random) -> tuple[Insn, Insn]:
    row = rng.choice(ROWS)
    values = {"dst": rng.choice((0, 1, 2, 10)), "src": rng.choice((0, 0, 1, 2, 10, 11)),
              "off": rng.choice((0, 0, 0, 1, 8, 16, -1)), "imm": rng.choice((0, 0, 1, 16, 5, -1))} | dict(row.fixed)
    for field in row.unused(Insn(row.code, **values)):
        if rng.random() < 0.8:
            values[field] = 0
    code = row.code if rng.random() < 0.97 else rng.randrange(256)
    insn = Insn(code, **values)
    if insn.is_ld_imm64 and insn.src in (1, 2) and insn.imm > 0:
        # The fd of a map: take none that this process may have open, or the verdict depends on what it is.
        insn = insn._replace(imm=insn.imm + _NO_FD)
    return insn, Insn(rng.choice((0, 0, 0, 5)), imm=rng.choice((0, 1)))


def _program(insn: Insn, high: Insn) -> list[Insn]:
    prologue = [Insn(0xB7, number) for number in range(10)]
    return [*prologue, insn, *([high] if insn.is_ld_imm64 else []), Insn(0xB7, 0), Insn(0x95)]


def _ask(program: list[Insn]) -> tuple[str, str]:
    """The kernel's final message ("" if accepted) and its text of slot 10 ("" if it never got there)."""
    loaded = sysbpf.load(encode(program))
    if loaded.fd >= 0:
        os.close(loaded.fd)
    lines = [line for line in loaded.log.splitlines() if not line.startswith("processed")]
    text = next((line[4:] for line in lines if line.startswith(("10: (", "10: BUG"))), "")
    return ("" if loaded.fd >= 0 or not lines else lines[-1]), text


def test_the_kernel_refuses_what_we_refuse_with_the_same_words() -> None:
    rng, version = random.Random(4), _version()
    for _ in range(4000):
        insn, high = _random_slot(rng)
        program = _program(insn, high)
        mine = check_slot(program, 10, rules_of(version).lacks) or check_fields(insn) or check_registers(insn)
        final, _text = _ask(program)
        if mine is not None and not any(other in final for other in _OTHER):
            assert final == mine, insn
        if mine is None:
            assert not re.search(r"reserved fields|unknown opcode|R\d+ is invalid|invalid may_goto", final), insn


def test_the_kernel_writes_instructions_as_we_do() -> None:
    rng = random.Random(5)
    seen = 0
    for _ in range(3000):
        insn, high = _random_slot(rng)
        program = _program(insn, high)
        _final, text = _ask(program)
        if text and "(null)" not in text and insn.code != 0x85:
            assert text.startswith(kernel_text(program, 10)), insn
            seen += 1
    assert seen > 1000


def test_the_kernel_s_logs_assemble_to_their_programs() -> None:
    rng = random.Random(6)
    for _ in range(100):
        insns = program(rng, "sched_cls")
        loaded = sysbpf.load(encode(insns), sysbpf.SCHED_CLS, log_level=2)
        assert loaded.fd >= 0
        os.close(loaded.fd)
        assert assemble(loaded.log) == insns
