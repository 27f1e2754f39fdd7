from __future__ import annotations

import errno
from typing import Any

import pytest

from ebpfvm.errors import Fault, UsageError
from ebpfvm.sched.sch_bpf import SchBpf
from ebpfvm.sched.sch_generic import NET_XMIT_CN, NET_XMIT_DROP, Qdisc, Stats
from ebpfvm.sched.wire import Link
from tests.unit.sched.kit import HANDLE, MAP, Bench, Fake, packets

MS = 1_000_000


def fates(result: Any) -> list[str]:
    return [record.fate for record in result.packets]


def test_queued_packets_leave_in_order_and_the_kernel_view_shows_nothing() -> None:
    result = Bench().run(packets(0, 0, 5 * MS))
    assert [record.departure for record in result.packets or ()] == [1 * MS, 2 * MS, 6 * MS]
    assert result.ok
    assert result.kernel_view == Stats()
    assert result.truth == Stats(packets=3, bytes=3000)


def test_a_dropped_packet_is_freed_and_only_the_truth_counts_it() -> None:
    bench = Bench()
    bench.fifo.limit = 1
    result = bench.run(packets(0, 0, 0, 0))
    assert fates(result) == ["sent", "sent", "dropped", "dropped"]
    assert (result.kernel_view.drops, result.truth.drops, result.dropped) == (0, 2, 2)
    assert result.flows[0].drops == 2
    assert not bench.kernel.refs.live()


@pytest.mark.parametrize("code", [1, 5, 77, (1 << 64) - 1])
def test_drop_and_every_unknown_value_drop_the_packet(code: int) -> None:
    bench = Bench()
    result = bench.run(packets(0), enqueue=lambda ctx: code)
    assert (fates(result), result.ok) == (["dropped"], True)


def test_enqueue_gets_packet_handle_and_no_delay() -> None:
    bench, seen = Bench(), []

    def enqueue(ctx: Any) -> int:
        seen.append((ctx.packet.id, ctx.classid, ctx.delay))
        return 1

    bench.run(packets(0, 0), enqueue=enqueue)
    assert seen == [(1, HANDLE, 0), (2, HANDLE, 0)]


def test_queued_without_a_reference_loses_the_packet() -> None:
    result = Bench().run(packets(0), enqueue=lambda ctx: 0)
    assert not result.ok
    assert [(problem.kind, problem.packet) for problem in result.problems] == [("lost", 1)]
    assert "last held by enq, which returned SCH_BPF_QUEUED" in result.problems[0].message


def test_cn_keeps_a_stored_packet_and_loses_another() -> None:
    bench = Bench()
    codes = []

    def enqueue(ctx: Any) -> int:
        if ctx.packet.id == 1:
            bench.fifo.store(ctx)
        return 2

    observer = Bench(observer=lambda *event: codes.append(event[3]))
    observer.run(packets(0), enqueue=lambda ctx: 2)
    result = bench.run(packets(0, 0), enqueue=enqueue)
    assert codes[0] == "CN"
    assert [problem.message.split(";")[0] for problem in result.problems] == ["packet 2 (1000 bytes) is lost"]
    assert fates(result)[0] == "sent"


def test_enqueue_returns_what_the_kernel_returns() -> None:
    bench = Bench()
    bench.run(packets(0))
    for code, expected in ((0, 0), (1, NET_XMIT_DROP), (2, NET_XMIT_CN), (3, 0), (4, NET_XMIT_DROP)):
        qdisc = bench.qdisc(enqueue=lambda ctx, code=code: code)
        packet = (bench.simulation.account.log or [])[0]
        bench.kernel.refs.add(packet, qdisc.holder)
        assert qdisc.enqueue(packet, []) == expected


def test_drop_of_a_stored_packet_is_a_double_disposition() -> None:
    bench = Bench()

    def enqueue(ctx: Any) -> int:
        bench.fifo.store(ctx)
        return 1

    result = bench.run(packets(0), enqueue=enqueue)
    assert [problem.kind for problem in result.problems] == ["double", "double"]
    assert f"while {MAP} still holds it" in result.problems[0].message
    assert "was dropped before" in result.problems[1].message


