"""Map types by their numbers (uapi/linux/bpf.h); `ebpfvm.maps` declares them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from ebpfvm.dialects.built import BUILT
from ebpfvm.errors import InternalError

if TYPE_CHECKING:
    from ebpfvm.contract import MapType

# In the order of their numbers, from 0.
_NAMES: Final = """
    unspec hash array prog_array perf_event_array percpu_hash percpu_array stack_trace cgroup_array lru_hash
    lru_percpu_hash lpm_trie array_of_maps hash_of_maps devmap sockmap cpumap xskmap sockhash cgroup_storage
    reuseport_sockarray percpu_cgroup_storage queue stack sk_storage devmap_hash struct_ops ringbuf inode_storage
    task_storage bloom_filter user_ringbuf cgrp_storage arena
"""


def map_type(name: str) -> MapType:
    """Return the type of a name.

    Raises:
        InternalError: at import, if no file of `ebpfvm.maps` declares it.
    """
    found = BUILT.get(name)
    if found is None:
        raise InternalError(f"map type {name} has a number, and no file in maps/ declares it")
    return found


NUMBERS: Final = {number: map_type(name) for number, name in enumerate(_NAMES.split())}
