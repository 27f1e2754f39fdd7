"""The map types that `ebpfvm.maps` declares, by name."""

from __future__ import annotations

from typing import Final

import ebpfvm.maps as package
from ebpfvm.contract import MapType
from ebpfvm.dialects import where_declared
from ebpfvm.dialects.declared import Declarations
from ebpfvm.errors import InternalError

# The operation that a helper performs on a map, by the method of the map's class that implements it.
_OPERATIONS: Final = {f"bpf_map_{name}_elem": name for name in ("update", "delete", "push", "pop", "peek")} | {
    "bpf_map_lookup_percpu_elem": "lookup_percpu"}


BUILT: Final = Declarations(package, MapType, where_declared.MAP_TYPES)


def map_type(name: str) -> MapType:
    """Return the type of a name.

    Raises:
        InternalError: no file of `ebpfvm.maps` declares it, or the class that runs it does not do what it says.
    """
    found = BUILT.needed(name, "has a number, and no file in maps/ declares it")
    if found.make is not None:
        _check_class(found)
    return found


def _check_class(item: MapType) -> None:
    """Raise InternalError if the class that runs a map type does not do what the contract says."""
    from ebpfvm.maps.base import BpfMap
    made, what = item.make, f"map type {item.name}"
    if not isinstance(made, type) or not issubclass(made, BpfMap):
        raise InternalError(f"{what}: what makes it is no class of maps")
    if getattr(made, "type", None) is not item:
        raise InternalError(f"{what}: class {made.__name__} does not have it as its 'type'")
    has = {name for name in vars(BpfMap) if getattr(made, name) is not getattr(BpfMap, name)}
    for helper, method in _OPERATIONS.items():
        if helper in item.funcs and method not in has:
            raise InternalError(f"{what}: {helper} takes it, and class {made.__name__} has no {method}()")
    for fact, said, method in (("for_each", item.for_each, "for_each"), ("records", item.records, "pending")):
        if said != (method in has):
            raise InternalError(f"{what}: {fact} is {said}, and class {made.__name__} has {'a' if not said else 'no'} "
                                f"{method}()")
