"""Special fields of map values and of structs that a program allocates, in the form that the checks need."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ebpfvm.btf.fields import LOCAL_KINDS, record_of
from ebpfvm.btf.types import Struct
from ebpfvm.lazy_dataclasses import dataclass

if TYPE_CHECKING:
    from ebpfvm.btf.fields import Field
    from ebpfvm.btf.types import Btf
    from ebpfvm.contract.dialect import Dialect
    from ebpfvm.contract.maptype import MapType
    from ebpfvm.loader.object import MapSpec


@dataclass(frozen=True, slots=True)
class Special:
    """A field of a map value or allocated object that only certain functions may touch (struct btf_field).

    Attributes:
        kind: "spin_lock", "res_spin_lock", "timer", "wq", "task_work", "kptr_ref", "kptr_unref", "kptr_percpu",
            "uptr", "list_head", "list_node", "rb_root", "rb_node", "refcount".
        off, size: bytes.
        struct: kptr: the struct pointed to; list head and root: the struct contained.
        btf: the types that `type_id` is an id of; None for a struct of the kernel.
        type_id: id of that struct.
        node: list head and root: name of the node member.
        node_off: offset of the node in the contained struct.
    """

    kind: str
    off: int
    size: int
    struct: str = ""
    btf: Btf | None = None
    type_id: int = 0
    node: str = ""
    node_off: int = 0

    @property
    def is_kptr(self) -> bool:
        """Whether the field holds a pointer."""
        return self.kind in ("kptr_ref", "kptr_unref", "kptr_percpu", "uptr")


@dataclass(frozen=True, slots=True)
class StructType:
    """The type that a BTF pointer points to; if `btf` is None, a kernel struct, known by name."""

    name: str
    btf: Btf | None = None
    type_id: int = 0
    fields: tuple[Special, ...] = ()


def special_fields(spec: MapSpec, dialect: Dialect, kind: MapType) -> tuple[Special, ...]:
    """Return the special fields of a map's value; none if the kernel would have dropped the whole record.

    Raises:
        LoadError: the BTF is damaged.
    """
    if spec.btf is None or not spec.value_type:
        return ()
    if not dialect.rules.fields_at_any_depth:
        from ebpfvm.btf.first_fields import first_fields
        found = first_fields(spec.btf, spec.value_type, dialect.has_struct, dialect.destructors.__contains__)
        return tuple(_special(item, spec.btf, local=False) for item in found)
    fields = record_of(spec.btf, spec.value_type).fields
    return tuple(_special(item, spec.btf, local=False) for item in fields)


def _special(item: Field, btf: Btf, local: bool) -> Special:
    return Special(item.kind, item.offset, item.size, item.struct, btf, item.type_id, item.node, item.node_offset)


def local_struct(btf: Btf, type_id: int) -> StructType:
    """Return a struct of the program's own BTF with its special fields."""
    found = btf[type_id]
    fields = record_of(btf, type_id, LOCAL_KINDS).fields if isinstance(found, Struct) else ()
    return StructType(found.name, btf, type_id, tuple(_special(item, btf, local=True) for item in fields))
