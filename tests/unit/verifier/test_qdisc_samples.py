"""The samples for mainline and the broken qdiscs: what Linux 7.2.13 said of them, through libbpf 1.5, is recorded.

tests/data/qdisc_samples.json has, for each object, the errno of its registration (0 for registered, null where the
kernel refused a program before) and for each program errno, the last line of the message and instructions processed.
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

ROOT = Path(__file__).parents[3]
SAMPLES = ROOT / "samples"
FOLDERS = ("mainline", "broken_qdiscs")
RECORD = json.loads((ROOT / "tests" / "data" / "qdisc_samples.json").read_text())
ROWS = [(name, program) for name, said in RECORD.items() for program in said["programs"]]


@cache
def read(name: str) -> Object:
    return load(SAMPLES / f"{name}.o")


def test_every_object_is_recorded() -> None:
    assert sorted(RECORD) == sorted(f"{folder}/{path.stem}" for folder in FOLDERS
                                    for path in (SAMPLES / folder).glob("*.o"))


@pytest.mark.parametrize("name", RECORD)
def test_every_program_is_recorded(name: str) -> None:
    assert sorted(read(name).programs) == sorted(RECORD[name]["programs"])


@pytest.mark.parametrize(("name", "program"), ROWS, ids=["-".join(row) for row in ROWS])
def test_verdict(name: str, program: str) -> None:
    verdict = verify(read(name).programs[program], linux((7, 2)))
    lines = re.sub(r"#\d{4,}", "#", verdict.message).splitlines()
    assert [verdict.errno, lines[-1] if lines else "", verdict.processed] == RECORD[name]["programs"][program]


def test_samples_are_accepted_and_registered() -> None:
    for name, said in RECORD.items():
        if name.startswith("mainline/"):
            assert said["register"] == 0, name
            assert not any(errno for errno, _, _ in said["programs"].values()), name


@pytest.mark.parametrize("path", sorted((SAMPLES / "broken_qdiscs").glob("*.bpf.c")), ids=lambda path: path.stem[:-4])
def test_a_broken_qdisc_marks_its_mistake(path: Path) -> None:
    source = path.read_text()
    assert source.count("<-- the mistake") == 1
    assert len(re.findall(r"^// because: .+\.$", source, re.M)) == 1
