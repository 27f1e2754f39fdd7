"""A fused run is the same as in the pipeline of objects: results, packets, maps, captures, faults, what users see."""

from __future__ import annotations

import os
from collections import Counter
from typing import Final

from tests.laws import fused_mainline, fused_scenarios

COUNT: Final = int(os.environ.get("EBPFVM_PROGRAMS", "25"))


def test_random_scenarios() -> None:
    reasons = Counter(fused_scenarios.check(number) for number in range(COUNT))
    assert reasons[""] > .8 * COUNT, reasons


def test_random_scenarios_of_mainline() -> None:
    reasons = Counter(fused_mainline.check(number) for number in range(COUNT))
    assert reasons[""] > .5 * COUNT, reasons
