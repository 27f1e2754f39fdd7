"""Find types whose objects could own themselves, which a kernel refuses with ELOOP (btf_check_and_fixup_fields).

A struct owns what its lists and trees contain, and what its kptrs point to. Measured: Linux 6.18 refuses a struct that
is a node and has a list or tree of structs that have one, too; Linux 7.2 refuses circles, and follows kptrs as well.
"""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING, Final

from ebpfvm.btf.fields import LOCAL_KINDS, NEWEST, record_of
from ebpfvm.btf.local_structs import structs_looked_at

if TYPE_CHECKING:
    from ebpfvm.btf.fields import Field, FieldRules
    from ebpfvm.btf.types import Btf

_ROOTS: Final = ("list_head", "rb_root")
_NODES: Final = ("list_node", "rb_node")
_OWNED: Final = (*_ROOTS, "kptr_ref", "kptr_percpu")


@lru_cache(maxsize=64)
def owns_itself(btf: Btf, through_kptrs: bool, rules: FieldRules = NEWEST) -> str:
    """Return the name of a struct that a kernel refuses because it could own itself; "" if there is none.

    Args:
        through_kptrs: whether the kernel looks for circles, along kptrs too.
        rules: how it reads special fields.
    """
    known: dict[int, list[Field]] = {}
    fields = {number: record_of(btf, number, LOCAL_KINDS, known=known, rules=rules).fields
              for number, _ in structs_looked_at(btf, rules)}
    fields = {number: found for number, found in fields.items() if found}
    if through_kptrs:
        owned = {number: [item.type_id for item in found if item.kind in _OWNED] for number, found in fields.items()}
        return next((btf[number].name for number in owned if _leads_back(owned, number)), "")
    roots = {number for number, found in fields.items() if any(item.kind in _ROOTS for item in found)}
    nodes = {number for number, found in fields.items() if any(item.kind in _NODES for item in found)}
    return next((btf[number].name for number in roots & nodes
                 for item in fields[number] if item.kind in _ROOTS and item.type_id in roots), "")


def _leads_back(owned: dict[int, list[int]], start: int) -> bool:
    """Return whether a struct owns itself, directly or through others."""
    pending, seen = list(owned[start]), set[int]()
    while pending:
        number = pending.pop()
        if number == start:
            return True
        if number not in seen:
            seen.add(number)
            pending += owned.get(number, ())
    return False
