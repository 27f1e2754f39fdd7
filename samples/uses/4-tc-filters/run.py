"""Use 4: any qdisc asks the filters of any qdisc on any device, and rules change while programs stay."""

from __future__ import annotations

from pathlib import Path

from check import CAPTURE, Figures

from ebpfvm.api import Scene, simulate
from ebpfvm.sched.flow_key import parse
from ebpfvm.sched.pcap import read_capture
from ebpfvm.sched.run_report import Result
from ebpfvm.sched.simulation import BOOT_NS

HERE = Path(__file__).resolve().parent
SETUP = HERE / "setup.tc"


def variables(result: Result) -> dict[str, object]:
    """The program's global variables at the end, as BTF describes them."""
    dump = next(item for item in result.maps or () if item.name.endswith(".bss"))
    formatted = dump.elements[0].formatted
    assert formatted is not None
    return {name: value for item in formatted["value"] for name, value in item.items()}


def rule(data: bytes) -> int:
    """The three filters of setup.tc, in plain Python."""
    headers = parse(data)
    if headers.protocol != 0x0800:
        return 0
    if headers.flow.proto == 17 and headers.flow.dport == 5203:
        return 1
    return 2 if headers.flow.proto == 6 and headers.flow.dport == 2222 else 3


def real_traffic(figures: Figures) -> None:
    """A recorded capture is classified as the rules say."""
    capture = read_capture(str(CAPTURE))
    expected = [0] * 4
    for _, _, data in capture:
        expected[rule(data)] += 1
    result = simulate(pcap=capture, tc=SETUP, rate="100mbit", dump_maps=[])
    figures.true("every packet of the capture accounted for", result.ok)
    figures.same("packets of the capture by class", variables(result)["classified"], expected)


def live_change(figures: Figures) -> None:
    """After one second an operator swaps the rules of two kinds of traffic; the program stays as it is."""
    shown: list[str] = []

    def prepare(scene: Scene) -> None:
        shown.extend(scene.tc("tc qdisc show dev eth0"))
        scene.simulation.loop.at(BOOT_NS + 10 ** 9, change, scene)

    def change(scene: Scene) -> None:
        scene.tc("tc filter del dev rules parent 7: protocol ip prio 1\n"
                 "tc filter add dev rules parent 7: protocol ip prio 1 flower ip_proto udp dst_port 9 classid 7:1")
        shown.extend(scene.tc("tc qdisc show dev eth0"))

    result = simulate(tc=SETUP, flows=["cbr:rate=1mbit,dport=5203,stop=2s", "cbr:rate=9500kbit,dport=9,stop=2s"],
                      rate="10mbit", record=True, prepare=prepare)
    worst: dict[tuple[str, bool], int] = {}
    for packet in result.packets or ():
        if packet.departure and (packet.departure < 10 ** 9 or packet.arrival > 1.2e9):
            key = packet.flow.rpartition(":")[2], packet.arrival > 10 ** 9
            worst[key] = max(worst.get(key, 0), packet.departure - packet.arrival)
    figures.true("every packet accounted for", result.ok)
    figures.within("before: port 5203, urgent by a filter of another device, longest delay",
                   worst["5203", False] / 1e6, 0.8, 1.7, "ms")
    figures.within("before: port 9, bulk, longest delay", worst["9", False] / 1e6, 20, 300, "ms")
    figures.within("after: port 5203, bulk, longest delay", worst["5203", True] / 1e6, 20, 1000, "ms")
    figures.within("after: port 9, urgent, longest delay", worst["9", True] / 1e6, 0.8, 1.7, "ms")
    figures.same("the qdisc and its programs are the same after the change", shown[0], shown[-1])


figures = Figures("use 4: TC filters from any qdisc and netdev")
real_traffic(figures)
live_change(figures)
figures.done()
