"""Prepare map definitions for a kernel: determine which kernel structs their values may own."""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING

from ebpfvm.btf.fields import BtfRecord, record_of
from ebpfvm.btf.types import Fwd, Struct
from ebpfvm.errors import LoadError
from ebpfvm.lazy_dataclasses import replace

if TYPE_CHECKING:
    from collections.abc import Iterator

    from ebpfvm.btf.types import Btf
    from ebpfvm.contract.dialect import Dialect
    from ebpfvm.loader.object import MapSpec


def fit_map(spec: MapSpec, dialect: Dialect) -> MapSpec:
    """Return a map's definition as this kernel interprets it.

    If a program only names a struct through the pointer in a map's value, compilers emit a mere declaration. If the
    dialect says so, the kernel looks up such a struct by name in its own types.
    """
    if not dialect.forward_kptrs or spec.btf is None:
        return spec
    inner = fit_map(spec.inner, dialect) if spec.inner is not None else None
    return replace(spec, btf=_defined(spec.btf, dialect.kfunc_structs()), inner=inner)


@lru_cache(maxsize=64)
def _defined(btf: Btf, names: frozenset[str]) -> Btf:
    """Return the types with empty definitions of the declared structs of these names, whose members nobody reads."""
    declared = {number: Struct(found.name, 0) for number, found in btf.items()
                if isinstance(found, Fwd) and not found.is_union and found.name in names}
    return btf.replaced(declared) if declared else btf


def unfreeable(specs: tuple[MapSpec, ...], dialect: Dialect) -> str:
    """Return the name of a kernel struct that a map would own and that the kernel cannot free, or "".

    A kernel refuses the types of such a map.
    """
    names = dialect.struct_names
    if names is None:
        return ""
    owned = (item.struct for spec in specs if spec.btf is not None and spec.value_type
             for item in _record(spec).fields if item.kind == "kptr_ref")
    return next((name for name in owned if name in names() and name not in dialect.destructors), "")


def _record(spec: MapSpec) -> BtfRecord:
    """Return the special fields of a map's value; none if its types are damaged, which the verifier reports."""
    assert spec.btf is not None
    try:
        return record_of(spec.btf, spec.value_type)
    except LoadError:
        return BtfRecord()


def complaints(specs: tuple[MapSpec, ...]) -> Iterator[str]:
    """Yield one sentence for each map whose special fields the kernel silently drops (map_check_btf, Linux 7.2)."""
    for spec in specs:
        if spec.btf is not None and spec.value_type:
            error = _record(spec).error
            if error:
                yield f"map {spec.name!r}: {error}; a kernel makes the map without any special fields"
