"""The disciplines of the shelf do to each packet what models do that were written from the papers and RFCs.

`EBPFVM_PROGRAMS=n` sends n patterns of traffic through each, from the number `EBPFVM_SEED` on.
"""

from __future__ import annotations

import os
from pathlib import Path
from random import Random

import pytest

from ebpfvm.loader.open import load
from ebpfvm.loader.variables import set_variables
from tests.laws.models import coupled_queues, fair_queues, pairs, queue_management, ranked
from tests.laws.models.bottleneck import WAYS, Arrival, Traffic
from tests.laws.models.pairs import Pair
from tests.laws.models.traffic import traffic

SAMPLES = Path(__file__).parents[2] / "samples"
COUNT = int(os.environ.get("EBPFVM_PROGRAMS", "1"))
SEED = int(os.environ.get("EBPFVM_SEED", "0"))
MS = 1_000_000


_CODEL = {"target": (100_000, 5 * MS), "interval": (MS, 20 * MS), "mtu": (0, 1514)}
_TBF = {"rate": (20_000, 100_000, 1_000_000), "burst": (1000, 1600, 6000), "peakrate": (0, 150_000, 1_000_000),
        "mtu": (1250, 1600), "limit": (4000, 20_000)}
_SFQ = {"limit": (5, 20, 127), "depth": (4, 127), "quantum": (100, 700, 1514), "perturb": (0, 20 * MS)}
_FQ_CODEL = {"limit": (5, 20, 10240), "quantum": (100, 300, 1514), "drop_batch": (1, 4, 64), **_CODEL}
_RED = {"limit": (10, 40), "min_packets": (0, 1, 5), "max_packets": (8, 15), "one_in": (2, 10, 50),
        "weight": (1, 3, 9), "packet_ns": (100_000, 5 * MS)}
_PIE = {"limit": (15, 1000), "target": (MS, 15 * MS), "period": (MS // 2, 5 * MS), "max_burst": (0, 10 * MS),
        "mean_packet": (0, 60, 1024)}
_NETEM = {"limit": (3, 30), "delay": (5 * MS, 50 * MS), "jitter": (0, 100_000, 5 * MS), "loss": (0, 50_000, 900_000)}
_EDF = {"limit": (5, 30), "drop_late": (0, 1), "deadline_unit": (MS, 20 * MS)}
_LSTF = {"limit": (5, 30), "link_rate": (50_000, 1_000_000), "slack_unit": (100_000, 20 * MS)}
SHELF = {
    "bfifo": Pair(queue_management.Bfifo, "mainline/bfifo", {"limit": (1000, 6000, 20_000)}),
    "tbf": Pair(queue_management.Tbf, "mainline/tbf", _TBF),
    "rfc tbf": Pair(queue_management.Tbf, "rfc/tbf", _TBF),
    "red": Pair(queue_management.Red, "mainline/red", _RED),
    "rfc red": Pair(queue_management.MarkingRed, "rfc/red", _RED),
    "pie": Pair(queue_management.Pie, "mainline/pie", _PIE),
    "rfc pie": Pair(queue_management.MarkingPie, "rfc/pie", _PIE),
    "sfq": Pair(fair_queues.Sfq, "mainline/sfq", _SFQ),
    "rfc sfq": Pair(fair_queues.Sfq, "rfc/sfq", _SFQ),
    "fq_codel": Pair(fair_queues.FqCodel, "mainline/fq_codel", _FQ_CODEL),
    "rfc fq_codel": Pair(fair_queues.FqCodel, "rfc/fq_codel", _FQ_CODEL),
    "dualpi2": Pair(coupled_queues.DualPi2, "rfc/dualpi2", {
        "limit": (5000, 20_000), "target": (500, 15_000), "period": (MS, 16 * MS), "time_shift": (0, 3000, 50_000),
        "min_wait": (0, 800), "wait_range": (1, 400, 5000), "coupling": (1, 2)}),
    "cake": Pair(coupled_queues.SmallCake, "rfc/cake", {
        "rate": (0, 50_000, 400_000), "overhead": (0, 38), "quantum": (100, 300, 1514), "limit": (5, 20, 1000),
        "by_host": (0, 1), **_CODEL}),
    "lstf": Pair(ranked.Lstf, "mainline/lstf", _LSTF),
    "rfc lstf": Pair(ranked.Lstf, "rfc/lstf", _LSTF),
    "edf": Pair(ranked.Edf, "mainline/edf", _EDF),
    "rfc edf": Pair(ranked.Edf, "rfc/edf", _EDF),
    "srpt": Pair(ranked.Srpt, "mainline/srpt", {"limit": (5, 30)}),
    "pfabric": Pair(ranked.Pfabric, "rfc/pfabric", {"limit": (1, 5, 24)}),
    "stfq": Pair(ranked.Stfq, "mainline/stfq", {"limit": (5, 30), "weighted": (0, 1)}),
    "rfc stfq": Pair(ranked.Stfq, "rfc/stfq", {"limit": (5, 30), "weighted": (0, 1)}),
    "hpfq": Pair(ranked.Hpfq, "mainline/hpfq", {"limit": (5, 30), "weight0": (1, 3), "weight2": (1, 5)}),
    "etf": Pair(ranked.Etf, "mainline/etf", {"limit": (5, 30), "delta": (0, 100_000, 2 * MS)}, stamped=.8),
    "netem": Pair(ranked.Netem, "mainline/netem", _NETEM),
    "rfc netem": Pair(ranked.Netem, "rfc/netem", _NETEM),
    "choke": Pair(ranked.Choke, "rfc/choke", _RED),
}


def coloured(draw: Random, before: Traffic) -> Traffic:
    """Return traffic with ECN bits and senders, which belong to a flow."""
    ecn, host = [[draw.choice((0, 1, 2, 3)) for _ in range(16)], [draw.randrange(4) for _ in range(16)]]
    return Traffic(before.rate, tuple(
        tuple(Arrival(*arrival[:5], ecn[arrival.flow], host[arrival.flow]) for arrival in source)
        for source in before.sources))


def differences(name: str, number: int, ways: tuple[str, ...] = WAYS) -> list[str]:
    """Return where a sample differs from its model for one pattern of traffic."""
    draw, item = Random(f"{name} {number}"), SHELF[name]
    variables = item.variables(draw)
    found = set_variables(load(SAMPLES / f"{item.path}.o"), variables)
    arrivals = coloured(draw, traffic(draw, stamped=item.stamped))
    return pairs.differences(f"{name} {number} {variables}", found, item.model(**variables), arrivals, ways)


@pytest.mark.parametrize("name", SHELF)
def test_each_packet_has_the_fate_that_the_model_gives_it(name: str) -> None:
    for number in range(SEED, SEED + COUNT):
        assert differences(name, number)[:5] == []
