"""CO-RE: the types of another kernel that a path of the program's types fits, by name.

The rules are those of libbpf and the kernel, which share tools/lib/bpf/relo_core.c (Linux 7.2).
"""

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING

from ebpfvm.btf import types as t
from ebpfvm.btf.core_paths import (
    ENUM_KINDS,
    MAX_PATH,
    TYPE_KINDS,
    RelocKind,
    Spec,
    Step,
    essential_name,
    is_flexible,
)

if TYPE_CHECKING:
    from ebpfvm.btf.types import Btf, Type


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


def match(local: Spec, target: Btf, candidate: int, kind: int) -> Spec | None:
    """Return the program's path followed in a type of the target, or None if it does not exist there."""
    if kind in TYPE_KINDS:
        fits = types_match if kind == RelocKind.TYPE_MATCHES else types_compatible
        return Spec(target, candidate) if fits(local.btf, local.root, target, candidate) else None
    if kind in ENUM_KINDS:
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
        if steps:  # the first step indexes whole objects of the root type and needs no array type
            array = target[at]
            if not isinstance(array, t.Array):
                return None
            if step.index >= array.nelems and not is_flexible(target, steps[-1], array):
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
