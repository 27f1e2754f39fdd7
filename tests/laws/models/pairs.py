"""A model beside the object that is to do the same, where they differ, and what the traffic has shown."""

from __future__ import annotations

from collections import Counter
from functools import partial
from pathlib import Path
from random import Random
from typing import Any, NamedTuple

from ebpfvm.loader.open import load
from ebpfvm.loader.variables import set_variables
from tests.laws.models.bottleneck import WAYS, Bottleneck, Model, Traffic, actual, expected
from tests.laws.models.traffic import PACKETS, traffic

SAMPLES = Path(__file__).parents[3] / "samples"
TOGETHER = 25
"""How many patterns of traffic a run has: verifying and translating a program takes longer than a pattern."""


class Pair(NamedTuple):
    """A model, its object below samples, values to try for the variables of both, and how many packets are stamped."""

    model: type[Model]
    path: str
    values: dict[str, tuple[int, ...]]
    stamped: float = 0

    @property
    def resets(self) -> bool:
        """Whether the object has a `reset`; what an object of the RFC queues stays in its maps."""
        return self.path.startswith("mainline/")

    def variables(self, draw: Random) -> dict[str, Any]:
        """Return some of the variables with values."""
        return {name: draw.choice(values) for name, values in self.values.items() if draw.random() < .7}


class Compared(NamedTuple):
    """What a run of several patterns has shown.

    Attributes:
        packets: how many arrived.
        fused: how many of them arrived in the function of the fused run.
        differences: between the object and its model, in one way to run it.
        patterns: what was seen -> in how many patterns.
    """

    packets: int
    fused: int
    differences: list[str]
    patterns: Counter[str]


def compare(name: str, pair: Pair, number: int, patterns: int = TOGETHER, ways: tuple[str, ...] = WAYS) -> Compared:
    """Run an object and its model on the patterns of traffic of a number."""
    draw = Random(f"{name} {number}")
    variables = pair.variables(draw)
    stamped = pair.stamped * draw.choice((0, 1, 1))  # runs with time stamps are not fused
    return compare_on(traffic(draw, patterns, stamped, pair.resets), pair, variables, f"{name} {number}", ways)


def compare_on(arrivals: Traffic, pair: Pair, variables: dict[str, Any], label: str = "",
               ways: tuple[str, ...] = WAYS) -> Compared:
    """Run an object and its model on some traffic."""
    found = set_variables(load(SAMPLES / f"{pair.path}.o"), variables)
    runs = [actual(found, arrivals, way) for way in ways]
    model = expected(partial(pair.model, **variables), arrivals, runs[0].hashes)
    differences = [f"{label} {variables}, {way}, packet {packet + 1}: {got} instead of {right}"
                   for way, run in zip(ways, runs, strict=True)
                   for packet, (got, right) in enumerate(zip(run.fates, model.fates, strict=True)) if got != right]
    return Compared(len(model.fates), runs[-1].fused, differences, seen(model))


def seen(model: Bottleneck) -> Counter[str]:
    """Return in how many patterns something has happened to a packet."""
    found: Counter[str] = Counter()
    for first in range(0, len(model.fates), PACKETS):
        fates = {fate for fate, _ in model.fates[first:first + PACKETS]}
        found.update(fates.union(*model.seen[first:first + PACKETS]))
    return found
