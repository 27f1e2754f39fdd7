"""Programs that each try one thing that Linux 6.1 knows less of than later kernels, as that kernel judged them.

`tests/data/programs_6_1.jsonl.gz` has rows as in `words`, with errno and the last line of the log under "6.1", without
the numbers of kernel functions; "other words" marks those that both reject with different messages. What 6.1 accepts
must not be rejected here, except for `STRICTER`; what it rejects must never be accepted.
"""

from __future__ import annotations

import gzip
import json
import re
from pathlib import Path
from typing import Any

import pytest

from ebpfvm.dialects import dialect
from ebpfvm.verifier import verify
from tests.unit.verifier.words import from_row

ROWS = [json.loads(line) for line in gzip.decompress(
    (Path(__file__).parents[2] / "data" / "programs_6_1.jsonl.gz").read_bytes()).decode().splitlines()]
# 6.1 walks a callback once, although it may run often, and does not look whether memory of a dynptr is still there.
STRICTER = frozenset({
    "loop 0 sets", "loop 1 sets", "loop 5 sets", "loop 1000 count index", "loop 1000 sets",
    "dynptr mem twice overlapping", "dynptr as buffer", "dynptr data then overwritten"})


@pytest.mark.parametrize("row", [pytest.param(row, id=row["name"]) for row in ROWS])
def test_verdict(row: dict[str, Any]) -> None:
    errno, last = row["6.1"]
    verdict = verify(from_row(row), dialect("6.1"), log_level=0)
    if row["name"] in STRICTER:
        assert not errno and not verdict.ok
        return
    assert bool(verdict.errno) == bool(errno)
    if not row.get("other words"):
        lines = re.sub(r"#\d{4,}", "#", verdict.message).splitlines()
        assert [verdict.errno, lines[-1] if lines else ""] == [errno, last]
