"""Map types (uapi/linux/bpf.h), by their numbers, and which helper takes which (check_map_func_compatibility,
kernel/bpf/verifier.c, Linux 7.2).

What a type does is declared with its class in `ebpfvm.maps`; the matrix of helpers is here, because a kernel has it
in one place too.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Final

from ebpfvm.contract import Arg, MapType
from ebpfvm.dialects.helpers import BY_NAME

if TYPE_CHECKING:
    from collections.abc import Iterable

# In the order of their numbers, from 0.
_NAMES = """
    unspec hash array prog_array perf_event_array percpu_hash percpu_array stack_trace cgroup_array lru_hash
    lru_percpu_hash lpm_trie array_of_maps hash_of_maps devmap sockmap cpumap xskmap sockhash cgroup_storage
    reuseport_sockarray percpu_cgroup_storage queue stack sk_storage devmap_hash struct_ops ringbuf inode_storage
    task_storage bloom_filter user_ringbuf cgrp_storage arena
"""

NAMES: Final = tuple(_NAMES.split())

# Types that only these helpers take.
ONLY: Final = {
    "prog_array": "tail_call",
    "perf_event_array": "perf_event_read perf_event_output skb_output perf_event_read_value xdp_output",
    "ringbuf": "ringbuf_output ringbuf_reserve ringbuf_query ringbuf_reserve_dynptr ringbuf_submit_dynptr "
               "ringbuf_discard_dynptr",
    "user_ringbuf": "user_ringbuf_drain",
    "stack_trace": "get_stackid",
    "cgroup_array": "skb_under_cgroup current_task_under_cgroup",
    "cgroup_storage": "get_local_storage",
    "percpu_cgroup_storage": "get_local_storage",
    "devmap": "redirect_map map_lookup_elem",
    "devmap_hash": "redirect_map map_lookup_elem",
    "cpumap": "redirect_map",
    "xskmap": "redirect_map map_lookup_elem",
    "array_of_maps": "map_lookup_elem",
    "hash_of_maps": "map_lookup_elem",
    "sockmap": "sk_redirect_map sock_map_update map_delete_elem msg_redirect_map sk_select_reuseport "
               "map_lookup_elem map_update_elem",
    "sockhash": "sk_redirect_hash sock_hash_update map_delete_elem msg_redirect_hash sk_select_reuseport "
                "map_lookup_elem map_update_elem",
    "reuseport_sockarray": "sk_select_reuseport",
    "queue": "map_peek_elem map_pop_elem map_push_elem",
    "stack": "map_peek_elem map_pop_elem map_push_elem",
    "sk_storage": "sk_storage_get sk_storage_delete kptr_xchg",
    "inode_storage": "inode_storage_get inode_storage_delete kptr_xchg",
    "task_storage": "task_storage_get task_storage_delete kptr_xchg",
    "cgrp_storage": "cgrp_storage_get cgrp_storage_delete kptr_xchg",
    "bloom_filter": "map_peek_elem map_push_elem",
    "unspec": "",
}
# Helpers that only these types take, beyond those that follow from `ONLY`.
_ONLY_PERCPU = frozenset({"percpu_array", "percpu_hash", "lru_percpu_hash"})
_SOCKMAP_UPDATE = frozenset({"tracing", "socket_filter", "sched_cls", "sched_act", "xdp", "sk_reuseport",
                             "flow_dissector", "sk_lookup"})

_KPTR = frozenset({"kptr", "kptr_ref", "kptr_unref", "kptr_percpu", "refcount"})
_LOCK = frozenset({"spin_lock", "res_spin_lock"})
_ASYNC = frozenset({"timer", "wq", "task_work"})
_GRAPH = frozenset({"list_head", "rb_root"})
_LOCAL = _KPTR | _LOCK
FIELDS: Final = {
    "hash": _KPTR | _LOCK | _ASYNC | _GRAPH, "array": _KPTR | _LOCK | _ASYNC | _GRAPH,
    "lru_hash": _KPTR | _ASYNC | _GRAPH, "percpu_hash": _KPTR, "lru_percpu_hash": _KPTR, "percpu_array": _KPTR,
    "cgroup_storage": _LOCK, "sk_storage": _LOCAL, "inode_storage": _LOCAL, "task_storage": _LOCAL | {"uptr"},
    "cgrp_storage": _LOCAL,
}
FOR_EACH: Final = frozenset({"hash", "percpu_hash", "lru_hash", "lru_percpu_hash", "array", "percpu_array"})


def _bpf(text: str) -> frozenset[str]:
    return frozenset(f"bpf_{name}" for name in text.split())


# bpf_map_lookup_elem and its like: what takes a map pointer and is nobody's own.
_TAKERS = frozenset(name for name, item in BY_NAME.items() if any(arg.kind is Arg.CONST_MAP_PTR for arg in item.args))
_OWN = frozenset().union(*(_bpf(text) for name, text in ONLY.items())) - _bpf("map_lookup_elem map_update_elem "
                                                                             "map_delete_elem kptr_xchg")
OPEN: Final = _TAKERS - _OWN - _bpf("map_lookup_percpu_elem")


def funcs_of(name: str) -> frozenset[str]:
    """Helpers that take a map of this type."""
    if name in ONLY:
        return _bpf(ONLY[name])
    return OPEN | _bpf("map_lookup_percpu_elem") if name in _ONLY_PERCPU else OPEN


def _declare(name: str) -> MapType:
    return MapType(name, funcs=funcs_of(name), value_access=name in ("array", "insn_array"),
                   in_map=name.endswith("_of_maps"), fields=FIELDS.get(name, frozenset()),
                   percpu=name in _ONLY_PERCPU or name == "percpu_cgroup_storage", for_each=name in FOR_EACH,
                   update_from=_SOCKMAP_UPDATE if name in ("sockmap", "sockhash") else frozenset())


CONTRACTS: Final = {number: _declare(name) for number, name in enumerate(NAMES)}


def implement(contracts: dict[int, MapType], built: Iterable[MapType]) -> dict[int, MapType]:
    """The contracts, with what makes and checks a map where that type is built."""
    by_name = {item.name: item for item in built}
    made = {}
    for number, contract in contracts.items():
        item = by_name.get(contract.name)
        made[number] = contract if item is None else replace(
            contract, make=item.make, check=item.check, doc=item.doc, value_access=item.value_access)
    return made
