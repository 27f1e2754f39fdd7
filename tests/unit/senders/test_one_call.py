"""Downloads and one call through well-known disciplines: the order of delay and fairness that is published for them.

A small version of samples/scenarios/call.toml. Sources: "Controlling Queue Delay" (Nichols and Jacobson 2012) for
codel; RFC 8290, section 6, for fq_codel; "Piece of CAKE" (Hoiland-Jorgensen, Taht, Morton 2018); RFC 9332 for the dual
queue.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from ebpfvm.comparing import ComparedTraffic, compare
from ebpfvm.scenario_files import read_scenario

SAMPLES = Path(__file__).parents[3] / "samples"
SMALL = ("link.rate=20mbit", "duration=6s", "traffic[0].n=4", "traffic[1].start=3s")
MS = 1_000_000
QDISCS = {"pfifo": "pfifo limit 1000", "codel": "codel", "dualpi2": f"{SAMPLES}/rfc/dualpi2.o", "fq_codel": "fq_codel",
          "cake": f"{SAMPLES}/rfc/cake.o"}


@pytest.fixture(scope="module")
def rows() -> dict[tuple[str, str], ComparedTraffic]:
    """The rows by discipline and kind of traffic."""
    options = read_scenario(SAMPLES / "scenarios" / "call.toml").set(*SMALL).options()
    options = {name: value for name, value in options.items() if name not in ("tc", "title")}
    return {(name, row.traffic.split()[0]): row for name, qdisc in QDISCS.items()
            for row in compare([qdisc], **options)}


def test_a_call_waits_where_it_is_known_to_wait(rows: dict[tuple[str, str], ComparedTraffic]) -> None:
    """A full pfifo delays it by all of its packets, codel and the dual queue by their targets and what the senders
    overshoot, and with a queue for each flow it waits for no more than a packet or two."""
    waits = {name: rows[name, "voip"].p50 - 10 * MS for name in QDISCS}  # without the propagation delay
    assert waits["pfifo"] > 250 * MS
    assert 2 * MS < waits["codel"] < 80 * MS and 2 * MS < waits["dualpi2"] < 80 * MS
    assert waits["fq_codel"] < 2 * MS and waits["cake"] < 2 * MS
    for shared in ("codel", "dualpi2"):
        assert max(waits["fq_codel"], waits["cake"]) < waits[shared] / 3 and waits[shared] < waits["pfifo"] / 3


def test_a_queue_for_each_flow_loses_nothing_of_a_call(rows: dict[tuple[str, str], ComparedTraffic]) -> None:
    assert rows["fq_codel", "voip"].lost == rows["cake", "voip"].lost == 0
    assert rows["fq_codel", "voip"].out_packets == rows["cake", "voip"].in_packets == 150


def test_a_queue_for_each_flow_shares_the_link_alike(rows: dict[tuple[str, str], ComparedTraffic]) -> None:
    fair = {name: rows[name, "tcp"].fairness for name in QDISCS}
    assert fair["fq_codel"] > 0.99 and fair["cake"] > 0.99
    assert all(fair[name] < min(fair["fq_codel"], fair["cake"]) for name in ("pfifo", "codel"))


def test_short_queues_keep_the_link_busy(rows: dict[tuple[str, str], ComparedTraffic]) -> None:
    """Only the dual queue pays for the first overshoot of slow start, for some seconds: its controller is slow."""
    busy = {name: rows[name, "all"].throughput / 20_000_000 for name in QDISCS}
    assert busy.pop("dualpi2") > 0.6 and min(busy.values()) > 0.9
