"""Compiled programs of many types: what Linux 6.18 and 7.2 said of each, through libbpf 1.5, is recorded.

tests/data/verdicts.json has, for each object of the folder `objects` and each of its programs, errno (0 for accepted)
and the last line of the log, with the numbers of kernel functions taken out.
"""

from __future__ import annotations

import json
import re
from functools import cache
from pathlib import Path

import pytest

from ebpfvm.dialects import linux
from ebpfvm.loader import load
from ebpfvm.loader.object import Object
from ebpfvm.verifier import verify

HERE = Path(__file__).parent / "objects"
RECORD = json.loads((Path(__file__).parents[2] / "data" / "verdicts.json").read_text())
ROWS = [(name, program, version) for name, programs in RECORD.items() for program, said in programs.items()
        for version in said]


@cache
def read(name: str) -> Object:
    return load(HERE / f"{name}.o")


@pytest.mark.parametrize(("name", "program", "version"), ROWS, ids=["-".join(row) for row in ROWS])
def test_verdict(name: str, program: str, version: str) -> None:
    major, minor = version.split(".")
    verdict = verify(read(name).programs[program], linux((int(major), int(minor))))
    lines = re.sub(r"#\d{4,}", "#", verdict.message).splitlines()
    assert [verdict.errno, lines[-1] if lines else ""] == RECORD[name][program][version]


def test_every_object_is_recorded() -> None:
    assert sorted(RECORD) == sorted(path.stem for path in HERE.glob("*.o"))
