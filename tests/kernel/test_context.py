"""What a program writes into `__sk_buff` and reads back, by a kernel and by us."""

from __future__ import annotations

import os
from functools import cache

import pytest

from ebpfvm.dialects import linux
from ebpfvm.engine import Interpreter
from ebpfvm.isa.insn import Insn, encode
from ebpfvm.kernel import Kernel, LoadedProgram, SkbCtx, SkBuff
from ebpfvm.loader.object import Program
from tests.kernel import sysbpf

pytestmark = pytest.mark.kernel

PACKET = bytes(12) + b"\x08\0" + bytes(50)
VALUES = (5, 0xFFFE, 0xFFFF, 0x12345678, 0xFFFFFFFF)
FIELDS = linux().prog_type("sched_cls").fields


@cache
def _why_not() -> str:
    return sysbpf.why_not()


@pytest.fixture(autouse=True)
def _kernel() -> None:
    if _why_not():
        pytest.skip(_why_not())


def _both(code: list[Insn]) -> tuple[int, int]:
    loaded = sysbpf.load(encode(code), sysbpf.SCHED_CLS)
    assert loaded.fd >= 0, loaded.log
    theirs = sysbpf.run(loaded.fd, PACKET).retval
    os.close(loaded.fd)
    kernel = Kernel(linux())
    run = Interpreter().load(LoadedProgram(kernel, Program(name="p", insns=tuple(code), type="sched_cls")))
    ours = run(SkbCtx(kernel, SkBuff(kernel, PACKET, protocol=8, ifindex=1)))
    return theirs, ours & 0xFFFFFFFF


@pytest.mark.parametrize("value", VALUES)
@pytest.mark.parametrize("name", [field.name for field in FIELDS if field.write and field.size in (4, 20)])
def test_written_fields_read_back(name: str, value: int) -> None:
    off = next(field.off for field in FIELDS if field.name == name)
    low = (value ^ 0x80000000) - 0x80000000
    theirs, ours = _both([Insn(0x18, 2, 0, 0, low), Insn(0), Insn(0x63, 1, 2, off), Insn(0x61, 0, 1, off), Insn(0x95)])
    assert theirs == ours


@pytest.mark.parametrize("name", [field.name for field in FIELDS if field.access == "scalar" and field.size == 4
                                  and field.name not in ("len", "wire_len")])
def test_fields_of_a_fresh_packet(name: str) -> None:
    off = next(field.off for field in FIELDS if field.name == name)
    for part in range(4):
        theirs, ours = _both([Insn(0x71, 0, 1, off + part), Insn(0x95)])
        assert theirs == ours
