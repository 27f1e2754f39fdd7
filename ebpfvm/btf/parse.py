"""Parse BTF (Documentation/bpf/btf.rst, section 2; include/uapi/linux/btf.h).

Nothing in the bytes is trusted: sizes are compared with the available bytes before anything is read or allocated, ids
and string offsets are checked when a type is decoded, and chains that lead back to themselves are refused, as in the
kernel.
"""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING

from ebpfvm.btf import types as t
from ebpfvm.btf.types import Btf, Kind
from ebpfvm.errors import LoadError
from ebpfvm.escape import decoded
from ebpfvm.ints import U32_MAX

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

MAGIC = 0xEB9F
_HEADER = struct.Struct("<HBBIIIII")
_TYPE = struct.Struct("<III")
_U32 = struct.Struct("<I")
_ARRAY = struct.Struct("<III")
_MEMBER = struct.Struct("<III")
_PAIR = struct.Struct("<II")
_ENUM = struct.Struct("<Ii")
_TAIL: dict[int, tuple[int, int]] = {
    # kind: (bytes that always follow the common 12, bytes that follow for each of vlen)
    Kind.INT: (4, 0), Kind.PTR: (0, 0), Kind.ARRAY: (12, 0), Kind.STRUCT: (0, 12), Kind.UNION: (0, 12),
    Kind.ENUM: (0, 8), Kind.FWD: (0, 0), Kind.TYPEDEF: (0, 0), Kind.VOLATILE: (0, 0), Kind.CONST: (0, 0),
    Kind.RESTRICT: (0, 0), Kind.FUNC: (0, 0), Kind.FUNC_PROTO: (0, 8), Kind.VAR: (4, 0), Kind.DATASEC: (0, 12),
    Kind.FLOAT: (0, 0), Kind.DECL_TAG: (4, 0), Kind.TYPE_TAG: (0, 0), Kind.ENUM64: (0, 12),
}


def _bad(message: str, offset: int | None = None) -> LoadError:
    return LoadError(f"bad BTF: {message}", section=".BTF", offset=offset)


def parse(data: bytes, *, check: bool = True, path: str = "", outside: bool = False) -> Btf:
    """Parse BTF.

    Args:
        data: a whole `.BTF` section (or /sys/kernel/btf/vmlinux).
        check: decode and check all types now. Otherwise types are checked when they are first requested, which suits a
            kernel's BTF with its more than a hundred thousand types.
        path: the file, for messages about types that are checked later.
        outside: accept members that lie outside of their struct, as compilers for C++ write them for functions; no
            kernel does (see `ebpfvm.btf.loadable`).

    Raises:
        LoadError: the bytes are not valid BTF; the message names the type and the offset.
    """
    types, strings, base = _split(data)
    offsets = _scan(types, base)
    reader = _Reader(types, strings, offsets, base, path, outside)
    btf = Btf.lazy(len(offsets) + 1, strings, reader.decode, reader.heads)
    if check:
        for type_id in range(1, len(btf)):
            btf[type_id]
        _refuse_loops(btf)
    return btf


def _split(data: bytes) -> tuple[bytes, bytes, int]:
    """Return the type section, the string section, and the offset of the type section in `data`."""
    if len(data) < _HEADER.size:
        raise _bad(f"{len(data)} bytes are too short for the header of {_HEADER.size}")
    magic, version, flags, hdr_len, type_off, type_len, str_off, str_len = _HEADER.unpack_from(data)
    if magic == 0x9FEB:
        raise _bad("it is big-endian; compile with -target bpf (or bpfel)", 0)
    if magic != MAGIC:
        raise _bad(f"magic {magic:#x} is not {MAGIC:#x}", 0)
    if version != 1 or flags != 0:
        raise _bad(f"version {version} with flags {flags:#x} is not known; version 1 without flags is", 2)
    if not _HEADER.size <= hdr_len <= len(data):
        raise _bad(f"header length {hdr_len} does not fit in {len(data)} bytes", 4)
    for what, off, length in (("types", type_off, type_len), ("strings", str_off, str_len)):
        if hdr_len + off + length > len(data):
            raise _bad(f"{what} at {off:#x}, {length} bytes long, extends beyond the section's {len(data)} bytes")
    if type_off % 4:
        raise _bad(f"types are not aligned to 4 bytes (offset {type_off})", 8)
    strings = data[hdr_len + str_off:hdr_len + str_off + str_len]
    if not strings or strings[0] or strings[-1]:
        raise _bad("the string section does not start and end with a NUL byte", hdr_len + str_off)
    base = hdr_len + type_off
    return data[base:base + type_len], strings, base


