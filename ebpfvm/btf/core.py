"""CO-RE: find a field, type or enumerator of the program's own types in another kernel's types.

A relocation names a type of the program and a path into it, as a string of indices ("0:1:2"). The path is read with
the program's types and then followed *by name* in each type of the target that has the same name, where its value (an
offset, a size, an existence, ...) is computed. The rules are those of libbpf and the kernel, which share
tools/lib/bpf/relo_core.c (Linux 7.2): names are compared without their flavour (`task_struct___old` is
`task_struct`), anonymous structs and unions may lie anywhere on the path, and all candidates must agree.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from enum import IntEnum
from typing import TYPE_CHECKING

from ebpfvm.btf import types as t
from ebpfvm.errors import LoadError

if TYPE_CHECKING:
    from ebpfvm.btf.types import Btf, Type

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


_FIELDS = frozenset(range(RelocKind.FIELD_BYTE_OFFSET, RelocKind.TYPE_ID_LOCAL))
_TYPES = frozenset((*range(RelocKind.TYPE_ID_LOCAL, RelocKind.ENUMVAL_EXISTS), RelocKind.TYPE_MATCHES))
_ENUMS = frozenset((RelocKind.ENUMVAL_EXISTS, RelocKind.ENUMVAL_VALUE))


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


@dataclass(frozen=True, slots=True)
class CoreValue:
    """The value that an instruction holds for the program's types, and the one that the target's types require.

    Attributes:
        old, new: the values.
        poison: nothing matches, so the instruction must not be reached.
        check: the instruction must hold `old` now.
        old_size, new_size: size of the field in bytes, if the width of a load or store may have to change; otherwise 0.
        resizable: whether that is possible: only for pointers and unsigned integers.
    """

    old: int
    new: int = 0
    poison: bool = False
    check: bool = True
    old_size: int = 0
    new_size: int = 0
    resizable: bool = True


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


def _bad(message: str) -> LoadError:
    return LoadError(f"bad CO-RE relocation: {message}", section=".BTF.ext")


def parse_spec(btf: Btf, type_id: int, access: str, kind: int) -> Spec:
    """Return a relocation's path, read with the program's own types.

    Raises:
        LoadError: the path leads out of its type, or has the wrong form for its kind.
    """
    if kind in _TYPES:
        if access != "0":
            raise _bad(f"a relocation of a whole type has the path {access!r} and not '0'")
        btf[type_id]
        return Spec(btf, type_id)
    if kind not in _FIELDS and kind not in _ENUMS:
        raise _bad(f"kind {kind} is not known")
    parts = access.split(":")
    if not all(part.isascii() and part.isdecimal() and len(part) < 11 for part in parts) or len(parts) > MAX_PATH:
        raise _bad(f"{access[:80]!r} is not a path of at most {MAX_PATH} numbers")
    path = [int(part) for part in parts]
    root = btf.resolve(type_id)
    found = btf[root]
    if kind in _ENUMS:
        if not isinstance(found, t.Enum | t.Enum64) or len(path) > 1 or path[0] >= len(found.values):
            raise _bad(f"{btf.describe(root)} has no enumerator {access}")
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
        elif isinstance(found, t.Array) and (index < found.nelems or _is_flexible(btf, steps[-1], found)):
            at = btf.resolve(found.type)
            steps.append(Step(at, index))
            bits += index * btf.size_of(at) * 8
        else:
            raise _bad(f"the path {access} into {btf.describe(root)} leads out of {btf.describe(at)}")
    return Spec(btf, type_id, tuple(steps), bits)


def _is_flexible(btf: Btf, before: Step, array: t.Array) -> bool:
    """Return whether an array is a flexible array member: without length, at the end of a struct."""
    owner = btf[before.type_id]
    return (bool(before.name) and array.nelems == 0 and isinstance(owner, t.Struct | t.Union)
            and before.index == len(owner.members) - 1)


# -- candidates -------------------------------------------------------------------------------------------------


class Target:
    """The types that programs are relocated to, with a cache of lookups."""

    def __init__(self, btf: Btf) -> None:
        self.btf = btf
        self._flavours: dict[tuple[int, str], list[int]] | None = None

    def candidates(self, local: Btf, type_id: int) -> tuple[int, ...]:
        """Return the ids of the target's types that have the same kind and name as a type of the program."""
        found = local[type_id]
        name = essential_name(found.name)
        if not name:
            return ()
        kinds = _ENUM_KINDS if found.kind in _ENUM_KINDS else (found.kind,)
        ids = [i for kind in kinds for i in self.btf.find_all(name, kind) + tuple(self._flavoured(kind, name))]
        return tuple(sorted(ids))

    def _flavoured(self, kind: int, name: str) -> list[int]:
        if self._flavours is None:
            found: dict[tuple[int, str], list[int]] = defaultdict(list)
            for each in t.Kind:
                for full in self.btf.names(each):
                    if "___" in full and essential_name(full) != full:
                        found[each, essential_name(full)].extend(self.btf.find_all(full, each))
            self._flavours = dict(found)
        return self._flavours.get((kind, name), [])


