"""Filters and actions: order, chains, loops, shared blocks, and what each kind compares."""

from __future__ import annotations

from typing import Any

import pytest

from ebpfvm.kernel import Kernel
from ebpfvm.sched.classify import tcf_classify
from ebpfvm.sched.netdev import Namespace
from ebpfvm.sched.packet import build
from ebpfvm.sched.tc.block import Block
from ebpfvm.sched.tc.dissect import dissect_bytes
from ebpfvm.sched.tc.script import run_script
from ebpfvm.sched.tc.tc_verdict import (
    TC_ACT_OK,
    TC_ACT_PIPE,
    TC_ACT_SHOT,
    TC_ACT_STOLEN,
    TC_ACT_TRAP,
    TC_ACT_UNSPEC,
    TcfResult,
)

UDP = build(sport=1000, dport=2000, length=100)
TCP = build("tcp", src="10.1.0.1", dport=80, tos=0xB8, length=200)
SIX = build(src="fd00::1", dst="fd00::2", dport=53, length=120)
TAGGED = build(dport=7, vlan=5, length=90)


@pytest.fixture
def net() -> Namespace:
    net = Namespace(Kernel())
    run_script("ip link add eth0 type dummy; ip link add ifb0 type ifb; ip link add eth1 type dummy\n"
               "ip link set eth0 up; ip link set ifb0 up; ip link set eth1 up\n"
               "tc qdisc add dev eth0 root handle 1: prio", net)
    return net


def block_of(net: Namespace) -> Block:
    qdisc: Any = net.device("eth0").qdisc
    assert qdisc.block is not None
    return qdisc.block  # type: ignore[no-any-return]


def add(net: Namespace, *filters: str) -> None:
    run_script("\n".join(f"tc filter add dev eth0 parent 1: {line}" for line in filters), net)


def classify(net: Namespace, data: bytes, **fields: Any) -> tuple[int, int]:
    """(verdict, class) of a packet."""
    skb = net.packet(data, **fields)
    skb.dev = net.device("eth0")
    result = TcfResult()
    return tcf_classify(skb, block_of(net), result), result.classid & 0xFFFF


def test_the_lowest_priority_number_is_asked_first_and_the_protocol_has_to_match(net: Namespace) -> None:
    add(net, "protocol ip prio 20 matchall classid 1:2", "protocol ipv6 prio 10 matchall classid 1:1",
        "protocol all prio 30 matchall classid 1:3")
    assert classify(net, UDP) == (TC_ACT_OK, 2)
    assert classify(net, SIX) == (TC_ACT_OK, 1)
    assert classify(net, b"\xff" * 12 + b"\x08\x06" + bytes(28)) == (TC_ACT_OK, 3)


def test_priorities_that_nobody_gave_count_down(net: Namespace) -> None:
    add(net, "matchall classid 1:1", "basic classid 1:2", "prio 40000 basic classid 1:3",
        "protocol ip basic classid 1:3")
    assert [tp.prio for tp in block_of(net).chain(0)] == [39999, 40000, 49151, 49152]


def test_a_tag_beside_the_packet_is_its_protocol(net: Namespace) -> None:
    add(net, "protocol 802.1Q prio 1 flower vlan_id 5 vlan_ethtype ip dst_ip 10.0.0.2 classid 1:1",
        "protocol ip prio 2 matchall classid 1:2")
    assert classify(net, TAGGED) == (TC_ACT_OK, 1)
    assert classify(net, UDP, vlan_present=1, vlan_tci=5, vlan_proto=0x0081) == (TC_ACT_OK, 1)
    assert classify(net, UDP, vlan_present=1, vlan_tci=6, vlan_proto=0x0081) == (TC_ACT_UNSPEC, 0)


@pytest.mark.parametrize(("action", "verdict"), [
    ("ok", TC_ACT_OK), ("drop", TC_ACT_SHOT), ("pipe", TC_ACT_PIPE), ("trap", TC_ACT_TRAP)])
