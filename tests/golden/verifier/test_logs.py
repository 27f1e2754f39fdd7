"""Whole logs. Those of 6.18 at level 2 were compared with a 6.18 kernel's line by line, leaving aside addresses, map
names, marks of precision and their trace, lines about functions, loops and stack depth, time and mark_read, and the
tables of live stack bytes. Two lines of "call of a function" differ: where the callee starts and where it returns to,
the kernel prints R10 too, and "from 5 to 2:" before the latter. Level 1 and 7.2 were not compared.

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
