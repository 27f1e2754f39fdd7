"""Ring buffer records are references; timers run on the simulated clock; locks are not taken twice."""

from __future__ import annotations

import pytest

from ebpfvm.errnos import E2BIG, EBUSY, EDEADLK, EINVAL
from ebpfvm.errors import Fault
from ebpfvm.funcs.timer import timers_of
from ebpfvm.sched.events import EventLoop
from tests.unit.funcs.world import World


def test_records() -> None:
    w = World()
    m = w.map("ringbuf", 0, 0, 4096)
    ring = m.region.base
    record = w.call("bpf_ringbuf_reserve", ring, 8, 0)
    assert record and w.env.refs.held == 1
    w.memory.write(record, b"ABCDEFGH")
    w.call("bpf_ringbuf_submit", record, 0)
    assert w.call("bpf_ringbuf_output", ring, w.put(b"xy"), 2, 0) == 0
    w.call("bpf_ringbuf_discard", w.call("bpf_ringbuf_reserve", ring, 8, 0), 0)
    assert m.drain() == [b"ABCDEFGH", b"xy"] and w.env.refs.held == 0
    assert w.call("bpf_ringbuf_query", ring, 1) == 4096
    assert w.call("bpf_ringbuf_reserve", ring, 8192, 0) == 0
    with pytest.raises(Fault, match="not a ring buffer record"):
        w.call("bpf_ringbuf_submit", record, 0)


def test_records_by_dynptr() -> None:
    w = World()
    m = w.map("ringbuf", 0, 0, 4096)
    p = w.mem + 128
    assert w.call("bpf_ringbuf_reserve_dynptr", m.region.base, 8, 1, p) == -EINVAL
    assert w.call("bpf_ringbuf_reserve_dynptr", m.region.base, 1 << 25, 0, p) == -E2BIG
    assert w.call("bpf_ringbuf_submit_dynptr", p, 0) == 0
    assert w.call("bpf_ringbuf_reserve_dynptr", m.region.base, 5, 0, p) == 0
    assert w.call("bpf_dynptr_write", p, 0, w.put(b"hello"), 5, 0) == 0
    w.call("bpf_ringbuf_submit_dynptr", p, 0)
    w.call("bpf_ringbuf_reserve_dynptr", m.region.base, 5, 0, p)
    w.call("bpf_ringbuf_discard_dynptr", p, 0)
    assert m.drain() == [b"hello"] and w.env.refs.held == 0


def _timer(w: World) -> tuple[object, int]:
    m = w.map("hash", 4, 16)
    m.update(b"key1", bytes(16), 0)
    return m, m.lookup(b"key1")


def test_timer_life() -> None:
    w = World()
    m, timer = _timer(w)
    seen: list[tuple[int, bytes]] = []

    def fire(map: int, key: int, value: int) -> int:
        assert map == m.region.base and value == timer  # type: ignore[attr-defined]
        seen.append((w.kernel.clock, w.memory.read(key, 4)))
        assert w.call("bpf_timer_cancel", timer) == -EDEADLK
        if len(seen) == 1:
            assert w.call("bpf_timer_start", timer, 5, 0) == 0
        return 0

    callback = w.callback(fire)
    assert w.call("bpf_timer_start", timer, 10, 0) == -EINVAL
    assert w.call("bpf_timer_set_callback", timer, callback) == -EINVAL
    assert w.call("bpf_timer_cancel", timer) == -EINVAL
    assert w.call("bpf_timer_init", timer, m.region.base, 2) == -EINVAL  # type: ignore[attr-defined]
    assert w.call("bpf_timer_init", timer, m.region.base, 1) == 0  # type: ignore[attr-defined]
    assert w.call("bpf_timer_init", timer, m.region.base, 1) == -EBUSY  # type: ignore[attr-defined]
    assert w.call("bpf_timer_start", timer, 10, 0) == -EINVAL
    assert w.call("bpf_timer_set_callback", timer, callback) == 0
    assert w.call("bpf_timer_start", timer, 10, 4) == -EINVAL
    loop = EventLoop(w.kernel)
    timers_of(w.kernel).loop = loop
    assert w.call("bpf_timer_start", timer, 99, 0) == 0
    assert w.call("bpf_timer_start", timer, 10, 1) == 0  # the earlier start no longer counts
    assert timers_of(w.kernel).next_expiry() == 10
    loop.run(20)
    assert seen == [(10, b"key1"), (15, b"key1")]
    assert w.call("bpf_timer_start", timer, 1, 0) == 0 and w.call("bpf_timer_cancel", timer) == 1
    assert w.call("bpf_timer_start", timer, 1, 0) == -EINVAL
    assert w.call("bpf_timer_cancel", timer) == 0


