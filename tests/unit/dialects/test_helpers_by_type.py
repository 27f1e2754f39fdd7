"""Which helpers each program type and hook may call, and what it may return, as Linux 6.18 and 7.2 answered.

`tests/data/helpers_by_type.json`: for each version the numbers that every type has, and rows of type, hook as the
section names it, expected attach type, load flags, range of results and further numbers. The kernels were asked about
every number (1 to 211) for every row: one that a type may not call gives "program of this type cannot use helper".
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from ebpfvm.dialects import linux
from ebpfvm.isa.insn import Insn
from ebpfvm.loader.object import Program
from ebpfvm.verifier import verify

VERSIONS = {"6.18": (6, 18), "7.2": (7, 2)}
TABLE = json.loads((Path(__file__).parents[2] / "data" / "helpers_by_type.json").read_text())
ROWS = [pytest.param(version, row, id=f"{version}-{row[0]}-{row[1] or row[2]}") for version, table in TABLE.items()
        for row in table["rows"]]


def program(row: list[Any], *insns: Insn) -> Program:
    type, attach, attach_type, flags, _returns, _ids = row
    return Program("p", insns, type, "", attach, "GPL", flags=flags, attach_type=attach_type)


@pytest.mark.parametrize(("version", "row"), ROWS)
def test_helpers_of_a_hook(version: str, row: list[Any]) -> None:
    dialect = linux(VERSIONS[version])
    offered = {int(number) for number in (TABLE[version]["every type"] + " " + row[5]).split()}
    for number in range(1, 212):
        made = program(row, Insn(0x85, 0, 0, 0, number), Insn(0x95))
        refused = "cannot use helper" in verify(made, dialect, log_level=0).message
        assert refused == (number not in offered), dialect.helpers[number].name


@pytest.mark.parametrize(("version", "row"), ROWS)
def test_results_of_a_hook(version: str, row: list[Any]) -> None:
    returns = row[4]
    made = program(row, Insn(0x85, 0, 0, 0, 7), Insn(0x95))
    message = verify(made, linux(VERSIONS[version])).message
    expected = "" if returns is None else (f"At program exit the register R0 has unknown scalar value should have been "
                                           f"in [{returns[0]}, {returns[1]}]")
    assert message == expected
