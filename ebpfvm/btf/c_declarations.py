"""Print BTF as C: declarations of single types, and whole headers in an order that a compiler accepts.

The output resembles that of `bpftool btf dump file ... format c`. It preserves the layout: gaps become unnamed bit
fields, and a struct whose members are not where C would put them is packed.
"""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

from ebpfvm.btf import types as t
from ebpfvm.errors import LoadError
from ebpfvm.lazy_dataclasses import replace

if TYPE_CHECKING:
    from collections.abc import Iterable

    from ebpfvm.btf.types import Btf, Type

_MAX_DEPTH = 64
_QUALIFIERS = {t.Kind.CONST: "const", t.Kind.VOLATILE: "volatile", t.Kind.RESTRICT: "restrict"}
_KEYWORDS = {t.Kind.STRUCT: "struct", t.Kind.UNION: "union", t.Kind.ENUM: "enum", t.Kind.ENUM64: "enum"}
# Compilers have a type of this name themselves, and another one for each target.
_BUILT_IN = frozenset(("__builtin_va_list",))


def declare(btf: Btf, type_id: int, name: str = "") -> str:
    """Return a C declaration of `name` with this type; if `name` is "", only the type, as in a cast.

    >>> from ebpfvm.btf.encode import BtfBuilder
    >>> b = BtfBuilder()
    >>> word = b.integer("int", 4, signed=True)
    >>> row = b.ptr(b.array(word, 4))
    >>> declare(b.btf(), row, "rows"), declare(b.btf(), word)
    ('int (*rows)[4]', 'int')

    Raises:
        LoadError: the type is nested too deeply.
    """
    return _declare(btf, type_id, name, 0)


def _declare(btf: Btf, type_id: int, inner: str, depth: int) -> str:
    if depth > _MAX_DEPTH:
        raise LoadError(f"BTF type {type_id} is nested too deeply to be printed", section=".BTF")
    words: list[str] = []
    for _ in range(4 * _MAX_DEPTH):
        found = btf[type_id]
        if isinstance(found, t.Const | t.Volatile | t.Restrict):
            words.append(_QUALIFIERS[found.kind])
            type_id = found.type
        elif isinstance(found, t.TypeTag):
            words.append(f"__attribute__(({found.name}))" if found.attr else
                         f'__attribute__((btf_type_tag("{found.name}")))')
            type_id = found.type
        elif isinstance(found, t.Ptr):
            words.reverse()
            inner = "*" + "".join(word + " " for word in words) + inner
            words, type_id = [], found.type
        elif isinstance(found, t.Array | t.FuncProto):
            if inner.startswith("*"):
                inner = f"({inner})"
            if isinstance(found, t.Array):
                inner, type_id = f"{inner}[{found.nelems}]", found.type
            else:
                inner, type_id = inner + _params(btf, found, depth), found.return_type
        else:
            base = _base(btf, found, depth)
            text = " ".join([*reversed([w for w in words if not w.startswith("__")]), base,
                             *(w for w in words if w.startswith("__"))])
            return f"{text} {inner}".rstrip()
    raise LoadError(f"BTF type {type_id} is nested too deeply to be printed", section=".BTF")


def _params(btf: Btf, proto: t.FuncProto, depth: int) -> str:
    shown = ["..." if param.type == 0 else _declare(btf, param.type, param.name, depth + 1) for param in proto.params]
    return f"({', '.join(shown) or 'void'})"


def _base(btf: Btf, found: Type, depth: int) -> str:
    """Return the word (or body, for a type without a name) that a declaration begins with."""
    if isinstance(found, t.Void):
        return "void"
    if isinstance(found, t.Struct | t.Union | t.Enum | t.Enum64):
        return f"{_KEYWORDS[found.kind]} {found.name}" if found.name else _body(btf, found, depth + 1)
    if isinstance(found, t.Fwd):
        return f"{'union' if found.is_union else 'struct'} {found.name}"
    return found.name or "void"


# -- bodies -----------------------------------------------------------------------------------------------------


def define(btf: Btf, type_id: int) -> str:
    """Return the C definition of a struct, union, enum, typedef, function or variable, with its semicolon.

    Raises:
        LoadError: the type is nested too deeply.
    """
    found = btf[type_id]
    if isinstance(found, t.Struct | t.Union | t.Enum | t.Enum64):
        return _body(btf, found, 0) + ";"
    if isinstance(found, t.Typedef):
        return f"typedef {declare(btf, found.type, found.name)};"
    if isinstance(found, t.Func):
        return f"{'static ' if found.linkage == t.Linkage.STATIC else ''}{declare(btf, found.type, found.name)};"
    if isinstance(found, t.Var):
        word = {t.Linkage.STATIC: "static ", t.Linkage.EXTERN: "extern "}.get(t.Linkage(found.linkage % 3), "")
        return f"{word}{declare(btf, found.type, found.name)};"
    return declare(btf, type_id) + ";"


