"""Whole logs. They were compared with those of a 6.18 kernel line by line; addresses, marks of precision and the tables
of live stack bytes, which differ or are not printed, aside.

After a wanted change: `EBPFVM_UPDATE_GOLDEN=1 pytest tests/golden/verifier` writes them anew.
"""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from ebpfvm.dialects.linux import linux
from ebpfvm.verifier import verify
from tests.unit.verifier.rules import RULES

HERE = Path(__file__).parent
NAMES = ("index by comparison", "packet behind the range", "record lost", "bounded loop", "call of a function")
LEVELS = {"path": 1, "all": 2}


@pytest.mark.parametrize("version", [(6, 18), (7, 2)], ids=["6.18", "7.2"])
@pytest.mark.parametrize("level", LEVELS)
@pytest.mark.parametrize("name", NAMES)
def test_log(name: str, level: str, version: tuple[int, int]) -> None:
    rule = next(rule for rule in RULES if rule.name == name)
    log = verify(rule.program(), linux(version), log_level=LEVELS[level]).log
    path = HERE / f"{name.replace(' ', '_')}.{level}.{version[0]}.{version[1]}.log"
    if os.environ.get("EBPFVM_UPDATE_GOLDEN"):
        path.write_text(log)
    assert log == path.read_text()
