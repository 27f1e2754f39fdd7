"""Structs of the kernel as memory: the places of the members come from its types, their values from Python objects.

Members that nothing stands for read zero, so whatever is behind a pointer that is not modelled does too: the pointer
is NULL, and a load through it yields zero (see `Memory.probe`).
"""

from __future__ import annotations

from operator import attrgetter
from typing import TYPE_CHECKING, Any

from ebpfvm.btf import types as t
from ebpfvm.errors import Fault
from ebpfvm.kernel.memory import Region
from ebpfvm.lazy_tuples import NamedTuple

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping

    from ebpfvm.btf.types import Btf

    Getter = Callable[[Any], int]
    # An attribute ("kernel_view.qlen", "cb[]" for a list of numbers), one to read only, or a function of the object.
    Live = Mapping[str, str | Getter]


class ReadOnly(str):
    """The path of an attribute that programs only read."""

    __slots__ = ()


class MemberPlace(NamedTuple):
    """Where a member is: bits from the start of the struct, bits that it has, and bits of an element of an array."""

    start: int
    bits: int
    element: int


class LiveNumber(NamedTuple):
    """A number in a struct.

    Attributes:
        start, bits: its bits.
        get: reads it.
        put: writes it; None if programs may not.
        path: the expression that both stand for, after the object; "" if there is none.
    """

    start: int
    bits: int
    get: Getter
    put: Callable[[Any, int], None] | None
    path: str = ""


class NumberPart(NamedTuple):
    """The part of a number that an access covers: `(number >> right & mask) << left`."""

    number: LiveNumber
    right: int
    left: int
    mask: int


def find_member(btf: Btf, struct: int, path: str) -> MemberPlace | None:
    """Return the place of a member by its path ("q.qlen"), through members without a name; None if there is none."""
    start, bits, type_id = 0, 0, struct
    for name in path.split("."):
        found = next(_named(btf, type_id, name, 0), None)
        if found is None:
            return None
        offset, type_id, bits = found
        start += offset
    shape = btf.resolved(type_id)
    size = 8 * btf.size_of(type_id)
    element = 8 * btf.size_of(shape.type) if isinstance(shape, t.Array) else bits or size
    return MemberPlace(start, bits or size, element)


def _named(btf: Btf, struct: int, name: str, start: int) -> Iterator[tuple[int, int, int]]:
    """Yield bit offset, type and bit-field size of the members of a name."""
    shape = btf.resolved(struct)
    if isinstance(shape, t.Struct | t.Union):
        for member in shape.members:
            if member.name == name:
                yield start + member.bit_offset, member.type, member.bitfield_size
            elif not member.name:
                yield from _named(btf, member.type, name, start + member.bit_offset)