def _body(btf: Btf, found: t.Struct | t.Union | t.Enum | t.Enum64, depth: int) -> str:
    head = f"{_KEYWORDS[found.kind]} {found.name}".rstrip()
    tabs = "\t" * depth
    if isinstance(found, t.Enum | t.Enum64):
        rows = [f"{name} = {_number(found, value)}," for name, value in found.values]
        small = {1: " __attribute__((mode(byte)))", 2: " __attribute__((mode(HI)))"}.get(found.size, "")
        return f"{head} {{\n" + "".join(f"{tabs}\t{row}\n" for row in rows) + f"{tabs}}}{small}"
    rows, packed = _member_rows(btf, found, depth)
    return (f"{head} {{\n" + "".join(f"{tabs}\t{row}\n" for row in rows) + f"{tabs}}}"
            + (" __attribute__((packed))" if packed else ""))


def _number(found: t.Enum | t.Enum64, value: int) -> str:
    return f"{value}{'' if found.signed or value < 1 << 31 else 'U'}{'LL' if found.size == 8 else ''}"


def _member_rows(btf: Btf, found: t.Struct | t.Union, depth: int) -> tuple[list[str], bool]:
    """Return the members with the padding that puts them in place, and whether the struct must be packed."""
    packed = btf.align_of_type(found) < max([1, *(btf.align_of(m.type) for m in found.members)])
    rows: list[str] = []
    at = 0
    for member in found.members:
        align = 1 if packed else btf.align_of(member.type)
        if isinstance(found, t.Struct):
            natural = at if member.bitfield_size else at + -at % (8 * align)
            if natural != member.bit_offset:
                rows.extend(_padding(at, member.bit_offset))
        width = f": {member.bitfield_size}" if member.bitfield_size else ""
        rows.append(_declare(btf, member.type, member.name, depth) + width + ";")
        at = member.bit_offset + (member.bitfield_size or 8 * btf.size_of(member.type))
    align = 1 if packed else max([1, *(btf.align_of(m.type) for m in found.members)])
    if isinstance(found, t.Struct) and found.members and at + -at % (8 * align) < 8 * found.size:
        rows.extend(_padding(at, 8 * found.size))
    return rows, packed


def _padding(at: int, end: int) -> Iterable[str]:
    """Yield unnamed bit fields that fill bits `at` to `end`; none crosses the 64-bit word that it starts in."""
    if end - at > 64 * 8:
        first = -at % 8
        if first:
            yield f"char: {first};"
        yield f"char __pad_{(at + first) // 8}[{(end - at - first) // 8}];"
        at += first + (end - at - first) // 8 * 8
    while at < end:
        bits = min(end - at, 64 - at % 64)
        yield f"long: {bits};"
        at += bits


# -- whole headers ----------------------------------------------------------------------------------------------


def dump(btf: Btf, roots: Iterable[int] | None = None) -> str:
    """Return C source that defines types and everything they need, in an order that compiles.

    Args:
        roots: the requested types (default: all named structs, unions, enums and typedefs).

    Raises:
        LoadError: types are nested too deeply.
    """
    btf = _with_unique_names(btf)
    writer = _Writer(btf)
    for type_id in _top_level(btf) if roots is None else roots:
        writer.top(type_id)
    return "\n\n".join(writer.parts) + "\n" if writer.parts else ""


def _top_level(btf: Btf) -> list[int]:
    """Return the types with a name, and the enums without one that no member or typedef spells out."""
    inline: set[int] = set()
    for _, found in btf.items():
        if isinstance(found, t.Struct | t.Union):
            inline.update(_spelled_out(btf, member.type) for member in found.members)
        elif isinstance(found, t.Typedef):
            inline.add(_spelled_out(btf, found.type))
    return [type_id for type_id, found in btf.items()
            if (isinstance(found, t.Struct | t.Union | t.Typedef) and found.name)
            or (isinstance(found, t.Enum | t.Enum64) and (found.name or type_id not in inline))]


