"""Qdiscs whose effect depends on the device or on exact times, of which there is no recording."""

from __future__ import annotations

from ebpfvm.kernel import Kernel
from ebpfvm.sched.netdev import Namespace
from ebpfvm.sched.packet import build
from ebpfvm.sched.qdiscs.cake_autorate import Autorate
from ebpfvm.sched.tc.script import run_script
from ebpfvm.sched.wire import Link

MS = 1_000_000


def test_autorate_follows_the_peaks_of_what_arrives() -> None:
    estimate, rates, now = Autorate(0), [], 10_000 * MS
    for number in range(4000):
        now += MS if number % 4 else 2 * MS  # 1000 bytes in 1.25 ms: 800,000 bytes a second
        rate = estimate.arrived(1000, now, True)
        rates += [rate] if rate is not None else []
    assert 700_000 < estimate.peak < 1_100_000
    assert rates
    assert rates[-1] <= estimate.peak
    assert rates[-1] > 650_000


def test_autorate_that_is_off_estimates_nothing() -> None:
    estimate = Autorate(5000)
    assert [estimate.arrived(1000, number * MS, False) for number in range(1, 500)] == [None] * 499
    assert estimate.peak == 5000


def test_a_device_without_a_queue_drops_what_comes_while_it_sends() -> None:
    net = Namespace(Kernel())
    net.add_device("eth0", up=True, link=Link(1_000_000))
    run_script("tc qdisc add dev eth0 root noqueue", net)
    for _ in range(3):
        net.device("eth0").xmit(net.packet(build(length=1000)))
    net.loop.run()
    net.device("eth0").xmit(net.packet(build(length=1000)))
    net.loop.run()
    assert (net.account.sent, net.account.dropped) == (2, 2)


def test_a_black_hole_drops_everything() -> None:
    net = Namespace(Kernel())
    net.add_device("eth0", up=True)
    run_script("tc qdisc add dev eth0 root blackhole", net)
    for _ in range(3):
        net.device("eth0").xmit(net.packet(build(length=1000)))
    net.loop.run()
    shown = run_script("tc -s qdisc show dev eth0", net)
    assert (net.account.sent, net.account.dropped) == (0, 3)
    assert shown[1] == " Sent 0 bytes 0 pkt (dropped 3, overlimits 0 requeues 0) "


def test_multiq_serves_the_queues_that_filters_choose_in_turn() -> None:
    net = Namespace(Kernel())
    net.add_device("eth0", num_tx_queues=4, up=True, link=Link(1_000_000))
    run_script("tc qdisc add dev eth0 root handle 1: multiq\n"
               "tc filter add dev eth0 parent 1: protocol ip prio 1 u32 match ip dport 2 0xffff "
               "action skbedit queue_mapping 2\n"
               "tc filter add dev eth0 parent 1: protocol ip prio 2 u32 match ip dport 3 0xffff "
               "action skbedit queue_mapping 3", net)
    for port in (2, 3, 2, 3, 2, 3):
        net.device("eth0").xmit(net.packet(build(dport=port, length=500)))
    net.loop.run()
    shown = "\n".join(run_script("tc -s class show dev eth0", net))
    assert net.account.sent == 6
    assert [int(line.split()[3]) for line in shown.split("\n") if "Sent" in line] == [0, 0, 3, 3]
