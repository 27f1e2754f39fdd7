"""Layouts: structures whose fields are attributes of a Python object, and regions that read and write them.

The layout is the `CtxField` tuple of a program type, so that one declaration serves the verifier, both engines and the
manual. A field reads the attribute of the same name; an array field (`cb`) reads one of its elements. What a kernel
achieves by rewriting the program's instructions (convert_ctx_access) happens here at the access.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Never

from ebpfvm.contract.progtype import CtxField
from ebpfvm.errors import Fault
from ebpfvm.ints import U32_MAX
from ebpfvm.kernel.memory import Region
from ebpfvm.lazy_tuples import NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterable

    from ebpfvm.contract.progtype import ProgType


class FieldAccess(NamedTuple):
    """The way in which one (offset, size) of a context is read or written.

    Attributes:
        field: the declaration.
        item: element of an array field, None for others.
        shift: number of bits below the part that is read.
        mask: mask of the result; None for a pointer, which a program sees whole whatever the field's declared size.
        wide: whether two u32 elements are accessed at once, as `cb` allows.
    """

    field: CtxField
    item: int | None
    shift: int
    mask: int | None
    wide: bool = False

    def get(self, obj: Any) -> int:
        """Return the value read from `obj`."""
        value: Any = getattr(obj, self.field.name)
        if self.item is not None:
            value = value[self.item] | value[self.item + 1] << 32 if self.wide else value[self.item]
        return value if self.mask is None else value >> self.shift & self.mask  # type: ignore[no-any-return]

    def set(self, obj: Any, value: int) -> None:
        """Write the value to `obj`."""
        name, index = self.field.name, self.item
        if index is None:
            setattr(obj, name, self._merge(getattr(obj, name), value))
            return
        elements = getattr(obj, name)
        if self.wide:
            elements[index + 1] = value >> 32 & U32_MAX
            value &= U32_MAX
        elements[index] = value if self.wide else self._merge(elements[index], value)

    def _merge(self, old: int, value: int) -> int:
        if self.mask is None:
            return value
        return old & ~(self.mask << self.shift) | (value & self.mask) << self.shift


class Layout:
    """The fields of a context structure by offset.

    Args:
        name: name of the structure, for messages: "__sk_buff".
        fields: the fields; later ones replace earlier ones of the same name.
        size: size of the structure in bytes.
    """

    def __init__(self, name: str, fields: Iterable[CtxField], size: int = 0) -> None:
        self.name = name
        self.fields = {field.name: field for field in fields}
        self.size = size or max((field.end for field in self.fields.values()), default=0)
        self._reads: dict[tuple[int, int], FieldAccess | None] = {}
        self._writes: dict[tuple[int, int], FieldAccess | None] = {}

    def reading(self, off: int, size: int) -> FieldAccess | None:
        """Return how `size` bytes at `off` are read, None if they may not be."""
        key = off, size
        if key not in self._reads:
            self._reads[key] = self._find(off, size, write=False)
        return self._reads[key]

    def writing(self, off: int, size: int) -> FieldAccess | None:
        """Return how `size` bytes at `off` are written, None if they may not be."""
        key = off, size
        if key not in self._writes:
            self._writes[key] = self._find(off, size, write=True)
        return self._writes[key]

    def load(self, obj: Any, off: int, size: int) -> int:
        """Read from `obj`; raise Fault for an invalid access."""
        how = self.reading(off, size)
        if how is None:
            self._refuse(off, size, "read")
        return how.get(obj)

    def store(self, obj: Any, off: int, size: int, value: int) -> None:
        """Write to `obj`; raise Fault for an invalid access."""
        how = self.writing(off, size)
        if how is None:
            self._refuse(off, size, "write")
        how.set(obj, value)

    def _find(self, off: int, size: int, write: bool) -> FieldAccess | None:
        for field in self.fields.values():
            if field.off <= off < field.end:
                return _access(field, off, size, write)
        return None

    def _refuse(self, off: int, size: int, verb: str) -> Never:
        field = next((field for field in self.fields.values() if field.off <= off < field.end), None)
        where = f"field '{field.name}' of " if field is not None else ""
        raise Fault("memory", f"{verb} of {size} bytes at offset {off} of the context: {where}struct {self.name} "
                              f"does not allow it")


def _access(field: CtxField, off: int, size: int, write: bool) -> FieldAccess | None:
    """Return how an access that the field allows is done: to a part of one element, or to two u32 at once."""
    if not field.allows(off, size, write):
        return None
    element = field.element or field.size
    item = (off - field.off) // element if element < field.size else None
    kept = min(size, field.width) if write and field.width else size
    shift = 8 * ((off - field.off) % element)
    if not write and field.loaded and size >= field.loaded:
        shift, kept = 0, 8  # and is not truncated: rx_queue_mapping reads as -1 in 64 bits
    mask = (1 << 8 * kept) - 1 if field.access == "scalar" else None
    wide = item is not None and size == 2 * element
    return FieldAccess(field, item, shift, mask, wide)


class ObjectRegion(Region):
    """A region whose bytes are the attributes of its owner.

    Attributes:
        layout: which attribute is at which offset.
        region: the region itself (contexts only).
    """

    __slots__ = ("layout", "region")
    owner: Any
    region: Region

    def __init__(self, kind: str, layout: Layout, owner: Any, name: str = "") -> None:
        super().__init__(kind, bytearray(), name=name or layout.name, owner=owner)
        self.size = layout.size
        self.layout = layout

    def load(self, off: int, size: int) -> int:
        """Return an attribute of the owner."""
        return self.layout.load(self.owner, off, size)

    def store(self, off: int, size: int, value: int) -> None:
        """Write an attribute of the owner."""
        self.layout.store(self.owner, off, size, value)

    def read(self, off: int, n: int) -> bytes:
        """Raise Fault, because fields have no bytes that a helper could copy."""
        raise Fault("memory", f"{self} cannot be used as plain memory")

    def write(self, off: int, data: bytes) -> None:
        """Raise Fault, as `read` does."""
        raise Fault("memory", f"{self} cannot be used as plain memory")


def layout_of(prog_type: ProgType, attach: str = "") -> Layout:
    """Return the context layout of a program type, with the fields that the attach point changes."""
    return Layout(prog_type.ctx, (*prog_type.fields, *prog_type.attach_fields.get(attach, ())), prog_type.ctx_size)
