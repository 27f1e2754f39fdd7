"""Special fields of map values and of structs that a program allocates, as the checks want them."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from ebpfvm.btf.fields import LOCAL_KINDS, record_of
from ebpfvm.btf.types import Struct
from ebpfvm.verifier.env import Special, StructType

if TYPE_CHECKING:
    from ebpfvm.btf.fields import Field
    from ebpfvm.btf.types import Btf
    from ebpfvm.contract.dialect import Dialect
    from ebpfvm.contract.maptype import MapType
    from ebpfvm.loader.object import MapSpec
    from ebpfvm.loading import Prepared

# Field kind -> the word a map type uses for the fields it may hold.
_WORD = {"kptr_ref": "kptr", "kptr_unref": "kptr", "kptr_percpu": "kptr"}


def special_fields(spec: MapSpec, dialect: Dialect, kind: MapType) -> tuple[Special, ...]:
    """Fields of a map's value; none where the kernel would have dropped the whole record.

    Raises:
        LoadError: the BTF is damaged.
    """
    if spec.btf is None or not spec.value_type:
        return ()
    fields = record_of(spec.btf, spec.value_type).fields
    return tuple(_special(item, spec.btf, local=False) for item in fields)


def with_loadable_btf(program: Prepared, dialect: Dialect) -> Prepared:
    """Return the program as a loader loads it where the kernel refuses its BTF: without any.

    A kernel refuses the types of a map that would own a struct of the kernel which the kernel cannot free.
    """
    names = dialect.struct_names
    owned = {item.struct for spec in program.maps if spec.btf is not None and spec.value_type
             for item in record_of(spec.btf, spec.value_type).fields if item.kind == "kptr_ref"}
    if names is None or not any(name in names() and name not in dialect.destructors for name in owned):
        return program
    maps = tuple(replace(spec, btf=None, key_type=0, value_type=0) for spec in program.maps)
    return replace(program, maps=maps, btf=None, func_info=(), line_info=())


def _special(item: Field, btf: Btf, local: bool) -> Special:
    return Special(item.kind, item.offset, item.size, item.struct, btf, item.type_id, item.node, item.node_offset)


def local_struct(btf: Btf, type_id: int) -> StructType:
    """A struct of the program's own BTF with its special fields."""
    found = btf[type_id]
    fields = record_of(btf, type_id, LOCAL_KINDS).fields if isinstance(found, Struct) else ()
    return StructType(found.name, btf, type_id, tuple(_special(item, btf, local=True) for item in fields))
