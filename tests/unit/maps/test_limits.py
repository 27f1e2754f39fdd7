"""Limits: a map of any claimed size costs nothing until it is used, and what is used is counted."""

from __future__ import annotations

from typing import Any

import pytest

from ebpfvm.dialects.rfc6 import rfc6
from ebpfvm.errors import LimitError
from ebpfvm.kernel.emulated import Kernel
from ebpfvm.limits import Limits
from ebpfvm.loader.object import MapSpec
from ebpfvm.maps import make_map
from ebpfvm.maps.base import ELEMENT_BYTES


def make(type: str, limits: Limits, **sizes: Any) -> Any:
    spec = MapSpec(type=type, name="m", **{"key_size": 4, "value_size": 8, "max_entries": 1 << 24} | sizes)
    return make_map(Kernel(rfc6(), limits=limits), spec)


def key(number: int) -> bytes:
    return number.to_bytes(4, "little")


def test_an_array_of_two_to_the_forty_bytes_can_be_made() -> None:
    array = make("array", Limits(), value_size=1 << 30, max_entries=1 << 10)
    assert array.kernel.memory.map_bytes == 0
    with pytest.raises(LimitError, match=r"map 'm'.* reached the limit map_memory"):
        array.lookup(key(0))


@pytest.mark.parametrize("type", ["hash", "lru_hash", "array", "rbtree", "percpu_hash"])
def test_elements_are_counted(type: str) -> None:
    found = make(type, Limits(map_elements=3))
    for number in range(3):
        assert found.update(key(number), bytes(8), 0) == 0
    with pytest.raises(LimitError, match=r"map 'm' \(max_entries 16,777,216\) reached the limit map_elements \(3 "):
        found.update(key(3), bytes(8), 0)


def test_elements_of_a_trie_and_a_queue_are_counted() -> None:
    trie = make("lpm_trie", Limits(map_elements=1), key_size=5, map_flags=1)
    assert trie.update(key(8) + b"\1", bytes(8), 0) == 0
    with pytest.raises(LimitError, match="map_elements"):
        trie.update(key(8) + b"\2", bytes(8), 0)
    queue = make("queue", Limits(map_elements=1), key_size=0)
    assert queue.push(bytes(8), 0) == 0
    with pytest.raises(LimitError, match="map_elements"):
        queue.push(bytes(8), 2)


def test_a_map_that_is_full_by_its_own_size_says_so() -> None:
    found = make("hash", Limits(map_elements=2), max_entries=2)
    assert [found.update(key(number), bytes(8), 0) for number in range(3)] == [0, 0, -7]


@pytest.mark.parametrize("type", ["hash", "array", "rbtree", "queue"])
def test_bytes_are_counted_over_all_maps(type: str) -> None:
    size = 0 if type == "queue" else 4
    found = make(type, Limits(map_memory=2 * (100 + ELEMENT_BYTES)), value_size=100, key_size=size)
    for number in range(2):
        assert found.update(key(number)[:size], bytes(100), 0) == 0
    with pytest.raises(LimitError, match="map_memory"):
        found.update(key(2)[:size], bytes(100), 0)


def test_what_is_deleted_counts_until_no_program_can_hold_it() -> None:
    found = make("hash", Limits(map_memory=2 * (8 + ELEMENT_BYTES)))
    for number in range(5):  # from user space nothing is held
        found.sys_update(key(number), bytes(8))
        found.sys_delete(key(number))
    assert found.kernel.memory.map_bytes == 0
    found.update(key(1), bytes(8), 0)
    found.delete(key(1))
    found.update(key(1), bytes(8), 0)
    with pytest.raises(LimitError, match="map_memory"):
        found.update(key(2), bytes(8), 0)


def test_queue_gives_its_bytes_back() -> None:
    queue = make("queue", Limits(map_memory=8 + ELEMENT_BYTES), key_size=0)
    for _ in range(5):
        assert queue.push(bytes(8), 0) == 0
        assert queue.pop() == (0, bytes(8))


def test_records_are_counted_until_they_are_read() -> None:
    ring = make("ringbuf", Limits(record_memory=100), key_size=0, value_size=0, max_entries=1 << 31)
    assert ring.output(bytes(100), 0) == 0
    with pytest.raises(LimitError, match=r"map 'm' reached the limit record_memory \(100 "):
        ring.output(bytes(1), 0)
    ring = make("ringbuf", Limits(record_memory=100), key_size=0, value_size=0, max_entries=1 << 31)
    for _ in range(3):
        assert ring.output(bytes(100), 0) == 0
        assert ring.drain() == [bytes(100)]


def test_trace_lines_are_counted() -> None:
    kernel = Kernel(rfc6(), limits=Limits(trace_lines=1))
    kernel.printk("one")
    with pytest.raises(LimitError, match="limit trace_lines"):
        kernel.printk("two")
    assert kernel.trace == ["one"]
