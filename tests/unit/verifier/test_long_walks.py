"""At level 1 the log of a refused program holds its walk, unless that was very long."""

from __future__ import annotations

import pytest

from ebpfvm.dialects import linux
from ebpfvm.isa.asm import assemble
from ebpfvm.loader.object import Program
from ebpfvm.verifier import check, verify

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
