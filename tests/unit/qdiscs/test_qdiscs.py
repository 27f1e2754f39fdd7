"""The built-in qdiscs and the RFC's classes: limits, order, shaping, grafting, and that nothing is ever lost."""

from __future__ import annotations

from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest

from ebpfvm.dialects import rfc6
from ebpfvm.kernel import Kernel
from ebpfvm.loader.object import MapSpec
from ebpfvm.sched.netdev import Namespace, NetDev
from ebpfvm.sched.packet import build
from ebpfvm.sched.sch_bpf import SchBpf
from ebpfvm.sched.tc.dissect import dissect, set_ce
from ebpfvm.sched.tc.script import run_script
from ebpfvm.sched.wire import Link

if TYPE_CHECKING:
    from collections.abc import Callable

MBIT = 1_000_000


def network(script: str = "", rate: int = 8 * MBIT, queues: int = 1) -> tuple[Namespace, NetDev]:
    """One device eth0 with a link of `rate`: 1000 bytes take 1 ms of 8 Mbit/s."""
    net = Namespace(Kernel(rfc6()))
    dev = net.add_device("eth0", link=Link(rate), num_tx_queues=queues, up=True)
    run_script(script, net)
    return net, dev


def burst(net: Namespace, dev: NetDev, count: int, **fields: Any) -> list[Any]:
    packets = [net.packet(build(length=1000, sport=fields.pop("sport", 1000)), **fields) for _ in range(count)]
    for packet in packets:
        dev.xmit(packet)
    return packets


def balanced(net: Namespace, held: int = 0) -> bool:
    account = net.account
    assert not account.problems
    assert sum(account.close().values()) == held
    return account.in_packets == account.sent + account.dropped + account.freed_packets + held


@pytest.mark.parametrize(("script", "fates"), [
    ("pfifo limit 2", "sent sent sent dropped dropped"), ("bfifo limit 2500", "sent sent sent dropped dropped"),
    ("pfifo_head_drop limit 2", "sent dropped dropped sent sent"), ("pfifo limit 0", "dropped " * 5),
])
def test_a_full_fifo(script: str, fates: str) -> None:
    net, dev = network(f"tc qdisc add dev eth0 root {script}")
    packets = burst(net, dev, 5)
    net.loop.run()
    assert [packet.fate for packet in packets] == fates.split()
    assert dev.qdisc.kernel_view.drops == fates.split().count("dropped")
    assert balanced(net)


def test_prio_serves_lower_bands_first() -> None:
    net, dev = network("tc qdisc add dev eth0 root handle 1: prio")
    packets = [*burst(net, dev, 1), *burst(net, dev, 1, priority=2), *burst(net, dev, 1, priority=6),
               *burst(net, dev, 1, priority=0x10001)]
    net.loop.run()
    assert sorted(packets, key=lambda packet: packet.departure) == [packets[0], packets[2], packets[3], packets[1]]
    assert balanced(net)


def test_prio_with_fewer_bands_drops_what_the_others_hold() -> None:
    net, dev = network("tc qdisc add dev eth0 root handle 1: prio")
    burst(net, dev, 1)
    burst(net, dev, 3, priority=2)
    run_script("tc qdisc change dev eth0 root handle 1: prio bands 2 priomap 0 1 1 1 1 1 0 0 1 1 1 1 1 1 1 1", net)
    assert (dev.qdisc.kernel_view.qlen, dev.qdisc.kernel_view.backlog) == (0, 0)
    net.loop.run()
    assert (net.account.sent, net.account.dropped) == (1, 3) and balanced(net)


