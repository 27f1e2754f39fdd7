"""Laws of the samples for the RFC's uses, on random traffic."""

from __future__ import annotations

import struct
from functools import cache
from pathlib import Path

from hypothesis import given, settings
from hypothesis import strategies as st

from ebpfvm.api import Scene, load, simulate
from ebpfvm.loader.variables import set_variables
from ebpfvm.sched.run_report import Result

SAMPLES = Path(__file__).parents[2] / "samples"
WFQ = load(SAMPLES / "rfc" / "wfq.o")
QUEUE = load(SAMPLES / "uses" / "2-edt-accounts" / "queue.o")
EDT = SAMPLES / "uses" / "2-edt-accounts" / "setup.tc"
PORTS = (9, 80, 443, 53)  # their flows have queues of their own
STATS, ACCOUNT = struct.Struct("<QQQIIQ"), struct.Struct("<QQQ")


def accounts(result: Result) -> list[tuple[int, int, int]]:
    assert result.maps is not None
    return [ACCOUNT.unpack(element.value) for element in result.maps[0].elements]


@cache
def queues() -> dict[int, bytes]:
    """Which queue each flow has is its hash's secret: send a different number of packets by each, and ask the map."""
    flows = [f"cbr:rate=1mbit,packets={number},dport={port}" for number, port in enumerate(PORTS, 1)]
    result = simulate(WFQ, flows=flows, rate="1gbit", dump_maps=["stats"])
    assert result.maps is not None
    packets = {STATS.unpack(element.value)[0]: element.key for element in result.maps[0].elements}
    return {port: packets[number] for number, port in enumerate(PORTS, 1)}


@settings(max_examples=6, deadline=None)
@given(weights=st.lists(st.integers(1, 6), min_size=4, max_size=4),
       sizes=st.lists(st.sampled_from([500, 1000, 1500]), min_size=4, max_size=4))
def test_wfq_serves_by_weight(weights: list[int], sizes: list[int]) -> None:
    """Flows that always have packets waiting get bytes in proportion to their weights, to a few packets."""
    def prepare(scene: Scene) -> None:
        for port, weight in zip(PORTS, weights, strict=True):
            scene.map("weights").sys_update(queues()[port], weight.to_bytes(4, "little"))

    flows = [f"cbr:rate=20mbit,size={size}b,dport={port},stop=200ms"
             for port, size in zip(PORTS, sizes, strict=True)]
    result = simulate(WFQ, flows=flows, rate="10mbit", duration="200ms", prepare=prepare)
    assert result.ok
    shares = {flow.flow.rpartition(":")[2]: flow.out_bytes for flow in result.flows}
    per_weight = [shares[str(port)] / weight for port, weight in zip(PORTS, weights, strict=True)]
    assert max(per_weight) - min(per_weight) <= 3 * max(sizes)


@settings(max_examples=6, deadline=None)
@given(rates=st.lists(st.integers(1, 12), min_size=1, max_size=3), limit=st.integers(1, 40),
       give_back=st.integers(0, 1), poisson=st.booleans())
def test_edt_accounts_are_exact(rates: list[int], limit: int, give_back: int, poisson: bool) -> None:
    """What accounts paid for is what left or waits, once dropped packets' tokens are given back; else it is more by
    exactly the packets that the queue dropped."""
    found = set_variables(QUEUE, {"limit": limit, "give_back": give_back})
    kind = "poisson" if poisson else "cbr"
    result = simulate(found, tc=EDT, flows=[f"{kind}:rate={rate}mbit,stop=200ms" for rate in rates], rate="100mbit",
                      duration="200ms", dump_maps=["accounts"])
    assert result.ok
    paid = sum(taken - back for _, taken, back in accounts(result))
    inside = 1000 * result.held
    lost = 0 if give_back else 1000 * result.variables["dropped"]
    assert paid == result.out_bytes + inside + lost
