"""The small TCP around a program's retransmission queue."""

from __future__ import annotations

import random

import pytest

from ebpfvm.api import open_namespace
from ebpfvm.errors import UsageError
from ebpfvm.sched.tc.script import run_script
from ebpfvm.sched.tcp import Receiver, TcpSender
from ebpfvm.sched.wire import Link
from tests.unit.samples.paths import USES

RTX = str(USES / "6-tcp-retransmit" / "rtx.o")


def transfer(loss: str, seed: int = 0, size: int = 30_000, **options: int) -> tuple[TcpSender, Receiver, bytes]:
    data = random.Random(size).randbytes(size)
    isn = options.get("isn", 0)
    net = open_namespace(seed=seed, engine="interp", unverified=True)
    receiver = Receiver(isn, 1_000_000)
    dev = net.add_device("eth0", link=Link(10_000_000), sink=receiver, up=True)
    run_script(f"tc qdisc add dev eth0 root handle 1: netem loss {loss} limit 1000\ntc qdisc add dev eth0 clsact\n"
               f"tc filter add dev eth0 ingress bpf obj {RTX} section tc direct-action", net)
    assert net.load_program is not None
    sender = TcpSender(dev, net.load_program(RTX, "", "enqueue"), net.load_program(RTX, "", "dequeue"), receiver, data,
                       **options)
    net.stack = sender.acknowledged
    sender.start()
    net.loop.run()
    net.account.close()
    return sender, receiver, data


def test_without_loss_nothing_is_sent_twice() -> None:
    sender, receiver, data = transfer("0%")
    assert bytes(receiver.data) == data
    assert (sender.stats.segments, sender.stats.fast, sender.stats.timeouts) == (30, 0, 0)
    assert sender.dev.account.problem_count == 0


@pytest.mark.parametrize("seed", range(4))
def test_heavy_loss_and_wrapping_numbers(seed: int) -> None:
    sender, receiver, data = transfer("25%", seed, isn=(1 << 32) - 7000, window=8, rto=50_000_000)
    assert bytes(receiver.data) == data
    assert sender.stats.fast + sender.stats.timeouts >= sender.dev.qdisc.kernel_view.drops
    assert sender.dev.account.problem_count == 0
    unacked = next(item for item in sender.dev.account.kernel.maps.values() if item.name == "unacked")
    assert list(unacked.keys()) == []


@pytest.mark.parametrize("options", [{"size": 0}, {"mss": 0}, {"window": 0}])
def test_impossible_connections(options: dict[str, int]) -> None:
    with pytest.raises(UsageError, match="needs data to send"):
        transfer("0%", **options)