def test_throttle_asks_again_after_the_delay_and_counts() -> None:
    bench = Bench()
    seen: list[int] = []

    def dequeue(ctx: Any) -> int:
        if bench.kernel.clock < bench.simulation.account.start + 7 * MS:
            seen.append(bench.kernel.clock)
            ctx.delay = 7 * MS
            return 3
        return bench.fifo.dequeue(ctx)

    result = bench.run(packets(0), dequeue=dequeue)
    assert [record.departure for record in result.packets or ()] == [8 * MS]
    assert (result.kernel_view.overlimits, result.truth.overlimits, len(seen)) == (1, 1, 1)


def test_throttle_in_enqueue_is_queued_with_a_timer() -> None:
    bench = Bench()

    def enqueue(ctx: Any) -> int:
        bench.fifo.store(ctx)
        ctx.delay = 3 * MS
        return 3

    def dequeue(ctx: Any) -> int:
        return bench.fifo.dequeue(ctx) if bench.kernel.clock >= bench.simulation.account.start + 3 * MS else 1

    result = bench.run(packets(0), enqueue=enqueue, dequeue=dequeue)
    assert [record.departure for record in result.packets or ()] == [4 * MS]
    assert result.kernel_view.overlimits == 1


def test_the_latest_throttle_counts() -> None:
    """One timer per qdisc (D20): a later call replaces an earlier one, be it sooner or not."""
    bench, wakes = Bench(), []

    def dequeue(ctx: Any) -> int:
        wakes.append(bench.kernel.clock - bench.simulation.account.start)
        ctx.delay = {0: 10 * MS, 2 * MS: 20 * MS}.get(wakes[-1], 0)
        return 3 if ctx.delay else 1

    bench.run(packets(0, 2 * MS), dequeue=dequeue)
    assert wakes == [0, 2 * MS, 22 * MS]


@pytest.mark.parametrize("delay", [1 << 63, (1 << 64) - 1])
def test_a_delay_beyond_a_ktime_fires_at_once(delay: int) -> None:
    bench, calls = Bench(), []

    def dequeue(ctx: Any) -> int:
        calls.append(bench.kernel.clock - bench.simulation.account.start)
        ctx.delay = delay
        return 3 if len(calls) == 1 else bench.fifo.dequeue(ctx)

    assert bench.run(packets(0), dequeue=dequeue).ok
    assert calls[:2] == [0, 0]


def test_a_program_that_throttles_for_ever_is_a_livelock() -> None:
    with pytest.raises(Fault, match="throttles and never returns a packet"):
        Bench().run(packets(0), dequeue=lambda ctx: 3)


def test_ctx_skb_with_another_return_value_loses_the_packet() -> None:
    bench = Bench()

    def dequeue(ctx: Any) -> int:
        bench.fifo.dequeue(ctx)
        return 1

    result = bench.run(packets(0), dequeue=dequeue)
    assert "deq, which set ctx->skb and returned DROP" in result.problems[0].message


def test_dequeued_without_a_packet_means_nothing_now() -> None:
    result = Bench().run(packets(0), dequeue=lambda ctx: 0)
    assert (result.ok, result.held, dict(result.holders)) == (True, 1, {MAP: 1})
    assert (result.truth.qlen, result.truth.backlog) == (1, 1000)


def test_a_packet_that_a_program_frees_is_neither_lost_nor_a_counted_drop() -> None:
    bench = Bench()

    def dequeue(ctx: Any) -> int:
        if bench.fifo.queue:
            bench.kernel.refs.release(bench.fifo.queue.popleft(), MAP)
        return 1

    result = bench.run(packets(0, 0), dequeue=dequeue)
    assert (result.ok, result.freed, result.dropped) == (True, 2, 0)
    assert fates(result) == ["freed by the program"] * 2
    assert (result.truth.drops, result.flows[0].drops) == (2, 2)


