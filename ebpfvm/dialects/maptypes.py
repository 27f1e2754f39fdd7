"""Map types by their numbers (uapi/linux/bpf.h); `ebpfvm.maps` declares them."""

from __future__ import annotations

from typing import Final

from ebpfvm.contract import MapType
from ebpfvm.contract.offer_table import OfferTable
from ebpfvm.dialects.built import map_type
from ebpfvm.dialects.offers import Offers

# In the order of their numbers, from 0.
_NAMES: Final = """
    unspec hash array prog_array perf_event_array percpu_hash percpu_array stack_trace cgroup_array lru_hash
    lru_percpu_hash lpm_trie array_of_maps hash_of_maps devmap sockmap cpumap xskmap sockhash cgroup_storage
    reuseport_sockarray percpu_cgroup_storage queue stack sk_storage devmap_hash struct_ops ringbuf inode_storage
    task_storage bloom_filter user_ringbuf cgrp_storage arena
"""


NAMES: Final = dict(enumerate(_NAMES.split()))
NUMBERS: Final = OfferTable(NAMES, map_type)


def offered(offers: Offers) -> OfferTable[int, MapType]:
    """Return the map types of a mainline version, by number."""
    if not offers.lacks_types:
        return NUMBERS
    return OfferTable({number: name for number, name in NAMES.items() if name not in offers.lacks_types}, map_type)
