"""The types of the objects that programs allocate: how an object is cut into cells, and how one is made.

An object is a list of cells. A cell is a number; or the counted object that a kptr owns; or, for a node, the list or
tree that the object is in by this node; or, for a head or root, the list or tree itself. The last three are None for
nothing. `AllocRegion` shows the same object as bytes to everybody who has its address.
"""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING, Any, Final

from ebpfvm.btf import types as t
from ebpfvm.btf.fields import LOCAL_KINDS, special_fields
from ebpfvm.kernel.typed_values import address_of

if TYPE_CHECKING:
    from collections.abc import Iterator

    from ebpfvm.btf.fields import Field
    from ebpfvm.btf.types import Btf

_CODES: Final = {1: "B", 2: "H", 4: "I", 8: "Q"}
_MOST: Final = 64  # numbers that have a cell each; in larger structs, a cell is up to eight bytes of whatever is there
_DEEPEST: Final = 8
KPTRS: Final = ("kptr_ref", "kptr_percpu")
NODES: Final = ("list_node", "rb_node")
ROOTS: Final = ("list_head", "rb_root")
_HELD: Final = (*KPTRS, *NODES, *ROOTS)


class ObjectShape:
    """How the bytes of a struct are cut into cells.

    Attributes:
        parts: offset and size of each cell, without gaps.
        places: (offset, size) -> number of the cell.
        kptrs, nodes, roots: offset -> number of the cells of pointers, nodes, and heads of lists and roots of trees.
        packets: the numbers of all these, which are not numbers themselves.
        fresh: the cells of a new object.
    """

    def __init__(self, numbers: list[tuple[int, int]], fields: tuple[Field, ...], size: int) -> None:
        held = {field.offset: field for field in fields if field.kind in _HELD}
        whole = [(field.offset, field.size) for field in held.values()]
        self.parts = tuple(_without_gaps(sorted([*whole, *numbers]), size))
        self.places = {part: number for number, part in enumerate(self.parts)}
        kinds = {number: held[off].kind if off in held else "" for number, (off, _) in enumerate(self.parts)}
        at = [off for off, _ in self.parts]
        self.kptrs = {at[number]: number for number, kind in kinds.items() if kind in KPTRS}
        self.nodes = {at[number]: number for number, kind in kinds.items() if kind in NODES}
        self.roots = {at[number]: number for number, kind in kinds.items() if kind in ROOTS}
        self.packets = frozenset((*self.kptrs.values(), *self.nodes.values(), *self.roots.values()))
        self.fresh: list[Any] = [None if number in self.packets else 0 for number in kinds]
        opaque = {*self.nodes.values(), *self.roots.values()}
        self._plain = [number for number in kinds if number not in opaque]
        code = struct.Struct("<" + "".join(f"{length}x" if number in opaque else _CODES[length]
                                           for number, (_, length) in enumerate(self.parts)))
        self._pack, self._unpack = code.pack, code.unpack

    def covering(self, off: int, size: int) -> list[int]:
        """Return the numbers of the cells that an access touches."""
        return [number for number, (start, length) in enumerate(self.parts)
                if start < off + size and off < start + length]

    def encode(self, cells: list[Any]) -> bytes:
        """Return the bytes of an object; nodes, heads and roots, which programs cannot read, are zeros."""
        kptrs = self.kptrs.values()
        return self._pack(*[address_of(cells[number]) if number in kptrs else cells[number] for number in self._plain])

    def decode(self, data: bytes) -> dict[int, int]:
        """Return the numbers in the bytes of an object by cell, without nodes, heads and roots."""
        return dict(zip(self._plain, self._unpack(data), strict=True))


def _without_gaps(parts: list[tuple[int, int]], size: int) -> Iterator[tuple[int, int]]:
    """Yield parts, and further ones that fill the gaps between them."""
    at = 0
    for off, length in [*parts, (size, 0)]:
        while at < off:
            fill = next(n for n in (8, 4, 2, 1) if n <= off - at and at % n == 0)
            yield at, fill
            at += fill
        if length:
            yield off, length
            at = off + length


class _Cut(Exception):
    """Members overlap, are no whole bytes, or are too many."""


def shape_of_struct(btf: Btf, type_id: int, fields: tuple[Field, ...]) -> ObjectShape:
    """Return the shape of a struct with these special fields."""
    special = {field.offset: field.size for field in fields}
    size = btf.size_of(type_id)
    try:
        numbers = sorted(_numbers(btf, type_id, 0, 0, special))
        ends = [0, *(off + length for off, length in numbers)]
        if len(numbers) > _MOST or any(off < end for (off, _), end in zip(numbers, ends, strict=False)):
            raise _Cut
    except _Cut:
        numbers = []
    return ObjectShape(numbers, fields, size)


def _numbers(btf: Btf, type_id: int, off: int, depth: int, special: dict[int, int]) -> Iterator[tuple[int, int]]:
    """Yield offset and size of the numbers in a type, without special fields except those that are numbers."""
    found = btf.resolved(type_id)
    size = btf.size_of(type_id)
    if special.get(off) == size:
        if size == 4:
            yield off, size
        return
    if isinstance(found, t.Struct) and depth < _DEEPEST:
        for member in found.members:
            if member.bitfield_size or member.bit_offset % 8:
                raise _Cut
            yield from _numbers(btf, member.type, off + member.bit_offset // 8, depth + 1, special)
    elif isinstance(found, t.Array) and found.nelems <= _MOST and depth < _DEEPEST:
        length = btf.size_of(found.type)
        for index in range(found.nelems):
            yield from _numbers(btf, found.type, off + index * length, depth + 1, special)
    elif isinstance(found, t.Int | t.Enum | t.Enum64 | t.Ptr) and size in _CODES:
        yield off, size
    else:
        raise _Cut


class ObjectType:
    """A struct that a program allocates.

    Attributes:
        name: of the struct.
        size: bytes.
        fields: its special fields.
        shape: how it is cut into cells.
        holder: the holder of the references in its fields.
    """

    def __init__(self, btf: Btf, root: int) -> None:
        self.btf = btf
        self.name: str = btf[root].name
        self.size = btf.size_of(root)
        self.fields = special_fields(btf, root, LOCAL_KINDS)
        self.shape = shape_of_struct(btf, root, self.fields)
        self.holder = f"object {self.name}"
