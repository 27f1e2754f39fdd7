"""Values of maps as lists of numbers and packets, for types that consist of them: a load is an item of a list.

`TypedValue` is that list, and also the region of its bytes for everybody who has an address: the interpreter, user
space and dumps. It gets its id when somebody asks for the address; most values never have one. An access that is not
exactly one member encodes the value, and decodes it again if it writes.
"""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING, Any, ClassVar

from ebpfvm.errors import Fault
from ebpfvm.ints import U64_MAX
from ebpfvm.kernel.memory import AnyRegion, Region, base_of
from ebpfvm.kernel.refs import RefCounted

if TYPE_CHECKING:
    from collections.abc import Callable, Container, Iterable

    from ebpfvm.kernel.memory import Memory

    _Region = Region
else:
    _Region = AnyRegion  # `Region` has slots, and so no list can inherit it

_CODES = {1: "B", 2: "H", 4: "I", 8: "Q"}


class ValueShape:
    """How a value's bytes are cut into members; padding is a member too.

    Args:
        parts: offset and size of each member, without gaps; sizes are 1, 2, 4 or 8.
        packets: the offsets of those that hold packets.

    Attributes:
        parts: the same.
        size: of the whole value.
        places: (offset, size) -> number of the member.
        packets: the numbers of the members that hold packets (kptrs).
        numbers: those of the others.
    """

    def __init__(self, parts: Iterable[tuple[int, int]], packets: Container[int] = ()) -> None:
        self.parts = tuple(parts)
        self.size = sum(size for _, size in self.parts)
        self.places = {part: number for number, part in enumerate(self.parts)}
        self.packets = tuple(number for number, (off, _) in enumerate(self.parts) if off in packets)
        self.numbers = tuple(number for number in range(len(self.parts)) if number not in self.packets)
        code = struct.Struct("<" + "".join(_CODES[size] for _, size in self.parts))
        self.pack, self.unpack = code.pack, code.unpack_from

    def without_packets(self, data: bytes) -> list[Any]:
        """Return the members' values, with None for packets."""
        cells: list[Any] = [*self.unpack(data)]
        for number in self.packets:
            cells[number] = None
        return cells

    def covering(self, off: int, size: int) -> list[int]:
        """Return the numbers of the members that an access touches."""
        return [number for number, (start, length) in enumerate(self.parts)
                if start < off + size and off < start + length]

    def same_as(self, other: ValueShape | None) -> bool:
        """Return whether values of both are the same lists."""
        return other is not None and self.parts == other.parts and self.packets == other.packets


class NoPacket:
    """What a program that nobody verified has written over a slot, if it is no address of a packet.

    Attributes:
        address: the number.
        refs: 0, so that whoever takes it looks at it closely.
    """

    __slots__ = ("address",)
    refs: ClassVar[int] = 0

    def __init__(self, address: int) -> None:
        self.address = address


def address_of(held: Any) -> int:
    """Return the address of what a kptr owns, 0 for nothing."""
    return 0 if held is None else held.address or held.locate()


def held_at(memory: Memory, address: int) -> Any:
    """Return what a kptr owns that contains an address."""
    if not address:
        return None
    try:
        found = memory.owner(address)
    except Fault:
        return NoPacket(address)
    return found if isinstance(found, RefCounted) and hasattr(found, "locate") else NoPacket(address)


class TypedValue(_Region, list[Any]):  # type: ignore[misc]  # see `_Region`
    """A map's value, by the map's shape: unsigned numbers, and packets or None.

    Attributes:
        owner: the map.
    """

    __slots__ = ("alive", "id", "owner")
    kind = "map_value"
    writable = True
    alive: bool
    id: int
    owner: Any
    __eq__ = object.__eq__  # two values are never the same one
    __hash__ = object.__hash__  # type: ignore[assignment]

    @property
    def name(self) -> str:  # type: ignore[override]
        """The holder of the references in it."""
        found: str = self.owner.holder
        return found

    @property
    def shape(self) -> ValueShape:
        """How the bytes are cut."""
        found: ValueShape = self.owner.shape
        return found

    @property
    def size(self) -> int:  # type: ignore[override]
        """Number of bytes."""
        return self.shape.size

    @property
    def base(self) -> int:
        """The address, which makes it one of the memory's regions."""
        if not self.id:
            memory = self.owner.kernel.memory
            memory.adopt(self)
            if not self.alive:  # deleted, but the running program still has it
                self.alive = True
                memory.retired.append(self)
        return base_of(self.id)

    @base.setter
    def base(self, address: int) -> None:
        """Do nothing: the address follows from the id."""

    @property
    def data(self) -> bytes:  # type: ignore[override]
        """The bytes, as a copy that nobody can mistake for the value itself."""
        shape, cells = self.shape, [*self]
        for number in shape.packets:
            cells[number] = address_of(cells[number])
        return shape.pack(*cells)

    def load(self, off: int, size: int) -> int:
        shape = self.shape
        number = shape.places.get((off, size))
        if number is not None:
            cell = self[number]
            return address_of(cell) if number in shape.packets else cell
        if 0 <= off <= shape.size - size:
            return int.from_bytes(self.data[off:off + size], "little")
        self.refuse(off, size, "read")

    def store(self, off: int, size: int, value: int) -> None:
        value &= U64_MAX >> 64 - 8 * size
        shape = self.shape
        number = shape.places.get((off, size))
        if number is None or number in shape.packets:
            self.write(off, value.to_bytes(size, "little"))
        else:
            self[number] = value

    def write(self, off: int, data: bytes) -> None:
        shape = self.shape
        if not 0 <= off <= shape.size - len(data):
            self.refuse(off, len(data), "write")
        whole = bytearray(self.data)
        whole[off:off + len(data)] = data
        cells: list[Any] = [*shape.unpack(whole)]
        for number in shape.packets:
            if cells[number] == address_of(self[number]):
                cells[number] = self[number]
            else:
                cells[number] = held_at(self.owner.kernel.memory, cells[number])
        self[:] = cells


new_list: Callable[[list[Any]], TypedValue] = TypedValue  # type: ignore[assignment]  # see `_Region`


def typed_value(owner: Any, cells: list[Any]) -> TypedValue:
    """Return a value of the map `owner`, which has the shape of `cells`."""
    value = new_list(cells)
    value.owner, value.id, value.alive = owner, 0, True
    return value
