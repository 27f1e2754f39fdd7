"""At level 1 the log of a refused program holds its walk, unless that was very long."""

from __future__ import annotations

import pytest

from ebpfvm.dialects import linux
from ebpfvm.isa.asm import assemble
from ebpfvm.loader.object import Program
from ebpfvm.verifier import check, verify
from ebpfvm.verifier.report import log as log_module

COUNT_THEN_ERR = "r6 = 0; r6 += 1; if r6 < 100 goto -2; r0 = *(u64 *)(r6 + 0); exit"


def test_the_walk_is_left_out_when_it_was_long(monkeypatch: pytest.MonkeyPatch) -> None:
    program = Program.from_bytes(b"".join(insn.encode() for insn in assemble(COUNT_THEN_ERR)), "xdp")
    whole = verify(program, linux())
    assert "1: (07) r6 += 1" in whole.log
    monkeypatch.setattr(check, "LONG_WALK", 100)
    short = verify(program, linux())
    assert "r6 += 1" not in short.log
    assert "1: (07) r6 += 1" in verify(program, linux(), log_level=2).log
    assert (short.message, short.errno, short.processed) == (whole.message, whole.errno, whole.processed)
    assert short.log.splitlines()[-2:] == whole.log.splitlines()[-2:]


def test_a_log_may_begin_with_the_rest_of_a_line_that_was_dropped(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(log_module, "_KEEP", 3)
    log = log_module.Log(1, Program(name="prog", insns=assemble("exit")), linux().rules, lambda pc: "exit")
    log.insn(0)
    place = log.mark()
    log.entries.append(("s",))
    log.back_to(place)
    log.insn(1)
    log.insn(2)
    assert log.text() == "1: exit\n2: exit\n"
