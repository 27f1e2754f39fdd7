"""BTF types as plain data, and the queries that a loader or verifier makes.

BTF (Documentation/bpf/btf.rst) is a table of types that refer to each other by index; index 0 is `void`. The table is
kept as it is, including ids, because func_info, CO-RE records and kfunc prototypes refer to ids, which a tree of
objects would lose. So each type here is an immutable record, and `Btf` answers the queries that need the table.
"""

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING

from ebpfvm.btf.records import (
    VOID,
    Array,
    Const,
    Datasec,
    DeclTag,
    Enum,
    Enum64,
    Float,
    Func,
    FuncProto,
    Fwd,
    Int,
    Kind,
    Linkage,
    Member,
    Modifier,
    Param,
    Ptr,
    Restrict,
    SecInfo,
    Struct,
    Type,
    Typedef,
    TypeTag,
    Union,
    Var,
    Void,
    Volatile,
)
from ebpfvm.errors import LoadError
from ebpfvm.escape import decoded

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

__all__ = [
    "MAX_RESOLVE_DEPTH",
    "MAX_STRING",
    "VOID",
    "Array",
    "Btf",
    "Const",
    "Datasec",
    "DeclTag",
    "Enum",
    "Enum64",
    "Float",
    "Func",
    "FuncProto",
    "Fwd",
    "Int",
    "Kind",
    "Linkage",
    "Member",
    "Modifier",
    "Param",
    "Ptr",
    "Restrict",
    "SecInfo",
    "Struct",
    "Type",
    "TypeTag",
    "Typedef",
    "Union",
    "Var",
    "Void",
    "Volatile",
]

MAX_RESOLVE_DEPTH = 32
"""How many modifiers, typedefs and arrays may hide a type (kernel/bpf/btf.c, same name)."""

MAX_STRING = 2048
"""Longest string that is kept. Otherwise, many offsets into one long string could turn a small file into gigabytes."""


