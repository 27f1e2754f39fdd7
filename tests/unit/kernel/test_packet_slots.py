"""A slot for a packet in a map's value: bytes and references are the truth, whoever writes and whoever reads."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ebpfvm.errors import Fault
from ebpfvm.kernel import Kernel, SkBuff
from ebpfvm.kernel.memory import OBJECT_IDS, PacketSlot, Region, packet_slot

WAYS = st.sampled_from(("swap", "exchange"))


def slot(kernel: Kernel) -> PacketSlot:
    return packet_slot(bytearray(16), "map q", SimpleNamespace(kernel=kernel))


def given_to_program(kernel: Kernel) -> SkBuff:
    skb = SkBuff(kernel, b"abc")
    kernel.refs.acquire(skb)
    return skb


def put(kernel: Kernel, region: Region, way: str, skb: SkBuff | None) -> object:
    """Put a packet (or NULL) into the slot in one of the ways, and return the packet that was in it."""
    if way == "swap":
        return kernel.swap(region, 8, skb)
    old = kernel.exchange(region, 8, 0 if skb is None else skb.ptr)
    return kernel.memory.owner(old)


@given(st.lists(st.tuples(WAYS, st.booleans()), max_size=12), st.booleans())
def test_both_ways_see_what_the_other_has_done(steps: list[tuple[str, bool]], single: bool) -> None:
    kernel = Kernel()
    region = slot(kernel) if single else kernel.memory.add("map_value", bytes(16), name="map q", owner=object())
    before: SkBuff | None = None
    for way, fills in steps:
        new = given_to_program(kernel) if fills else None
        assert put(kernel, region, way, new) is before
        if before is not None:
            assert before.holders == ["network", "program"]
        before = new
        assert before is None or before.holders == ["network", "map q"]
        pointer = region.load(8, 8)
        assert kernel.memory.owner(pointer) is before and bool(pointer) is fills


def test_a_packet_in_a_slot_gets_a_region_when_its_address_is_used() -> None:
    kernel = Kernel()
    region, skb = slot(kernel), given_to_program(kernel)
    kernel.swap(region, 8, skb)
    assert not any(number >= OBJECT_IDS for number in kernel.memory.regions)
    pointer = region.load(8, 8)
    assert kernel.memory.region(pointer) is skb.region and pointer == skb.ptr


def test_a_value_gets_an_address_when_somebody_asks() -> None:
    kernel = Kernel()
    unseen, seen = slot(kernel), slot(kernel)
    before = len(kernel.memory.regions)
    address = seen.base
    assert kernel.memory.region(address + 3) is seen and seen.base == address
    assert len(kernel.memory.regions) == before + 1 and not unseen.id
    for region in (unseen, seen):
        kernel.memory.retire(region)
    kernel.memory.quiesce()
    assert len(kernel.memory.regions) == before and not unseen.alive and not seen.alive
    with pytest.raises(Fault, match="use of map_value region 'map q' after it was freed"):
        kernel.memory.load(address, 8)


def test_the_address_of_a_packet_that_is_gone_is_no_longer_valid() -> None:
    kernel = Kernel()
    region, skb = slot(kernel), given_to_program(kernel)
    kernel.swap(region, 8, skb)
    pointer = region.load(8, 8)
    assert kernel.swap(region, 8, None) is skb and region.load(8, 8) == 0
    kernel.refs.release(skb)
    kernel.refs.release(skb, "network")
    with pytest.raises(Fault, match="use of memory that was freed long ago after it was freed"):
        kernel.memory.load(pointer, 4)
    with pytest.raises(Fault, match="is not a pointer to anything"):
        kernel.memory.load(pointer + (1 << 32), 4)


def test_what_the_program_does_not_hold_is_refused() -> None:
    kernel = Kernel()
    region, skb = slot(kernel), SkBuff(kernel, b"abc")
    with pytest.raises(Fault, match=r"program gives to map q a reference to packet 1 .3 bytes. that it does not hold"):
        kernel.swap(region, 8, skb)
    kernel.refs.acquire(skb)
    kernel.swap(region, 8, skb)
    kernel.refs.move(skb, "map q", "link eth0")
    with pytest.raises(Fault, match=r"map q gives to program a reference to packet 1 .3 bytes. that it does not hold"):
        kernel.swap(region, 8, None)