def test_timers_without_a_loop() -> None:
    w = World()
    m, timer = _timer(w)
    count: list[int] = []
    w.call("bpf_timer_init", timer, m.region.base, 1)  # type: ignore[attr-defined]
    w.call("bpf_timer_set_callback", timer, w.callback(lambda *args: count.append(1) or 0))
    w.call("bpf_timer_start", timer, 10, 0)
    assert timers_of(w.kernel).run_due() == 0
    w.kernel.clock = 10
    assert timers_of(w.kernel).run_due() == 1 and count == [1]
    assert timers_of(w.kernel).next_expiry() is None


def test_a_timer_goes_with_its_element() -> None:
    w = World()
    m, timer = _timer(w)
    w.call("bpf_timer_init", timer, m.region.base, 1)  # type: ignore[attr-defined]
    w.call("bpf_timer_set_callback", timer, w.callback(lambda *args: 1 // 0))
    w.call("bpf_timer_start", timer, 10, 0)
    m.delete(b"key1")  # type: ignore[attr-defined]
    w.memory.quiesce()
    w.kernel.clock = 10
    assert timers_of(w.kernel).run_due() == 0 and timers_of(w.kernel).get(timer) is None


def test_locks() -> None:
    w = World()
    w.call("bpf_spin_lock", w.mem)
    with pytest.raises(Fault, match="wait for itself"):
        w.call("bpf_spin_lock", w.mem)
    w.call("bpf_spin_unlock", w.mem)
    with pytest.raises(Fault, match="not held"):
        w.call("bpf_spin_unlock", w.mem)
    assert w.call("bpf_res_spin_lock", w.mem) == 0 and w.call("bpf_res_spin_lock", w.mem) == -EDEADLK
    w.call("bpf_res_spin_unlock", w.mem)
    assert w.call("bpf_res_spin_lock_irqsave", w.mem, w.mem + 8) == 0
    w.call("bpf_res_spin_unlock_irqrestore", w.mem, w.mem + 8)
    w.call("bpf_local_irq_save", w.mem + 8)
    w.call("bpf_local_irq_restore", w.mem + 8)
    for name in ("bpf_rcu_read_lock", "bpf_rcu_read_unlock", "bpf_preempt_disable", "bpf_preempt_enable"):
        assert w.call(name) == 0


def test_a_timer_that_is_armed_again_ends_with_the_run() -> None:
    w = World()
    m, timer = _timer(w)
    seen: list[int] = []

    def again(*args: int) -> int:
        seen.append(w.kernel.clock)
        return w.call("bpf_timer_start", timer, 10, 0)

    w.call("bpf_timer_init", timer, m.region.base, 1)  # type: ignore[attr-defined]
    w.call("bpf_timer_set_callback", timer, w.callback(again))
    w.call("bpf_timer_start", timer, 10, 0)
    timers = timers_of(w.kernel)
    assert timers.run_until(35) == 3 and seen == [10, 20, 30] and w.kernel.clock == 35
    assert timers.finish(1000) == 1 and seen[-1] == 40 and timers.next_expiry() == 50
    assert timers.run_until(1000, most=4) == 4 and seen[-1] == 80


def test_times_that_do_not_fit() -> None:
    w = World()
    m, timer = _timer(w)
    w.kernel.clock = 100
    count: list[int] = []
    w.call("bpf_timer_init", timer, m.region.base, 1)  # type: ignore[attr-defined]
    w.call("bpf_timer_set_callback", timer, w.callback(lambda *args: count.append(1) or 0))
    assert w.call("bpf_timer_start", timer, (1 << 63) - 1, 0) == 0
    assert timers_of(w.kernel).next_expiry() == (1 << 63) - 1 and timers_of(w.kernel).finish(1 << 62) == 0
    assert w.call("bpf_timer_start", timer, 1 << 63, 0) == 0  # a negative ktime_t: due at once
    assert timers_of(w.kernel).run_due() == 1 and count == [1]


def test_a_timer_of_a_deleted_or_overwritten_value_is_gone_at_once() -> None:
    w = World()
    m, timer = _timer(w)
    w.call("bpf_timer_init", timer, m.region.base, 1)  # type: ignore[attr-defined]
    m.delete(b"key1")  # type: ignore[attr-defined]
    assert w.call("bpf_timer_set_callback", timer, w.callback(lambda *args: 0)) == -EINVAL
    array = w.map("array", 4, 16)
    value = array.lookup(bytes(4))
    assert w.call("bpf_timer_init", value, array.region.base, 1) == 0
    assert array.update(bytes(4), bytes(16), 0) == 0
    assert w.call("bpf_timer_init", value, array.region.base, 1) == 0
