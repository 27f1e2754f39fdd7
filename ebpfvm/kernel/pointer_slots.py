"""Pointer slots (kptrs): the pointer in a slot changes together with the reference that the slot holds."""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING, Any

from ebpfvm.errors import Fault
from ebpfvm.kernel.memory import REGION_SHIFT, PacketSlot
from ebpfvm.kernel.refs import COUNT, MEMORY, PROGRAM_UNIT, RefCounted
from ebpfvm.kernel.typed_values import NoPacket, TypedValue

if TYPE_CHECKING:
    from collections.abc import Callable

    from ebpfvm.kernel.memory import Memory, Region
    from ebpfvm.kernel.refs import Refs

    Exchange = Callable[[Region, int, int], int]
    Swap = Callable[[Region, int, Any], Any]

_SLOT = struct.Struct("<Q")


def exchanger(memory: Memory, refs: Refs) -> Exchange:
    """Return `exchange(region, offset, pointer)`, which swaps a slot's pointer with `pointer`, and the references too.

    It returns the old pointer, whose reference the program then holds, or NULL (0). It raises Fault if the slot is
    outside of the region, one of the pointers refers to nothing alive, or the program does not hold what it gives.
    """
    regions, take, give = memory.regions, refs.take, refs.give
    load, put = _SLOT.unpack_from, _SLOT.pack_into

    def exchange(region: Region, offset: int, pointer: int) -> int:
        plain = not isinstance(region, TypedValue) and region.kind == "map_value" and region.writable \
            and 0 <= offset <= region.size - 8
        old: int = load(region.data, offset)[0] if plain else region.load(offset, 8)
        new_object = (regions.get(pointer >> REGION_SHIFT) or memory.region(pointer)).owner if pointer else None
        if old:
            old_object = (regions.get(old >> REGION_SHIFT) or memory.region(old)).owner
            if isinstance(old_object, RefCounted):
                take(old_object, region.name)
        if isinstance(new_object, RefCounted):
            give(new_object, region.name)
        if plain:
            put(region.data, offset, pointer)
        else:
            region.store(offset, 8, pointer)
        return old
    return exchange


def swapper(memory: Memory, refs: Refs, exchange: Exchange) -> Swap:
    """Return `swap(region, offset, packet)`, which is `exchange` with packets (None for NULL) instead of pointers.

    It is for a slot in a map's value. The usual case is what `Refs.take` and `Refs.give` do, without the calls.
    """
    owner, load, put = memory.owner, _SLOT.unpack_from, _SLOT.pack_into

    def swap(region: Region, offset: int, packet: Any) -> Any:
        name = region.name
        old: Any = None
        if isinstance(region, TypedValue):
            return memory.owner(exchange(region, offset, 0 if packet is None else packet.ptr))
        slot = refs.by_name.get(name) or refs.holder(name, MEMORY)
        pointer: int = load(region.data, offset)[0]
        single = type(region) is PacketSlot
        if pointer:
            old = region.held if single else None  # type: ignore[attr-defined]
            if old is None or old.address != pointer:
                old = owner(pointer)
            if not old.refs & slot.mask:
                refs.take(old, name)  # raises the fault
            old.refs += PROGRAM_UNIT - slot.unit
            refs.held += 1
        if packet is None:
            if single:
                region.held = None  # type: ignore[attr-defined]
            put(region.data, offset, 0)
            return old
        if not packet.refs & COUNT:
            refs.give(packet, name)  # raises the fault
        packet.refs += slot.unit - PROGRAM_UNIT
        refs.held -= 1
        if single:
            region.held = packet  # type: ignore[attr-defined]
            put(region.data, offset, packet.address or packet.locate())
        else:
            put(region.data, offset, packet.ptr)
        return old
    return swap


def taker(memory: Memory, refs: Refs) -> Callable[[Any, str], Any]:
    """Return `taken(cell, holder)`: the packet of a slot that does not hold it in the usual way, or the fault."""
    def taken(cell: Any, holder: str) -> Any:
        found = cell
        if isinstance(cell, NoPacket):
            found = memory.owner(cell.address)
            if not isinstance(found, RefCounted):
                raise Fault("memory", f"the slot in {holder} contains {cell.address:#x}, which is no object")
        if not found.refs & refs.holder(holder, MEMORY).mask:
            refs.take(found, holder)  # raises the fault
        return found
    return taken
