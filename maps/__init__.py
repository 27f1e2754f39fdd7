"""The map types: each file is one whole map type, with what programs see, what user space sees, and its contract."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ebpfvm.contract.mapcreate import as_created, creation_refusal
from ebpfvm.errors import UsageError
from ebpfvm.maps.base import BpfMap, kernel_error

if TYPE_CHECKING:
    from ebpfvm.kernel.emulated import Kernel
    from ebpfvm.loader.object import MapSpec

__all__ = ["BpfMap", "make_map"]


def make_map(kernel: Kernel, spec: MapSpec) -> BpfMap:
    """Create a map of `spec.type`, as BPF_MAP_CREATE in the kernel's dialect does.

    Raises:
        UsageError: the dialect has no such type, or it is not supported by ebpfvm.
        OSError: the kernel's errno if the sizes or flags are refused.
    """
    type = kernel.dialect.map_type(spec.type)
    if type.make is None:
        raise UsageError(f"map {spec.name!r}: map type {type.name} is not supported by ebpfvm")
    refusal = creation_refusal(spec, kernel.dialect)
    if refusal is not None:
        raise kernel_error(refusal.errno, f"map {spec.name!r} of type {type.name} cannot be created: {refusal.why}")
    made: BpfMap = type.make(kernel, as_created(spec, kernel.dialect))
    made.id = made.region.id
    kernel.maps[made.id] = made
    return made
