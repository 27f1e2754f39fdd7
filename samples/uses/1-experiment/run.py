"""Use 1: try a queueing discipline without a kernel module, and read its statistics from maps."""

from __future__ import annotations

import struct
from pathlib import Path

from check import SAMPLES, Figures

from ebpfvm.api import Scene, simulate
from ebpfvm.sched.run_report import Result
from ebpfvm.sched.simulation import BOOT_NS
from ebpfvm.sched.wire import Link

HERE = Path(__file__).resolve().parent

# One greedy flow and three modest ones that want half of the link together; their hashes give four queues.
GREEDY = "cbr:rate=20mbit,dport=9"
FLOWS = [GREEDY, *(f"cbr:rate=5mbit,dport={port}" for port in (80, 443, 53))]
STATS = struct.Struct("<QQQIIQ")


def shares(result: Result) -> list[float]:
    """What part of the link each flow got, in the order of FLOWS."""
    total = sum(flow.out_bytes for flow in result.flows)
    return [flow.out_bytes / total for flow in result.flows]


def fairness(figures: Figures) -> None:
    """The experiment: the same traffic, another object file."""
    pfifo = simulate(SAMPLES / "rfc" / "pfifo.o", flows=FLOWS, rate="10mbit")
    wfq = simulate(SAMPLES / "rfc" / "wfq.o", flows=FLOWS, rate="10mbit", dump_maps=["stats"])
    figures.true("every packet accounted for", pfifo.ok and wfq.ok)
    figures.within("pfifo: share of the greedy flow", shares(pfifo)[0], 0.5, 1)
    figures.within("pfifo: fairness (Jain)", pfifo.fairness, 0, 0.8)
    figures.within("wfq: share of the greedy flow", shares(wfq)[0], 0.24, 0.27)
    figures.within("wfq: fairness (Jain)", wfq.fairness, 0.995, 1)
    rows = [STATS.unpack(element.value) for element in wfq.maps[0].elements]
    figures.same("wfq: packets sent by the map 'stats'", sum(row[0] for row in rows), wfq.out_packets)
    figures.same("wfq: drops by the map 'stats'", sum(row[2] for row in rows), wfq.dropped)
    figures.same("wfq: packets sent by the kernel's own counters", wfq.kernel_view.packets, 0)


def weights(figures: Figures) -> None:
    """User space gives the first flow's queue the weight 3 when one second is over."""
    def prepare(scene: Scene) -> None:
        scene.simulation.loop.at(BOOT_NS + 10 ** 9, change, scene)

    def change(scene: Scene) -> None:
        stats, wanted = scene.map("stats"), scene.map("weights")
        drops = {key: STATS.unpack(value)[2] for key, value in stats.items()}
        greedy = max(drops, key=drops.__getitem__)
        wanted.sys_update(greedy, (3).to_bytes(4, "little"))

    result = simulate(SAMPLES / "rfc" / "wfq.o", flows=[flow + ",stop=3s" for flow in FLOWS], rate="10mbit",
                      record=True, prepare=prepare)
    sent = [packet for packet in result.packets if packet.departure and 1.2e9 < packet.departure < 2.9e9]
    first = sum(packet.flow == result.flows[0].flow for packet in sent)
    figures.within("wfq: share with weight 3, set in a map while it runs", first / len(sent), 0.49, 0.51)


def multi_queue(figures: Figures) -> None:
    """mq over four transmit queues; the instances share the maps of their object."""
    def prepare(scene: Scene) -> None:
        scene.net.device("eth1").link = Link(10_000_000)

    result = simulate(tc=HERE / "mq.tc", flows=[f"cbr:rate=3mbit,n=4,dport={port}" for port in (9, 10)], rate="1gbit",
                      record=True, prepare=prepare)
    sent = [packet for packet in result.packets if packet.departure]
    by_departure = sorted(sent, key=lambda packet: packet.departure)
    figures.true("mq: every packet accounted for", result.ok)
    figures.within("mq: packets sent over four queues", len(sent), 1000, 1600)
    figures.true("mq: four qdiscs with one shared map send in order of arrival", sent == by_departure)


figures = Figures("use 1: experiments without a kernel module")
fairness(figures)
weights(figures)
multi_queue(figures)
figures.done()
