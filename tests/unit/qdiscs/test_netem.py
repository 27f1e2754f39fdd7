"""netem does to packets what Linux 7.2's does: the same seed, the same fates; times and slots by their rules."""

from __future__ import annotations

import json
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from ebpfvm.kernel import Kernel
from ebpfvm.sched.netdev import Namespace, NetDev
from ebpfvm.sched.packet import build
from ebpfvm.sched.qdiscs.netem_chance import (
    Correlated,
    Prng,
    normal_table,
    pareto_table,
    paretonormal_table,
    tabledist,
)
from ebpfvm.sched.tc.lexer import ScriptError
from ebpfvm.sched.tc.script import run_script
from ebpfvm.sched.wire import Link

RECORD: dict[str, list[str]] = json.loads(
    (Path(__file__).parents[2] / "data" / "netem_sequences.json").read_text())["sequences"]
MS = 1_000_000


def path(options: str, seed: int = 1) -> tuple[Namespace, NetDev]:
    """Return a namespace with a fast device whose root is a netem."""
    net = Namespace(Kernel(seed=seed))
    dev = net.add_device("eth0", link=Link(8_000_000_000_000), up=True)
    run_script(f"tc qdisc add dev eth0 root handle 1: netem {options}", net)
    return net, dev


def delays(options: str, count: int = 1, *, length: int = 1000, seed: int = 1, gap: int = 0) -> list[int]:
    """Return how long each of `count` packets takes, which come `gap` ns apart, in whole microseconds."""
    net, dev = path(options, seed)
    packets = []
    for _ in range(count):
        packets.append(net.packet(build(length=length)))
        dev.xmit(packets[-1])
        net.loop.run(net.loop.now + gap)
    net.loop.run()
    return [(packet.departure - packet.arrival) // 1000 * 1000 for packet in packets]  # the wire takes a few ns


@pytest.mark.parametrize("options", RECORD)
def test_packets_meet_the_fates_that_a_kernel_gives_them(options: str) -> None:
    net, dev = path(options)
    stats, last = dev.qdisc.kernel_view, (0, 0, 0)
    for number, expected in enumerate(RECORD[options]):
        dev.xmit(net.packet(build(length=100)))
        now = stats.packets + stats.qlen, stats.drops, stats.requeues
        assert "".join(str(after - before) for after, before in zip(now, last, strict=True)) == expected, number
        last = now
        net.loop.run(net.loop.now + 5 * MS)


def test_the_generator_is_the_published_one() -> None:
    prng = Prng(5)
    values = [prng() for _ in range(10_000)]
    assert len(set(values)) > 9_990
    assert abs(sum(values) / len(values) / (1 << 31) - 1) < 0.02


@pytest.mark.parametrize(("table", "first", "last"), [
    (normal_table(), (-32768, -28307, -26871), (26164, 27159, 28858)),
    (pareto_table(), (-5461, -5460, -5460), (32767, 32767, 32767)),
    (paretonormal_table(), (-12305, -11171, -10812), (31116, 31365, 31789))])
def test_tables_begin_and_end_as_those_that_tc_comes_with(table: tuple[int, ...], first: tuple[int, ...],
                                                          last: tuple[int, ...]) -> None:
    assert (len(table), table[:3], table[-3:]) == (4096, first, last)


@pytest.mark.parametrize(("sigma", "entry", "expected"), [
    (0, 5, 100), (8192, 8192, 100 + 8192), (8192, -4096, 100 - 4096), (1, 8192, 101), (3, 4096, 102), (3, -4096, 98),
    (20_000_000, -8192, 100 - 20_000_000)])
def test_a_table_is_scaled_to_the_jitter(sigma: int, entry: int, expected: int) -> None:
    assert tabledist(100, sigma, lambda: 0, (entry,)) == expected


def test_correlated_numbers_follow_their_predecessors() -> None:
    def spread(rho: int) -> float:
        draw = Correlated(Prng(3), rho, 1 << 31)
        values = [draw() for _ in range(2000)]
        return sum(abs(a - b) for a, b in pairwise(values)) / len(values)

    assert spread(0xE0000000) < spread(0x80000000) < spread(0)


def test_delay_and_jitter() -> None:
    assert delays("delay 10ms") == [10 * MS]
    found = delays("delay 10ms 2ms", 300, gap=50 * MS)
    assert all(8 * MS <= delay < 12 * MS for delay in found)
    assert min(found) < 8.2 * MS and max(found) > 11.8 * MS
    assert delays("delay 10ms 2ms", 20, seed=1) != delays("delay 10ms 2ms", 20, seed=2)
    assert delays("delay 10ms 2ms", 20, seed=3) == delays("delay 10ms 2ms", 20, seed=3)
    assert delays("delay 10ms 2ms seed 4", 20, seed=1) == delays("delay 10ms 2ms seed 4", 20, seed=2)


def test_distributions(tmp_path: Path) -> None:
    normal = delays("delay 100ms 10ms distribution normal seed 1", 400, gap=300 * MS)
    mean = sum(normal) / len(normal)
    deviation = (sum((delay - mean) ** 2 for delay in normal) / len(normal)) ** 0.5
    assert abs(mean - 100 * MS) < 2 * MS
    assert abs(deviation - 10 * MS) < 1.5 * MS
    pareto = delays("delay 100ms 10ms distribution pareto seed 1", 400, gap=300 * MS)
    assert sorted(pareto)[200] < 100 * MS - 2 * MS  # most are early, few are very late
    assert max(pareto) > 125 * MS
    table = tmp_path / "two.dist"
    table.write_text("# two quantiles\n-8192 8192\n")
    assert set(delays(f"delay 100ms 10ms distribution {table}", 40, gap=300 * MS)) == {90 * MS, 110 * MS}


@pytest.mark.parametrize("text", ["", "# nothing\n", "1 x 2", "40000", "-32769", "1.5", "\u00e9", "9" * 5000,
                                  "1 " * 16385])
def test_a_distribution_that_is_none_is_refused(tmp_path: Path, text: str) -> None:
    table = tmp_path / "bad.dist"
    table.write_text(text)
    with pytest.raises(ScriptError, match="distribution"):
        path(f"delay 100ms 10ms distribution {table}")


def test_a_rate_takes_turns_and_counts_cells() -> None:
    assert delays("rate 8mbit", 3) == [1 * MS, 2 * MS, 3 * MS]
    assert delays("rate 8mbit 20", 1) == [1_020_000]
    assert delays("rate 8mbit -200", 1) == [800_000]
    assert delays("rate 8mbit 0 48 5", 1) == [21 * 53 * 1000]
    assert delays("delay 5ms rate 8mbit", 2) == [6 * MS, 7 * MS]  # the second's delay passes while the first is sent


def test_slots_let_packets_go_together() -> None:
    assert delays("slot 10ms 10ms packets 2", 5) == [0, 0, 10 * MS, 10 * MS, 20 * MS]
    assert delays("slot 10ms 10ms bytes 2500", 4) == [0, 0, 0, 10 * MS]
    found = delays("slot 5ms 20ms packets 1", 40)
    steps = [after - before for before, after in pairwise(found)]
    assert all(5 * MS <= step < 20 * MS for step in steps)


def test_reordered_packets_go_first() -> None:
    net, dev = path("delay 10ms reorder 100% gap 3")
    packets = [net.packet(build(length=100)) for _ in range(6)]
    for packet in packets:
        dev.xmit(packet)
    net.loop.run()
    assert [packet.departure - packet.arrival < MS for packet in packets] == [False, False, True] * 2


def test_corruption_flips_one_bit() -> None:
    net, dev = path("corrupt 100%")
    data = build(length=100)
    seen: list[bytes] = []
    dev.observer = lambda event, time, skb, result, ctx: seen.append(skb.payload()) if event == "sent" else None
    dev.xmit(net.packet(data))
    net.loop.run()
    changed = int.from_bytes(seen[0], "big") ^ int.from_bytes(data, "big")
    assert changed.bit_count() == 1


def test_ecn_marks_what_would_be_lost() -> None:
    net, dev = path("loss 100% ecn")
    marked, lost = net.packet(build(tos=2)), net.packet(build(tos=0))
    dev.xmit(marked)
    dev.xmit(lost)
    net.loop.run()
    assert (marked.fate, marked.payload()[15] & 3, lost.fate) == ("sent", 3, "dropped")


def test_duplicates_are_packets_of_their_own() -> None:
    net, dev = path("duplicate 100%")
    for _ in range(5):
        dev.xmit(net.packet(build()))
    net.loop.run()
    assert (net.account.in_packets, net.account.sent) == (10, 10)
    assert net.account.close() == {} and not net.account.problems


def test_packets_pass_to_the_child_when_their_time_has_come() -> None:
    net, dev = path("delay 10ms")
    run_script("tc qdisc add dev eth0 parent 1:7 handle 10: tbf rate 8mbit burst 1000 limit 3000", net)
    packets = [net.packet(build(length=1000)) for _ in range(4)]
    for packet in packets:
        dev.xmit(packet)
    net.loop.run()
    assert [packet.departure // MS for packet in packets[:3]] == [10, 11, 12]
    assert packets[3].fate == "dropped"  # the tbf was full
    assert (dev.qdisc.kernel_view.qlen, dev.qdisc.kernel_view.backlog, dev.qdisc.kernel_view.drops) == (0, 0, 1)


@pytest.mark.parametrize(("line", "kept"), [
    ("limit 7", "limit 7 reorder 25% corrupt 1% rate 8Mbit slot 1ms 2ms seed 3 ecn"),
    ("delay 1ms", "limit 1000 delay 1ms reorder 25% corrupt 1% rate 8Mbit slot 1ms 2ms seed 3 ecn"),
    ("rate 0", "limit 1000 reorder 25% corrupt 1% slot 1ms 2ms seed 3 ecn"),
    ("corrupt 0%", "limit 1000 reorder 25% rate 8Mbit slot 1ms 2ms seed 3 ecn")])
def test_a_change_keeps_what_a_kernel_keeps(line: str, kept: str) -> None:
    net, dev = path("limit 50 delay 5ms 1ms loss 5% ecn reorder 25% corrupt 1% rate 8mbit slot 1ms 2ms seed 3")
    run_script(f"tc qdisc change dev eth0 root netem {line}", net)
    shown: Any = dev.qdisc
    assert shown.options().rstrip() == kept
