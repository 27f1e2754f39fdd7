"""CO-RE: paths of relocations, read with the types that they start in.

A relocation names a type of the program and a path into it, as a string of indices ("0:1:2").
"""

from __future__ import annotations

from enum import IntEnum
from typing import TYPE_CHECKING

from ebpfvm.btf import types as t
from ebpfvm.errors import LoadError
from ebpfvm.lazy_dataclasses import dataclass

if TYPE_CHECKING:
    from ebpfvm.btf.types import Btf

MAX_PATH = 64
"""Steps that a path may have (BPF_CORE_SPEC_MAX_LEN)."""


class RelocKind(IntEnum):
    """enum bpf_core_relo_kind (include/uapi/linux/bpf.h)."""

    FIELD_BYTE_OFFSET = 0
    FIELD_BYTE_SIZE = 1
    FIELD_EXISTS = 2
    FIELD_SIGNED = 3
    FIELD_LSHIFT_U64 = 4
    FIELD_RSHIFT_U64 = 5
    TYPE_ID_LOCAL = 6
    TYPE_ID_TARGET = 7
    TYPE_EXISTS = 8
    TYPE_SIZE = 9
    ENUMVAL_EXISTS = 10
    ENUMVAL_VALUE = 11
    TYPE_MATCHES = 12


FIELD_KINDS = frozenset(range(RelocKind.FIELD_BYTE_OFFSET, RelocKind.TYPE_ID_LOCAL))
TYPE_KINDS = frozenset((*range(RelocKind.TYPE_ID_LOCAL, RelocKind.ENUMVAL_EXISTS), RelocKind.TYPE_MATCHES))
ENUM_KINDS = frozenset((RelocKind.ENUMVAL_EXISTS, RelocKind.ENUMVAL_VALUE))


@dataclass(frozen=True, slots=True)
class Step:
    """A step of a path: member `index` of a struct (with its name), or an array element (without a name)."""

    type_id: int
    index: int
    name: str = ""


@dataclass(frozen=True, slots=True)
class Spec:
    """A path through the types of one BTF; `bits` is the offset that it leads to, from the start of the root type."""

    btf: Btf
    root: int
    steps: tuple[Step, ...] = ()
    bits: int = 0


def essential_name(name: str) -> str:
    """Return a name without its flavour, which is what follows `___` between other characters.

    >>> essential_name("sk_buff___v5"), essential_name("___x"), essential_name("a___")
    ('sk_buff', '___x', 'a___')
    """
    at = name.rfind("___")
    while at > 0:
        # The kernel wants three underscores with something else on both sides.
        if name[at - 1] != "_" and at + 3 < len(name) and name[at + 3] != "_":
            return name[:at]
        at = name.rfind("___", 0, at + 2)
    return name


def malformed(message: str) -> LoadError:
    return LoadError(f"bad CO-RE relocation: {message}", section=".BTF.ext")


def parse_spec(btf: Btf, type_id: int, access: str, kind: int) -> Spec:
    """Return a relocation's path, read with the program's own types.

    Raises:
        LoadError: the path leads out of its type, or has the wrong form for its kind.
    """
    if kind in TYPE_KINDS:
        if access != "0":
            raise malformed(f"a relocation of a whole type has the path {access!r} and not '0'")
        btf[type_id]
        return Spec(btf, type_id)
    if kind not in FIELD_KINDS and kind not in ENUM_KINDS:
        raise malformed(f"kind {kind} is not known")
    parts = access.split(":")
    if not all(part.isascii() and part.isdecimal() and len(part) < 11 for part in parts) or len(parts) > MAX_PATH:
        raise malformed(f"{access[:80]!r} is not a path of at most {MAX_PATH} numbers")
    path = [int(part) for part in parts]
    root = btf.resolve(type_id)
    found = btf[root]
    if kind in ENUM_KINDS:
        if not isinstance(found, t.Enum | t.Enum64) or len(path) > 1 or path[0] >= len(found.values):
            raise malformed(f"{btf.describe(root)} has no enumerator {access}")
        return Spec(btf, type_id, (Step(root, path[0], found.values[path[0]][0]),))
    return _field_spec(btf, type_id, root, path, access)


def _field_spec(btf: Btf, type_id: int, root: int, path: list[int], access: str) -> Spec:
    steps = [Step(root, path[0])]
    bits = path[0] * btf.size_of(root) * 8
    at = root
    for index in path[1:]:
        at = btf.resolve(at)
        found = btf[at]
        if isinstance(found, t.Struct | t.Union) and index < len(found.members):
            member = found.members[index]
            bits += member.bit_offset
            if member.name:
                steps.append(Step(at, index, member.name))
            at = member.type
        elif isinstance(found, t.Array) and (index < found.nelems or is_flexible(btf, steps[-1], found)):
            at = btf.resolve(found.type)
            steps.append(Step(at, index))
            bits += index * btf.size_of(at) * 8
        else:
            raise malformed(f"the path {access} into {btf.describe(root)} leads out of {btf.describe(at)}")
    return Spec(btf, type_id, tuple(steps), bits)


def is_flexible(btf: Btf, before: Step, array: t.Array) -> bool:
    """Return whether an array is a flexible array member: without length, at the end of a struct."""
    owner = btf[before.type_id]
    return (bool(before.name) and array.nelems == 0 and isinstance(owner, t.Struct | t.Union)
            and before.index == len(owner.members) - 1)