def test_tbf_shapes_to_its_rate_after_the_burst() -> None:
    net, dev = network("tc qdisc add dev eth0 root tbf rate 80kbit burst 2000 limit 100k", rate=1000 * MBIT)
    packets = burst(net, dev, 5)
    net.loop.run()
    assert [packet.departure // 1_000_000 for packet in packets] == [0, 0, 100, 200, 300]
    assert dev.qdisc.kernel_view.overlimits == 3 and balanced(net)


def test_tbf_peakrate_spaces_the_burst() -> None:
    net, dev = network("tc qdisc add dev eth0 root tbf rate 80kbit burst 3000 limit 100k peakrate 800kbit mtu 1000",
                       rate=1000 * MBIT)
    packets = burst(net, dev, 4)
    net.loop.run()
    assert [packet.departure // 1_000_000 for packet in packets] == [0, 10, 20, 100] and balanced(net)


def test_tbf_drops_what_never_fits() -> None:
    net, dev = network("tc qdisc add dev eth0 root tbf rate 80kbit burst 999 limit 100k")
    burst(net, dev, 1)
    assert net.account.dropped == 1 == dev.qdisc.kernel_view.drops


def test_netem_delays_and_loses_by_the_seed() -> None:
    net, dev = network("tc qdisc add dev eth0 root netem delay 10ms loss 50% limit 100", rate=1000 * MBIT)
    packets = burst(net, dev, 40)
    net.loop.run()
    sent = [packet for packet in packets if packet.fate == "sent"]
    assert 8 < len(sent) < 32 and all(packet.departure >= 10_000_000 for packet in sent)
    assert balanced(net)


def test_netem_jitter_reorders() -> None:
    net, dev = network("tc qdisc add dev eth0 root netem delay 10ms 5ms", rate=1000 * MBIT)
    packets = burst(net, dev, 20)
    net.loop.run()
    order = sorted(packets, key=lambda packet: packet.departure)
    assert order != packets and len(order) == 20
    assert all(5_000_000 <= packet.departure <= 16_000_000 for packet in packets) and balanced(net)


def test_fq_codel_gives_each_flow_its_turn() -> None:
    net, dev = network("tc qdisc add dev eth0 root fq_codel quantum 1000")
    big = burst(net, dev, 6, sport=1)
    small = burst(net, dev, 1, sport=2)
    net.loop.run()
    assert sorted([*big, *small], key=lambda packet: packet.departure).index(small[0]) <= 2 and balanced(net)


def test_fq_codel_over_its_limit_drops_from_the_fattest_flow() -> None:
    net, dev = network("tc qdisc add dev eth0 root fq_codel limit 10 drop_batch 4")
    fat, thin = burst(net, dev, 10, sport=1), burst(net, dev, 3, sport=2)
    net.loop.run()
    assert all(packet.fate == "sent" for packet in thin)
    assert [packet.fate for packet in fat].count("dropped") == 4 == dev.qdisc.kernel_view.drops and balanced(net)


@pytest.mark.parametrize("ecn", [False, True])
def test_codel_drops_or_marks_a_standing_queue(ecn: bool) -> None:
    net, dev = network("tc qdisc add dev eth0 root fq_codel", rate=MBIT)
    packets = []
    for tick in range(400):  # 8 ms each for the link, one every 7 ms
        data = build(length=1000, tos=2 if ecn else 0)
        net.loop.at(tick * 7_000_000, lambda data: packets.append(net.packet(data)) or dev.xmit(packets[-1]), data)
    net.loop.run()
    qdisc: Any = dev.qdisc
    marked = sum(packet.fate == "sent" and dissect(packet).tos == 3 for packet in packets)
    assert marked == qdisc.counts.ecn_mark and bool(marked) == ecn
    assert bool(net.account.dropped) != ecn and balanced(net)
    waits = [packet.departure - packet.arrival for packet in packets[-50:] if packet.fate == "sent"]
    assert ecn or max(waits) < 60_000_000, "the queue is short again"


def test_marking_keeps_the_checksum_right() -> None:
    net, _ = network()
    skb = net.packet(build(tos=1))
    assert set_ce(skb) and skb.payload()[15] == 3
    header = skb.payload()[14:34]
    assert sum(int.from_bytes(header[at:at + 2], "big") for at in range(0, 20, 2)) % 0xFFFF == 0
    six = net.packet(build(src="fd00::1", dst="fd00::2", tos=2))
    assert set_ce(six) and dissect(six).tos == 3
    assert not set_ce(net.packet(build())) and not set_ce(net.packet(b"x" * 60))


def test_mq_spreads_flows_and_takes_turns() -> None:
    net, dev = network("tc qdisc add dev eth0 root handle 1: mq", queues=4)
    for sport in range(1, 41):
        burst(net, dev, 1, sport=sport)
    classes: list[Any] = list(dev.qdisc.walk())  # type: ignore[attr-defined]
    assert all(cl.child.kernel_view.qlen + cl.child.kernel_view.packets > 2 for cl in classes)
    net.loop.run()
    assert net.account.sent == 40 and balanced(net)


def test_skbedit_at_egress_picks_the_queue() -> None:
    net, dev = network("tc qdisc add dev eth0 root handle 1: mq; tc qdisc add dev eth0 clsact\n"
                       "tc filter add dev eth0 egress matchall action skbedit queue_mapping 2", queues=4)
    burst(net, dev, 5)
    net.loop.run()
    assert [cl.child.kernel_view.packets for cl in dev.qdisc.walk()] == [0, 0, 5, 0]  # type: ignore[attr-defined]


def test_replacing_a_qdisc_drops_what_it_holds_but_not_what_is_on_the_wire() -> None:
    net, dev = network("tc qdisc add dev eth0 root handle 1: prio\n"
                       "tc qdisc add dev eth0 parent 1:2 handle 20: pfifo limit 10")
    burst(net, dev, 4)
    run_script("tc qdisc replace dev eth0 parent 1:2 handle 21: bfifo", net)
    assert (net.account.dropped, dev.qdisc.kernel_view.qlen) == (3, 0)
    burst(net, dev, 2)
    run_script("tc qdisc replace dev eth0 root handle 2: fq_codel", net)
    net.loop.run()
    assert (net.account.sent, net.account.dropped) == (1, 5) and balanced(net)


def test_a_device_that_is_down_sends_nothing_and_keeps_nothing() -> None:
    net, dev = network("tc qdisc add dev eth0 root pfifo")
    burst(net, dev, 4)
    run_script("ip link set eth0 down", net)
    assert net.account.dropped == 3
    burst(net, dev, 2)
    run_script("ip link set eth0 up", net)
    burst(net, dev, 1)
    net.loop.run()
    assert (net.account.sent, net.account.dropped) == (2, 5) and balanced(net)


def test_down_takes_the_devices_packets_out_of_rbtree_maps() -> None:
    net, dev = network()
    other = net.add_device("eth1", up=True)
    table = _kptr_map(net)
    for number, owner in enumerate((dev, other, dev)):
        skb = net.packet(build(length=1000))
        skb.dev = owner
        key = bytes([number])
        assert table.update(key, bytes(8), 0) == 0
        table.find(key).data[:] = skb.ptr.to_bytes(8, "little")
        net.kernel.refs.move(skb, "network", table.holder)
    dev.set_up(False)
    assert [key for key in (b"\0", b"\1", b"\2") if table.find(key) is not None] == [b"\1"]
    assert net.account.dropped == 2 and balanced(net, held=1)


def _kptr_map(net: Namespace) -> Any:
    from ebpfvm.maps.rbtree import Rbtree
    table = Rbtree(net.kernel, MapSpec(name="queue", type="rbtree", key_size=1, value_size=8, max_entries=10))
    table._kptrs = (0,)
    net.kernel.maps[1] = table
    return table


# ---- classes of the RFC's qdisc ------------------------------------------------------------------------------

class Body:
    """A program whose body is a Python function of the context."""

    def __init__(self, name: str, body: Callable[[Any], int]) -> None:
        self.prog: Any = SimpleNamespace(name=name, id=1)
        self.body = body

    def __call__(self, ctx: Any) -> int:
        return self.body(ctx)

    def tail(self, ctx: Any) -> int:
        raise NotImplementedError

    def callback(self, pc: int, args: tuple[int, ...]) -> int:
        raise NotImplementedError


PASS, DROP = 4, 1


def passing(minor: int | Callable[[Any], int]) -> Body:
    """Passes to a class of its qdisc."""
    def body(ctx: Any) -> int:
        ctx.classid |= minor if isinstance(minor, int) else minor(ctx)
        return PASS
    return Body("pass", body)


def classful(children: str, enqueue: int = 1, dequeue: int = 1) -> tuple[Namespace, NetDev]:
    net, dev = network()
    dev.set_root(SchBpf(dev, 0x10000, passing(enqueue), passing(dequeue)))
    run_script(children, net)
    return net, dev


@pytest.mark.parametrize("child", [
    "pfifo limit 3", "bfifo limit 3000", "prio", "tbf rate 8mbit burst 10k limit 100k", "fq_codel", "netem delay 1ms",
    "pfifo_head_drop limit 2"])
def test_any_qdisc_can_be_the_child_of_a_class(child: str) -> None:
    net, dev = classful(f"tc class add dev eth0 parent 1: classid 1:1 bpf; tc qdisc add dev eth0 parent 1:1 {child}")
    burst(net, dev, 6)
    net.loop.run()
    while dev.qdisc.kernel_view.qlen:  # an empty wire is filled again when somebody asks
        dev.run()
        net.loop.run()
    stats = dev.qdisc.kernel_view
    assert (stats.packets, stats.qlen, stats.backlog) == (net.account.sent, 0, 0)
    assert stats.drops == net.account.dropped and balanced(net)


def test_a_bpf_qdisc_under_a_bpf_qdisc() -> None:
    net, dev = classful("tc class add dev eth0 parent 1: classid 1:1 bpf")
    outer: Any = dev.qdisc
    inner = SchBpf(dev, 0x20000, passing(3), passing(3))
    outer.graft(outer.find(0x10001), inner)
    run_script("tc class add dev eth0 parent 2: classid 2:3 bpf; tc qdisc add dev eth0 parent 2:3 pfifo limit 2", net)
    burst(net, dev, 5)
    net.loop.run()
    assert (net.account.sent, outer.kernel_view.drops, inner.kernel_view.drops) == (3, 2, 2) and balanced(net)


def test_pass_to_no_class_drops_and_counts() -> None:
    net, dev = classful("tc class add dev eth0 parent 1: classid 1:2 bpf")
    burst(net, dev, 2)
    assert (dev.qdisc.kernel_view.drops, net.account.dropped) == (2, 2)
    run_script("tc class add dev eth0 parent 1: classid 1:1 bpf", net)  # a class without a child drops too
    burst(net, dev, 1)
    assert dev.qdisc.kernel_view.drops == 3 and balanced(net)


@pytest.mark.parametrize(("classid", "message"), [
    ("1:0", "EINVAL"), ("2:1", "Failed to find|EINVAL"), ("1:1", "EEXIST")])
def test_class_ids_that_cannot_be(classid: str, message: str) -> None:
    net, _ = classful("tc class add dev eth0 parent 1: classid 1:1 bpf")
    with pytest.raises(Exception, match=message):
        run_script(f"tc class add dev eth0 parent 1: classid {classid} bpf", net)


def test_deleting_a_class_drops_what_its_child_holds() -> None:
    net, dev = classful("tc class add dev eth0 parent 1: classid 1:1 bpf; tc qdisc add dev eth0 parent 1:1 pfifo")
    burst(net, dev, 4)
    run_script("tc class del dev eth0 classid 1:1", net)
    net.loop.run()
    assert (net.account.sent, net.account.dropped, dev.qdisc.kernel_view.qlen) == (1, 3, 0) and balanced(net)


def test_throttle_counts_on_the_class_it_names() -> None:
    net, dev = network()

    def throttle(ctx: Any) -> int:
        ctx.classid |= 1
        ctx.delay = 1_000_000_000
        return 3

    dev.set_root(SchBpf(dev, 0x10000, passing(1), Body("throttle", throttle)))
    run_script("tc class add dev eth0 parent 1: classid 1:1 bpf; tc qdisc add dev eth0 parent 1:1 pfifo", net)
    burst(net, dev, 1)
    shown = run_script("tc -s class show dev eth0", net)
    assert shown[:2] == ["class bpf 1:1 parent 1: leaf 8001: ",
                         " Sent 0 bytes 0 pkt (dropped 0, overlimits 1 requeues 0) "]
    run_script("tc qdisc del dev eth0 root", net)
    net.loop.run()
    assert balanced(net)


# ---- the helper ----------------------------------------------------------------------------------------------

def test_tc_classify_asks_any_qdisc_of_any_device() -> None:
    net, dev = network("ip link add eth1 type dummy; tc qdisc add dev eth1 root handle 7: prio\n"
                       "tc filter add dev eth1 parent 7: protocol ip flower ip_proto udp classid 7:3")
    skb = net.packet(build())
    other = net.device("eth1").ifindex
    assert net.tc_classify(skb, other, 0x70000) == 0x70003
    assert net.tc_classify(net.packet(build("tcp")), other, 0x70000) == 0
    assert net.tc_classify(skb, dev.ifindex, 0x70000) == 0, "the handle is of another device"
    assert net.tc_classify(skb, 99, 0x70000) == 0
    assert net.tc_classify(skb, other, 0x70002) == 0, "classes of prio have no filters of their own"
    assert net.tc_classify(skb, dev.ifindex, 0) == 0


@pytest.mark.parametrize("action", ["drop", "trap", "mirred egress redirect dev eth0"])
def test_tc_classify_of_a_packet_that_an_action_took_is_none(action: str) -> None:
    net, dev = network("ip link add eth1 type dummy; tc qdisc add dev eth1 root handle 7: prio\n"
                       f"tc filter add dev eth1 parent 7: protocol ip matchall classid 7:3 action {action}")
    skb = net.packet(build())
    assert net.tc_classify(skb, net.device("eth1").ifindex, 0x70000) == 0
    net.loop.run()
    assert dev.dequeued == ("mirred" in action)


@pytest.mark.parametrize(("result", "problems"), [(DROP, 0), (0, 1), (PASS, 1)])
def test_a_packet_that_a_filter_redirected_is_not_the_programs_any_more(result: int, problems: int) -> None:
    net, dev = network("ip link add eth1 type dummy; ip link set eth1 up")

    def enqueue(ctx: Any) -> int:
        assert net.tc_classify(ctx.packet, dev.ifindex, 0x10000) == 0
        return result

    dev.set_root(SchBpf(dev, 0x10000, Body("enqueue", enqueue), Body("nothing", lambda ctx: DROP)))
    run_script("tc filter add dev eth0 parent 1: matchall action mirred egress redirect dev eth1", net)
    burst(net, dev, 1)
    net.loop.run()
    assert (net.account.sent, len(net.account.problems)) == (1, problems)


@pytest.mark.parametrize("root", ["prio", "fq_codel"])
def test_trapped_packets_are_freed(root: str) -> None:
    net, dev = network(f"tc qdisc add dev eth0 root handle 1: {root}\n"
                       "tc filter add dev eth0 parent 1: matchall action trap")
    burst(net, dev, 2)
    assert (net.account.dropped, dev.qdisc.kernel_view.drops) == (2, 0) and balanced(net)


def test_packets_trapped_at_a_hook_are_freed() -> None:
    net, dev = network("tc qdisc add dev eth0 clsact; tc filter add dev eth0 egress matchall action trap")
    burst(net, dev, 2)
    assert net.account.dropped == 2 and balanced(net)