def test_a_verdict_ends_the_search(net: Namespace, action: str, verdict: int) -> None:
    add(net, f"prio 1 matchall classid 1:1 action {action}", "prio 2 matchall classid 1:2")
    assert classify(net, UDP) == (verdict, 1)


def test_continue_asks_the_next_filter(net: Namespace) -> None:
    add(net, "prio 1 matchall classid 1:1 action continue", "prio 2 matchall classid 1:2")
    assert classify(net, UDP) == (TC_ACT_OK, 2)


def test_continue_in_a_list_of_filters(net: Namespace) -> None:
    # u32 and basic look on within a priority; flower ends there, as in the kernel.
    add(net, "protocol ip prio 1 u32 match u8 0 0 at 0 classid 1:1 action continue",
        "protocol ip prio 1 u32 match u8 0 0 at 0 classid 1:2")
    assert classify(net, UDP) == (TC_ACT_OK, 2)
    run_script("tc filter del dev eth0 parent 1:", net)
    add(net, "protocol ip prio 1 flower src_ip 10.0.0.0/8 classid 1:1 action continue",
        "protocol ip prio 1 flower src_ip 10.0.0.0/16 classid 1:2", "protocol ip prio 2 matchall classid 1:3")
    assert classify(net, UDP) == (TC_ACT_OK, 3)


def test_chains_are_entered_by_goto_only(net: Namespace) -> None:
    add(net, "chain 7 prio 1 matchall classid 1:3", "prio 5 protocol ip flower ip_proto tcp action goto chain 7",
        "prio 6 matchall classid 1:2")
    assert classify(net, TCP) == (TC_ACT_OK, 3)
    assert classify(net, UDP) == (TC_ACT_OK, 2)


def test_a_chain_without_filters_matches_nothing(net: Namespace) -> None:
    add(net, "prio 1 matchall action goto chain 9", "prio 2 matchall classid 1:2")
    assert classify(net, UDP) == (TC_ACT_UNSPEC, 0)


@pytest.mark.parametrize("loop", ["reclassify", "goto chain 0"])
def test_sixteen_loops_are_done_and_one_more_drops(net: Namespace, loop: str) -> None:
    add(net, f"matchall action {loop}")
    assert classify(net, UDP)[0] == TC_ACT_SHOT
    action = next(iter(net.actions.values()))
    assert action.stats.packets == 17


def test_reclassify_begins_again_after_what_an_action_changed(net: Namespace) -> None:
    add(net, "prio 1 handle 5 fw classid 1:3", "prio 2 matchall action skbedit mark 5 reclassify")
    assert classify(net, UDP) == (TC_ACT_OK, 3)


def test_jump_skips_actions(net: Namespace) -> None:
    add(net, "matchall classid 1:1 action skbedit mark 1 action jump 3 action drop action skbedit mark 2/2")
    skb = net.packet(UDP)
    assert tcf_classify(skb, block_of(net), TcfResult()) == TC_ACT_PIPE
    assert skb.mark == 3


def test_determ_takes_each_nth_packet(net: Namespace) -> None:
    add(net, "matchall action drop random determ ok 3")
    verdicts = [classify(net, UDP)[0] for _ in range(6)]
    assert verdicts == [TC_ACT_SHOT, TC_ACT_SHOT, TC_ACT_OK] * 2


def test_netrand_comes_from_the_seed() -> None:
    def run(seed: int) -> list[int]:
        net = Namespace(Kernel(seed=seed))
        run_script("ip link add eth0 type dummy; tc qdisc add dev eth0 root handle 1: prio", net)
        add(net, "matchall action ok random netrand drop 2")
        return [classify(net, UDP)[0] for _ in range(64)]

    assert run(1) == run(1) != run(2)
    assert 16 < run(1).count(TC_ACT_SHOT) < 48