def _scan(types: bytes, base: int) -> list[int]:
    """Return the offsets of all types inside the type section, from type 1 on."""
    offsets: list[int] = []
    at, end = 0, len(types)
    unpack, tails = _TYPE.unpack_from, _TAIL
    while at < end:
        if at + 12 > end:
            raise _bad(f"type {len(offsets) + 1} is cut short", base + at)
        info = unpack(types, at)[1]
        kind = info >> 24 & 0x1F
        tail = tails.get(kind)
        if tail is None:
            raise _bad(f"type {len(offsets) + 1} has kind {kind}, which is not known", base + at)
        offsets.append(at)
        at += 12 + tail[0] + tail[1] * (info & 0xFFFF)
        if at > end:
            raise _bad(f"type {len(offsets)} ({Kind(kind).name}) is cut short", base + offsets[-1])
    return offsets


class _Reader:
    """Decode single types of one BTF."""

    def __init__(self, types: bytes, strings: bytes, offsets: list[int], base: int, path: str,
                 outside: bool) -> None:
        self.path = path
        self.outside = outside
        self.types = types
        self.strings = strings
        self.offsets = offsets
        self.base = base
        self.names: dict[int, str] = {}

    def name(self, offset: int, at: int) -> str:
        found = self.names.get(offset)
        if found is None:
            if offset >= len(self.strings):
                raise _bad(f"string offset {offset:#x} is outside of the {len(self.strings)} bytes of strings",
                           self.base + at)
            end = self.strings.find(b"\0", offset, offset + t.MAX_STRING)
            if end < 0:
                raise _bad(f"the name at string offset {offset:#x} is longer than {t.MAX_STRING} bytes", self.base + at)
            found = self.names[offset] = decoded(self.strings[offset:end])
        return found

    def ref(self, type_id: int, at: int) -> int:
        if type_id > len(self.offsets):
            raise _bad(f"reference to type {type_id}, but ids go up to {len(self.offsets)}", self.base + at)
        return type_id

    def heads(self) -> Iterator[tuple[int, str]]:
        for at in self.offsets:
            name_off, info, _ = _TYPE.unpack_from(self.types, at)
            yield info >> 24 & 0x1F, self.name(name_off, at)

    def decode(self, type_id: int) -> t.Type:
        at = self.offsets[type_id - 1]
        name_off, info, size = _TYPE.unpack_from(self.types, at)
        try:
            return _DECODERS[info >> 24 & 0x1F](self, at, self.name(name_off, at), info, size)
        except LoadError as error:
            error.path = self.path or error.path
            error.symbol = error.symbol or f"type {type_id}"
            raise


def _int(r: _Reader, at: int, name: str, info: int, size: int) -> t.Type:
    word = _U32.unpack_from(r.types, at + 12)[0]
    encoding, offset, bits = word >> 24 & 0xF, word >> 16 & 0xFF, word & 0xFF
    if size not in (1, 2, 4, 8, 16) or not 0 < offset + bits <= size * 8:
        raise _bad(f"integer {name!r} of {size} bytes cannot hold {bits} bits at bit {offset}", r.base + at)
    return t.Int(name, size, bits, bool(encoding & 1), offset, bool(encoding & 2), bool(encoding & 4))


def _array(r: _Reader, at: int, name: str, info: int, size: int) -> t.Type:
    element, index, nelems = _ARRAY.unpack_from(r.types, at + 12)
    return t.Array(r.ref(element, at), nelems, r.ref(index, at))


def _members(r: _Reader, at: int, info: int, size: int) -> Iterator[t.Member]:
    packed = bool(info >> 31)
    for i in range(info & 0xFFFF):
        name_off, type_id, offset = _MEMBER.unpack_from(r.types, at + 12 + 12 * i)
        bits = offset >> 24 if packed else 0
        start = offset & 0xFFFFFF if packed else offset
        name = r.name(name_off, at)
        if start + bits > size * 8 and not r.outside:
            raise _bad(f"member {name!r} at bit {start} lies outside of its struct of {size} bytes", r.base + at)
        yield t.Member(name, r.ref(type_id, at), start, bits)


def _struct(r: _Reader, at: int, name: str, info: int, size: int) -> t.Type:
    return t.Struct(name, size, tuple(_members(r, at, info, size)), bool(info >> 31))


def _union(r: _Reader, at: int, name: str, info: int, size: int) -> t.Type:
    return t.Union(name, size, tuple(_members(r, at, info, size)), bool(info >> 31))


def _enum(r: _Reader, at: int, name: str, info: int, size: int) -> t.Type:
    signed = bool(info >> 31)
    pairs = (_ENUM.unpack_from(r.types, at + 12 + 8 * i) for i in range(info & 0xFFFF))
    values = tuple((r.name(off, at), value if signed else value & U32_MAX) for off, value in pairs)
    return t.Enum(name, _enum_size(r, at, name, size), values, signed)


