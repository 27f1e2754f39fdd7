"""Values as lists of numbers, for types whose members are all plain numbers: a load is an item of a list.

`TypedRegion` gives the same number of bytes to everybody who has an address: the interpreter, user space and dumps. An
access that is not exactly one member encodes the value, and decodes it again if it writes.
"""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING, Any

from ebpfvm.ints import U64_MAX
from ebpfvm.kernel.memory import Region

if TYPE_CHECKING:
    from collections.abc import Container, Iterable

    from ebpfvm.kernel.memory import Memory

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


class TypedRegion(Region):
    """A value that is a list of numbers.

    Attributes:
        cells: the members' values, unsigned.
        shape: how the bytes are cut.
    """

    __slots__ = ("cells", "shape")

    cells: list[int]
    shape: ValueShape

    @property
    def data(self) -> bytes:  # type: ignore[override]
        """The bytes, as a copy that nobody can mistake for the value itself."""
        return self.shape.pack(*self.cells)

    def load(self, off: int, size: int) -> int:
        number = self.shape.places.get((off, size))
        if number is not None:
            return self.cells[number]
        if 0 <= off <= self.size - size:
            return int.from_bytes(self.data[off:off + size], "little")
        self.refuse(off, size, "read")

    def store(self, off: int, size: int, value: int) -> None:
        value &= U64_MAX >> 64 - 8 * size
        number = self.shape.places.get((off, size))
        if number is not None and self.writable:
            self.cells[number] = value
        else:
            self.write(off, value.to_bytes(size, "little"))

    def write(self, off: int, data: bytes) -> None:
        if not self.writable or not 0 <= off <= self.size - len(data):
            self.refuse(off, len(data), "write")
        whole = bytearray(self.data)
        whole[off:off + len(data)] = data
        self.cells[:] = self.shape.unpack(whole)


_bare = object.__new__


def typed_region(memory: Memory, name: str, owner: object, shape: ValueShape, cells: list[int]) -> TypedRegion:
    """Create the region of a map's value that is the list `cells`."""
    region = _bare(TypedRegion)
    region.kind, region.size, region.name = "map_value", shape.size, name
    region.writable, region.owner, region.alive = True, owner, True
    region.cells, region.shape = cells, shape
    memory.adopt(region)
    return region