_ENUM_KINDS = (t.Kind.ENUM, t.Kind.ENUM64)


def _same_kind(a: Type, b: Type) -> bool:
    return a.kind == b.kind or (a.kind in _ENUM_KINDS and b.kind in _ENUM_KINDS)


# -- matching ---------------------------------------------------------------------------------------------------


def match(local: Spec, target: Btf, candidate: int, kind: int) -> Spec | None:
    """Return the program's path followed in a type of the target, or None if it does not exist there."""
    if kind in _TYPES:
        fits = types_match if kind == RelocKind.TYPE_MATCHES else types_compatible
        return Spec(target, candidate) if fits(local.btf, local.root, target, candidate) else None
    if kind in _ENUMS:
        return _match_enumerator(local, target, candidate)
    steps: list[Step] = []
    bits, at = 0, candidate
    for step in local.steps:
        at = target.resolve(at)
        if step.name:
            found = _match_member(local.btf, step, target, at, 0)
            if found is None:
                return None
            owner, index, offset, at = found
            steps.append(Step(owner, index, step.name))
            bits += offset
            continue
        if steps:  # the first step counts whole root types and is no array of its own
            array = target[at]
            if not isinstance(array, t.Array):
                return None
            if step.index >= array.nelems and not _is_flexible(target, steps[-1], array):
                return None
            at = target.resolve(array.type)
        steps.append(Step(at, step.index))
        bits += step.index * target.size_of(at) * 8
    return Spec(target, candidate, tuple(steps), bits)


def _match_member(local: Btf, step: Step, target: Btf, at: int, depth: int) -> tuple[int, int, int, int] | None:
    """Return (struct, member index, bits from `at`, member's type) of the named member, also in anonymous members."""
    found = target[target.resolve(at)]
    if not isinstance(found, t.Struct | t.Union) or depth > MAX_PATH:
        return None
    owner = local[step.type_id]
    assert isinstance(owner, t.Struct | t.Union)
    for index, member in enumerate(found.members):
        if not member.name:
            inside = _match_member(local, step, target, member.type, depth + 1)
            if inside is not None:
                return inside[0], inside[1], inside[2] + member.bit_offset, inside[3]
        elif member.name == step.name:
            if not fields_compatible(local, owner.members[step.index].type, target, member.type):
                return None
            return target.resolve(at), index, member.bit_offset, member.type
    return None


def _match_enumerator(local: Spec, target: Btf, candidate: int) -> Spec | None:
    found = target.resolved(candidate)
    wanted = essential_name(local.steps[0].name)
    for index, (name, _) in enumerate(found.values if isinstance(found, t.Enum | t.Enum64) else ()):
        if essential_name(name) == wanted:
            return Spec(target, candidate, (Step(target.resolve(candidate), index, name),))
    return None


def fields_compatible(local: Btf, a: int, target: Btf, b: int) -> bool:
    """Return whether a field of type `a` may be a field of type `b` in another kernel (bpf_core_fields_are_compat)."""
    for _ in range(t.MAX_RESOLVE_DEPTH):
        mine, other = local.resolved(a), target.resolved(b)
        if isinstance(mine, t.Struct | t.Union) and isinstance(other, t.Struct | t.Union):
            return True
        if not _same_kind(mine, other):
            return False
        if isinstance(mine, t.Array) and isinstance(other, t.Array):
            a, b = mine.type, other.type
            continue
        if isinstance(mine, t.Int) and isinstance(other, t.Int):
            return mine.offset == 0 and other.offset == 0
        if isinstance(mine, t.Fwd | t.Enum | t.Enum64):
            names = {essential_name(mine.name), essential_name(other.name)}
            return len(names) == 1 or "" in names
        return isinstance(mine, t.Ptr | t.Float)
    return False


def types_compatible(local: Btf, a: int, target: Btf, b: int, depth: int = t.MAX_RESOLVE_DEPTH) -> bool:
    """Return whether the target has a type, regardless of its members (bpf_core_types_are_compat)."""
    if not _same_kind(local[a], target[b]):
        return False
    while depth >= 0:
        depth -= 1
        mine, other = local.resolved(a), target.resolved(b)
        if not _same_kind(mine, other):
            return False
        if isinstance(mine, t.Void | t.Struct | t.Union | t.Enum | t.Enum64 | t.Fwd):
            return True
        if isinstance(mine, t.Int) and isinstance(other, t.Int):
            return mine.offset == 0 and other.offset == 0
        if isinstance(mine, t.Ptr | t.Array) and isinstance(other, t.Ptr | t.Array):
            a, b = mine.type, other.type
        elif isinstance(mine, t.FuncProto) and isinstance(other, t.FuncProto):
            if len(mine.params) != len(other.params):
                return False
            for one, two in zip(mine.params, other.params, strict=True):
                if not types_compatible(local, local.resolve(one.type), target, target.resolve(two.type), depth):
                    return False
            a, b = mine.return_type, other.return_type
        else:
            return False
    return False


