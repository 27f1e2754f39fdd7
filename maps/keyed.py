"""Maps whose elements are found by an integer: a key's bytes read in one order.

Translated programs have keys as integers and call `get`, `put` and `remove`; the interpreter and user space have bytes.
A type chooses the order: little-endian costs least to form, big-endian sorts as memcmp() does for keys of one size.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

from ebpfvm.errnos import EOPNOTSUPP
from ebpfvm.kernel.refs import RefCounted
from ebpfvm.kernel.typed_values import NoPacket, TypedValue, typed_value
from ebpfvm.maps import base
from ebpfvm.maps.value_types import shape_of_values

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from ebpfvm.ints import ByteOrder
    from ebpfvm.kernel.emulated import Kernel
    from ebpfvm.kernel.memory import Region
    from ebpfvm.loader.object import MapSpec


Content = bytes | list[Any]
"""What an update writes: bytes, or by the map's shape numbers, None for packets, in a list that becomes the map's."""


class KeyedMap(base.BpfMap):
    """Base of arrays, hash tables and the rbtree.

    Attributes:
        key_order: the order in which the bytes of a key are read.
        shape: how values are cut into numbers; None if they are bytes.
        elems: key -> live value.
        element_bytes: what an element counts (`Memory.map_bytes`).
    """

    # What is asked for with each packet: slots are found faster than the other attributes, of which there are many.
    __slots__ = ("_memory", "_packets", "element_bytes", "elems", "shape")
    key_order: ClassVar[ByteOrder] = "little"

    def __init__(self, kernel: Kernel, spec: MapSpec) -> None:
        super().__init__(kernel, spec)
        self._memory = kernel.memory
        self.elems: dict[int, Region] = {}
        self.shape = shape = shape_of_values(spec, self.fields, kernel.dialect)
        self._packets = () if shape is None else shape.packets
        self.element_bytes = spec.value_size + base.ELEMENT_BYTES
        if type(self).get is KeyedMap.get:
            self.get = self.elems.get  # type: ignore[method-assign, assignment]  # a look-up is one in the dict

    # -- by integer ------------------------------------------------------------------------------------------------

    def get(self, key: int) -> Region | None:
        """Return the live value of `key`, or None."""
        return self.elems.get(key)

    def put(self, key: int, value: Content, flags: int) -> int:
        """Create or change an element; return 0 or a negative errno."""
        return -EOPNOTSUPP

    def remove(self, key: int) -> int:
        """Remove an element; return 0 or a negative errno."""
        return -EOPNOTSUPP

    def values(self) -> Iterator[Region]:
        return iter(self.elems.values())

    def _new_value(self, value: Content) -> Region:
        shape = self.shape
        if shape is None:
            return super()._new_value(value)  # type: ignore[arg-type]
        self._count(shape.size)
        return typed_value(self, value if isinstance(value, list) else shape.without_packets(value))

    def _overwrite(self, region: Region, value: Content) -> None:
        if isinstance(region, TypedValue):
            shape = region.shape
            cells = value if isinstance(value, list) else shape.unpack(value)
            for number in shape.numbers:
                region[number] = cells[number]
        else:
            super()._overwrite(region, value)  # type: ignore[arg-type]

    def walk(self) -> Iterator[tuple[int, Region]]:
        """Yield the elements that a walk visits, while elements come and go."""
        return iter(())

    def _drop_value(self, region: Region) -> None:
        if not isinstance(region, TypedValue):
            super()._drop_value(region)
            return
        for number in self._packets:
            if region[number] is not None:
                self._release_kptrs(region)
                break
        memory = self._memory
        memory.retired_bytes += self.element_bytes
        if region.id:
            memory.retired.append(region)
        else:
            region.alive = False

    def _release_kptrs(self, region: Region) -> None:
        if not isinstance(region, TypedValue):
            super()._release_kptrs(region)
            return
        for number in region.shape.packets:
            held, region[number] = region[number], None
            if isinstance(held, NoPacket):
                held = self.kernel.memory.owner(held.address)
            if isinstance(held, RefCounted):
                self.kernel.refs.release(held, self.holder)

    # -- by bytes --------------------------------------------------------------------------------------------------

    def find(self, key: bytes) -> Region | None:
        return self.get(self._number(key))

    def update(self, key: bytes, value: bytes, flags: int) -> int:
        return self.put(self._number(key), value, flags)

    def delete(self, key: bytes) -> int:
        return self.remove(self._number(key))

    def _number(self, key: bytes) -> int:
        """Return a key as an integer."""
        return int.from_bytes(key, self.key_order)

    def for_each(self, visit: Callable[[bytes, Region], int]) -> int:
        count, size, order = 0, self.key_size, self.key_order
        for key, value in self.walk():
            count += 1
            if visit(key.to_bytes(size, order), value):
                break
        return count

    def _bytes_of(self, keys: Iterable[int]) -> list[bytes]:
        """Return keys as bytes."""
        size, order = self.key_size, self.key_order
        return [key.to_bytes(size, order) for key in keys]
