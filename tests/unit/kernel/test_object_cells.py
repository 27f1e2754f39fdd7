"""Objects of bpf_obj_new are cells: whoever has an address sees the bytes that a plain buffer would have."""

from __future__ import annotations

import random

import pytest

from ebpfvm.btf.encode import BtfBuilder
from ebpfvm.errors import Fault
from ebpfvm.kernel.object_graph import AllocObject
from tests.unit.funcs.world import World

NODE, SKB, SIZE = slice(8, 32), 32, 72


def _object() -> tuple[World, AllocObject]:
    """An object with numbers of all sizes, an array, padding, a node and a kptr."""
    b = BtfBuilder()
    sizes = {8: "unsigned long", 4: "unsigned int", 2: "unsigned short", 1: "unsigned char"}
    u64, u32, u16, u8 = (b.integer(name, size) for size, name in sizes.items())
    node = b.struct("bpf_list_node", [("x", b.array(u64, 3))])
    skb = b.struct("sk_buff", [("len", u64)])
    item = b.struct("item", [("a", u64), ("node", node), ("skb", b.kptr(skb)), ("b", u32), ("c", u16), ("d", u8),
                             ("e", b.array(u16, 4)), ("f", u64), ("g", u32)])
    w = World(btf=b.btf())
    made = w.memory.owner(w.call("bpf_obj_new", item))
    assert isinstance(made, AllocObject)
    return w, made


@pytest.mark.parametrize("seed", range(20))
def test_bytes_are_those_of_a_plain_buffer(seed: int) -> None:
    pick = random.Random(seed)
    _, made = _object()
    model, size = bytearray(made.type.size), made.type.size
    ends = [NODE.start] * NODE.start + [size] * size  # an access stays on one side of node and kptr
    allowed = [off for off in range(size) if off < NODE.start or off >= SKB + 8]
    for _ in range(200):
        width = pick.choice((1, 2, 4, 8))
        off = pick.choice([off for off in allowed if off + width <= ends[off]])
        value = pick.getrandbits(64)
        if pick.random() < 0.5:
            made.region.store(off, width, value)
            model[off:off + width] = (value & (1 << 8 * width) - 1).to_bytes(width, "little")
        assert made.region.load(off, width) == int.from_bytes(model[off:off + width], "little")
        assert made.region.read(0, size) == bytes(model)


def test_a_kptr_is_the_packet_and_reads_as_its_address() -> None:
    w, made = _object()
    skb, _ = w.skb(bytes(60))
    w.env.refs.acquire(skb)
    assert w.call("bpf_kptr_xchg", made.ptr + SKB, skb.ptr) == 0
    assert made.cells[made.type.shape.kptrs[SKB]] is skb
    assert made.region.load(SKB, 8) == skb.ptr == int.from_bytes(made.region.read(SKB, 8), "little")
    assert w.call("bpf_kptr_xchg", made.ptr + SKB, 0) == skb.ptr


def test_the_address_does_not_depend_on_who_asks_for_it_first() -> None:
    w, made = _object()
    assert made.locate() == made.ptr
    other = w.kernel.graph.maker(made.type)()
    assert w.memory.owner(other.locate()) is other  # without a region so far


def test_accesses_outside_are_faults_and_use_after_free_too() -> None:
    w, made = _object()
    with pytest.raises(Fault, match="object item"):
        made.region.load(made.type.size - 4, 8)
    with pytest.raises(Fault, match="object item"):
        made.region.store(made.type.size, 1, 0)
    address = made.ptr
    w.call("bpf_obj_drop", address)
    assert w.memory.load(address, 8) == 0  # until the program ends
    w.memory.quiesce()
    with pytest.raises(Fault, match="after it was freed"):
        w.memory.load(address, 8)


def test_an_object_without_a_region_is_dropped_like_one_with_a_region() -> None:
    w, made = _object()
    refs, drop = w.env.refs, w.kernel.graph.dropper(made.type)
    plain = w.kernel.graph.maker(made.type)()
    skb, _ = w.skb(bytes(60))
    plain.cells[made.type.shape.kptrs[SKB]] = skb
    w.env.refs.acquire(skb)
    refs.give(skb, made.type.holder)
    for obj in (made, plain):
        drop(obj)
        assert not obj.refs and obj.last_holder == "program"
    assert refs.held == 0 and skb.users == 1


@pytest.mark.parametrize("seen", [False, True])
def test_a_freed_object_has_one_address(seen: bool) -> None:
    """Programs may compare the address of what they have dropped, again and again, until they end."""
    w, other = _object()
    made = w.kernel.graph.maker(other.type)()
    address = made.ptr if seen else 0
    w.kernel.graph.dropper(made.type)(made)
    after = [made.ptr for _ in range(2)]
    assert after == [address or after[0]] * 2
    w.memory.quiesce()
    with pytest.raises(Fault, match="after it was freed"):
        w.memory.region(after[0])
