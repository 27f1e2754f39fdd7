"""Dynptrs over memory and packets."""

from __future__ import annotations

import pytest

from ebpfvm.errnos import E2BIG, EINVAL, ERANGE
from tests.unit.funcs.world import World

DATA, PTR, OTHER = 0, 128, 144


@pytest.fixture
def w() -> World:
    world = World()
    world.put(bytes(range(64)))
    assert world.call("bpf_dynptr_from_mem", world.mem + DATA, 64, 0, world.mem + PTR) == 0
    return world


def test_from_mem_refuses(w: World) -> None:
    assert w.call("bpf_dynptr_from_mem", w.mem, 1 << 24, 0, w.mem + PTR) == -E2BIG
    assert w.call("bpf_dynptr_from_mem", w.mem, 8, 1, w.mem + PTR) == -EINVAL
    assert w.call("bpf_dynptr_is_null", w.mem + PTR) == 1
    assert w.call("bpf_dynptr_data", w.mem + PTR, 0, 0) == 0
    assert w.call("bpf_dynptr_size", w.mem + PTR) == -EINVAL & 0xFFFFFFFF
    assert w.call("bpf_dynptr_read", w.mem, 1, w.mem + PTR, 0, 0) == -EINVAL


def test_read_write_data(w: World) -> None:
    p = w.mem + PTR
    assert w.call("bpf_dynptr_read", w.mem + 200, 4, p, 10, 0) == 0 and w.get(4, 200) == bytes((10, 11, 12, 13))
    assert w.call("bpf_dynptr_read", w.mem + 200, 4, p, 61, 0) == -E2BIG
    assert w.call("bpf_dynptr_read", w.mem + 200, 4, p, 0, 1) == -EINVAL
    assert w.call("bpf_dynptr_write", p, 60, w.put(b"wxyz", 200), 4, 0) == 0 and w.get(4, 60) == b"wxyz"
    assert w.call("bpf_dynptr_write", p, 61, w.mem + 200, 4, 0) == -E2BIG
    assert w.call("bpf_dynptr_write", p, 0, w.mem + 200, 4, 1) == -EINVAL
    assert w.call("bpf_dynptr_data", p, 8, 16) == w.mem + 8
    assert w.call("bpf_dynptr_data", p, 60, 16) == 0
    assert w.call("bpf_dynptr_slice", p, 8, 0, 16) == w.mem + 8


def test_adjust_clone_copy_memset(w: World) -> None:
    p, q = w.mem + PTR, w.mem + OTHER
    assert w.call("bpf_dynptr_clone", p, q) == 0
    assert w.call("bpf_dynptr_adjust", q, 8, 24) == 0 and w.call("bpf_dynptr_size", q) == 16
    assert w.call("bpf_dynptr_adjust", q, 5, 4) == -EINVAL and w.call("bpf_dynptr_adjust", q, 0, 17) == -ERANGE
    assert w.call("bpf_dynptr_copy", p, 32, q, 0, 16) == 0 and w.get(16, 32) == bytes(range(8, 24))
    assert w.call("bpf_dynptr_copy", p, 60, q, 0, 16) == -E2BIG
    assert w.call("bpf_dynptr_memset", q, 0, 16, 0xAA) == 0 and w.get(16, 8) == b"\xaa" * 16
    assert w.call("bpf_dynptr_memset", q, 1, 16, 0) == -E2BIG
    w.put(bytes(16), OTHER)
    assert w.call("bpf_dynptr_clone", q, p) == -EINVAL and w.call("bpf_dynptr_is_null", p) == 1
    assert w.call("bpf_dynptr_adjust", q, 0, 0) == -EINVAL and w.call("bpf_dynptr_copy", p, 0, q, 0, 1) == -EINVAL
    assert w.call("bpf_dynptr_memset", q, 0, 1, 0) == -EINVAL


def test_packets() -> None:
    w = World()
    skb, ctx = w.skb(bytes(range(60)))
    p = w.mem + PTR
    assert w.call("bpf_dynptr_from_skb", ctx, 1, p) == -EINVAL
    assert w.call("bpf_dynptr_from_skb", ctx, 0, p) == 0 and w.call("bpf_dynptr_size", p) == 60
    assert w.call("bpf_dynptr_is_rdonly", p) == 0
    assert w.call("bpf_dynptr_data", p, 0, 4) == 0  # only slices show packets
    assert w.call("bpf_dynptr_slice_rdwr", p, 4, 0, 8) == skb.data + 4
    assert w.call("bpf_dynptr_write", p, 2, w.put(b"ab"), 2, 0) == 0 and skb.payload()[2:4] == b"ab"
    assert w.call("bpf_dynptr_read", w.mem, 4, p, 1, 0) == 0 and w.get(4) == b"\x01ab\x04"
    assert w.call("bpf_dynptr_from_skb_meta", ctx, 0, p) == 0 and w.call("bpf_dynptr_size", p) == 0
    assert w.call("bpf_dynptr_from_skb_meta", ctx, 1, p) == -EINVAL


def test_a_type_without_packet_writes_gets_a_read_only_one() -> None:
    w = World(type="socket_filter")
    _, ctx = w.skb(bytes(60))
    p = w.mem + PTR
    assert w.call("bpf_dynptr_from_skb", ctx, 0, p) == 0 and w.call("bpf_dynptr_is_rdonly", p) == 1
    assert w.call("bpf_dynptr_slice_rdwr", p, 0, 0, 4) == 0 and w.call("bpf_dynptr_slice", p, 0, 0, 4) != 0
    assert w.call("bpf_dynptr_write", p, 0, w.mem, 2, 0) == -EINVAL


def test_xdp() -> None:
    w = World(type="xdp")
    xdp, ctx = w.xdp(bytes(range(60)))
    p = w.mem + PTR
    assert w.call("bpf_dynptr_from_xdp", ctx, 0, p) == 0
    assert w.call("bpf_dynptr_write", p, 0, w.put(b"ab"), 2, 1) == -EINVAL
    assert w.call("bpf_dynptr_write", p, 0, w.put(b"ab"), 2, 0) == 0 and xdp.payload()[:2] == b"ab"
    assert w.call("bpf_dynptr_slice", p, 2, 0, 4) == xdp.data + 2