def test_a_packet_the_network_never_had_cannot_be_sent() -> None:
    from ebpfvm.kernel import SkBuff
    from ebpfvm.kernel.refs import CTX_HOLDER
    bench = Bench()

    def dequeue(ctx: Any) -> int:
        ctx.packet = SkBuff(bench.kernel, b"x", CTX_HOLDER)
        return 0

    with pytest.raises(Fault, match="never arrived"):
        bench.run(packets(0), dequeue=dequeue)


# ---- classes ------------------------------------------------------------------------------------------------

class Child(Qdisc):
    """The least a child can be: a list with a limit."""

    kind = "list"

    def __init__(self, dev: Any, handle: int, limit: int = 10) -> None:
        super().__init__(dev, handle)
        self.limit = limit
        self.packets: list[Any] = []

    def enqueue(self, skb: Any, to_free: list[Any]) -> int:
        if len(self.packets) == self.limit:
            to_free.append(skb)
            return NET_XMIT_DROP
        self.packets.append(skb)
        return 0

    def dequeue(self) -> Any:
        return self.packets.pop(0) if self.packets else None


def classful(bench: Bench, limit: int = 10) -> tuple[SchBpf, Child]:
    def to_class(ctx: Any) -> int:
        ctx.classid = HANDLE | 3
        return 4

    qdisc = bench.qdisc(enqueue=to_class, dequeue=to_class)
    child = Child(bench.simulation.device, 0x90000000, limit)
    qdisc.create_class(HANDLE | 3, child)
    return qdisc, child


def test_pass_hands_packets_to_the_class_and_counts_them() -> None:
    bench = Bench()
    qdisc, _ = classful(bench)
    bench.simulation.add(iter(packets(0, 0)))
    result = bench.simulation.run(qdisc)
    assert (fates(result), result.ok) == (["sent", "sent"], True)
    assert result.kernel_view == Stats(packets=2, bytes=2000)
    assert qdisc.classes[HANDLE | 3].stats.packets == 2


def test_a_drop_by_the_child_counts_on_qdisc_and_class() -> None:
    bench = Bench()
    qdisc, _ = classful(bench, limit=0)
    bench.simulation.add(iter(packets(0)))
    result = bench.simulation.run(qdisc)
    assert (qdisc.kernel_view.drops, qdisc.classes[HANDLE | 3].stats.drops, result.dropped) == (1, 1, 1)


def test_pass_without_a_class_drops_and_counts() -> None:
    result = Bench().run(packets(0), enqueue=lambda ctx: 4, dequeue=lambda ctx: 4)
    assert (fates(result), result.kernel_view.drops) == (["dropped"], 1)


def test_pass_of_a_stored_packet_is_reported() -> None:
    bench = Bench()

    def enqueue(ctx: Any) -> int:
        bench.fifo.store(ctx)
        return 4

    assert "is in two queues" in bench.run(packets(0), enqueue=enqueue).problems[0].message


def test_dequeue_throttle_counts_on_the_named_class() -> None:
    bench = Bench()
    bench.simulation.add(iter(packets(0)))

    def dequeue(ctx: Any) -> int:
        if qdisc.kernel_view.overlimits:
            return bench.fifo.dequeue(ctx)
        ctx.classid, ctx.delay = HANDLE | 1, 5
        return 3

    qdisc = bench.qdisc(dequeue=dequeue)
    qdisc.create_class(HANDLE | 1)
    bench.simulation.run(qdisc)
    assert qdisc.classes[HANDLE | 1].stats.overlimits == 1


@pytest.mark.parametrize("classid", [0, HANDLE, 0x70010001, HANDLE | 2])
def test_class_ids_are_checked(classid: int) -> None:
    qdisc = Bench().qdisc()
    qdisc.create_class(HANDLE | 2)
    with pytest.raises(OSError, match="cannot be added") as error:
        qdisc.create_class(classid)
    assert error.value.errno == errno.EINVAL


# ---- life ---------------------------------------------------------------------------------------------------

