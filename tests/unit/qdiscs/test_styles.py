"""Qdiscs in the styles that people write, with the same packets as on Linux 7.2.13: equal outcomes and counters.

Deadlines and slack in trees, classes in lists of lists, flows in a map of objects, rings of kptrs, and single features
(casts, CO-RE tests, RCU, text, objects in two places) whose values the program adds to `overlimits` and `requeues`;
also several kinds in one object, per-CPU and nested objects, maps of nine types, callbacks in callbacks, headers read
by way of dynptrs, tail calls, and two trees for each element of an array; global functions, timers, kptrs that are
exchanged, atomic instructions, lists in inner maps, resilient locks, and objects in a tree and a list. The wire holds
one packet: `send` hands the qdisc a packet, `recv` takes one from the wire.
"""

from __future__ import annotations

import gzip
import json
import struct
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from ebpfvm.experiments import open_namespace
from ebpfvm.sched.tc.script import run_script
from ebpfvm.sched.wire import Link

if TYPE_CHECKING:
    from ebpfvm.sched.account import Packet
    from ebpfvm.sched.netdev import Namespace

HERE = Path(__file__).parent
CASES = json.loads(gzip.decompress((HERE.parents[1] / "data" / "qdisc_styles.json.gz").read_bytes()))
BARE_IP = {"link_offset": -14, "protocol": 8}


class Slow(Link):
    """A wire that keeps its packet until the test takes it."""

    def send(self, now: int, size: int) -> int:
        return now + 10 ** 15


def packet(net: Namespace, given: dict[str, Any]) -> Packet:
    """An IPv4 packet of a UDP flow; the number is the IP identification and the start of the payload."""
    size, tos = given["len"], given["tos"]
    head = struct.pack("!BBHHHBBH4s4s", 0x45, tos, size, given["id"], 0, 64, 17, 0, bytes((10, 9, 0, 1)),
                       bytes((10, 9, 0, 2)))
    words = sum(struct.unpack("!10H", head))
    words = (words & 0xFFFF) + (words >> 16)
    check = ~((words & 0xFFFF) + (words >> 16)) & 0xFFFF
    body = struct.pack("!HHHHI", given["sport"], given["dport"], size - 20, 0, given["id"])
    data = (head[:10] + struct.pack("!H", check) + head[12:] + body).ljust(size, b"\0")
    return net.packet(data, id=given["id"], mark=given["mark"], hash=given["mark"], priority=given["priority"],
                      **BARE_IP)


def step(net: Namespace, event: dict[str, Any]) -> object:
    """What happens to a packet that is sent or received."""
    dev = net.device("eth0")
    net.loop.run(max(net.loop.now, event["us"] * 1000))
    if "send" in event:
        return dev.xmit(packet(net, event["send"])) & 15 == 1
    skb = dev.sending
    if skb is not None:
        dev.sent(skb)
    return skb and skb.id


@pytest.mark.parametrize("engine", ["interp", "translate"])
@pytest.mark.parametrize("case", CASES, ids=lambda case: f"{case['object']}-{case['kind']}")
def test_packets_and_counters_are_those_of_linux(case: dict[str, Any], engine: str) -> None:
    net = open_namespace(mainline=True, engine=engine)
    dev = net.add_device("eth0", up=True)
    dev.link, dev.tx_queue_len = Slow(10 ** 9, mtu=9000), 10
    run_script(f"bpftool struct_ops register styles/{case['object']}\ntc qdisc add dev eth0 root handle 10: "
               f"{case['kind']}", net, folder=str(HERE))
    for number, event in enumerate(case["events"]):
        assert (number, step(net, event)) == (number, event["dropped" if "send" in event else "recv"])
        stats = dev.qdisc.shown_stats
        assert (number, {name: getattr(stats, name) for name in event["stats"]}) == (number, event["stats"])
    run_script("tc qdisc del dev eth0 root", net)
    assert net.account.problems == []
    assert net.account.inside == (dev.sending is not None)
