"""Errno and last line of Linux 6.18 and 7.2 on programs that each try one rule (`tests/data/kernel_words.jsonl`)."""

from __future__ import annotations

from typing import Any

import pytest

from ebpfvm.dialects import linux
from ebpfvm.verifier import verify
from tests.unit.verifier.words import VERSIONS, from_row, last_lines, rows

CASES = [pytest.param(row, version, id=f"{row['name']}-{version}") for row in rows() for version in VERSIONS
         if version in row]


@pytest.mark.parametrize(("row", "version"), CASES)
def test_kernel_words(row: dict[str, Any], version: str) -> None:
    verdict = verify(from_row(row), linux(VERSIONS[version]))
    assert [verdict.errno, last_lines(verdict.message, row[version][1])] == row[version]
    violated = row.get("property", "")
    assert verdict.property == (violated if isinstance(violated, str) else violated[version])


def test_names_are_unique() -> None:
    names = [row["name"] for row in rows()]
    assert len(names) == len(set(names))