def types_match(local: Btf, a: int, target: Btf, b: int) -> bool:
    """Return whether the target has a type with everything that the program's type has (bpf_core_types_match)."""
    return _Matcher(local, target).match(a, b, False, t.MAX_RESOLVE_DEPTH)


class _Matcher:
    """One comparison, with a cache of pairs, so that shared members are not walked repeatedly."""

    def __init__(self, local: Btf, target: Btf) -> None:
        self.local = local
        self.target = target
        self.known: dict[tuple[int, int, bool], bool] = {}

    def match(self, a: int, b: int, behind_pointer: bool, depth: int) -> bool:
        if depth < 0:
            return False
        a, b = self.local.resolve(a), self.target.resolve(b)
        key = (a, b, behind_pointer)
        if key not in self.known:
            self.known[key] = self._match(self.local[a], self.target[b], behind_pointer, depth)
        return self.known[key]

    def _match(self, mine: Type, other: Type, behind_pointer: bool, depth: int) -> bool:
        if essential_name(mine.name) != essential_name(other.name):
            return False
        if isinstance(mine, t.Fwd | t.Struct | t.Union) and behind_pointer:
            return _is_union(mine) == _is_union(other)
        if not _same_kind(mine, other):
            return False
        if isinstance(mine, t.Void):
            return True
        if isinstance(mine, t.Fwd):
            return _is_union(mine) == _is_union(other)
        if isinstance(mine, t.Int) and isinstance(other, t.Int):
            return (mine.size, mine.signed) == (other.size, other.signed)
        if isinstance(mine, t.Enum | t.Enum64) and isinstance(other, t.Enum | t.Enum64):
            names = {essential_name(name) for name, _ in other.values}
            return all(essential_name(name) in names for name, _ in mine.values)
        if isinstance(mine, t.Struct | t.Union) and isinstance(other, t.Struct | t.Union):
            return self._members(mine, other, behind_pointer, depth)
        return self._derived(mine, other, behind_pointer, depth)

    def _derived(self, mine: Type, other: Type, behind_pointer: bool, depth: int) -> bool:
        if isinstance(mine, t.Ptr) and isinstance(other, t.Ptr):
            return self.match(mine.type, other.type, True, depth - 1)
        if isinstance(mine, t.Array) and isinstance(other, t.Array):
            return mine.nelems == other.nelems and self.match(mine.type, other.type, behind_pointer, depth - 1)
        if isinstance(mine, t.FuncProto) and isinstance(other, t.FuncProto):
            return (len(mine.params) == len(other.params)
                    and all(self.match(one.type, two.type, False, depth - 1)
                            for one, two in zip(mine.params, other.params, strict=True))
                    and self.match(mine.return_type, other.return_type, False, depth - 1))
        return False

    def _members(self, mine: t.Struct | t.Union, other: t.Struct | t.Union, behind_pointer: bool, depth: int) -> bool:
        """Return whether each member has a counterpart of the same name and a matching type."""
        by_name: dict[str, list[int]] = defaultdict(list)
        for member in other.members:
            by_name[essential_name(member.name)].append(member.type)
        return all(any(self.match(member.type, type_id, behind_pointer, depth - 1)
                       for type_id in by_name[essential_name(member.name)])
                   for member in mine.members)


def _is_union(found: Type) -> bool | None:
    """Return whether a type is a union; None if it is neither struct nor union."""
    if isinstance(found, t.Fwd):
        return found.is_union
    return isinstance(found, t.Union) if isinstance(found, t.Struct | t.Union) else None


# -- values -----------------------------------------------------------------------------------------------------


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
        raise _bad(f"the root of {access} is an anonymous type, which no other kernel's type can be found for")
    best: tuple[CoreValue, int] | None = None
    for candidate in target.candidates(local, type_id):
        found = match(spec, target.btf, candidate, kind)
        if found is None:
            continue
        value = _compare(spec, found, kind)
        if best is not None and ((value.new, value.poison) != (best[0].new, best[0].poison) or found.bits != best[1]):
            raise _bad(f"the target has several types named {local[type_id].name}, and they differ in {access}")
        best = value, found.bits
    return best[0] if best is not None else _compare(spec, None, kind)


def _compare(spec: Spec, found: Spec | None, kind: int) -> CoreValue:
    """Return the values for the program's own path and for the target's (None: it does not exist)."""
    if kind in _FIELDS:
        return _field_values(spec, found, kind)
    if kind in _ENUMS:
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
                raise _bad(f"kind {RelocKind(kind).name} does not go with an array element")
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
                raise _bad(f"bit field {last.name} needs more than 8 bytes")
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