def _enum64(r: _Reader, at: int, name: str, info: int, size: int) -> t.Type:
    signed = bool(info >> 31)
    values = []
    for i in range(info & 0xFFFF):
        name_off, low, high = _MEMBER.unpack_from(r.types, at + 12 + 12 * i)
        value = high << 32 | low
        values.append((r.name(name_off, at), value - (1 << 64) if signed and high >> 31 else value))
    return t.Enum64(name, _enum_size(r, at, name, size), tuple(values), signed)


def _enum_size(r: _Reader, at: int, name: str, size: int) -> int:
    if size not in (1, 2, 4, 8):
        raise _bad(f"enum {name!r} cannot have {size} bytes", r.base + at)
    return size


def _func(r: _Reader, at: int, name: str, info: int, size: int) -> t.Type:
    return t.Func(name, r.ref(size, at), info & 0xFFFF)


def _func_proto(r: _Reader, at: int, name: str, info: int, size: int) -> t.Type:
    pairs = (_PAIR.unpack_from(r.types, at + 12 + 8 * i) for i in range(info & 0xFFFF))
    return t.FuncProto(r.ref(size, at), tuple(t.Param(r.name(off, at), r.ref(ref, at)) for off, ref in pairs))


def _var(r: _Reader, at: int, name: str, info: int, size: int) -> t.Type:
    return t.Var(name, r.ref(size, at), _U32.unpack_from(r.types, at + 12)[0])


def _datasec(r: _Reader, at: int, name: str, info: int, size: int) -> t.Type:
    rows = (_MEMBER.unpack_from(r.types, at + 12 + 12 * i) for i in range(info & 0xFFFF))
    return t.Datasec(name, size, tuple(t.SecInfo(r.ref(ref, at), off, length) for ref, off, length in rows))


def _decl_tag(r: _Reader, at: int, name: str, info: int, size: int) -> t.Type:
    component = struct.unpack_from("<i", r.types, at + 12)[0]
    return t.DeclTag(name, r.ref(size, at), component, bool(info >> 31))


def _modifier(make: Callable[[int], t.Type]) -> Callable[[_Reader, int, str, int, int], t.Type]:
    return lambda r, at, name, info, size: make(r.ref(size, at))


_DECODERS: dict[int, Callable[[_Reader, int, str, int, int], t.Type]] = {
    Kind.INT: _int, Kind.PTR: _modifier(t.Ptr), Kind.ARRAY: _array, Kind.STRUCT: _struct, Kind.UNION: _union,
    Kind.ENUM: _enum, Kind.FWD: lambda r, at, name, info, size: t.Fwd(name, bool(info >> 31)),
    Kind.TYPEDEF: lambda r, at, name, info, size: t.Typedef(name, r.ref(size, at)),
    Kind.VOLATILE: _modifier(t.Volatile), Kind.CONST: _modifier(t.Const), Kind.RESTRICT: _modifier(t.Restrict),
    Kind.FUNC: _func, Kind.FUNC_PROTO: _func_proto, Kind.VAR: _var, Kind.DATASEC: _datasec,
    Kind.FLOAT: lambda r, at, name, info, size: t.Float(name, size), Kind.DECL_TAG: _decl_tag,
    Kind.TYPE_TAG: lambda r, at, name, info, size: t.TypeTag(name, r.ref(size, at), bool(info >> 31)),
    Kind.ENUM64: _enum64,
}


# -- loops ------------------------------------------------------------------------------------------------------


def _pointees(btf: Btf, type_id: int) -> tuple[int, ...]:
    found = btf[type_id]
    return (found.type,) if isinstance(found, t.Modifier | t.Ptr) else ()


def _parts(btf: Btf, type_id: int) -> tuple[int, ...]:
    found = btf[type_id]
    if isinstance(found, t.Struct | t.Union):
        return tuple(member.type for member in found.members)
    return (found.type,) if isinstance(found, t.Modifier | t.Array) else ()


def _refuse_loops(btf: Btf) -> None:
    """Refuse types that consist of themselves, through pointers and modifiers alone, or by value.

    This takes two walks, because a struct that holds a pointer to itself is not a loop (the kernel's resolve modes).
    """
    for edges in (_pointees, _parts):
        done = bytearray(len(btf))
        for start in range(1, len(btf)):
            if not done[start]:
                _walk(btf, start, edges, done)


def _walk(btf: Btf, start: int, edges: Callable[[Btf, int], tuple[int, ...]], done: bytearray) -> None:
    """Walk depth-first from `start`, marking a type 1 while it is on the path and 2 when it is finished."""
    stack = [(start, iter(edges(btf, start)))]
    done[start] = 1
    while stack:
        type_id, rest = stack[-1]
        for child in rest:
            if done[child] == 1:
                raise _bad(f"type {child} ({btf.describe(child)}) is made of itself")
            if not done[child]:
                done[child] = 1
                stack.append((child, iter(edges(btf, child))))
                break
        else:
            done[type_id] = 2
            stack.pop()