def test_police_lets_the_burst_pass_and_then_the_rate(net: Namespace) -> None:
    add(net, "protocol ip matchall police rate 80kbit burst 300 conform-exceed drop/pipe classid 1:1")
    frame = build(length=100)
    assert [classify(net, frame)[0] for _ in range(4)] == [TC_ACT_PIPE] * 3 + [TC_ACT_SHOT]
    net.kernel.clock += 10_000_000  # 100 bytes at 10 kB/s
    assert [classify(net, frame)[0] for _ in range(2)] == [TC_ACT_PIPE, TC_ACT_SHOT]
    stats = next(iter(net.actions.values())).stats
    assert (stats.packets, stats.drops, stats.overlimits) == (6, 2, 2)


def test_police_drops_what_is_longer_than_its_mtu(net: Namespace) -> None:
    add(net, "matchall police mtu 150 drop")
    assert classify(net, UDP)[0] == TC_ACT_OK
    assert classify(net, TCP)[0] == TC_ACT_SHOT


def test_an_action_with_an_index_is_shared(net: Namespace) -> None:
    add(net, "prio 1 protocol ip matchall action drop index 5", "prio 2 protocol ipv6 matchall action drop index 5")
    classify(net, UDP)
    classify(net, SIX)
    (action,) = net.actions.values()
    assert (action.bound, action.stats.packets, action.stats.drops) == (2, 2, 2)
    run_script("tc filter del dev eth0 parent 1: prio 1", net)
    assert action.bound == 1
    run_script("tc filter del dev eth0 parent 1:", net)
    assert net.actions == {}


def test_skbedit_sets_fields(net: Namespace) -> None:
    add(net, "matchall action skbedit priority 1:3 mark 0x30/0xf0 ptype otherhost queue_mapping 0")
    skb = net.packet(UDP, mark=0x11)
    skb.dev = net.device("eth0")
    tcf_classify(skb, block_of(net), TcfResult())
    assert (skb.priority, skb.mark, skb.pkt_type, skb.queue_mapping) == (0x10003, 0x31, 3, 0)


def test_fw_without_filters_takes_the_mark_for_the_class(net: Namespace) -> None:
    add(net, "prio 1 fw")
    assert classify(net, UDP, mark=0x10002) == (TC_ACT_OK, 2)
    assert classify(net, UDP, mark=3) == (TC_ACT_OK, 3)
    assert classify(net, UDP, mark=0x20002) == (TC_ACT_UNSPEC, 0)
    assert classify(net, UDP) == (TC_ACT_UNSPEC, 0)


def test_fw_matches_the_mark_under_a_mask(net: Namespace) -> None:
    add(net, "prio 1 handle 0x10/0xf0 fw classid 1:2")
    assert classify(net, UDP, mark=0x1F) == (TC_ACT_OK, 2)
    assert classify(net, UDP, mark=0x2F) == (TC_ACT_UNSPEC, 0)


@pytest.mark.parametrize(("match", "packets"), [
    ("ip_proto tcp", [TCP]), ("ip_proto udp", [UDP]), ("dst_ip 10.0.0.2", [UDP, TCP]), ("src_ip 10.1.0.0/16", [TCP]),
    ("ip_proto tcp dst_port 80", [TCP]), ("ip_proto udp dst_port 1999-2000", [UDP]),
    ("ip_proto udp dst_port 2001-3000", []), ("ip_tos 0xb8/0xfc", [TCP]), ("ip_ttl 64", [UDP, TCP]),
    ("ip_proto tcp tcp_flags 0x10/0x12", [TCP]), ("ip_proto tcp tcp_flags 0x2/0x12", []),
    ("dst_mac 02:00:00:00:00:02", [UDP, TCP]), ("src_mac 02:00:00:00:00:ff/40", [UDP, TCP]),
    ("src_mac 02:00:00:00:00:ff", []), ("ip_flags nofrag", [UDP, TCP]), ("ip_flags frag", []),
    ("indev eth0", [UDP, TCP]), ("indev eth1", []),
])
def test_flower(net: Namespace, match: str, packets: list[bytes]) -> None:
    add(net, f"protocol ip flower {match} classid 1:1")
    assert [data for data in (UDP, TCP, SIX, TAGGED) if classify(net, data)[0] == TC_ACT_OK] == packets