class StructLayout:
    """A struct of the kernel, and what its members stand for.

    Args:
        name: of the struct.
        btf: the kernel's types.
        live: path of a member -> what it stands for; members that this kernel lacks are left out.
        inner: path of an array of bytes -> a struct that is kept there, and its members.

    Raises:
        LoadError: the kernel has no such struct.
    """

    def __init__(self, name: str, btf: Btf, live: Live, inner: Mapping[str, tuple[str, Live]]) -> None:
        self.name = name
        struct = btf.find(name, t.Kind.STRUCT)
        self.size = btf.size_of(struct) if struct is not None else 0
        self._numbers: list[LiveNumber] = []
        self._plans: dict[tuple[int, int], tuple[NumberPart, ...]] = {}
        if struct is None:
            return
        self._add(btf, struct, live, 0)
        for path, (other, members) in inner.items():
            place, found = find_member(btf, struct, path), btf.find(other, t.Kind.STRUCT)
            if place is not None and found is not None:
                self._add(btf, found, members, place.start)

    def _add(self, btf: Btf, struct: int, live: Live, base: int) -> None:
        for path, meaning in live.items():
            place = find_member(btf, struct, path)
            if place is None:
                continue
            if isinstance(meaning, str) and meaning.endswith("[]"):
                self._numbers += _elements(meaning[:-2], base + place.start, place.bits)
            elif isinstance(meaning, str):
                put = None if isinstance(meaning, ReadOnly) else _setter(meaning)
                get = attrgetter(meaning)
                self._numbers.append(LiveNumber(base + place.start, place.bits, get, put, f".{meaning}"))
            else:
                self._numbers.append(LiveNumber(base + place.start, place.bits, meaning, None))

    def plan(self, off: int, size: int) -> tuple[NumberPart, ...]:
        """Return the numbers that `size` bytes at `off` consist of; other bits are zero."""
        found = self._plans.get((off, size))
        if found is None:
            found = self._plans[off, size] = tuple(self._parts(8 * off, 8 * (off + size)))
        return found

    def _parts(self, start: int, end: int) -> Iterator[NumberPart]:
        for number in self._numbers:
            low, high = max(start, number.start), min(end, number.start + number.bits)
            if low < high:
                yield NumberPart(number, low - number.start, low - start, (1 << high - low) - 1)

    def load(self, obj: Any, off: int, size: int) -> int:
        """Return the little-endian number of `size` bytes at `off`."""
        value = 0
        for number, right, left, mask in self.plan(off, size):
            value |= (number.get(obj) >> right & mask) << left
        return value

    def store(self, obj: Any, off: int, size: int, value: int) -> bool:
        """Write the low `size` bytes of `value` at `off`; return False if something else than live members is there."""
        parts = self.plan(off, size)
        if not parts or any(part.number.put is None for part in parts):
            return False
        for number, right, left, mask in parts:
            assert number.put is not None
            old = number.get(obj) & ~(mask << right)
            number.put(obj, old | (value >> left & mask) << right)
        return True


def _elements(name: str, start: int, bits: int) -> Iterable[LiveNumber]:
    """Return the numbers of a list of u32 that a member of `bits` bits stands for."""
    def element(index: int) -> LiveNumber:
        def put(obj: Any, value: int) -> None:
            getattr(obj, name)[index] = value
        return LiveNumber(start + 32 * index, 32, lambda obj: getattr(obj, name)[index], put, f".{name}[{index}]")
    return [element(index) for index in range(bits // 32)]


def _setter(path: str) -> Callable[[Any, int], None]:
    owner, _, name = path.rpartition(".")
    if not owner:
        return lambda obj, value: setattr(obj, name, value)
    get = attrgetter(owner)
    return lambda obj, value: setattr(get(obj), name, value)


class StructRegion(Region):
    """An object of the kernel as a struct of it.

    Attributes:
        struct: the layout.
    """

    __slots__ = ("struct",)

    def __init__(self, kind: str, struct: StructLayout, owner: object) -> None:
        super().__init__(kind, bytearray(), name=struct.name, owner=owner)
        self.size = struct.size
        self.struct = struct

    def load(self, off: int, size: int) -> int:
        """Return the little-endian number of `size` bytes at `off`."""
        if 0 <= off <= self.size - size:
            return self.struct.load(self.owner, off, size)
        self.refuse(off, size, "read")

    def store(self, off: int, size: int, value: int) -> None:
        """Write to a live member."""
        if not 0 <= off <= self.size - size:
            self.refuse(off, size, "write")
        if not self.struct.store(self.owner, off, size, value):
            raise Fault("memory", f"write of {size} bytes at offset {off} of struct {self.struct.name}, "
                                  "where programs may not write")

    def read(self, off: int, n: int) -> bytes:
        """Return `n` bytes at `off`."""
        if 0 <= off <= self.size - n and n >= 0:
            return self.struct.load(self.owner, off, n).to_bytes(n, "little")
        self.refuse(off, n, "read")

    def write(self, off: int, data: bytes) -> None:
        """Write to live members."""
        self.store(off, len(data), int.from_bytes(data, "little"))