@pytest.mark.parametrize(("pair", "what"), [((None, Fake("d", int)), "an enqueue"), ((Fake("e", int), None), "a deq")])
def test_both_programs_are_needed(pair: Any, what: str) -> None:
    bench = Bench()
    with pytest.raises(OSError, match=what) as error:
        SchBpf(bench.simulation.device, HANDLE, *pair)
    assert error.value.errno == errno.EINVAL
    qdisc = bench.qdisc()
    options = qdisc.options()
    with pytest.raises(OSError, match="needs"):
        qdisc.change(*pair)
    assert qdisc.options() == options == "enqueue enq id 1 dequeue deq id 1"


def test_peek_parks_a_packet_that_counts_as_queued() -> None:
    bench = Bench()
    bench.simulation.add(iter(packets(0, 0)))
    qdisc = bench.simulation.device.qdisc = bench.qdisc(dequeue=lambda ctx: 1)
    bench.simulation.run(qdisc)
    qdisc.change(Fake("enq", bench.fifo.enqueue), Fake("deq", bench.fifo.dequeue))
    parked = qdisc.peek()
    assert parked is qdisc.peek() is not None
    assert (qdisc.kernel_view.qlen, qdisc.kernel_view.backlog) == (1, 1000)
    assert qdisc.dequeue_peeked() is parked
    assert (qdisc.kernel_view.qlen, qdisc.kernel_view.backlog) == (0, 0)
    assert qdisc.dequeue_peeked() is not parked


def test_reset_frees_the_parked_packet_and_leaves_the_map_alone() -> None:
    bench = Bench()
    bench.simulation.add(iter(packets(0, 0)))
    qdisc = bench.qdisc(dequeue=lambda ctx: 1)
    bench.simulation.run(qdisc)
    qdisc.change(Fake("enq", bench.fifo.enqueue), Fake("deq", bench.fifo.dequeue))
    qdisc.peek()
    qdisc.reset()
    qdisc.destroy()
    assert (bench.simulation.account.dropped, bench.simulation.account.inside, len(bench.fifo.queue)) == (1, 1, 1)
    assert qdisc.kernel_view == Stats()


def test_reset_stops_the_watchdog() -> None:
    bench, calls = Bench(), []

    def dequeue(ctx: Any) -> int:
        calls.append(1)
        ctx.delay = 5
        return 3

    bench.simulation.add(iter(packets(0)))
    qdisc = bench.qdisc(dequeue=dequeue)
    bench.simulation.run(qdisc, duration=0)
    qdisc.reset()
    bench.simulation.loop.run()
    assert len(calls) == 1


def test_what_a_program_has_deleted_outlives_a_qdisc_that_runs_inside_of_it() -> None:
    """A classifier may delete an element, send a copy to a device with this qdisc, and then read what it deleted."""
    bench = Bench()
    memory, deleted = bench.kernel.memory, bench.kernel.memory.add("map_value", bytearray(8))

    def outer(ctx: Any) -> int:
        bench.kernel.stack.push()
        memory.retire(deleted)
        assert bench.qdisc().dequeue() is None
        assert deleted.alive
        bench.kernel.stack.pop(0)
        return 1

    assert bench.run(packets(0), enqueue=outer).dropped == 1


def test_packets_above_the_mtu_never_reach_the_qdisc() -> None:
    result = Bench(Link(8_000_000, mtu=500)).run(packets(0, size=518) + packets(1, size=519))
    assert (fates(result), result.too_big, result.truth.drops) == (["sent", "dropped"], 1, 0)


def test_a_run_can_be_stopped_while_the_wire_is_busy() -> None:
    result = Bench().run(packets(0, 0, 0), duration=1_500_000)
    assert (result.out_packets, result.held, result.duration) == (1, 2, 1_500_000)
    assert dict(result.holders) == {"link sim0": 1, MAP: 1}
    assert (result.truth.qlen, result.ok) == (1, True)


def test_no_traffic_is_a_usage_error() -> None:
    with pytest.raises(UsageError, match="no traffic"):
        Bench().run([])
