"""The map types that `ebpfvm.maps` declares, by name."""

from __future__ import annotations

from typing import Final

import ebpfvm.maps as package
from ebpfvm.contract import MapType
from ebpfvm.dialects.declared import declared
from ebpfvm.errors import InternalError
from ebpfvm.maps.base import BpfMap

# What a program does to a map through a helper, by the method of its class that does it.
_OPERATIONS: Final = {f"bpf_map_{name}_elem": name for name in ("update", "delete", "push", "pop", "peek")} | {
    "bpf_map_lookup_percpu_elem": "lookup_percpu"}


def _types() -> dict[str, MapType]:
    found = declared(package, MapType)
    for item in found.values():
        if item.make is not None:
            _check_class(item)
    return found


def _check_class(item: MapType) -> None:
    """Raise InternalError if the class that runs a map type does not do what the contract says."""
    made = item.make
    if not isinstance(made, type) or not issubclass(made, BpfMap):
        raise InternalError(f"map type {item.name!r}: `make` is no class of maps")
    if getattr(made, "type", None) is not item:
        raise InternalError(f"map type {item.name!r}: {made.__name__}.type is not this type")
    has = {name for name in vars(BpfMap) if getattr(made, name) is not getattr(BpfMap, name)}
    for helper, method in _OPERATIONS.items():
        if helper in item.funcs and method not in has:
            raise InternalError(f"map type {item.name!r}: {helper} takes it, and {made.__name__} has no {method}()")
    for said, method, text in ((item.for_each, "for_each", "can be walked"), (item.records, "pending", "has records")):
        if said != (method in has):
            raise InternalError(f"map type {item.name!r}: the contract says {said} to \"{text}\", and "
                                f"{made.__name__} has {'a' if method in has else 'no'} {method}()")


BUILT: Final = _types()
