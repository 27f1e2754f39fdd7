"""The interfaces of ebpfvm.kernel that everything above builds on."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from ebpfvm.contract import CtxField, Dialect, ProgType
from ebpfvm.contract.rules import LINUX_7_2
from ebpfvm.errors import Fault, UsageError
from ebpfvm.kernel import PROGRAM, Kernel, RefCounted, SchBpfCtx, SkbCtx, SkBuff, XdpBuff, XdpCtx
from ebpfvm.kernel.refs import CTX_HOLDER

SKB = ProgType("sched_cls", "__sk_buff", 192, (
    CtxField("len", 0, 4), CtxField("mark", 8, 4, write=True), CtxField("protocol", 16, 4),
    CtxField("cb", 48, 20, element=4, write=True, write_sizes=frozenset({1, 2, 4, 8}),
             read_sizes=frozenset({1, 2, 4, 8})),
    CtxField("data", 76, 4, access="pkt"), CtxField("data_end", 80, 4, access="pkt_end"),
    CtxField("tstamp", 152, 8, write=True)))
XDP = ProgType("xdp", "xdp_md", 24, (CtxField("data", 0, 4, access="pkt"), CtxField("data_end", 4, 4, access="pkt_end"),
                                     CtxField("data_meta", 8, 4, access="pkt_meta")))
QDISC = ProgType("qdisc", "sch_bpf_ctx", 24, (
    CtxField("skb", 0, 8, access="skb", write=True), CtxField("classid", 8, 4, write=True),
    CtxField("delay", 16, 8, write=True)))


@pytest.fixture
def kernel() -> Kernel:
    return Kernel(Dialect("test", LINUX_7_2, prog_types={3: SKB, 6: XDP, 32: QDISC}))


@contextmanager
def fault(kind: str, text: str = "") -> Iterator[None]:
    with pytest.raises(Fault, match=text or None) as caught:
        yield
    assert caught.value.kind == kind


def test_a_pointer_is_base_plus_offset(kernel: Kernel) -> None:
    region = kernel.memory.add("mem", bytes(16), name="buffer")
    assert region.base == (region.id << 32) + (1 << 31)
    kernel.memory.store(region.base + 4, 4, 0x1_0403_0201)
    assert kernel.memory.read(region.base, 8) == bytes([0, 0, 0, 0, 1, 2, 3, 4])
    assert kernel.memory.load(region.base + 4, 2) == 0x0201


@pytest.mark.parametrize(("off", "size"), [(-1, 1), (16, 1), (15, 2), (9, 8), (-8, 8), (1 << 20, 4)])
def test_every_access_stays_inside(kernel: Kernel, off: int, size: int) -> None:
    region = kernel.memory.add("mem", bytes(16), name="buffer")
    with fault("memory", "of mem region 'buffer', which has 16 bytes"):
        kernel.memory.load(region.base + off, size)
    with fault("memory", "write of"):
        kernel.memory.store(region.base + off, size, 1)


def test_read_only_null_wild_and_freed(kernel: Kernel) -> None:
    region = kernel.memory.add("map_value", bytes(8), name="map m", writable=False)
    assert kernel.memory.load(region.base, 8) == 0
    with fault("memory", "read-only"):
        kernel.memory.store(region.base, 1, 1)
    for ptr in (0, 8, (1 << 64) - 8):
        with fault("memory", "NULL"):
            kernel.memory.load(ptr, 1)
    with fault("memory", "not a pointer"):
        kernel.memory.load(0x1234_5678_9ABC_DEF0, 1)
    kernel.memory.free(region)
    with fault("use-after-free", "map m"):
        kernel.memory.load(region.base, 1)
    with fault("double-free"):
        kernel.memory.free(region)


def test_skb_fields_through_a_context(kernel: Kernel) -> None:
    skb = SkBuff(kernel, b"abcdef", mark=0x11223344, protocol=8)
    ctx = SkbCtx(kernel, skb)
    load = kernel.memory.load
    base = ctx.region.base
    assert load(base, 4) == 6
    assert [load(base + 8 + i, 1) for i in range(4)] == [0x44, 0x33, 0x22, 0x11]
    assert load(base + 10, 2) == 0x1122
    assert load(load(base + 76, 4), 1) == ord("a")
    assert load(base + 80, 4) - load(base + 76, 4) == 6
    kernel.memory.store(base + 56, 8, 0x1_0000_0002)
    assert skb.cb == [0, 0, 2, 1, 0]
    kernel.memory.store(base + 49, 1, 0xFF)
    assert skb.cb[0] == 0xFF00
    assert load(base + 56, 8) == 0x1_0000_0002
    for off, size in ((0, 8), (4, 4), (9, 2), (64, 8), (76, 8), (190, 4)):
        with fault("memory"):
            load(base + off, size)
    with fault("memory", "field 'len'"):
        kernel.memory.store(base, 4, 0)
    with fault("memory"):
        kernel.memory.store(base + 8, 2, 0)
    assert kernel.memory.owner(base) is skb


def test_packet_bounds_are_those_of_the_packet_not_the_buffer(kernel: Kernel) -> None:
    skb = SkBuff(kernel, bytes(range(20)))
    assert kernel.memory.load(skb.data + 16, 4) == 0x13121110
    for ptr in (skb.data - 1, skb.data + 17):
        with fault("memory", "of a packet of 20 bytes"):
            kernel.memory.load(ptr, 4)
    old = skb.data
    skb.set_payload(b"xy")
    with fault("use-after-free"):
        kernel.memory.load(old, 1)
    assert skb.len == 2 and skb.payload() == b"xy"
    with pytest.raises(UsageError):
        SkBuff(kernel, b"", nonsense=1)


def test_a_packet_has_no_region_until_an_address_is_asked_for(kernel: Kernel) -> None:
    before = len(kernel.memory.regions)
    first, second = SkBuff(kernel, b"abc", mark=7, id=1), SkBuff(kernel, b"defg")
    assert len(kernel.memory.regions) == before
    addresses = second.ptr, second.data, first.data, first.ptr
    assert len(kernel.memory.regions) == before + 4 and len(set(addresses)) == 4
    other = Kernel(kernel.dialect)
    again = SkBuff(other, b"abc"), SkBuff(other, b"defg")
    assert (again[1].ptr, again[1].data, again[0].data, again[0].ptr) == addresses  # whoever asks, in whatever order
    assert kernel.memory.load(first.ptr + 8, 4) == 7 and kernel.memory.read(second.data, 4) == b"defg"


def test_addresses_of_a_freed_packet_are_never_valid_again(kernel: Kernel) -> None:
    skb, bystander = SkBuff(kernel, b"abc"), SkBuff(kernel, b"abc")
    pointers = [skb.ptr, skb.data]
    skb.set_payload(b"other")
    pointers.append(skb.data)
    kernel.refs.release(skb, "network")
    for pointer in pointers:
        with fault("use-after-free"):
            kernel.memory.load(pointer, 1)
    with fault("memory", "is not a pointer to anything"):
        kernel.memory.load(bystander.ptr + (1 << 33), 4)  # a packet that does not exist yet
    assert skb.payload() == b"other"


def test_xdp_context(kernel: Kernel) -> None:
    ctx = XdpCtx(kernel, XdpBuff(kernel, b"0123456789"))
    data = kernel.memory.load(ctx.region.base, 4)
    assert kernel.memory.read(data, 10) == b"0123456789"
    assert kernel.memory.load(ctx.region.base + 8, 4) == data


def test_sch_bpf_ctx(kernel: Kernel) -> None:
    ctx = SchBpfCtx(kernel)
    skb = SkBuff(kernel, b"abc", priority=3)
    ctx.prepare(skb, 0x10000)
    load, base = kernel.memory.load, ctx.region.base
    assert load(base, 8) == skb.ptr and load(skb.ptr, 4) == 3 and load(base + 8, 4) == 0x10000
    with fault("memory"):
        load(base + 12, 4)
    ctx.prepare(None, 0x10000)
    with fault("double-free", "does not hold"):
        kernel.memory.store(base, 8, skb.ptr)
    kernel.refs.acquire(skb)
    kernel.memory.store(base, 8, skb.ptr)
    assert ctx.packet is skb and skb.holders == ["network", CTX_HOLDER]
    with fault("memory", "not a packet"):
        kernel.memory.store(base, 8, base)


def test_references(kernel: Kernel) -> None:
    refs = kernel.refs
    skb = SkBuff(kernel, b"abc", holder="qdisc")
    ptr = skb.ptr
    refs.acquire(skb)
    refs.give(skb, "map pifo")
    assert refs.held == 0 and skb.users == 2
    with fault("double-free", "does not hold; held by qdisc, map pifo"):
        refs.release(skb)
    refs.take(skb, "map pifo")
    with fault("leak", "packet 1 .3 bytes"):
        refs.program_exit(0, "p")
    assert refs.held == 0 and skb.holders == ["qdisc", "leaked by p"]
    refs.release(skb, "leaked by p")
    refs.release(skb, "qdisc")
    assert not refs.live() and skb.last_holder == "qdisc"
    with fault("use-after-free"):
        kernel.memory.load(ptr, 4)
    with fault("use-after-free"):
        refs.acquire(skb)
    with fault("double-free", "already freed by qdisc"):
        refs.release(skb, PROGRAM)


def test_holding_finds_by_holder(kernel: Kernel) -> None:
    obj = RefCounted()
    kernel.refs.add(obj, "link eth0")
    assert kernel.refs.holding(lambda holder: holder.startswith("link")) == [obj]
    assert kernel.refs.holding(lambda holder: holder == "x") == []


def test_frames_die_when_popped(kernel: Kernel) -> None:
    depth = kernel.stack.depth
    frame = kernel.stack.push()
    kernel.memory.store(frame.base, 8, 1)
    kernel.stack.pop(depth)
    with pytest.raises(Fault):
        kernel.memory.load(frame.base, 8)
    assert kernel.stack.push() is frame and kernel.memory.load(frame.base, 8) == 0
