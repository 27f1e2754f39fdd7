"""A map's value that holds a packet is a list with the packet in it, and bytes for everybody who has an address."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from ebpfvm.btf.encode import BtfBuilder
from ebpfvm.dialects.rfc6 import rfc6
from ebpfvm.errors import Fault
from ebpfvm.kernel import Kernel, SkBuff
from ebpfvm.kernel.typed_values import TypedValue
from ebpfvm.loader import load
from ebpfvm.maps import make_map

PFIFO = Path(__file__).parents[3] / "samples" / "rfc" / "pfifo.o"
KEY = bytes(16)


def queue(**changes: Any) -> tuple[Kernel, Any, TypedValue]:
    kernel = Kernel(rfc6())
    made: Any = make_map(kernel, replace(load(PFIFO).maps["pifo"], **changes))
    assert made.update(KEY, bytes(8), 0) == 0
    return kernel, made, made.find(KEY)


def packet(kernel: Kernel) -> SkBuff:
    skb = SkBuff(kernel, b"abc")
    kernel.refs.acquire(skb)
    return skb


def test_list_and_bytes_are_one_value() -> None:
    kernel, made, value = queue()
    skb = packet(kernel)
    assert isinstance(value, TypedValue) and kernel.swap(value, 0, skb) is None
    assert value[0] is skb and value.load(0, 8) == skb.ptr and not value.id
    assert [found[0] for found in made.owned()] == [skb.ptr] and made.snapshot(value) == bytes(8)
    value.store(0, 8, skb.ptr)
    value.write(4, skb.ptr.to_bytes(8, "little")[4:])
    assert value[0] is skb
    assert kernel.exchange(value, 0, 0) == skb.ptr and value[0] is None and skb.holders == ["network", "program"]


def test_a_deleted_value_that_gets_an_address_lives_until_the_program_ends() -> None:
    kernel, made, value = queue()
    taken = kernel.memory.map_bytes
    kernel.swap(value, 0, skb := packet(kernel))
    assert made.delete(KEY) == 0 and skb.holders == ["network"]
    assert kernel.memory.map_bytes == taken and not kernel.memory.retired
    address = value.base
    assert kernel.memory.load(address, 8) == 0
    kernel.memory.quiesce()
    assert kernel.memory.map_bytes < taken
    with pytest.raises(Fault, match="use of map_value region 'map pifo' after it was freed"):
        kernel.memory.load(address, 8)


def test_a_number_over_a_slot_is_no_packet() -> None:
    kernel, _, value = queue()
    value.store(0, 8, 0x1234_5678_9ABC)
    assert value.load(0, 8) == 0x1234_5678_9ABC
    with pytest.raises(Fault, match="is not a pointer to anything"):
        kernel.taken(value[0], "map pifo")


def test_a_value_of_numbers_in_place_of_one_with_packets() -> None:
    """An inner map without kptrs may replace a template with them: the pointer is a number there."""
    kernel = Kernel(rfc6())
    spec = load(PFIFO).maps["pifo"]
    builder = BtfBuilder()
    word = builder.integer("word", 8)
    made: Any = make_map(kernel, replace(spec, key_size=8, value_type=word, key_type=word,
                                         btf=builder.btf()))
    assert made.update(KEY[:8], bytes(8), 0) == 0 and made.shape is not None
    skb = packet(kernel)
    assert kernel.swap(made.find(KEY[:8]), 0, skb) is None
    assert made.find(KEY[:8]).load(0, 8) == skb.ptr and kernel.swap(made.find(KEY[:8]), 0, None) is skb
