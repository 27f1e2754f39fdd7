"""Programs that each try one rule, and compiled ones, as kernels before 6.18 judge them.

`tests/data/older_kernels.json` has, for each version and program, errno and the last line of the log, without the
numbers of kernel functions. The programs are those of `words` and of the objects in this folder, except those that use
what the kernel lacks and ebpfvm then calls unsupported. "other words" lists the programs that both reject with
different messages; there must be no other difference.
"""

from __future__ import annotations

import json
import re
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from ebpfvm.dialects import dialect
from ebpfvm.loader.object import Program
from ebpfvm.loader.open import load
from ebpfvm.verifier import verify
from tests.unit.verifier.words import from_row, rows

RECORD = json.loads((Path(__file__).parents[2] / "data" / "older_kernels.json").read_text())
OBJECTS = Path(__file__).parent / "objects"
CASES = [pytest.param(version, name, id=f"{version}-{name}") for version, said in RECORD.items()
         for name in said["programs"]]


@cache
def by_name() -> dict[str, dict[str, Any]]:
    return {row["name"]: row for row in rows()}


def program(name: str) -> Program:
    if name in by_name():
        return from_row(by_name()[name])
    stem, _, program = name.partition(".o:")
    return load(OBJECTS / f"{stem}.o").programs[program]


@pytest.mark.parametrize(("version", "name"), CASES)
def test_verdict(version: str, name: str) -> None:
    errno, last = RECORD[version]["programs"][name]
    verdict = verify(program(name), dialect(version), log_level=0)
    lines = re.sub(r"#\d{4,}", "#", verdict.message).splitlines()
    assert bool(verdict.errno) == bool(errno)
    if name not in RECORD[version]["other words"]:
        assert [verdict.errno, lines[-1] if lines else ""] == [errno, last]
