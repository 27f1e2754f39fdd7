"""References to packets: the RFC's three kfuncs and bpf_kptr_xchg."""

from __future__ import annotations

import pytest

from ebpfvm.dialects import rfc6
from ebpfvm.errors import Fault
from tests.unit.funcs.world import World


def _world() -> World:
    return World(rfc6(), "qdisc")


def test_acquire_and_release() -> None:
    w = _world()
    skb, _ = w.skb(bytes(60))
    assert w.call("bpf_skb_acquire", skb.ptr) == skb.ptr and skb.users == 2
    w.call("bpf_skb_release", skb.ptr)
    assert skb.users == 1
    with pytest.raises(Fault, match="does not hold"):
        w.call("bpf_skb_release", skb.ptr)


def test_xchg_moves_ownership_both_ways() -> None:
    w = _world()
    slot = w.memory.add("map_value", bytearray(8), name="map q").base
    first, _ = w.skb(bytes(60))
    second, _ = w.skb(bytes(60))
    for skb in (first, second):
        w.call("bpf_skb_acquire", skb.ptr)
    assert w.call("bpf_kptr_xchg", slot, first.ptr) == 0
    assert "map q" in first.holders
    assert w.call("bpf_kptr_xchg", slot, second.ptr) == first.ptr
    assert "map q" not in first.holders and "map q" in second.holders
    assert w.call("bpf_kptr_xchg", slot, 0) == second.ptr
    assert w.env.refs.held == 2


def test_xchg_of_a_packet_that_is_not_held_is_a_fault() -> None:
    w = _world()
    slot = w.memory.add("map_value", bytearray(8), name="map q").base
    skb, _ = w.skb(bytes(60))
    with pytest.raises(Fault, match="does not hold"):
        w.call("bpf_kptr_xchg", slot, skb.ptr)


def test_kptr_get_leaves_the_slot_alone() -> None:
    w = _world()
    slot = w.memory.add("map_value", bytearray(8), name="map q").base
    assert w.call("bpf_skb_kptr_get", slot) == 0
    skb, _ = w.skb(bytes(60))
    w.call("bpf_skb_acquire", skb.ptr)
    w.call("bpf_kptr_xchg", slot, skb.ptr)
    assert w.call("bpf_skb_kptr_get", slot) == skb.ptr
    assert skb.users == 3 and w.memory.load(slot, 8) == skb.ptr


def test_kfuncs_of_struct_ops() -> None:
    w = World()
    skb, _ = w.skb(bytes(12) + b"\x08\0" + bytes(50))
    hash = w.call("bpf_skb_get_hash", skb.ptr)
    assert hash and hash == skb.hash == w.call("bpf_skb_get_hash", skb.ptr)
    w.env.refs.acquire(skb)
    w.call("bpf_kfree_skb", skb.ptr)
    assert skb.users == 1
