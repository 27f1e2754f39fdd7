"""One record for each kind of BTF type (Documentation/bpf/btf.rst), immutable, with ids where it refers to others.

Import them from `ebpfvm.btf.types`, which defines the table that the ids refer to.
"""

from __future__ import annotations

from enum import IntEnum
from typing import ClassVar

from ebpfvm.lazy_dataclasses import dataclass


class Kind(IntEnum):
    """BTF_KIND_* (include/uapi/linux/btf.h); 0 is the implicit `void`."""

    VOID = 0
    INT = 1
    PTR = 2
    ARRAY = 3
    STRUCT = 4
    UNION = 5
    ENUM = 6
    FWD = 7
    TYPEDEF = 8
    VOLATILE = 9
    CONST = 10
    RESTRICT = 11
    FUNC = 12
    FUNC_PROTO = 13
    VAR = 14
    DATASEC = 15
    FLOAT = 16
    DECL_TAG = 17
    TYPE_TAG = 18
    ENUM64 = 19


class Linkage(IntEnum):
    """Linkage of a FUNC or VAR (BTF_FUNC_*, BTF_VAR_*)."""

    STATIC = 0
    GLOBAL = 1
    EXTERN = 2


@dataclass(frozen=True, slots=True)
class Void:
    """Type 0: `void`, or "no type"."""

    kind: ClassVar[Kind] = Kind.VOID
    name: ClassVar[str] = ""


@dataclass(frozen=True, slots=True)
class Int:
    """An integer of `size` bytes of which `bits` are used, from bit `offset` on."""

    kind: ClassVar[Kind] = Kind.INT
    name: str
    size: int
    bits: int
    signed: bool = False
    offset: int = 0
    is_char: bool = False
    is_bool: bool = False


@dataclass(frozen=True, slots=True)
class Ptr:
    """Pointer to `type`."""

    kind: ClassVar[Kind] = Kind.PTR
    name: ClassVar[str] = ""
    type: int


@dataclass(frozen=True, slots=True)
class Array:
    """An array of `nelems` elements of `type`."""

    kind: ClassVar[Kind] = Kind.ARRAY
    name: ClassVar[str] = ""
    type: int
    nelems: int
    index_type: int = 0


@dataclass(frozen=True, slots=True)
class Member:
    """A member of a struct or union, `bit_offset` from its start; `bitfield_size` is 0 for a whole field."""

    name: str
    type: int
    bit_offset: int
    bitfield_size: int = 0


@dataclass(frozen=True, slots=True)
class Struct:
    """A struct of `size` bytes; `bitfields` is BTF's kind_flag: member offsets carry bit field sizes."""

    kind: ClassVar[Kind] = Kind.STRUCT
    name: str
    size: int
    members: tuple[Member, ...] = ()
    bitfields: bool = False


@dataclass(frozen=True, slots=True)
class Union:
    """A union of `size` bytes."""

    kind: ClassVar[Kind] = Kind.UNION
    name: str
    size: int
    members: tuple[Member, ...] = ()
    bitfields: bool = False


@dataclass(frozen=True, slots=True)
class Enum:
    """An enumeration of up to 32 bits: (name, value) pairs."""

    kind: ClassVar[Kind] = Kind.ENUM
    name: str
    size: int
    values: tuple[tuple[str, int], ...] = ()
    signed: bool = False


@dataclass(frozen=True, slots=True)
class Enum64:
    """An enumeration of 64 bits: (name, value) pairs."""

    kind: ClassVar[Kind] = Kind.ENUM64
    name: str
    size: int
    values: tuple[tuple[str, int], ...] = ()
    signed: bool = False


@dataclass(frozen=True, slots=True)
class Fwd:
    """A struct (or union) that is declared but not defined."""

    kind: ClassVar[Kind] = Kind.FWD
    name: str
    is_union: bool = False


@dataclass(frozen=True, slots=True)
class Typedef:
    """`typedef type name`."""

    kind: ClassVar[Kind] = Kind.TYPEDEF
    name: str
    type: int


@dataclass(frozen=True, slots=True)
class Volatile:
    """`volatile type`."""

    kind: ClassVar[Kind] = Kind.VOLATILE
    name: ClassVar[str] = ""
    type: int


@dataclass(frozen=True, slots=True)
class Const:
    """`const type`."""

    kind: ClassVar[Kind] = Kind.CONST
    name: ClassVar[str] = ""
    type: int


@dataclass(frozen=True, slots=True)
class Restrict:
    """`restrict type`."""

    kind: ClassVar[Kind] = Kind.RESTRICT
    name: ClassVar[str] = ""
    type: int


@dataclass(frozen=True, slots=True)
class Func:
    """A function: `type` is its FUNC_PROTO, `linkage` a `Linkage`."""

    kind: ClassVar[Kind] = Kind.FUNC
    name: str
    type: int
    linkage: int = Linkage.STATIC


@dataclass(frozen=True, slots=True)
class Param:
    """A parameter; a last one without name and type means `...`."""

    name: str
    type: int


@dataclass(frozen=True, slots=True)
class FuncProto:
    """A prototype; return type 0 is void."""

    kind: ClassVar[Kind] = Kind.FUNC_PROTO
    name: ClassVar[str] = ""
    return_type: int
    params: tuple[Param, ...] = ()


@dataclass(frozen=True, slots=True)
class Var:
    """A global variable."""

    kind: ClassVar[Kind] = Kind.VAR
    name: str
    type: int
    linkage: int = Linkage.GLOBAL


@dataclass(frozen=True, slots=True)
class SecInfo:
    """The place of the variable (or extern function) `type` in its section, in bytes."""

    type: int
    offset: int
    size: int


@dataclass(frozen=True, slots=True)
class Datasec:
    """An ELF data section and its variables; compilers leave size and offsets 0, and the loader fills them in."""

    kind: ClassVar[Kind] = Kind.DATASEC
    name: str
    size: int
    vars: tuple[SecInfo, ...] = ()


@dataclass(frozen=True, slots=True)
class Float:
    """A floating point type of `size` bytes."""

    kind: ClassVar[Kind] = Kind.FLOAT
    name: str
    size: int


@dataclass(frozen=True, slots=True)
class DeclTag:
    """`btf_decl_tag(name)` on `type`: on member or parameter number `component`, or on the whole type (-1).

    `attr` (kind_flag, Linux 6.15) marks a plain attribute instead of a tag.
    """

    kind: ClassVar[Kind] = Kind.DECL_TAG
    name: str
    type: int
    component: int = -1
    attr: bool = False


@dataclass(frozen=True, slots=True)
class TypeTag:
    """`btf_type_tag(name)` on a pointee; `attr` is as in `DeclTag`."""

    kind: ClassVar[Kind] = Kind.TYPE_TAG
    name: str
    type: int
    attr: bool = False


Modifier = Typedef | Volatile | Const | Restrict | TypeTag
Type = (Void | Int | Ptr | Array | Struct | Union | Enum | Enum64 | Fwd | Typedef | Volatile | Const | Restrict
        | Func | FuncProto | Var | Datasec | Float | DeclTag | TypeTag)

VOID = Void()