def test_flower_on_ipv6(net: Namespace) -> None:
    add(net, "protocol ipv6 flower ip_proto udp dst_port 53 src_ip fd00::/16 classid 1:1")
    assert classify(net, SIX) == (TC_ACT_OK, 1)


@pytest.mark.parametrize(("match", "packets"), [
    ("match ip protocol 6 0xff", [TCP]), ("match ip dport 2000 0xffff", [UDP]),
    ("match ip dst 10.0.0.2/32", [UDP, TCP]), ("match ip dst any", [UDP, TCP]), ("match u16 0x4500 ff00", [UDP, TCP]),
    ("match ip src 10.1.0.0/16 match ip dport 80 0xffff", [TCP]), ("match u16 0x0800 0xffff at -2", [UDP, TCP]),
    ("match u32 0x0a010001 0xffffffff at 12", [TCP]), ("match u8 0x40 f0 at 0", [UDP, TCP]),
    ("match ether dst 02:00:00:00:00:02", [UDP, TCP]), ("match ether src 02:00:00:00:00:03", []),
    ("match ip tos 0xb8 0xfc", [TCP]), ("match ip nofrag", [UDP, TCP]), ("match ip df", [UDP, TCP]),
    ("match ip mf", []), ("match ip firstfrag", []), ("match u32 0 0 at -16", [UDP, TCP]), ("match u32 0 0 at -84", []),
    ("match mark 5 0xff", []), ("match ip ihl 5 0xf", [UDP, TCP]), ("match u32 0 0 at 200", []),
    # No link has moved the next header, so it is where the network header is: not the UDP port.
    ("match udp dst 2000 0xffff", []),
])
def test_u32(net: Namespace, match: str, packets: list[bytes]) -> None:
    add(net, f"protocol ip u32 {match} classid 1:1")
    assert [data for data in (UDP, TCP, SIX, TAGGED) if classify(net, data)[0] == TC_ACT_OK] == packets


def test_u32_on_ipv6(net: Namespace) -> None:
    add(net, "protocol ipv6 u32 match ip6 src fd00::/16 match ip6 dst ::/0 match ip6 dport 53 0xffff "
             "match ip6 protocol 17 0xff match ip6 priority 0 0xff classid 1:1")
    assert classify(net, SIX) == (TC_ACT_OK, 1)


def test_u32_links_to_the_transport_header(net: Namespace) -> None:
    # The text-book use: a table of filters on TCP, reached with the offset of the header's length.
    add(net, "protocol ip prio 5 handle 1: u32 divisor 1",
        "protocol ip prio 5 u32 ht 1: match tcp dst 80 0xffff classid 1:2",
        "protocol ip prio 5 u32 ht 800: match ip protocol 6 0xff link 1: offset at 0 mask 0f00 shift 6 plus 0",
        "protocol ip prio 6 matchall classid 1:3")
    assert classify(net, TCP) == (TC_ACT_OK, 2)
    assert classify(net, build("tcp", dport=81)) == (TC_ACT_OK, 3)
    assert classify(net, UDP) == (TC_ACT_OK, 3)


def test_u32_hashes_into_buckets(net: Namespace) -> None:
    add(net, "protocol ip prio 5 handle 2: u32 divisor 256",
        *(f"protocol ip prio 5 u32 ht 2:{host:x}: match ip src 10.0.0.{host} classid 1:{host:x}"
          for host in (1, 2, 31)),
        "protocol ip prio 5 u32 ht 800: match ip src 10.0.0.0/24 hashkey mask 0x000000ff at 12 link 2:")
    assert [classify(net, build(src=f"10.0.0.{host}"))[1] for host in (1, 2, 31, 4)] == [1, 2, 31, 0]