def _spelled_out(btf: Btf, type_id: int) -> int:
    """Return the type that a declaration begins with."""
    for _ in range(4 * _MAX_DEPTH):
        found = btf.resolved(type_id)
        if not isinstance(found, t.Ptr | t.Array):
            break
        type_id = found.type
    return btf.resolve(type_id)


def _with_unique_names(btf: Btf) -> Btf:
    """Return the types with repeated names changed to NAME___2, NAME___3, ..., as bpftool does.

    A kernel's BTF merges many C files. Structs, unions and enums share one name space; typedefs and enumerators share
    another.
    """
    tags: Counter[str] = Counter()
    words: Counter[str] = Counter(_BUILT_IN)
    changes: dict[int, Type] = {}

    def unique(names: Counter[str], name: str) -> str:
        names[name] += 1
        return f"{name}___{names[name]}" if name and names[name] > 1 else name

    for type_id, found in btf.items():
        if isinstance(found, t.Struct | t.Union):
            changes[type_id] = replace(found, name=unique(tags, found.name))
        elif isinstance(found, t.Typedef):
            changes[type_id] = replace(found, name=unique(words, found.name))
        elif isinstance(found, t.Enum | t.Enum64):
            values = tuple((unique(words, text), value) for text, value in found.values)
            changes[type_id] = replace(found, name=unique(tags, found.name), values=values)
    for type_id, found in btf.items():
        if isinstance(found, t.Fwd) and tags[found.name]:
            same = btf.find(found.name, t.Kind.UNION if found.is_union else t.Kind.STRUCT)
            changes[type_id] = replace(found, name=changes[same].name if same else f"{found.name}___fwd")
    return btf.replaced(changes)


class _Writer:
    """Write each definition once, after what it contains and after declarations of what it points to."""

    def __init__(self, btf: Btf) -> None:
        self.btf = btf
        self.parts: list[str] = []
        self.begun: set[int] = set()
        self.declared: set[str] = set()

    def need(self, type_id: int, pointed_to: bool, depth: int) -> None:
        """Make sure that a type can be used by value, or by pointer, for which a declaration is enough."""
        if depth > 4 * _MAX_DEPTH:
            raise LoadError(f"BTF type {type_id} is nested too deeply to be printed", section=".BTF")
        found = self.btf[type_id]
        if isinstance(found, t.Typedef):
            self._typedef(type_id, found, pointed_to, depth)
        elif isinstance(found, t.Const | t.Volatile | t.Restrict | t.TypeTag):
            self.need(found.type, pointed_to, depth + 1)
        elif isinstance(found, t.Ptr):
            self.need(found.type, True, depth + 1)
        elif isinstance(found, t.Array):
            self.need(found.type, False, depth + 1)
        elif isinstance(found, t.FuncProto):
            for ref in (found.return_type, *(param.type for param in found.params)):
                self.need(ref, True, depth + 1)
        elif isinstance(found, t.Fwd):
            self._forward(f"{'union' if found.is_union else 'struct'} {found.name}")
        elif isinstance(found, t.Struct | t.Union):
            self._composite(type_id, found, pointed_to, depth)
        elif isinstance(found, t.Enum | t.Enum64) and found.name:
            self._emit(type_id)

    def top(self, type_id: int) -> None:
        """Write a requested type; an enum without a name defines its enumerators."""
        found = self.btf[type_id]
        if isinstance(found, t.Enum | t.Enum64):
            self._emit(type_id)
        elif found.name:
            self.need(type_id, False, 0)

    def _emit(self, type_id: int) -> None:
        if type_id not in self.begun:
            self.begun.add(type_id)
            self.parts.append(define(self.btf, type_id))

    def _forward(self, text: str) -> None:
        if text not in self.declared:
            self.declared.add(text)
            self.parts.append(f"{text};")

    def _typedef(self, type_id: int, found: t.Typedef, pointed_to: bool, depth: int) -> None:
        if type_id not in self.begun:
            self.begun.add(type_id)
            self.need(found.type, True, depth + 1)
            self.parts.append(define(self.btf, type_id))
        if not pointed_to:
            self.need(found.type, False, depth + 1)

    def _composite(self, type_id: int, found: t.Struct | t.Union, pointed_to: bool, depth: int) -> None:
        if found.name and pointed_to:
            self._forward(f"{_KEYWORDS[found.kind]} {found.name}")
        elif type_id not in self.begun:
            if found.name:
                self.begun.add(type_id)
                self.declared.add(f"{_KEYWORDS[found.kind]} {found.name}")
            for member in found.members:
                self.need(member.type, False, depth + 1)
            if found.name:
                self.parts.append(define(self.btf, type_id))
