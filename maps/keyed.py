"""Maps whose elements are found by an integer: a key's bytes read in one order.

Translated programs have keys as integers and call `get`, `put` and `remove`; the interpreter and user space have bytes.
A type chooses the order: little-endian costs least to form, big-endian sorts as memcmp() does for keys of one size.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from ebpfvm.errnos import EOPNOTSUPP
from ebpfvm.maps import base

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from ebpfvm.ints import ByteOrder
    from ebpfvm.kernel.emulated import Kernel
    from ebpfvm.kernel.memory import Region
    from ebpfvm.loader.object import MapSpec


class KeyedMap(base.BpfMap):
    """Base of arrays, hash tables and the rbtree.

    Attributes:
        key_order: the order in which the bytes of a key are read.
    """

    key_order: ClassVar[ByteOrder] = "little"

    def __init__(self, kernel: Kernel, spec: MapSpec) -> None:
        super().__init__(kernel, spec)
        self._elems: dict[int, Region] = {}

    # -- by integer ------------------------------------------------------------------------------------------------

    def get(self, key: int) -> Region | None:
        """Return the live value of `key`, or None."""
        return self._elems.get(key)

    def put(self, key: int, value: bytes, flags: int) -> int:
        """Create or change an element; return 0 or a negative errno."""
        return -EOPNOTSUPP

    def remove(self, key: int) -> int:
        """Remove an element; return 0 or a negative errno."""
        return -EOPNOTSUPP

    def values(self) -> Iterator[Region]:
        return iter(self._elems.values())

    # -- by bytes --------------------------------------------------------------------------------------------------

    def find(self, key: bytes) -> Region | None:
        return self.get(int.from_bytes(key, self.key_order))

    def update(self, key: bytes, value: bytes, flags: int) -> int:
        return self.put(int.from_bytes(key, self.key_order), value, flags)

    def delete(self, key: bytes) -> int:
        return self.remove(int.from_bytes(key, self.key_order))

    def _bytes_of(self, keys: Iterable[int]) -> list[bytes]:
        """Return keys as bytes."""
        size, order = self.key_size, self.key_order
        return [key.to_bytes(size, order) for key in keys]
