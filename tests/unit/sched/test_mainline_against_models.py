"""The samples for mainline on the capture, packet by packet, against models in plain Python, and on generated flows.

`tests/laws/test_shelf_models.py` does the same with random traffic.
"""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path

import pytest

from ebpfvm.api import load, simulate
from ebpfvm.loader.variables import set_variables
from tests.laws.models.bottleneck import Model
from tests.laws.models.flow_queues import Prio
from tests.laws.models.one_queue import Codel, Fifo, Pacer
from tests.unit.sched.test_samples_against_models import CAPTURE, OVERLOAD, departures

SAMPLES = Path(__file__).parents[3] / "samples" / "mainline"
MS = 1_000_000

CASES: list[tuple[str, type[Model], dict[str, int]]] = [
    ("fifo", Fifo, {"limit": 100}), ("fifo", Fifo, {"limit": 7}), ("prio", Prio, {}), ("prio", Prio, {"limit": 9}),
    ("pacer", Pacer, {}), ("pacer", Pacer, {"limit": 30, "rate": 400_000}), ("codel", Codel, {}),
    ("codel", Codel, {"limit": 60, "target": 2 * MS, "interval": 20 * MS})]


@pytest.mark.parametrize("engine", ["interp", "translate"])
@pytest.mark.parametrize(("sample", "model", "options"), CASES)
def test_order_drops_and_delays_agree_with_the_model(sample: str, model: type[Model], options: dict[str, int],
                                                     engine: str) -> None:
    found = set_variables(load(SAMPLES / f"{sample}.o"), options)
    result = simulate(found, pcap=CAPTURE, rate=OVERLOAD, record=True, engine=engine)
    left = departures(model(**options))
    assert [record.departure for record in result.packets or ()] == left
    assert options == {} or None in left


@pytest.mark.parametrize("quantum", [300, 1514, 9000])
def test_deficit_round_robin_is_fair_in_bytes(quantum: int) -> None:
    """While flows have packets all the time, what they have sent differs by less than a quantum and two packets."""
    sizes = (100, 700, 1400)
    found = set_variables(load(SAMPLES / "drr.o"), {"quantum": quantum})
    result = simulate(found, flows=[f"cbr:rate=4mbit,size={size}b" for size in sizes], rate=3_000_000,
                      duration="400ms", record=True)
    sent = [flow.out_bytes for flow in result.flows]
    assert len(sent) == 3
    assert min(sent) > 30_000
    assert max(sent) - min(sent) <= quantum + 2 * max(sizes)


def test_the_pacers_gaps_are_even() -> None:
    found = set_variables(load(SAMPLES / "pacer.o"), {"rate": 125_000})
    result = simulate(found, flows=["poisson:rate=4mbit,size=500b"], rate=100_000_000, duration="300ms", record=True)
    left = sorted(record.departure for record in result.packets or () if record.departure is not None)
    assert len(left) > 70
    assert {after - before for before, after in pairwise(left)} == {4 * MS}


def test_codel_keeps_the_wait_near_its_target() -> None:
    """A load of 2 % too much: first in, first out lets the queue grow for ever, codel holds it near 5 ms."""
    waits = {}
    for name in ("fifo", "codel"):
        result = simulate(SAMPLES / f"{name}.o", flows=["cbr:rate=4080kbit,size=500b,stop=4s"], rate=OVERLOAD,
                          record=True)
        late = sorted(record.departure - record.arrival for record in result.packets or ()
                      if record.departure is not None and record.arrival > 2_000 * MS)
        waits[name] = late[len(late) // 2]
    assert waits["fifo"] > 40 * MS
    assert 1 * MS < waits["codel"] < 12 * MS
