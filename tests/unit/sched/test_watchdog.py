"""The timer of a qdisc: whom it wakes, and how long it keeps a run alive."""

from __future__ import annotations

from typing import Any

import pytest

from ebpfvm.dialects import rfc6
from ebpfvm.errors import Fault
from ebpfvm.kernel import Kernel
from ebpfvm.sched import sch_generic
from ebpfvm.sched.netdev import Namespace, NetDev
from ebpfvm.sched.sch_generic import NET_XMIT_SUCCESS, Qdisc
from tests.unit.sched.kit import Bench, packets

THROTTLE = 3
MINUTE = 60_000_000_000


def poll(bench: Bench, delay: int) -> Any:
    """A dequeue program that looks again after `delay` ns whenever it finds nothing."""
    def dequeue(ctx: Any) -> int:
        ctx.delay = delay
        return bench.fifo.dequeue(ctx) and THROTTLE
    return dequeue


def test_polling_an_empty_queue_does_not_keep_a_run_alive() -> None:
    bench = Bench()
    result = bench.run(packets(0, 5_000_000), dequeue=poll(bench, 1000))
    assert (result.ok, result.out_packets, result.duration) == (True, 2, 6_000_000)


def test_polling_an_empty_queue_is_no_livelock(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sch_generic, "MAX_IDLE_WAKEUPS", 100)
    bench = Bench()
    result = bench.run(packets(0, 900_000_000), dequeue=poll(bench, 1_000_000), duration=MINUTE // 20)
    assert (result.ok, result.out_packets) == (True, 2)


def test_polling_while_time_stands_still_is_a_livelock(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sch_generic, "MAX_IDLE_WAKEUPS", 100)
    bench = Bench()
    with pytest.raises(Fault, match="throttles and never returns a packet"):
        bench.run(packets(0, 900_000_000), dequeue=poll(bench, 0))


def test_a_lost_packet_does_not_hide_that_time_stands_still(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sch_generic, "MAX_IDLE_WAKEUPS", 100)
    bench = Bench()
    with pytest.raises(Fault, match="throttles and never returns a packet"):
        bench.run(packets(0, 900_000_000), enqueue=lambda ctx: 0, dequeue=poll(bench, 0))


def test_a_packet_that_waits_keeps_the_run_alive() -> None:
    bench = Bench()
    result = bench.run(packets(0), dequeue=lambda ctx: late(bench, ctx, 1_000_000_000 + MINUTE))
    assert (result.ok, result.out_packets, result.duration) == (True, 1, MINUTE + 1_000_000)


def late(bench: Bench, ctx: Any, start: int) -> int:
    ctx.delay = 6_000_000
    return THROTTLE if bench.kernel.clock < start else bench.fifo.dequeue(ctx)


def test_a_lost_packet_waits_for_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sch_generic, "MAX_IDLE_WAKEUPS", 100)
    bench = Bench()
    result = bench.run(packets(0), enqueue=lambda ctx: 0, dequeue=poll(bench, 1000))
    assert [problem.kind for problem in result.problems] == ["lost"]


class Keeper(Qdisc):
    """Keeps its packets; with a delay, it polls."""

    kind = "keeper"
    delay = 0

    def enqueue(self, skb: Any, to_free: list[Any]) -> int:
        return NET_XMIT_SUCCESS

    def dequeue(self) -> None:
        if self.delay:
            self.watchdog.schedule(self.dev.loop.now + self.delay)


def keepers() -> tuple[Namespace, NetDev, NetDev]:
    net = Namespace(Kernel(rfc6()))
    first, second = (net.add_device(name, up=True) for name in ("eth0", "eth1"))
    for number, dev in enumerate((first, second), 1):
        dev.set_root(Keeper(dev, number << 16))
    return net, first, second


def test_packets_of_another_device_do_not_wait_for_the_timer(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sch_generic, "MAX_IDLE_WAKEUPS", 100)
    net, first, second = keepers()
    assert isinstance(second.qdisc, Keeper)
    second.qdisc.delay = 1000
    first.xmit(net.packet(bytes(60)))
    second.run()
    net.loop.run()
    assert net.loop.now <= 102 * 1000
    second.xmit(net.packet(bytes(60)))
    with pytest.raises(Fault, match="throttles and never returns a packet"):
        net.loop.run()


def test_a_cancelled_timer_does_not_keep_a_run_alive() -> None:
    net, first, _ = keepers()
    first.xmit(net.packet(bytes(60)))
    first.qdisc.watchdog.schedule(1 << 40)
    first.qdisc.watchdog.cancel()
    net.loop.run()
    assert (net.loop.now, net.loop.armed) == (0, set())
