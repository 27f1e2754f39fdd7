"""Helpers on maps."""

from __future__ import annotations

from ebpfvm.dialects import rfc6
from ebpfvm.errnos import EEXIST, EINVAL, ENOENT
from tests.unit.funcs.world import World


def test_lookup_update_delete() -> None:
    w = World()
    m = w.map("hash")
    key, value = w.put(b"\x01\0\0\0"), w.put(b"ABCDEFGH", 8)
    assert w.call("bpf_map_lookup_elem", m.region.base, key) == 0
    assert w.call("bpf_map_update_elem", m.region.base, key, value, 1) == 0
    assert w.call("bpf_map_update_elem", m.region.base, key, value, 1) == -EEXIST
    assert w.memory.read(w.call("bpf_map_lookup_elem", m.region.base, key), 8) == b"ABCDEFGH"
    assert w.call("bpf_map_delete_elem", m.region.base, key) == 0
    assert w.call("bpf_map_delete_elem", m.region.base, key) == -ENOENT


def test_push_pop_peek() -> None:
    w = World()
    m = w.map("queue", 0)
    w.put(b"\xff" * 8, 16)
    assert w.call("bpf_map_pop_elem", m.region.base, w.mem + 16) == -ENOENT
    assert w.get(8, 16) == bytes(8)  # an empty queue clears the buffer
    assert w.call("bpf_map_push_elem", m.region.base, w.put(b"12345678"), 0) == 0
    assert w.call("bpf_map_peek_elem", m.region.base, w.mem + 16) == 0
    assert w.call("bpf_map_pop_elem", m.region.base, w.mem + 16) == 0
    assert w.get(8, 16) == b"12345678"


def test_bloom_filter_reads_what_it_is_asked() -> None:
    w = World()
    m = w.map("bloom_filter", 0)
    value = w.put(b"12345678")
    assert w.call("bpf_map_peek_elem", m.region.base, value) == -ENOENT
    assert w.call("bpf_map_push_elem", m.region.base, value, 0) == 0
    assert w.call("bpf_map_peek_elem", m.region.base, value) == 0


def test_rbtree_pop_takes_the_smallest_and_leaves_the_buffer_when_empty() -> None:
    w = World(rfc6())
    m = w.map("rbtree")
    for key in (b"\0\0\0\x02", b"\0\0\0\x01"):
        assert w.call("bpf_map_update_elem", m.region.base, w.put(key), w.put(key * 2, 8), 0) == 0
    w.put(b"\xff" * 8, 16)
    assert w.call("bpf_map_pop_elem", m.region.base, w.mem + 16) == 0
    assert w.get(8, 16) == b"\0\0\0\x01" * 2
    assert w.call("bpf_map_pop_elem", m.region.base, w.mem + 16) == 0
    assert w.call("bpf_map_pop_elem", m.region.base, w.mem + 16) == -ENOENT
    assert w.get(8, 16) == b"\0\0\0\x02" * 2


def test_for_each_counts_the_element_that_stops_it() -> None:
    w = World()
    m = w.map("array")
    seen: list[bytes] = []

    def visit(map: int, key: int, value: int, ctx: int) -> int:
        assert map == m.region.base and ctx == w.mem and w.memory.read(value, 8) == bytes(8)
        seen.append(w.memory.read(key, 4))
        return int(len(seen) == 3)

    callback = w.callback(visit)
    assert w.call("bpf_for_each_map_elem", m.region.base, callback, w.mem, 0) == 3
    assert seen == [bytes([index, 0, 0, 0]) for index in range(3)]
    assert w.call("bpf_for_each_map_elem", m.region.base, callback, w.mem, 1) == -EINVAL


def test_for_each_needs_a_type_that_can() -> None:
    w = World()
    assert w.call("bpf_for_each_map_elem", w.map("queue", 0).region.base, w.callback(lambda *a: 0), 0, 0) < 0


def test_percpu_lookup() -> None:
    w = World()
    m = w.map("percpu_array")
    key = w.put(bytes(4))
    assert w.call("bpf_map_lookup_percpu_elem", m.region.base, key, 0) == m.lookup_percpu(bytes(4), 0)
    assert w.call("bpf_map_lookup_percpu_elem", m.region.base, key, 9999) == 0