def test_u32_tables_in_use_stay(net: Namespace) -> None:
    add(net, "protocol ip prio 5 handle 1: u32 divisor 4", "protocol ip prio 5 u32 match u8 0 0 at 0 link 1:")
    with pytest.raises(Exception, match="in-use"):
        run_script("tc filter del dev eth0 parent 1: protocol ip prio 5 handle 1: u32", net)
    run_script("tc filter del dev eth0 parent 1: protocol ip prio 5 handle 800::800 u32\n"
               "tc filter del dev eth0 parent 1: protocol ip prio 5 handle 1: u32", net)
    assert block_of(net).chains == {}


@pytest.mark.parametrize(("match", "packets"), [
    ("cmp(u8 at 9 layer network eq 6)", [TCP]), ("cmp(u16 at 2 layer 2 gt 1999)", [UDP]),
    ("cmp(u16 at 2 layer transport lt 81)", [TCP]), ("cmp(u16 at 12 layer link eq 0x800)", [UDP, TCP]),
    ("cmp(u16 at 12 layer link trans eq 0x8)", [UDP, TCP]), ("cmp(u16 at 2 layer 1 mask 0xff gt 90)", [TCP]),
    ("u32(u8 6 0xff at 9)", [TCP]), ("u32(u32 0x0a000001 0xffffffff at 12)", [UDP]),
    ("meta(pkt_len gt 150)", [TCP]), ("meta(protocol eq 0x800)", [UDP, TCP]), ("meta(priority eq 0)", [UDP]),
    ("meta(nf_mark shift 4 mask 0xf eq 0)", [UDP, TCP]), ("not cmp(u8 at 9 layer 1 eq 6)", [UDP]),
    # No precedence: what stands to the right of an operator belongs together.
    ("cmp(u8 at 9 layer 1 eq 1) and meta(pkt_len gt 0) or meta(pkt_len gt 0)", []),
    ("( cmp(u8 at 9 layer 1 eq 1) and meta(pkt_len gt 0) ) or meta(pkt_len gt 0)", [UDP, TCP]),
    ("meta(pkt_len gt 150) or not meta(pkt_len gt 90)", [TCP]), ("cmp(u8 at 5000 layer 1 eq 0)", []),
])
def test_basic(net: Namespace, match: str, packets: list[bytes]) -> None:
    add(net, f"protocol ip basic match '{match}' classid 1:1")
    assert [data for data in (UDP, TCP, SIX, TAGGED) if classify(net, data)[0] == TC_ACT_OK] == packets


def test_short_packets_match_nothing_and_break_nothing(net: Namespace) -> None:
    add(net, "prio 1 protocol all u32 match u32 0 0 at 0 classid 1:1",
        "prio 2 basic match 'cmp(u32 at 0 layer 2 eq 0)' classid 1:2")
    for size in range(len(UDP)):
        dissect_bytes(UDP[:size])
        classify(net, UDP[:size])
    assert classify(net, b"") == (TC_ACT_UNSPEC, 0)


def test_a_block_is_shared_by_devices(net: Namespace) -> None:
    run_script("tc qdisc add dev eth0 ingress_block 22 clsact; tc qdisc add dev eth1 ingress_block 22 clsact\n"
               "tc filter add block 22 protocol ip flower ip_proto udp action drop", net)
    for name in ("eth0", "eth1"):
        net.device(name).receive(net.packet(UDP))
        net.device(name).receive(net.packet(TCP))
    assert (net.account.dropped, net.device("eth0").rx_packets, net.device("eth1").rx_packets) == (2, 1, 1)
    assert net.account.close() == {} and not net.account.problems
    assert "block 22" in "\n".join(run_script("tc filter show dev eth0 ingress", net))
    assert "block" not in "\n".join(run_script("tc filter show block 22", net))


