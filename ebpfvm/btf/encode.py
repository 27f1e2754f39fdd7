"""Encode `Btf` as bytes, and build small tables of types.

The bytes are what BPF_BTF_LOAD of bpf(2) takes (Documentation/bpf/btf.rst, section 2).
"""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING

from ebpfvm.btf import types as t
from ebpfvm.btf.parse import MAGIC
from ebpfvm.btf.types import Btf, Kind
from ebpfvm.ints import U32_MAX

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence



class _Strings:
    """A string section under construction; equal strings are stored once."""

    def __init__(self) -> None:
        self.data = bytearray(b"\0")
        self._known = {"": 0}

    def __call__(self, text: str) -> int:
        found = self._known.get(text)
        if found is None:
            found = self._known[text] = len(self.data)
            self.data += text.encode() + b"\0"
        return found


def encode(btf: Btf) -> bytes:
    """Return the bytes of a table of types; `parse` returns an equal table. Strings that no type names are dropped."""
    strings = _Strings()
    types = b"".join(_encode(found, strings) for _, found in btf.items())
    header = struct.pack("<HBBIIIII", MAGIC, 1, 0, 24, 0, len(types), len(types), len(strings.data))
    return header + types + bytes(strings.data)


def _head(kind: Kind, name: int, size: int, vlen: int = 0, flag: bool = False) -> bytes:
    return struct.pack("<III", name, kind << 24 | vlen | flag << 31, size & U32_MAX)


def _encode(found: t.Type, name: _Strings) -> bytes:
    if isinstance(found, t.Int):
        coding = found.signed | found.is_char << 1 | found.is_bool << 2
        return _head(found.kind, name(found.name), found.size) + struct.pack(
            "<I", coding << 24 | found.offset << 16 | found.bits)
    if isinstance(found, t.Array):
        return _head(found.kind, 0, 0) + struct.pack("<III", found.type, found.index_type, found.nelems)
    if isinstance(found, t.Struct | t.Union):
        rows = ((name(m.name), m.type, m.bitfield_size << 24 | m.bit_offset) for m in found.members)
        return _head(found.kind, name(found.name), found.size, len(found.members), found.bitfields) + _rows(rows)
    if isinstance(found, t.Enum):
        rows2 = ((name(text), value & U32_MAX) for text, value in found.values)
        return _head(found.kind, name(found.name), found.size, len(found.values), found.signed) + _rows(rows2)
    if isinstance(found, t.Enum64):
        rows = ((name(text), value & U32_MAX, value >> 32 & U32_MAX) for text, value in found.values)
        return _head(found.kind, name(found.name), found.size, len(found.values), found.signed) + _rows(rows)
    if isinstance(found, t.FuncProto):
        rows2 = ((name(param.name), param.type) for param in found.params)
        return _head(found.kind, 0, found.return_type, len(found.params)) + _rows(rows2)
    if isinstance(found, t.Datasec):
        rows = ((info.type, info.offset, info.size) for info in found.vars)
        return _head(found.kind, name(found.name), found.size, len(found.vars)) + _rows(rows)
    return _encode_small(found, name)


def _encode_small(found: t.Type, name: _Strings) -> bytes:
    """Return the bytes of a kind with a fixed size."""
    if isinstance(found, t.Func):
        return _head(found.kind, name(found.name), found.type, found.linkage)
    if isinstance(found, t.Var):
        return _head(found.kind, name(found.name), found.type) + struct.pack("<I", found.linkage)
    if isinstance(found, t.Fwd):
        return _head(found.kind, name(found.name), 0, flag=found.is_union)
    if isinstance(found, t.Float):
        return _head(found.kind, name(found.name), found.size)
    if isinstance(found, t.DeclTag):
        return _head(found.kind, name(found.name), found.type, flag=found.attr) + struct.pack("<i", found.component)
    if isinstance(found, t.TypeTag):
        return _head(found.kind, name(found.name), found.type, flag=found.attr)
    assert not isinstance(found, t.Void | t.Int | t.Array | t.Struct | t.Union | t.Enum | t.Enum64 | t.FuncProto
                          | t.Datasec)
    return _head(found.kind, name(found.name), found.type)


def _rows(rows: Iterable[tuple[int, ...]]) -> bytes:
    return b"".join(struct.pack(f"<{len(row)}I", *row) for row in rows)


class BtfBuilder:
    """Build a `Btf` type by type; every method returns the new type's id.

    >>> b = BtfBuilder()
    >>> skb = b.struct("sk_buff", [("len", b.integer("unsigned int", 4))])
    >>> value = b.struct("value", [("skb", b.kptr(skb))])
    >>> b.btf().size_of(value)
    8
    """

    def __init__(self) -> None:
        self._types: list[t.Type] = []

    def add(self, made: t.Type) -> int:
        """Add any type."""
        self._types.append(made)
        return len(self._types)

    def btf(self) -> Btf:
        """Return the table so far."""
        return Btf(tuple(self._types))

    def integer(self, name: str, size: int, signed: bool = False) -> int:
        """Add an integer of `size` bytes."""
        return self.add(t.Int(name, size, size * 8, signed))

    def ptr(self, type_id: int) -> int:
        """Add a pointer."""
        return self.add(t.Ptr(type_id))

    def kptr(self, type_id: int, tag: str = "kptr") -> int:
        """Add a pointer with a type tag."""
        return self.ptr(self.add(t.TypeTag(tag, type_id)))

    def array(self, type_id: int, nelems: int) -> int:
        """Add an array; its index type, which kernels require, is the first integer in the table."""
        index = next((i for i, made in enumerate(self._types, 1) if isinstance(made, t.Int)), 0)
        return self.add(t.Array(type_id, nelems, index or self.integer("int", 4, signed=True)))

    def struct(self, name: str, members: Sequence[tuple[str, int]], size: int | None = None) -> int:
        """Add a struct laid out as in C; `size` if it is larger than its members."""
        btf, offset, widest, placed = self.btf(), 0, 1, []
        for member, type_id in members:
            align = btf.align_of(type_id)
            offset += -offset % align
            placed.append(t.Member(member, type_id, offset * 8))
            offset += btf.size_of(type_id)
            widest = max(widest, align)
        return self.add(t.Struct(name, size if size is not None else offset + -offset % widest, tuple(placed)))

    def tag(self, text: str, type_id: int, component: int = -1) -> int:
        """Add a declaration tag on a type or on one of its members."""
        return self.add(t.DeclTag(text, type_id, component))

    def func(self, name: str, returns: int = 0, params: Sequence[tuple[str, int]] = (),
             linkage: int = t.Linkage.GLOBAL) -> int:
        """Add a function together with its prototype."""
        proto = self.add(t.FuncProto(returns, tuple(t.Param(param, type_id) for param, type_id in params)))
        return self.add(t.Func(name, proto, linkage))
