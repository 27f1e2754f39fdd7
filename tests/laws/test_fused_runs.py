"""A fused run is the same as in the pipeline of objects: results, packets, maps, captures, faults, what users see."""

from __future__ import annotations

import os
from collections import Counter
from typing import Final

from tests.laws import fused_mainline, fused_programs, fused_scenarios, fused_senders, fused_styles

COUNT: Final = int(os.environ.get("EBPFVM_PROGRAMS", "25"))


def test_random_scenarios() -> None:
    reasons = Counter(fused_scenarios.check(number) for number in range(COUNT))
    assert reasons[""] > .8 * COUNT, reasons


def test_generated_programs() -> None:
    """Runs that once differed: what they have in common with no sample is named.

    1000: may_goto, and a slot that may be empty; 23, 40: dequeue asks for what only the qdisc can tell; 48: references
    that are not stored when something else looks at them; 70: a loop that nothing but the end of the program follows;
    1006: the time; 1003: look-ups of which only one always finds something;
    110: a budget that ends in a loop whose blocks were copied; 2066: too many nested blocks for Python;
    92070: a key in memory that changes between two look-ups; 7110019: a packet's address as argument of a kfunc;
    7110072: an object's address before its references are stored, and its release without the packet that it held;
    13000848: a budget that ends in a walk of a map within another loop; 13002806: a watchdog for a time so late that
    the function does not know it; 13004631: values that only others need, which are computed later.
    """
    for number in (*range(1000, 1008), 14, 23, 26, 40, 48, 70, 110, 2066, 92070, 7_110_019, 7_110_072, 13_000_848,
                   13_002_806, 13_004_631):
        fused_programs.check(number)


def test_random_scenarios_of_mainline() -> None:
    reasons = Counter(fused_mainline.check(number) for number in range(COUNT))
    assert reasons[""] > .5 * COUNT, reasons


def test_random_scenarios_whose_senders_react() -> None:
    reasons = Counter(fused_senders.check(number) for number in range(COUNT // 4))
    assert reasons[""] > .7 * reasons.total(), reasons


def test_qdiscs_of_many_styles() -> None:
    reasons = Counter(fused_styles.check(number) for number in range(COUNT // 2))
    assert reasons[""] > .5 * reasons.total(), reasons


def test_styles_that_once_differed() -> None:
    """Atomic instructions in a row; dropping a packet by a function that has its list on the stack; `sch->running`."""
    for name in ("atomics.o", "rounds.o", "reslocks.o", "fields2.o"):
        assert fused_styles.compare(name, 0) == ""
