"""The record of `tests/data/kernel_words.jsonl` is what a running 6.18 kernel says, where it may be asked."""

from __future__ import annotations

from typing import Any

import pytest

from ebpfvm.dialects import linux
from ebpfvm.testing.oracle import TYPES, Oracle, kernel_version, why_not
from tests.unit.verifier.words import from_row, last_lines, rows

pytestmark = pytest.mark.kernel


@pytest.mark.parametrize("row", [row for row in rows()
                                 if row["type"] in TYPES and "6.18" in row and not row.get("ours")],
                         ids=lambda row: row["name"])
def test_kernel_words(row: dict[str, Any]) -> None:
    if why_not() or kernel_version() != (6, 18):
        pytest.skip(why_not() or "not Linux 6.18")
    with Oracle(linux((6, 18))) as oracle:
        judged = oracle.judge(from_row(row))
    said = last_lines("\n".join(judged.lines), row["6.18"][1]) if judged.errno else ""
    assert [judged.errno, said.partition("processed ")[0]] == row["6.18"]  # some messages end without a new line