def test_mirred_copies_and_redirects(net: Namespace) -> None:
    run_script("tc qdisc add dev eth0 clsact\n"
               "tc filter add dev eth0 egress protocol ip prio 1 flower ip_proto udp "
               "action mirred egress mirror dev eth1\n"
               "tc filter add dev eth0 egress protocol ip prio 2 flower ip_proto tcp "
               "action mirred egress redirect dev eth1", net)
    eth0, eth1 = net.device("eth0"), net.device("eth1")
    eth0.xmit(net.packet(UDP))
    eth0.xmit(net.packet(TCP))
    net.loop.run()
    assert (eth0.dequeued, eth1.dequeued, net.account.in_packets, net.account.sent) == (1, 2, 3, 3)
    assert net.account.close() == {} and not net.account.problems


def test_mirred_in_a_circle_ends(net: Namespace) -> None:
    run_script("\n".join(f"tc qdisc add dev {name} clsact\ntc filter add dev {name} egress matchall "
                         f"action mirred egress redirect dev {other}" for name, other in (("eth0", "eth1"),
                                                                                         ("eth1", "eth0"))), net)
    net.device("eth0").xmit(net.packet(UDP))
    assert (net.account.dropped, net.account.problems) == (1, [])


def test_mirred_to_a_device_that_is_down_drops(net: Namespace) -> None:
    run_script("ip link set eth1 down; tc qdisc add dev eth0 clsact\n"
               "tc filter add dev eth0 egress matchall action mirred egress redirect dev eth1", net)
    net.device("eth0").xmit(net.packet(UDP))
    assert net.account.dropped == 1


def test_an_ifb_gives_packets_back(net: Namespace) -> None:
    """Ingress queueing: wire, ifb's qdisc, stack."""
    run_script("tc qdisc add dev ifb0 root handle 5: pfifo limit 2; tc qdisc add dev eth0 clsact\n"
               "tc filter add dev eth0 ingress matchall action mirred egress redirect dev ifb0", net)
    eth0, ifb0 = net.device("eth0"), net.device("ifb0")
    for _ in range(5):
        eth0.receive(net.packet(UDP))
    net.loop.run()
    # One on the wire, two queued, two dropped; the three come back and pass the filter without a second look.
    assert (ifb0.dequeued, eth0.rx_packets, net.account.dropped) == (3, 3, 2)
    assert net.account.close() == {} and not net.account.problems


def test_stolen_packets_are_gone_for_the_qdisc(net: Namespace) -> None:
    add(net, "protocol ip matchall action mirred egress redirect dev eth1", "protocol ipv6 prio 9 matchall action drop")
    eth0 = net.device("eth0")
    assert eth0.xmit(net.packet(UDP)) == 0x10000
    assert eth0.xmit(net.packet(SIX)) == 0x20000
    net.loop.run()
    assert (net.device("eth1").dequeued, net.account.dropped, eth0.qdisc.kernel_view.drops) == (1, 1, 1)
    assert not net.account.problems
    assert TC_ACT_STOLEN == 4


def test_filters_of_a_replaced_qdisc_are_gone(net: Namespace) -> None:
    add(net, "matchall classid 1:1 action ok")
    run_script("tc qdisc del dev eth0 root; tc qdisc add dev eth0 root handle 1: prio", net)
    assert block_of(net).chains == {} and net.actions == {}


def test_a_root_without_filters_shows_none(net: Namespace) -> None:
    assert run_script("tc filter show dev eth1", net) == []
    assert run_script("tc filter show dev eth0", net) == []


def test_replace_and_change(net: Namespace) -> None:
    add(net, "protocol ip prio 1 handle 1 flower ip_proto udp classid 1:1")
    run_script("tc filter replace dev eth0 parent 1: protocol ip prio 1 handle 1 flower ip_proto tcp classid 1:2", net)
    assert (classify(net, UDP)[1], classify(net, TCP)[1]) == (0, 2)
    run_script("tc filter change dev eth0 parent 1: protocol ip prio 1 handle 1 flower ip_proto udp classid 1:3", net)
    assert (classify(net, UDP)[1], classify(net, TCP)[1]) == (3, 0)
    with pytest.raises(Exception, match="ENOENT"):
        run_script("tc filter change dev eth0 parent 1: protocol ip prio 2 matchall", net)
