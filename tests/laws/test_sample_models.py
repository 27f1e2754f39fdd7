"""The samples do to each packet what models of their disciplines in plain Python do, in each engine and fused.

`EBPFVM_PROGRAMS=n` sends n patterns of traffic through each sample, from the number `EBPFVM_SEED` on.
"""

from __future__ import annotations

import os
from pathlib import Path
from random import Random
from typing import Any, NamedTuple

import pytest

from ebpfvm.loader.object import Object
from ebpfvm.loader.open import load
from ebpfvm.loader.variables import set_variables
from tests.laws.models.bottleneck import WAYS, Model, actual, expected
from tests.laws.models.one_queue import Codel, Fifo, Pacer
from tests.laws.models.traffic import traffic

SAMPLES = Path(__file__).parents[2] / "samples"
COUNT = int(os.environ.get("EBPFVM_PROGRAMS", "3"))
SEED = int(os.environ.get("EBPFVM_SEED", "0"))


class Pair(NamedTuple):
    """A model, its object below samples, values to try for the variables of both, and how many packets are stamped."""

    model: type[Model]
    path: str
    values: dict[str, tuple[int, ...]]
    stamped: float = 0


PAIRS = {
    "fifo": Pair(Fifo, "mainline/fifo", {"limit": (1, 3, 20)}),
    "pfifo": Pair(Fifo, "rfc/pfifo", {"limit": (1, 3, 20)}),
    "pacer": Pair(Pacer, "mainline/pacer", {"limit": (3, 20), "rate": (20_000, 125_000, 1_250_000, 5_000_000)}),
    "codel": Pair(Codel, "mainline/codel", {
        "limit": (5, 50), "target": (100_000, 5_000_000), "interval": (1_000_000, 20_000_000), "mtu": (0, 1514)}),
}


def chosen(pair: Pair, draw: Random) -> tuple[Object, Model]:
    """Return object and model with some of the variables set."""
    variables: dict[str, Any] = {name: draw.choice(values) for name, values in pair.values.items()
                                 if draw.random() < .7}
    return set_variables(load(SAMPLES / f"{pair.path}.o"), variables), pair.model(**variables)


def differences(name: str, number: int) -> list[str]:
    """Return where a sample differs from its model for one pattern of traffic."""
    draw, pair = Random(f"{name} {number}"), PAIRS[name]
    found, model = chosen(pair, draw)
    arrivals = traffic(draw, stamped=pair.stamped * draw.random())
    runs = [actual(found, arrivals, way) for way in WAYS]
    fates = expected(model, arrivals, runs[0][1])
    return [f"{name} {number}, {way}, packet {packet + 1}: {got} instead of {right}"
            for way, (seen, _) in zip(WAYS, runs, strict=True)
            for packet, (got, right) in enumerate(zip(seen, fates, strict=True)) if got != right]


@pytest.mark.parametrize("name", PAIRS)
def test_each_packet_has_the_fate_that_the_model_gives_it(name: str) -> None:
    for number in range(SEED, SEED + COUNT):
        assert differences(name, number)[:5] == []
