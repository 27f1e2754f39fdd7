"""Values of maps that hold packets: a value is a list, in which a slot for a packet holds the packet itself or None.

`PacketValue` is that list, and also the region of its bytes for everybody who has an address. It gets its id when
somebody asks for the address; most values never have one.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

from ebpfvm.errors import Fault
from ebpfvm.ints import U64_MAX
from ebpfvm.kernel.memory import AnyRegion, Region, base_of
from ebpfvm.kernel.refs import RefCounted

if TYPE_CHECKING:
    from collections.abc import Callable

    from ebpfvm.kernel.typed_values import ValueShape
    _Region = Region
else:
    _Region = AnyRegion  # `Region` has slots, and so no list can inherit it


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


class PacketValue(_Region, list[Any]):  # type: ignore[misc]  # see `_Region`
    """A map's value, by the map's shape: numbers, and packets or None.

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
            cells[number] = _address(cells[number])
        return shape.pack(*cells)

    def load(self, off: int, size: int) -> int:
        shape = self.shape
        number = shape.places.get((off, size))
        if number is not None:
            cell = self[number]
            return _address(cell) if number in shape.packets else cell
        if 0 <= off <= shape.size - size:
            return int.from_bytes(self.data[off:off + size], "little")
        self.refuse(off, size, "read")

    def store(self, off: int, size: int, value: int) -> None:
        self.write(off, (value & U64_MAX >> 64 - 8 * size).to_bytes(size, "little"))

    def write(self, off: int, data: bytes) -> None:
        shape = self.shape
        if not 0 <= off <= shape.size - len(data):
            self.refuse(off, len(data), "write")
        whole = bytearray(self.data)
        whole[off:off + len(data)] = data
        cells: list[Any] = [*shape.unpack(whole)]
        for number in shape.packets:
            if cells[number] == _address(self[number]):
                cells[number] = self[number]
            else:
                cells[number] = self._packet(cells[number])
        self[:] = cells

    def _packet(self, address: int) -> Any:
        """Return what a slot holds that contains an address."""
        if not address:
            return None
        try:
            found = self.owner.kernel.memory.owner(address)
        except Fault:
            return NoPacket(address)
        return found if isinstance(found, RefCounted) and hasattr(found, "locate") else NoPacket(address)


def _address(cell: Any) -> int:
    return 0 if cell is None else cell.address or cell.locate()


_made: Callable[[list[Any]], PacketValue] = PacketValue  # type: ignore[assignment]  # see `_Region`


def packet_value(owner: Any, cells: list[Any]) -> PacketValue:
    """Return a value of the map `owner`."""
    value = _made(cells)
    value.owner, value.id, value.alive = owner, 0, True
    return value
