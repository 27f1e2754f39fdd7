"""Loops, iterators, clocks, and what a simulation has none of."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ebpfvm.errnos import E2BIG, EINVAL
from tests.unit.funcs.world import World


def test_loop() -> None:
    w = World()
    seen: list[tuple[int, int]] = []
    callback = w.callback(lambda index, ctx: seen.append((index, ctx)) or int(index == 3))
    assert w.call("bpf_loop", 3, callback, 77, 0) == 3 and seen == [(0, 77), (1, 77), (2, 77)]
    assert w.call("bpf_loop", 10, callback, 0, 0) == 4
    assert w.call("bpf_loop", 1 << 32, callback, 0, 0) == 0  # 32 bits count
    assert w.call("bpf_loop", 1, callback, 0, 1) == -EINVAL
    assert w.call("bpf_loop", (8 << 20) + 1, callback, 0, 0) == -E2BIG


@given(st.integers(-(1 << 31), (1 << 31) - 30), st.integers(0, 20))
def test_iter_num_counts(start: int, steps: int) -> None:
    w = World()
    assert w.call("bpf_iter_num_new", w.mem, start & 0xFFFFFFFF, start + steps & 0xFFFFFFFF) == 0
    seen = []
    while w.call("bpf_iter_num_next", w.mem):
        seen.append(int.from_bytes(w.get(4), "little", signed=True))
    assert seen == list(range(start, start + steps))
    w.call("bpf_iter_num_destroy", w.mem)
    assert w.get(8) == bytes(8)


def test_iter_num_refuses() -> None:
    w = World()
    assert w.call("bpf_iter_num_new", w.mem, 5, 4) == -EINVAL and w.call("bpf_iter_num_next", w.mem) == 0
    assert w.call("bpf_iter_num_new", w.mem, 0, (8 << 20) + 1) == -E2BIG


@given(st.lists(st.integers(0, (1 << 64) - 1), min_size=1, max_size=5))
def test_iter_bits(words: list[int]) -> None:
    w = World()
    data = b"".join(word.to_bytes(8, "little") for word in words)
    assert w.call("bpf_iter_bits_new", w.mem, w.put(data, 64), len(words)) == 0
    seen = []
    while address := w.call("bpf_iter_bits_next", w.mem):
        seen.append(w.memory.load(address, 4))
    w.call("bpf_iter_bits_destroy", w.mem)
    number = int.from_bytes(data, "little")
    assert seen == [bit for bit in range(64 * len(words)) if number >> bit & 1]


def test_iter_bits_refuses() -> None:
    w = World()
    assert w.call("bpf_iter_bits_new", w.mem, w.mem + 64, 0) == -EINVAL
    assert w.call("bpf_iter_bits_new", w.mem, 0, 1) == -EINVAL
    assert w.call("bpf_iter_bits_new", w.mem, w.mem + 64, 512) == -E2BIG
    assert w.call("bpf_iter_bits_next", w.mem) == 0


def test_clocks() -> None:
    w = World()
    w.kernel.clock = 1_234_567_890
    assert w.call("bpf_ktime_get_ns") == w.call("bpf_ktime_get_boot_ns") == 1_234_567_890
    assert w.call("bpf_ktime_get_coarse_ns") == 1_234_000_000
    assert w.call("bpf_ktime_get_tai_ns") == 38_234_567_890
    assert w.call("bpf_jiffies64") == (1 << 32) - 300_000 + 1234


def test_random_numbers_come_from_the_seed() -> None:
    assert [World().call("bpf_get_prandom_u32") for _ in range(2)] == [World().call("bpf_get_prandom_u32")] * 2


@pytest.mark.parametrize(("name", "result"), [
    ("bpf_get_smp_processor_id", 0), ("bpf_get_numa_node_id", 0), ("bpf_get_current_cgroup_id", 1),
    ("bpf_get_current_ancestor_cgroup_id", 1), ("bpf_sk_release", 0), ("bpf_sk_fullsock", 0), ("bpf_tcp_sock", 0),
    ("bpf_get_listener_sock", 0), ("bpf_get_netns_cookie", 1),
])
def test_without_a_packet(name: str, result: int) -> None:
    w = World()
    w.skb(bytes(60))
    assert w.call(name, 0 if name != "bpf_get_netns_cookie" else w.env.ctx.base) == result


@pytest.mark.parametrize(("name", "args", "result"), [
    ("bpf_get_cgroup_classid", (), 0), ("bpf_skb_cgroup_classid", (), 0), ("bpf_skb_cgroup_id", (), 0),
    ("bpf_skb_ancestor_cgroup_id", (1,), 0), ("bpf_get_route_realm", (), 0), ("bpf_get_socket_cookie", (), 0),
    ("bpf_get_socket_uid", (), 65534), ("bpf_sk_assign", (0, 0), -EINVAL),
])
def test_packets_belong_to_nobody(name: str, args: tuple[int, ...], result: int) -> None:
    w = World()
    _, ctx = w.skb(bytes(60))
    assert w.call(name, ctx, *args) == result


@pytest.mark.parametrize("name", ["bpf_sk_lookup_tcp", "bpf_sk_lookup_udp", "bpf_skc_lookup_tcp"])
def test_no_socket_is_ever_found(name: str) -> None:
    w = World()
    _, ctx = w.skb(bytes(60))
    assert w.call(name, ctx, w.mem, 12, 0, 0) == 0


def test_the_current_task_is_the_idle_one() -> None:
    w = World()
    assert w.call("bpf_get_current_pid_tgid") == w.call("bpf_get_current_uid_gid") == 0
    w.put(b"\xff" * 16)
    assert w.call("bpf_get_current_comm", w.mem, 16) == 0 and w.get(16) == b"swapper/0" + bytes(7)
    assert w.call("bpf_get_current_comm", w.mem, 4) == 0 and w.get(4) == b"swa\0"


def test_the_variant_of_a_type_is_called() -> None:
    assert World(type="xdp").call("bpf_get_cgroup_classid") == 0  # takes no context there


def test_per_cpu_pointers() -> None:
    w = World()
    assert w.call("bpf_this_cpu_ptr", w.mem) == w.mem
    assert w.call("bpf_per_cpu_ptr", w.mem, 0) == w.mem and w.call("bpf_per_cpu_ptr", w.mem, 1) == 0
