"""A value in memory as text, by its type: what `{rank=0, seq=193}` says and sixteen bytes in hexadecimal do not."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Final, Literal

from ebpfvm.btf import types as t
from ebpfvm.errors import LoadError
from ebpfvm.lazy_tuples import NamedTuple

if TYPE_CHECKING:
    from collections.abc import Callable

    from ebpfvm.btf.types import Btf

_DEPTH: Final = 16
_ELEMENTS: Final = 16
_NETWORK: Final = ("__be16", "__be32", "__be64")  # include/uapi/linux/types.h


def value_text(btf: Btf, type_id: int, data: bytes, pointer: Callable[[int], str] = hex) -> str:
    """Return a value as text, like an initializer in C; the bytes in hexadecimal where the type says nothing of them.

    Numbers whose type is a `__be16`, `__be32` or `__be64` are in network byte order, all others in little-endian order.
    Arrays end with `...` after 16 elements; an array of `char` that is text is shown as text.

    Args:
        btf: has the type.
        type_id: the type.
        data: the bytes of the value.
        pointer: names what is at an address.

    >>> btf = t.Btf([t.Int("u16", 2, 16), t.Typedef("__be16", 1), t.Struct("s", 4, (t.Member("a", 1, 0),
    ...                                                                            t.Member("b", 2, 16)))])
    >>> value_text(btf, 3, bytes([1, 0, 0, 1]))
    '{a=1, b=1}'
    """
    try:
        return _Writer(btf, pointer).text(type_id, data, 0)
    except LoadError:
        return data.hex(" ")


class _Writer(NamedTuple):
    btf: Btf
    pointer: Callable[[int], str]

    def text(self, type_id: int, data: bytes, depth: int) -> str:
        btf = self.btf
        found = btf.resolved(type_id)
        if depth > _DEPTH:
            return "..."
        if isinstance(found, t.Struct | t.Union):
            return "{" + ", ".join(self._member(member, data, depth) for member in found.members) + "}"
        if isinstance(found, t.Datasec):
            return "{" + ", ".join(self._variable(item, data, depth) for item in found.vars) + "}"
        if isinstance(found, t.Array):
            return self._array(found, data, depth)
        if isinstance(found, t.Ptr):
            address = int.from_bytes(data, "little")
            return self.pointer(address) if address else "NULL"
        if isinstance(found, t.Int | t.Enum | t.Enum64):
            order: Literal["big", "little"] = "big" if _is_network(btf, type_id) else "little"
            return _number(found, int.from_bytes(data, order, signed=found.signed))
        return data.hex(" ")

    def _member(self, member: t.Member, data: bytes, depth: int) -> str:
        name = f"{member.name}=" if member.name else ""
        if member.bitfield_size:
            return name + _bits(self.btf.resolved(member.type), member, data)
        start = member.bit_offset // 8
        return name + self.text(member.type, data[start:start + self.btf.size_of(member.type)], depth + 1)

    def _variable(self, item: t.SecInfo, data: bytes, depth: int) -> str:
        found = self.btf[item.type]
        if not isinstance(found, t.Var):
            return found.name  # a function
        return f"{found.name}={self.text(found.type, data[item.offset:item.offset + item.size], depth + 1)}"

    def _array(self, array: t.Array, data: bytes, depth: int) -> str:
        element, size = self.btf.resolved(array.type), self.btf.size_of(array.type)
        if isinstance(element, t.Int) and size == 1 and (element.is_char or element.name == "char"):
            text, _, rest = data.partition(b"\0")
            if text.isascii() and text.decode("ascii").isprintable() and not rest.strip(b"\0"):
                return json.dumps(text.decode())  # with a backslash before quotes
        if not size:
            return "[]"
        shown = [self.text(array.type, data[at:at + size], depth + 1)
                 for at in range(0, min(len(data), _ELEMENTS * size), size)]
        return "[" + ", ".join(shown) + (", ..." if len(data) > _ELEMENTS * size else "") + "]"


def _is_network(btf: Btf, type_id: int) -> bool:
    """Return whether one of the names of the type says that it is in network byte order."""
    for _ in range(t.MAX_RESOLVE_DEPTH):
        found = btf[type_id]
        if not isinstance(found, t.Modifier):
            break
        if isinstance(found, t.Typedef) and found.name in _NETWORK:
            return True
        type_id = found.type
    return False


def _number(type: t.Int | t.Enum | t.Enum64, number: int) -> str:
    if isinstance(type, t.Int):
        return ("false", "true")[number] if type.name in ("bool", "_Bool") and number in (0, 1) else str(number)
    return next((name for name, value in type.values if value == number), str(number))


def _bits(type: t.Type, member: t.Member, data: bytes) -> str:
    size = member.bitfield_size
    number = int.from_bytes(data, "little") >> member.bit_offset & (1 << size) - 1
    if not isinstance(type, t.Int | t.Enum | t.Enum64):
        return str(number)
    return _number(type, number - (1 << size) if type.signed and number >> size - 1 else number)
