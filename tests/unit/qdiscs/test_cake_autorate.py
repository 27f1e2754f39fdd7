"""The estimate of capacity behind `autorate-ingress` of cake."""

from __future__ import annotations

from itertools import pairwise

import pytest

from ebpfvm.sched.qdiscs.cake_autorate import Autorate

MS = 1_000_000
RATE = 1_250_000  # bytes a second of `bursts`


def bursts(estimate: Autorate, count: int, begin: int = 0, active: bool = True) -> list[tuple[int, int]]:
    """Let ten packets of 1250 bytes arrive together every 10 ms; return when the rate changed, and to what."""
    changes = []
    for number in range(begin, begin + count):
        for _ in range(10):
            now = 1000 * MS + number * 10 * MS
            rate = estimate.arrived(1250, now, active)
            if rate is not None:
                changes.append((now, rate))
    return changes


@pytest.fixture
def steady() -> Autorate:
    """Return an estimate that has forgotten that there was a long pause before the first packet."""
    estimate = Autorate(RATE)
    bursts(estimate, 200)
    return estimate


@pytest.mark.parametrize("before", [RATE // 4, RATE, 2 * RATE])
def test_the_estimate_becomes_what_arrives(steady: Autorate, before: int) -> None:
    steady.peak = before
    bursts(steady, 1500, 200)
    assert abs(steady.peak - RATE) < RATE // 50


def test_it_grows_faster_than_it_falls(steady: Autorate) -> None:
    steady.peak = RATE // 2
    bursts(steady, 20, 200)
    assert RATE - steady.peak < RATE // 50
    steady.peak = RATE * 3 // 2
    bursts(steady, 20, 220)
    assert steady.peak - RATE > RATE // 4


def test_the_rate_is_a_little_less_than_the_estimate_and_changes_four_times_a_second(steady: Autorate) -> None:
    changes = bursts(steady, 200, 200)
    assert all(abs(rate - RATE * 15 // 16) < RATE // 50 for _, rate in changes)
    assert {later - time for (time, _), (later, _) in pairwise(changes)} == {260 * MS}


def test_without_the_option_nothing_is_estimated() -> None:
    estimate = Autorate(RATE // 4)
    assert bursts(estimate, 200, active=False) == []
    assert estimate.peak == RATE // 4