class Btf:
    """A table of types, immutable for its users; types of a table that came from bytes are decoded on first use.

    >>> btf = Btf([Int("int", 4, 32, signed=True), Typedef("s32", 1), Array(2, 10)])
    >>> btf.size_of(3), btf.find("s32", Kind.TYPEDEF), btf[btf.resolve(2)].name
    (40, 2, 'int')

    Args:
        types: types 1, 2, ...
        strings: the string section that func_info, line_info and CO-RE records refer to.
    """

    def __init__(self, types: Sequence[Type] = (), strings: bytes = b"\0") -> None:
        self._types: list[Type | None] = [VOID, *types]
        self._strings = strings
        self._decode: Callable[[int], Type] | None = None
        self._heads: Callable[[], Iterator[tuple[int, str]]] = self._decoded_heads
        self._index: dict[tuple[int, str], list[int]] | None = None
        self._tags: dict[tuple[int, int], tuple[str, ...]] | None = None

    @classmethod
    def lazy(cls, count: int, strings: bytes, decode: Callable[[int], Type],
             heads: Callable[[], Iterator[tuple[int, str]]]) -> Btf:
        """Return a table of `count` types (including void) that `decode(id)` decodes on demand.

        `heads()` yields (kind, name) of types 1, 2, ... without decoding them.
        """
        btf = cls((), strings)
        btf._types.extend([None] * (count - 1))
        btf._decode = decode
        btf._heads = heads
        return btf

    def _decoded_heads(self) -> Iterator[tuple[int, str]]:
        return ((t.kind, t.name) for t in map(self.__getitem__, range(1, len(self))))

    def __len__(self) -> int:
        """Return the number of types, including void: ids are below it."""
        return len(self._types)

    def __repr__(self) -> str:
        return f"<Btf of {len(self) - 1} types>"

    def __getitem__(self, type_id: int) -> Type:
        """Return the type with this id.

        Raises:
            LoadError: there is no such type.
        """
        if not 0 <= type_id < len(self._types):
            raise LoadError(f"BTF has no type {type_id}: ids go up to {len(self._types) - 1}", section=".BTF")
        found = self._types[type_id]
        if found is None:
            assert self._decode is not None
            found = self._types[type_id] = self._decode(type_id)
        return found

    def items(self) -> Iterator[tuple[int, Type]]:
        """Yield (id, type) of all types from 1 on."""
        return ((i, self[i]) for i in range(1, len(self)))

    def replaced(self, changes: Mapping[int, Type]) -> Btf:
        """Return a copy in which the types with these ids are replaced."""
        new = Btf((), self._strings)
        new._types = list(self._types)
        new._decode = self._decode
        for type_id, changed in changes.items():
            new._types[type_id] = changed
        return new

    def string(self, offset: int) -> str:
        """Return the string at `offset` of the string section, at most `MAX_STRING` bytes of it.

        Raises:
            LoadError: `offset` is outside.
        """
        if not 0 <= offset < len(self._strings):
            raise LoadError(f"BTF string offset {offset:#x} is outside of the {len(self._strings)} bytes of strings",
                            section=".BTF")
        end = self._strings.find(b"\0", offset, offset + MAX_STRING)
        return decoded(self._strings[offset:end if end >= 0 else offset + MAX_STRING])

    # -- by name ------------------------------------------------------------------------------------------------

    def find_all(self, name: str, kind: int) -> tuple[int, ...]:
        """Return the ids of all types of this name and kind, ascending; O(1) after the first call."""
        if self._index is None:
            index: dict[tuple[int, str], list[int]] = defaultdict(list)
            for type_id, head in enumerate(self._heads(), 1):
                if head[1]:
                    index[head].append(type_id)
            self._index = dict(index)
        return tuple(self._index.get((kind, name), ()))

    def find(self, name: str, kind: int) -> int | None:
        """Return the id of the first type of this name and kind, or None."""
        found = self.find_all(name, kind)
        return found[0] if found else None

    def names(self, kind: int) -> tuple[str, ...]:
        """Return the names of all named types of a kind, in order of first appearance."""
        self.find_all("", kind)
        assert self._index is not None
        return tuple(name for k, name in self._index if k == kind)

    # -- through modifiers --------------------------------------------------------------------------------------

    def resolve(self, type_id: int) -> int:
        """Return the id of the type without typedefs, const, volatile, restrict and type tags.

        Raises:
            LoadError: the chain is a loop, or longer than a reasonable compiler makes it.
        """
        start = type_id
        for _ in range(MAX_RESOLVE_DEPTH + 1):
            found = self[type_id]
            if not isinstance(found, Modifier):
                return type_id
            type_id = found.type
        raise LoadError(f"BTF type {start} has more than {MAX_RESOLVE_DEPTH} modifiers, or consists of itself",
                        section=".BTF")

    def resolved(self, type_id: int) -> Type:
        """Return the type without typedefs, const, volatile, restrict and type tags."""
        return self[self.resolve(type_id)]

    def type_tags(self, type_id: int) -> tuple[str, ...]:
        """Return the type tags on the way to `resolve(type_id)`, outermost first."""
        tags = []
        for _ in range(MAX_RESOLVE_DEPTH + 1):
            found = self[type_id]
            if not isinstance(found, Modifier):
                break
            if isinstance(found, TypeTag) and not found.attr:
                tags.append(found.name)
            type_id = found.type
        return tuple(tags)

    def decl_tags(self, type_id: int, component: int = -1) -> tuple[str, ...]:
        """Return the declaration tags on a type (-1) or on one of its members or parameters, in BTF order."""
        if self._tags is None:
            tags: dict[tuple[int, int], list[str]] = defaultdict(list)
            for tag_id, head in enumerate(self._heads(), 1):
                if head[0] == Kind.DECL_TAG:
                    tag = self[tag_id]
                    assert isinstance(tag, DeclTag)
                    if not tag.attr:
                        tags[tag.type, tag.component].append(tag.name)
            self._tags = {key: tuple(value) for key, value in tags.items()}
        return self._tags.get((type_id, component), ())

    # -- sizes --------------------------------------------------------------------------------------------------

    def size_of(self, type_id: int) -> int:
        """Return the size of a value of this type in bytes.

        Raises:
            LoadError: the type has no size (void, a forward declaration, a function).
        """
        start, count = type_id, 1
        for _ in range(MAX_RESOLVE_DEPTH):
            found = self.resolved(type_id)
            if isinstance(found, Array):
                count *= found.nelems
                type_id = found.type
            elif isinstance(found, Ptr):
                return count * 8
            elif isinstance(found, Int | Struct | Union | Enum | Enum64 | Float | Datasec):
                return count * found.size
            elif isinstance(found, Var):
                type_id = found.type
            else:
                raise LoadError(f"BTF type {start} ({self.describe(start)}) has no size", section=".BTF")
        raise LoadError(f"BTF type {start} has more than {MAX_RESOLVE_DEPTH} array dimensions", section=".BTF")

    def align_of(self, type_id: int) -> int:
        """Return the alignment in bytes, as libbpf computes it: that of the widest member, 1 for a packed struct."""
        return _align_of(self, type_id, 0, {})

    def align_of_type(self, found: Type) -> int:
        """Return `align_of` for a type itself."""
        return _align_of_resolved(self, found, 1, {})

    def describe(self, type_id: int) -> str:
        """Return a short C-like name for messages: `struct foo`, `int`, `ptr`."""
        found = self[type_id]
        kind = found.kind.name.lower()
        if isinstance(found, Int | Float | Typedef | Func | Var):
            return found.name or kind
        return f"{kind} {found.name}" if found.name else kind


def _align_of(btf: Btf, type_id: int, depth: int, known: dict[int, int]) -> int:
    """Return the alignment of a type; `known` caches results, since many paths can lead to the same type."""
    type_id = btf.resolve(type_id)
    if type_id not in known:
        if depth > MAX_RESOLVE_DEPTH:
            raise LoadError(f"BTF type {type_id} is nested too deeply", section=".BTF")
        known[type_id] = _align_of_resolved(btf, btf[type_id], depth + 1, known)
    return known[type_id]


def _align_of_resolved(btf: Btf, found: Type, depth: int, known: dict[int, int]) -> int:
    if isinstance(found, Ptr):
        return 8
    if isinstance(found, Int | Enum | Enum64 | Float):
        return max(1, min(found.size, 8))
    if isinstance(found, Array):
        return _align_of(btf, found.type, depth, known)
    if isinstance(found, Struct | Union):
        align = 1
        for member in found.members:
            own = _align_of(btf, member.type, depth, known)
            if member.bitfield_size == 0 and member.bit_offset % (8 * own):
                return 1
            align = max(align, own)
        return 1 if found.size % align else align
    return 1
