"""Use 5: a qdisc between the wire and the stack."""

from __future__ import annotations

from pathlib import Path

from check import Figures

from ebpfvm.api import Scene, simulate
from ebpfvm.sched.run_report import PacketRecord, Result

HERE = Path(__file__).resolve().parent
BULK, VOICE = "cbr:rate=9500kbit,size=1500b,stop=3s", "cbr:rate=400kbit,size=200b,dscp=46,stop=3s"
WINDOW = 100_000_000  # ns

scenes: list[Scene] = []


def run(script: str) -> Result:
    """The same traffic arrives at eth0."""
    return simulate(tc=HERE / script, ingress=True, flows=[BULK, VOICE], rate="10mbit", record=True,
                    prepare=scenes.append)


def delivered(result: Result) -> list[PacketRecord]:
    """What the stack got, in order."""
    return sorted((packet for packet in result.packets or () if packet.departure is not None),
                  key=lambda packet: packet.departure or 0)


def busiest(result: Result) -> float:
    """Most bits a second that the stack got in any 100 ms."""
    best = size = first = 0
    packets = delivered(result)
    for packet in packets:
        size += packet.length
        while (packets[first].departure or 0) <= (packet.departure or 0) - WINDOW:
            size -= packets[first].length
            first += 1
        best = max(best, size)
    return best * 8 * 1e9 / WINDOW


without, queued = run("none.tc"), run("setup.tc")
assert scenes[1].net is not None
eth0, ifb0 = scenes[1].net.device("eth0"), scenes[1].net.device("ifb0")

figures = Figures("use 5: ingress queueing")
figures.true("every packet accounted for", without.ok and queued.ok)
figures.within("without: the stack gets at most", busiest(without), 9.8e6, 10.2e6, "bit/s")
figures.within("queued: the stack gets at most", busiest(queued), 7.8e6, 8.15e6, "bit/s")
figures.same("queued: packets through ifb0, eth0 and to the stack", [ifb0.dequeued, eth0.rx_packets],
             [queued.out_packets] * 2)
bulk, voice = queued.flows
figures.same("queued: urgent packets dropped", voice.drops, 0)
figures.within("queued: longest delay of urgent packets", voice.delay["max"] / 1e6, 0, 1.7, "ms")
figures.within("queued: bulk packets dropped", bulk.drops, 100, 800)
figures.within("queued: longest delay of bulk packets", bulk.delay["max"] / 1e6, 60, 90, "ms")
figures.done()
