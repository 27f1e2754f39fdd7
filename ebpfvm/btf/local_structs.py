"""Find structs of an object's own types whose special fields a kernel refuses (btf_parse_struct_metas).

The kernel reads the special fields of each struct that has a member which is itself a special field, or a kptr, when
it loads the types. An error in one of them fails the load: the same error in the value of a map is dropped without a
word.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from ebpfvm.btf import types as t
from ebpfvm.btf.fields import LOCAL_KINDS, STRUCT_KINDS, is_kptr, record_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from ebpfvm.btf.fields import Field, FieldRules
    from ebpfvm.btf.types import Btf

_NAMED: Final = LOCAL_KINDS - {"res_spin_lock"}  # the kernel's table of names has not all of them


def refused_struct(btf: Btf, rules: FieldRules, ownable: Callable[[str], bool]) -> str:
    """Return which struct of the types a kernel refuses, and why; "" if it accepts them.

    Args:
        ownable: whether an object may own a struct of this name; the kernel cannot free all of its own.
    """
    known: dict[int, list[Field]] = {}
    for number, struct in structs_looked_at(btf, rules):
        record = record_of(btf, number, LOCAL_KINDS, known=known, rules=rules)
        problem = record.error if record.fields or record.error else "a special field has a wrong size or alignment"
        for field in record.fields:
            if field.kind == "kptr_ref" and not ownable(field.struct):
                problem = f"it would own a struct {field.struct}, which the kernel cannot free"
        if problem:
            return f"type {number}, struct {struct.name}: {problem}"
    return ""


def structs_looked_at(btf: Btf, rules: FieldRules) -> Iterator[tuple[int, t.Struct]]:
    """Yield the structs of which the kernel reads special fields when it loads the types."""
    special = {number for number, _ in btf.items() if _is_special(btf, number, rules)}
    for number, found in btf.items():
        if isinstance(found, t.Struct) and any(member.type in special for member in found.members):
            yield number, found


def _is_special(btf: Btf, number: int, rules: FieldRules) -> bool:
    """Return whether the kernel looks at structs that have a member of this very type."""
    found = btf[number]
    if isinstance(found, t.Struct):
        return STRUCT_KINDS.get(found.name) in _NAMED
    return isinstance(found, t.Ptr) and is_kptr(btf, number, rules)
