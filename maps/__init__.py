"""The map types: each file is one whole map type, with what programs see, what user space sees, and its contract."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ebpfvm.contract.mapcreate import as_created, creation_refusal
from ebpfvm.errors import UsageError
from ebpfvm.maps.array import ARRAY, PERCPU_ARRAY
from ebpfvm.maps.base import BpfMap, kernel_error
from ebpfvm.maps.bloom import BLOOM_FILTER
from ebpfvm.maps.hash import HASH, LRU_HASH, LRU_PERCPU_HASH, PERCPU_HASH
from ebpfvm.maps.lpm_trie import LPM_TRIE
from ebpfvm.maps.of_maps import ARRAY_OF_MAPS, HASH_OF_MAPS, RBTREE_OF_MAPS
from ebpfvm.maps.prog_array import PROG_ARRAY
from ebpfvm.maps.queue_stack import QUEUE, STACK
from ebpfvm.maps.rbtree import RBTREE
from ebpfvm.maps.ringbuf import RINGBUF

if TYPE_CHECKING:
    from ebpfvm.kernel.emulated import Kernel
    from ebpfvm.loader.object import MapSpec

__all__ = ["ARRAY", "ARRAY_OF_MAPS", "BLOOM_FILTER", "HASH", "HASH_OF_MAPS", "LPM_TRIE", "LRU_HASH",
           "LRU_PERCPU_HASH", "PERCPU_ARRAY", "PERCPU_HASH", "PROG_ARRAY", "QUEUE", "RBTREE", "RBTREE_OF_MAPS",
           "RINGBUF", "STACK", "BpfMap", "make_map"]


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
