"""What the filter flow computes, and what the action csum does with packets that are seldom seen."""

from __future__ import annotations

from typing import Any

import pytest

from ebpfvm.kernel import Kernel
from ebpfvm.sched.classify import tcf_classify
from ebpfvm.sched.netdev import Namespace
from ebpfvm.sched.packet import build
from ebpfvm.sched.tc.script import run_script
from ebpfvm.sched.tc.tc_verdict import TC_ACT_OK, TC_ACT_SHOT, TcfResult

UDP = build(src="10.0.0.3", sport=1000, dport=2000, length=100)
GRE = UDP[:23] + bytes([47]) + UDP[24:]  # a protocol without ports
CHECK = 40  # place of the checksum


def asked(line: str, data: bytes, **fields: Any) -> tuple[int, int, bytes]:
    """Return verdict and minor number of the class that a filter gives a packet, and the bytes of the packet then."""
    net = Namespace(Kernel())
    net.add_device("eth0", up=True)
    run_script(f"tc qdisc add dev eth0 root handle 1: prio\ntc filter add dev eth0 parent 1: {line}", net)
    skb, result = net.packet(data, **fields), TcfResult()
    qdisc: Any = net.device("eth0").qdisc
    verdict = tcf_classify(skb, qdisc.block, result)
    return verdict, result.classid & 0xFFFF, skb.payload()


@pytest.mark.parametrize(("words", "data", "number"), [
    ("key proto-src", UDP, 1000), ("key proto-dst", UDP, 2000), ("key proto-src", GRE, 0),
    ("key proto-dst", GRE, 8),  # skb->protocol in network order
    ("key src and 0xff", UDP, 3), ("key src and 0xff xor 1", UDP, 2), ("key dst addend -10.0.0.1", UDP, 1),
    ("key mark rshift 4 addend 3", UDP, 5), ("key mark and 0xf0 rshift 4", UDP, 2), ("key mark divisor 10", UDP, 7),
])
def test_a_map_computes_the_class(words: str, data: bytes, number: int) -> None:
    """The number is counted from class 1 of the qdisc."""
    assert asked(f"protocol ip handle 1 flow map {words}", data, mark=0x25)[1] == 1 + number


def test_a_udp_checksum_that_is_zero_is_sent_as_ones() -> None:
    frame = bytearray(UDP)
    frame[60:62] = bytes(2)
    frame[CHECK:CHECK + 2] = b"\1\1"
    check = asked("protocol ip matchall action csum udp", bytes(frame))[2][CHECK:CHECK + 2]
    frame[60:62] = check
    assert asked("protocol ip matchall action csum udp", bytes(frame))[2][CHECK:CHECK + 2] == b"\xff\xff"


@pytest.mark.parametrize(("headers", "verdict"), [("udp", TC_ACT_SHOT), ("iph", TC_ACT_OK), ("tcp", TC_ACT_OK)])
def test_a_packet_that_is_shorter_than_it_says_is_dropped_if_all_of_it_is_needed(headers: str, verdict: int) -> None:
    frame = bytearray(UDP)
    frame[16:18] = (len(UDP) - 14 + 1).to_bytes(2, "big")
    assert asked(f"protocol ip matchall action csum {headers}", bytes(frame))[0] == verdict
