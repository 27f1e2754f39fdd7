"""Networking programs of every kind do to packets, contexts and maps what Linux 6.18 did, on both engines.

`tests/data/program_runs_6_18.json` holds a digest of what BPF_PROG_TEST_RUN gave for each program and packet.
"""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from ebpfvm.api import load
from ebpfvm.dialects import linux
from ebpfvm.testrun import pack_ctx
from ebpfvm.testrun import test_run as run_once
from tests.unit.runs import programs_record as record

SAID = json.loads((Path(__file__).parents[2] / "data" / "program_runs_6_18.json").read_text())
FOUND = {name: load(Path(__file__).parent / "programs" / f"{name}.o") for name in record.OBJECTS}
PROGRAMS = [(name, program) for name, found in FOUND.items() for program in found.programs]


@pytest.mark.parametrize(("name", "wanted"), PROGRAMS)
def test_a_program(name: str, wanted: str) -> None:
    found = FOUND[name]
    dialect = linux((6, 18))
    for program, _, packet, data, number, ctx in record.runs(found):
        if program.name != wanted:
            continue
        key = f"{program.name}/{packet}/{number}"
        engine = ("interp", "translate")[(len(packet) + number) % 2]  # each packet on one, each program on both
        kinds = {spec.name: (dialect.map_type(spec.type).name, spec.value_size) for spec in program.maps}
        result = run_once(program, data, ctx, engine=engine, kernel="6.18", source=found, wait=0)
        maps = {spec.name: result.maps[index] for index, spec in enumerate(program.maps)}
        after = pack_ctx(program, result.ctx, ctx, "6.18") if ctx else b""
        assert record.digest(result.retval, result.data, after, maps, kinds) == SAID[name][key], (key, engine)


def test_every_run_is_recorded() -> None:
    assert sum(len(runs) for runs in SAID.values()) >= 1000 and len(PROGRAMS) >= 60
    assert not [key for runs in SAID.values() for key, said in runs.items() if said == "refused"]
