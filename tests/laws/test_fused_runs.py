"""A fused run is the same as in the pipeline of objects: results, packets, maps, captures, faults, what users see."""

from __future__ import annotations

import os
from collections import Counter
from typing import Final

from tests.laws.fused_scenarios import check

COUNT: Final = int(os.environ.get("EBPFVM_PROGRAMS", "25"))


def test_random_scenarios() -> None:
    reasons = Counter(check(number) for number in range(COUNT))
    assert reasons[""] > .8 * COUNT, reasons
