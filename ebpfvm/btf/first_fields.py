"""Special fields of map values as kernels before 6.2 find them: locks, timers and kptrs, each by itself.

Only the first level of a value is searched, no nested structs or arrays. The tag `kptr` is that of a pointer that the
map does not own, and `kptr_ref` that of one it owns; it must point to a struct of the kernel, and an owned one to a
struct that the kernel can free. Whatever is wrong with the fields of one kind leaves the value without fields of that
kind.

Source: `btf_find_field`, `btf_find_kptr`, `btf_parse_kptrs`, Linux 6.1 kernel/bpf/btf.c.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from ebpfvm.btf import types as t
from ebpfvm.btf.fields import Field
from ebpfvm.lazy_tuples import NamedTuple

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from ebpfvm.btf.types import Btf

KPTRS_MAX = 8
"""BPF_MAP_VALUE_OFF_MAX: kptrs that one value may have."""
_TAGS = {"kptr": "kptr_unref", "kptr_ref": "kptr_ref"}


class _Wanted(NamedTuple):
    kind: str
    size: int
    align: int


_BY_NAME = {"bpf_spin_lock": _Wanted("spin_lock", 4, 4), "bpf_timer": _Wanted("timer", 16, 8)}


class _Invalid(Exception):
    """Internal signal: the kernel finds an error, and takes it that there is no such field."""


def first_fields(btf: Btf, type_id: int, known: Callable[[str], bool], freed: Callable[[str], bool]) -> list[Field]:
    """Return the special fields of a map value, by offset.

    Args:
        type_id: a struct, a data section, or a typedef of one.
        known: whether the kernel has a struct of a name.
        freed: whether it can free one.
    """
    parts = list(_parts(btf, btf.resolve(type_id)))
    found = [field for name, wanted in _BY_NAME.items() for field in _only(btf, parts, name, wanted)]
    return sorted([*found, *_kptrs(btf, parts, known, freed)], key=lambda field: field.offset)


def _parts(btf: Btf, type_id: int) -> Iterator[tuple[int, int, int]]:
    """Yield type, offset in bits and size (0: not said) of each member or variable."""
    owner = btf[type_id]
    if isinstance(owner, t.Struct):
        for member in owner.members:
            yield member.type, member.bit_offset, 0
    elif isinstance(owner, t.Datasec):
        for info in owner.vars:
            var = btf[info.type]
            if isinstance(var, t.Var):
                yield var.type, info.offset * 8, info.size


def _only(btf: Btf, parts: list[tuple[int, int, int]], name: str, wanted: _Wanted) -> list[Field]:
    """Return the one lock or timer; none if there are several, or if it is not as it must be."""
    found = []
    for type_id, bits, size in parts:
        struct = btf[type_id]
        if not isinstance(struct, t.Struct) or struct.name != name or struct.size != wanted.size:
            continue
        if size and size != wanted.size:
            continue
        if bits % 8 or bits // 8 % wanted.align:
            return []
        found.append(Field(bits // 8, wanted.size, wanted.kind))
    return found if len(found) == 1 else []


def _kptrs(btf: Btf, parts: list[tuple[int, int, int]], known: Callable[[str], bool],
           freed: Callable[[str], bool]) -> list[Field]:
    try:
        found = [field for part in parts for field in _kptr(btf, *part)]
    except _Invalid:
        return []
    good = all(known(field.struct) and (field.kind == "kptr_unref" or freed(field.struct)) for field in found)
    return found if good and len(found) <= KPTRS_MAX else []


def _kptr(btf: Btf, type_id: int, bits: int, size: int) -> list[Field]:
    found = btf[type_id]
    if isinstance(found, t.Volatile):
        found = btf[found.type]
    if not isinstance(found, t.Ptr) or (size and size != 8):
        return []
    tag = btf[found.type]
    if not isinstance(tag, t.TypeTag):
        return []
    if bits % 64 or isinstance(btf[tag.type], t.TypeTag) or tag.name not in _TAGS:
        raise _Invalid
    target = btf.resolve(tag.type)
    struct = btf[target]
    if not isinstance(struct, t.Struct):
        raise _Invalid
    return [Field(bits // 8, 8, _TAGS[tag.name], struct.name, target)]
