"""Helpers for maps (kernel/bpf/helpers.c, kernel/bpf/arraymap.c and hashtab.c for for_each, Linux 7.2)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ebpfvm.contract import helper
from ebpfvm.contract.args import (
    Anything,
    Func,
    Integer,
    MapKey,
    MapPtr,
    MapValue,
    MapValueOrNull,
    StackOrNull,
    UninitMapValue,
)
from ebpfvm.errnos import EINVAL, ENOENT
from ebpfvm.ints import U32_MAX

if TYPE_CHECKING:
    from ebpfvm.kernel import CallEnv, Region


@helper(pkt_access=True, map_op="lookup")
def bpf_map_lookup_elem(env: CallEnv, map: MapPtr, key: MapKey) -> MapValueOrNull:
    """Return the address of the live value of `key`, NULL if there is none; for a map of maps, the inner map."""
    found: int = map.lookup(key)
    return found


@helper(pkt_access=True, map_op="update")
def bpf_map_update_elem(env: CallEnv, map: MapPtr, key: MapKey, value: MapValue, flags: Anything) -> Integer:
    """Insert or overwrite an element.

    `flags` is BPF_ANY 0, BPF_NOEXIST 1 or BPF_EXIST 2. Return 0 or a negative errno.
    """
    done: int = map.update(key, value, flags)
    return done


@helper(pkt_access=True, map_op="delete")
def bpf_map_delete_elem(env: CallEnv, map: MapPtr, key: MapKey) -> Integer:
    """Remove `key`; return 0, or -ENOENT."""
    done: int = map.delete(key)
    return done


@helper(pkt_access=True, map_op="push")
def bpf_map_push_elem(env: CallEnv, map: MapPtr, value: MapValue, flags: Anything) -> Integer:
    """Push a value to a queue, stack or bloom filter; BPF_EXIST drops the oldest of a full queue."""
    done: int = map.push(value, flags)
    return done


@helper(map_op="pop")
def bpf_map_pop_elem(env: CallEnv, map: MapPtr, value: UninitMapValue) -> Integer:
    """Remove the next element and copy it to `value`; return 0, or -ENOENT for an empty map.

    An empty queue or stack zeroes `value`. An rbtree copies the smallest key's value except its kptr slots, releases
    what they own (decision D12), and does not change `value` if it is empty.
    """
    status, data = map.pop()
    return _give(env, map, status, data, value)


@helper(map_op="peek")
def bpf_map_peek_elem(env: CallEnv, map: MapPtr, value: UninitMapValue) -> Integer:
    """Copy the next element to `value` without removing it; a bloom filter reads `value` and looks it up."""
    if map.type.peek_asks:
        held: int = map.peek(env.memory.read(value, map.value_size))[0]
        return held
    status, data = map.peek()
    return _give(env, map, status, data, value)


def _give(env: CallEnv, map: Any, status: int, data: bytes, value: int) -> int:
    if status == -ENOENT and data:
        env.memory.write(value, data)
    if status:
        return status
    start = 0
    for item in sorted(map.fields, key=lambda item: item.offset):
        env.memory.write(value + start, data[start:item.offset])
        start = item.offset + item.size
    env.memory.write(value + start, data[start:])
    return 0


@helper(pkt_access=True, map_op="lookup_percpu")
def bpf_map_lookup_percpu_elem(env: CallEnv, map: MapPtr, key: MapKey, cpu: Anything) -> MapValueOrNull:
    """Return the address of the value that CPU `cpu` has for `key`, NULL if there is none."""
    found: int = map.lookup_percpu(key, cpu & U32_MAX)
    return found


@helper(cap="bpf", context_to=4, memory_to=(2, 3), callback="sync", role="walk_map")
def bpf_for_each_map_elem(env: CallEnv, map: MapPtr, callback_fn: Func, callback_ctx: StackOrNull,
                          flags: Anything) -> Integer:
    """Call `callback_fn(map, key, value, ctx)` for each element until it returns 1, and return the number of calls.

    The callback's key is a copy that holds each key in turn. In a kernel it is the map's own memory; in neither case
    may it be written. Return -EINVAL for flags other than 0.
    """
    if flags:
        return -EINVAL

    call, address, regions = env.function(callback_fn), map.region.base, env.memory.regions
    copy = map.spare_key or env.memory.add("map_key", bytearray(map.key_size), name="map key", writable=False)
    map.spare_key = None  # a nested walk needs a region of its own
    regions[copy.id] = copy
    copied, where = copy.data, copy.base

    def visit(key: bytes, value: Region) -> int:
        copied[:] = key
        return call(address, where, value.base, callback_ctx)

    try:
        visited: int = map.for_each(visit)
    finally:
        del regions[copy.id]  # the key's address is invalid after the walk
        map.spare_key = copy
    return visited
