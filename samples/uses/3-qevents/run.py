"""Use 3: what qevents are for, done by the program itself: early drops and marks are seen and acted on."""

from __future__ import annotations

import struct
import tempfile
from collections import Counter
from pathlib import Path

from check import Figures

from ebpfvm.api import Scene, simulate
from ebpfvm.sched.netdev import NetDev
from ebpfvm.sched.pcap import read_capture
from ebpfvm.sched.traffic import FlowSpec
from ebpfvm.sched.units import NSEC_PER_SEC

HERE = Path(__file__).resolve().parent
EVENT = struct.Struct("<QIIII")
EARLY_DROP, MARK, TAIL_DROP = 1, 2, 3
MIN_TH = 10 << 8
TOS = 15  # where an IPv4 header behind Ethernet has its TOS byte
ECT, CE = 2, 3

FLOWS = [FlowSpec("cbr", 7_000_000, 500, stop=2 * NSEC_PER_SEC),
         FlowSpec("poisson", 5_000_000, 1000, stop=2 * NSEC_PER_SEC),
         FlowSpec("poisson", 3_000_000, 1000, stop=2 * NSEC_PER_SEC, tos=ECT)]

scenes: list[Scene] = []
with tempfile.TemporaryDirectory() as folder:
    out = Path(folder) / "out.pcap"
    result = simulate(HERE / "red.o", tc=HERE / "setup.tc", flows=FLOWS, rate="10mbit", seed=1, out=out, record=True,
                      prepare=scenes.append)
    congested = sum(data[TOS] & 3 == CE for _, _, data in read_capture(str(out)))
scene = scenes[0]
events = [EVENT.unpack(record) for record in scene.map("events").drain()]  # type: ignore[attr-defined]
kinds = Counter(kind for _, kind, _, _, _ in events)
said = result.variables
monitor = scene.simulation.kernel.devices[3]
assert isinstance(monitor, NetDev)

figures = Figures("use 3: qevents replaced")
figures.true("every packet accounted for", result.ok)
figures.within("early drops", said["early_drops"], 100, 2000)
figures.within("marks", said["marks"], 20, 1000)
figures.same("events read by user space, by kind", [kinds[EARLY_DROP], kinds[MARK], kinds[TAIL_DROP]],
             [said["early_drops"], said["marks"], said["tail_drops"]])
figures.same("copies of early drops that the monitoring device sent", monitor.qdisc.kernel_view.packets,
             said["early_drops"])
figures.same("packets that reach the other end with congestion experienced", congested, said["marks"])
dropped = sorted((packet.arrival, packet.length) for packet in result.packets or () if packet.fate == "dropped")
start = scene.simulation.account.start
figures.same("events name just the packets that were dropped",
             sorted((time - start, size) for time, kind, _, size, _ in events if kind != MARK) == dropped, True)
figures.true("no event while the average is below the threshold",
             all(average >= MIN_TH for _, kind, _, _, average in events if kind != TAIL_DROP))
figures.same("early drops of the flow that understands ECN", result.flows[2].drops, 0)
figures.done()
