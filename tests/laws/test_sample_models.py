"""The samples do to each packet what models of their disciplines in plain Python do, in each engine and fused.

`EBPFVM_PROGRAMS=n` sends n patterns of traffic through each sample, from the number `EBPFVM_SEED` on.
"""

from __future__ import annotations

import os
from functools import lru_cache
from pathlib import Path
from random import Random

import pytest

from ebpfvm.loader.object import Object
from ebpfvm.loader.open import load
from ebpfvm.loader.variables import set_variables
from tests.laws.models import pairs
from tests.laws.models.bottleneck import Model
from tests.laws.models.flow_queues import Drr, Fq, Prio
from tests.laws.models.one_queue import Codel, Fifo, Pacer
from tests.laws.models.pairs import Pair
from tests.laws.models.ranked import Priority, Shaper
from tests.laws.models.traffic import traffic

SAMPLES = Path(__file__).parents[2] / "samples"
COUNT = int(os.environ.get("EBPFVM_PROGRAMS", "3"))
SEED = int(os.environ.get("EBPFVM_SEED", "0"))


PAIRS = {
    "fifo": Pair(Fifo, "mainline/fifo", {"limit": (1, 3, 20)}),
    "pfifo": Pair(Fifo, "rfc/pfifo", {"limit": (1, 3, 20)}),
    "pifo_prio": Pair(Priority, "rfc/pifo_prio", {"limit": (1, 3, 20)}),
    "shaper": Pair(Shaper, "rfc/shaper", {
        "limit": (3, 20), "rate": (20_000, 125_000, 1_250_000), "burst": (100, 3000, 20_000)}),
    "pacer": Pair(Pacer, "mainline/pacer", {"limit": (3, 20), "rate": (20_000, 125_000, 1_250_000, 5_000_000)}),
    "codel": Pair(Codel, "mainline/codel", {
        "limit": (5, 50), "target": (100_000, 5_000_000), "interval": (1_000_000, 20_000_000), "mtu": (0, 1514)}),
    "prio": Pair(Prio, "mainline/prio", {"limit": (1, 3, 20)}),
    "drr": Pair(Drr, "mainline/drr", {"limit": (5, 40), "flow_limit": (1, 8), "quantum": (100, 700, 1514, 3000)}),
    "fq": Pair(Fq, "mainline/fq", {
        "limit": (5, 40), "flow_limit": (1, 8), "quantum": (100, 700, 3000), "initial_credit": (0, 1, 5000),
        "flow_rate": (20_000, 250_000, 5_000_000), "refill_after": (0, 1_000_000), "slack": (0, 3_000_000),
        "horizon": (10_000_000, 1_000_000_000)}, stamped=.5),
}


@lru_cache(8)
def prepared(path: str, variables: tuple[tuple[str, int], ...]) -> Object:
    """Return an object with variables set; it is verified once."""
    return set_variables(load(SAMPLES / f"{path}.o"), dict(variables))


def chosen(name: str, number: int) -> tuple[Object, Model]:
    """Return object and model with some of the variables set; ten patterns share one choice."""
    pair, draw = PAIRS[name], Random(f"{name} {number // 10}")
    variables = pair.variables(draw)
    return prepared(pair.path, tuple(variables.items())), pair.model(**variables)


def differences(name: str, number: int) -> list[str]:
    """Return where a sample differs from its model for one pattern of traffic."""
    draw = Random(number)
    found, model = chosen(name, number)
    arrivals = traffic(draw, stamped=PAIRS[name].stamped * draw.random())
    return pairs.differences(f"{name} {number}", found, model, arrivals)


@pytest.mark.parametrize("name", PAIRS)
def test_each_packet_has_the_fate_that_the_model_gives_it(name: str) -> None:
    # Each with other values of the variables; a campaign also tries many patterns with the same.
    for number in range(SEED, SEED + COUNT) if COUNT > 10 else range(5, 5 + 10 * COUNT, 10):
        assert differences(name, number)[:5] == []
