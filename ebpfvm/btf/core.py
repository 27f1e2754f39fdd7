"""CO-RE: find a field, type or enumerator of the program's own types in another kernel's types.

A relocation names a type of the program and a path into it (`core_paths`). The path is then followed *by name* in each
type of the target that has the same name (`core_match`), where its value (an offset, a size, an existence, ...) is
computed here. The rules are those of libbpf and the kernel, which share tools/lib/bpf/relo_core.c (Linux 7.2): names
are compared without their flavour (`task_struct___old` is `task_struct`), anonymous structs and unions may lie anywhere
on the path, and all candidates must agree.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from ebpfvm.btf import types as t
from ebpfvm.btf.core_match import Target, match
from ebpfvm.btf.core_paths import (
    ENUM_KINDS,
    FIELD_KINDS,
    RelocKind,
    Spec,
    essential_name,
    malformed,
    parse_spec,
)
from ebpfvm.lazy_dataclasses import dataclass

if TYPE_CHECKING:
    from ebpfvm.btf.types import Btf, Type


@dataclass(frozen=True, slots=True)
class CoreValue:
    """The value that an instruction holds for the program's types, and the one that it needs for the target's types.

    Attributes:
        old, new: the values.
        poison: nothing matches, so the instruction must not be reached.
        check: the instruction must hold `old` now.
        old_size, new_size: size of the field in bytes, if the width of a load or store may have to change; otherwise 0.
        resizable: whether the width may change, which is possible only for pointers and unsigned integers.
    """

    old: int
    new: int = 0
    poison: bool = False
    check: bool = True
    old_size: int = 0
    new_size: int = 0
    resizable: bool = True


def resolve(local: Btf, type_id: int, access: str, kind: int, target: Target | None) -> CoreValue:
    """Return the value that a relocation's instruction must hold.

    Args:
        local: the program's types, of which `type_id` is the relocation's root.
        target: the types to relocate to; None keeps the program's own.

    Raises:
        LoadError: the relocation is malformed, or ambiguous in the target.
    """
    spec = parse_spec(local, type_id, access, kind)
    if kind == RelocKind.TYPE_ID_LOCAL:
        return CoreValue(type_id, type_id, check=False)
    if target is None:
        return _compare(spec, spec, kind)
    if not essential_name(local[type_id].name):
        raise malformed(f"the root of {access} is an anonymous type, which no other kernel's type can be found for")
    best: tuple[CoreValue, int] | None = None
    for candidate in target.candidates(local, type_id):
        found = match(spec, target.btf, candidate, kind)
        if found is None:
            continue
        value = _compare(spec, found, kind)
        if best is not None and ((value.new, value.poison) != (best[0].new, best[0].poison) or found.bits != best[1]):
            raise malformed(f"the target has several types named {local[type_id].name}, and they differ in {access}")
        best = value, found.bits
    return best[0] if best is not None else _compare(spec, None, kind)


def _compare(spec: Spec, found: Spec | None, kind: int) -> CoreValue:
    """Return the values for the program's own path and for the target's (None: it does not exist)."""
    if kind in FIELD_KINDS:
        return _field_values(spec, found, kind)
    if kind in ENUM_KINDS:
        if kind == RelocKind.ENUMVAL_EXISTS:
            return CoreValue(1, int(found is not None))
        return CoreValue(enumerator(spec), enumerator(found) if found else 0, poison=found is None)
    if kind == RelocKind.TYPE_SIZE:
        return CoreValue(spec.btf.size_of(spec.root), found.btf.size_of(found.root) if found else 0)
    if kind == RelocKind.TYPE_ID_TARGET:
        return CoreValue(spec.root, found.root if found else 0, check=False)
    return CoreValue(1, int(found is not None))


def enumerator(spec: Spec) -> int:
    """Return the value of the enumerator that a path leads to."""
    found = spec.btf[spec.steps[0].type_id]
    assert isinstance(found, t.Enum | t.Enum64)
    return found.values[spec.steps[0].index][1]


def _field_values(spec: Spec, found: Spec | None, kind: int) -> CoreValue:
    if kind == RelocKind.FIELD_EXISTS:
        return CoreValue(1, int(found is not None))
    old = _Place.of(spec, kind)
    if found is None:
        return CoreValue(old.value(kind), poison=True, check=old.check(kind))
    new = _Place.of(found, kind)
    sizes = (old.size, new.size) if kind == RelocKind.FIELD_BYTE_OFFSET and not old.bitfield else (0, 0)
    return CoreValue(old.value(kind), new.value(kind), False, old.check(kind), *sizes,
                     resizable=sizes[0] == sizes[1] or _resizable(old.type, new.type))


def _resizable(a: Type, b: Type) -> bool:
    """Return whether the width of a load may change without a change of meaning: for pointers and unsigned integers."""
    if isinstance(a, t.Ptr) and isinstance(b, t.Ptr):
        return True
    return isinstance(a, t.Int) and isinstance(b, t.Int) and not a.signed and not b.signed


@dataclass(frozen=True, slots=True)
class _Place:
    """Where a path ends: the bytes to load, and the bits of the field in them."""

    type: Type
    offset: int
    size: int
    bits: int
    bit_size: int
    bitfield: bool

    @classmethod
    def of(cls, spec: Spec, kind: int) -> _Place:
        last = spec.steps[-1]
        if not last.name:
            if kind not in (RelocKind.FIELD_BYTE_OFFSET, RelocKind.FIELD_BYTE_SIZE):
                raise malformed(f"kind {RelocKind(kind).name} does not go with an array element")
            size = spec.btf.size_of(last.type_id)
            return cls(spec.btf.resolved(last.type_id), spec.bits // 8, size, spec.bits, size * 8, False)
        owner = spec.btf[last.type_id]
        assert isinstance(owner, t.Struct | t.Union)
        member = owner.members[last.index]
        found = spec.btf.resolved(member.type)
        size = spec.btf.size_of(member.type)
        if not member.bitfield_size:
            return cls(found, spec.bits // 8, size, spec.bits, size * 8, False)
        offset, end = spec.bits // 8 // size * size, spec.bits + member.bitfield_size
        while end - offset * 8 > size * 8:  # the smallest integer that holds all of the bits
            if size >= 8:
                raise malformed(f"bit field {last.name} needs more than 8 bytes")
            size *= 2
            offset = spec.bits // 8 // size * size
        return cls(found, offset, size, spec.bits, member.bitfield_size, True)

    def value(self, kind: int) -> int:
        if kind == RelocKind.FIELD_BYTE_OFFSET:
            return self.offset
        if kind == RelocKind.FIELD_BYTE_SIZE:
            return self.size
        if kind == RelocKind.FIELD_SIGNED:
            return int(isinstance(self.type, t.Int | t.Enum | t.Enum64) and self.type.signed)
        if kind == RelocKind.FIELD_LSHIFT_U64:
            return 64 - (self.bits + self.bit_size - self.offset * 8)
        return 64 - self.bit_size

    def check(self, kind: int) -> bool:
        """Return whether the compiler's value can be checked; bit fields can be loaded in several ways."""
        return not self.bitfield or kind in (RelocKind.FIELD_SIGNED, RelocKind.FIELD_RSHIFT_U64)
