"""What Linux 6.18 and 7.2 make of CO-RE relocations of every kind (tests/data/core_values.json: what the programs of
corekernel.o return there, loaded by libbpf)."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

import ebpfvm

ROOT = Path(__file__).parents[3]
PROGRAMS = ebpfvm.load(ROOT / "tests" / "unit" / "loader" / "objects" / "corekernel.o").programs
VALUES: dict[str, list[int]] = json.loads((ROOT / "tests" / "data" / "core_values.json").read_text())


def test_every_program_was_asked_for() -> None:
    assert set(VALUES) == set(PROGRAMS)


@pytest.mark.parametrize("at", [0, 1], ids=["6.18", "7.2"])
@pytest.mark.parametrize("name", VALUES)
def test_values(name: str, at: int) -> None:
    version = ("6.18", "7.2")[at]
    assert ebpfvm.verify(PROGRAMS[name], kernel=version).ok
    assert ebpfvm.test_run(PROGRAMS[name], bytes(64), kernel=version).retval == VALUES[name][at]
