"""Every built-in kind in a simulation: whatever happens to packets, each has one fate, and `tc` can show all of it."""

from __future__ import annotations

import random
from typing import Final

import pytest

from ebpfvm.kernel import Kernel
from ebpfvm.sched.netdev import Namespace
from ebpfvm.sched.packet import build
from ebpfvm.sched.qdiscs.kinds import QDISCS
from ebpfvm.sched.tc.script import run_script
from ebpfvm.sched.wire import Link

CLASSES: Final = {
    "drr": ("parent 1: classid 1:1 drr", "parent 1: classid 1:2 drr quantum 500"),
    "qfq": ("parent 1: classid 1:1 qfq weight 3", "parent 1: classid 1:2 qfq weight 1"),
    "htb": ("parent 1: classid 1:9 htb rate 2mbit", "parent 1:9 classid 1:1 htb rate 500kbit ceil 2mbit",
            "parent 1:9 classid 1:2 htb rate 1mbit ceil 2mbit prio 1"),
    "hfsc": ("parent 1: classid 1:1 hfsc sc rate 2mbit",
             "parent 1: classid 1:2 hfsc rt m1 1mbit d 10ms m2 200kbit ls rate 1mbit ul rate 2mbit")}
OPTIONS: Final = (
    "pfifo limit 9", "bfifo limit 9000", "pfifo_head_drop limit 5", "pfifo_fast", "prio",
    "ets strict 1 quanta 500 1000", "drr", "qfq", "htb default 1", "hfsc default 2", "fq maxrate 1mbit",
    "fq_codel flows 4 limit 20", "codel ecn", "fq_pie limit 30", "pie ecn", "sfq perturb 1 limit 20",
    "red limit 30k avpkt 1000 adaptive ecn",
    "choke limit 50 bandwidth 3mbit", "gred setup DPs 3 default 1", "hhf limit 20",
    "cake bandwidth 2mbit memlimit 20k", "cake", "skbprio limit 9", "plug", "etf clockid CLOCK_TAI delta 100000",
    "cbs idleslope 2000 sendslope -8000 hicredit 300 locredit -3000", "tbf rate 2mbit burst 4k latency 50ms",
    "netem delay 5ms 2ms loss 2% duplicate 1%", "noqueue", "blackhole",
    "sfq redflowlimit 20000 min 1000 max 4000 avpkt 500 burst 4 probability 0.5 ecn headdrop",
    "red limit 20k min 2k max 6k avpkt 500 burst 8 ecn qevent early_drop block 1 qevent mark block 2",
    "cake autorate-ingress ack-filter-aggressive memlimit 20k")


def test_no_kind_is_left_out() -> None:
    others = {"bpf", "clsact", "ingress", "mq", "multiq"}
    assert {options.split()[0] for options in OPTIONS} == set(QDISCS) - others


def network(options: str) -> Namespace:
    net = Namespace(Kernel())
    net.add_device("eth0", up=True, link=Link(3_000_000))
    kind = options.split()[0]
    run_script(f"tc qdisc add dev eth0 root handle 1: {options}", net)
    for words in CLASSES.get(kind, ()):
        run_script(f"tc class add dev eth0 {words}", net)
    if kind in CLASSES:
        run_script("tc filter add dev eth0 parent 1: handle 1 fw classid 1:1; "
                   "tc filter add dev eth0 parent 1: handle 2 fw classid 1:2", net)
    if kind == "gred":
        run_script("tc qdisc change dev eth0 root handle 1: gred limit 20k min 3k max 9k avpkt 1000 burst 6 DP 1", net)
    return net


@pytest.mark.parametrize("options", OPTIONS)
def test_every_packet_has_one_fate(options: str) -> None:
    net, dice, when = network(options), random.Random(options), 0
    dev = net.device("eth0")

    def send(frame: tuple[bytes, int, int, int]) -> None:
        data, mark, priority, tstamp = frame
        dev.xmit(net.packet(data, mark=mark, priority=priority, tstamp=tstamp))

    for _ in range(300):
        when += dice.randrange(4_000_000)
        data = build(length=dice.randrange(60, 1514), sport=1000 + dice.randrange(6), tos=dice.choice((0, 2, 32, 184)))
        tstamp = net.loop.now + when + dice.randrange(20_000_000) if options.startswith("etf") else 0
        net.loop.at(net.loop.now + when, send, (data, dice.randrange(3), dice.randrange(8), tstamp))
    net.loop.run()
    stats = dev.qdisc.shown_stats
    assert net.account.inside == stats.qlen and not net.account.problem_count
    for flags in ("-s -d", "-j -s -d"):
        assert run_script(f"tc {flags} qdisc show dev eth0; tc {flags} class show dev eth0", net)
    run_script("tc qdisc del dev eth0 root", net)
    assert not net.account.inside and not net.account.problem_count
