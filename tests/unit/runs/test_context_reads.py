"""Every load from a context or its socket gives what Linux 6.18 gave, on both engines."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from ebpfvm.isa.insn import Insn
from ebpfvm.loader.object import MapSpec, Program
from ebpfvm.testrun import test_run as run_once
from tests.unit.runs import context_reads

SAID = json.loads((Path(__file__).parents[2] / "data" / "context_reads_6_18.json").read_text())


@pytest.mark.parametrize("engine", ["interp", "translate"])
def test_every_load(engine: str) -> None:
    def run(kind: str, code: list[Insn], packet: bytes, ctx: bytes) -> bytes:
        program = Program(name="p", insns=tuple(code), type=kind, license="GPL",
                          maps=(MapSpec("array", 4, 8 * context_reads.ROOM, 1, name="m"),))
        return run_once(program, packet, ctx, engine=engine, kernel="6.18").maps[0][bytes(4)]

    found = context_reads.record(run)
    for kind, by_input in SAID.items():
        loads = [part for part, _ in context_reads.programs(kind)]
        for name, wanted in by_input.items():
            assert [(load, number) for part, numbers in zip(loads, found[kind][name], strict=True)
                    for load, number in zip(part, numbers, strict=True)] == [
                        (load, number) for part, numbers in zip(loads, wanted, strict=True)
                        for load, number in zip(part, numbers, strict=True)], (kind, name)
