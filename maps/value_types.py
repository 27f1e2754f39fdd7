"""The shape of a map's values by their BTF type: which are numbers and packets only, and so can be lists."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from ebpfvm.btf import types as t
from ebpfvm.kernel.typed_values import ValueShape

if TYPE_CHECKING:
    from collections.abc import Container, Iterator, Sequence

    from ebpfvm.btf.fields import Field
    from ebpfvm.btf.types import Btf
    from ebpfvm.contract.dialect import Dialect
    from ebpfvm.loader.object import MapSpec

_MOST: Final = 32  # members; longer values are bytes
_DEEPEST: Final = 8
_SIZES: Final = (8, 4, 2, 1)


def shape_of(btf: Btf | None, type_id: int, size: int, packets: Container[int] = ()) -> ValueShape | None:
    """Return the shape of values of a type; None for arrays, unions, bit fields and other types that stay bytes.

    `packets` are the offsets of the pointers that hold packets.
    """
    if btf is None or not type_id or not size:
        return None
    try:
        members = sorted(_members(btf, type_id, 0, 0, packets))
    except _Bytes:
        return None
    parts: list[tuple[int, int]] = []
    at = 0
    for off, length in [*members, (size, 0)]:
        if off < at:
            return None  # members overlap, or are larger than the value
        parts.extend(_padding(at, off))
        if length:
            parts.append((off, length))
        at = off + length
    return ValueShape(parts, packets) if len(parts) <= _MOST and at == size else None


def shape_of_values(spec: MapSpec, fields: Sequence[Field], dialect: Dialect) -> ValueShape | None:
    """Return the shape of the values of a map with these special fields, None if they stay bytes.

    Its "packets" may also be objects of structs that programs allocate, which are no structs of the kernel.
    """
    types = dialect.types
    packets = {field.offset for field in fields if field.kind == "kptr_ref" and (
        field.struct == "sk_buff" or (types is not None and types().find(field.struct, t.Kind.STRUCT) is None))}
    if len(packets) != len(fields):
        return None
    return shape_of(spec.btf, spec.value_type, spec.value_size, packets)


class _Bytes(Exception):
    """A part of the type is no plain number."""


def _members(btf: Btf, type_id: int, off: int, depth: int, packets: Container[int]) -> Iterator[tuple[int, int]]:
    """Yield offset and size of each number and packet in a type."""
    found = btf.resolved(type_id)
    if isinstance(found, t.Struct) and depth < _DEEPEST and len(found.members) <= _MOST:
        for member in found.members:
            if member.bitfield_size or member.bit_offset % 8:
                raise _Bytes
            yield from _members(btf, member.type, off + member.bit_offset // 8, depth + 1, packets)
        return
    if isinstance(found, t.Ptr) and off in packets:
        yield off, 8
        return
    if not isinstance(found, t.Int | t.Enum | t.Enum64) or found.size not in _SIZES:
        raise _Bytes
    if isinstance(found, t.Int) and found.bits != 8 * found.size:
        raise _Bytes
    yield off, found.size


def _padding(start: int, end: int) -> Iterator[tuple[int, int]]:
    """Yield parts that fill a gap."""
    while start < end:
        size = next(size for size in _SIZES if size <= end - start)
        yield start, size
        start += size
