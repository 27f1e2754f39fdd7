"""The kfuncs that a kernel has, and which program types may call them.

A kernel keeps sets of kfuncs for hooks, and program types share hooks (bpf_prog_type_to_kfunc_hook, kernel/bpf/btf.c).
The sets of socket_filter, sched_cls and xdp were compared with a running Linux 6.18.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Final

from ebpfvm.contract import Kfunc
from ebpfvm.contract.rules import Rules
from ebpfvm.dialects.offers import Offers, bpf_names
from ebpfvm.funcs import (
    conntrack,
    critical_sections,
    dynptr,
    graph,
    iters,
    kobj,
    kptr,
    lists,
    qdisc_kfuncs,
    strings,
    task_kfuncs,
    trees,
    workqueue,
)

if TYPE_CHECKING:
    from types import ModuleType


def _all(*modules: ModuleType) -> dict[str, Kfunc]:
    return {item.name: item for module in modules for item in vars(module).values() if isinstance(item, Kfunc)}


RFC6_PACKETS: Final = {item.name: item for item in (kptr.bpf_skb_acquire, kptr.bpf_skb_kptr_get,
                                                    kptr.bpf_skb_release)}
RFC6_TASKS: Final = {item.name: item for item in (task_kfuncs.bpf_task_acquire, task_kfuncs.bpf_task_release,
                                                  task_kfuncs.bpf_task_from_pid)}
_MAINLINE: Final = _all(conntrack, dynptr, graph, iters, kobj, lists, qdisc_kfuncs, critical_sections, strings,
                        task_kfuncs, trees, workqueue)

_GENERIC: Final = bpf_names("""
    obj_new obj_drop percpu_obj_new percpu_obj_drop refcount_acquire list_push_front list_push_back list_add list_del
    list_is_first list_is_last list_empty rbtree_add
    obj_new_impl obj_drop_impl percpu_obj_new_impl percpu_obj_drop_impl refcount_acquire_impl list_push_front_impl
    list_push_back_impl list_pop_front list_pop_back list_front list_back rbtree_add_impl rbtree_remove rbtree_first
    rbtree_root rbtree_left rbtree_right task_acquire task_release task_from_pid task_from_vpid task_under_cgroup
    task_get_cgroup1 send_signal_task cgroup_acquire cgroup_release cgroup_ancestor cgroup_from_id lookup_user_key
    lookup_system_key key_put throw
""")
_SKB: Final = bpf_names("dynptr_from_skb")
_CT: Final = bpf_names("ct_insert_entry ct_release ct_set_timeout ct_change_timeout ct_set_status ct_change_status "
                    "ct_set_nat_info skb_ct_alloc skb_ct_lookup xdp_ct_alloc xdp_ct_lookup")
_CRYPTO: Final = bpf_names("crypto_encrypt crypto_decrypt")
_META: Final = bpf_names("dynptr_from_skb_meta")
_XDP: Final = bpf_names("dynptr_from_xdp xdp_get_xfrm_state xdp_xfrm_state_release xdp_pull_data")
_QDISC: Final = frozenset(_all(qdisc_kfuncs))
_HOOKS: Final = _GENERIC | _SKB | _CT | _CRYPTO | _META | _XDP | _QDISC | bpf_names("sk_assign_tcp_reqsk")

# What every program type may call.
COMMON: Final = frozenset(_MAINLINE) - _HOOKS
_CGROUP: Final = _GENERIC | _SKB
_BY_TYPE: Final = {
    "socket_filter": _SKB,
    "sched_cls": _GENERIC | _SKB | _CT | _CRYPTO | _META | bpf_names("sk_assign_tcp_reqsk"),
    "sched_act": _SKB | _CRYPTO | _META,
    "xdp": _GENERIC | _CT | _CRYPTO | _XDP,
    "lwt_in": _SKB, "lwt_out": _SKB, "lwt_xmit": _SKB, "lwt_seg6local": _SKB, "sk_skb": _SKB, "netfilter": _SKB,
    **dict.fromkeys(("cgroup_skb", "cgroup_sock", "cgroup_device", "cgroup_sock_addr", "cgroup_sockopt",
                     "cgroup_sysctl", "sock_ops"), _CGROUP),
    **dict.fromkeys(("tracing", "lsm", "tracepoint", "perf_event"), _GENERIC | _SKB), "syscall": _GENERIC,
    "struct_ops": _GENERIC | _SKB | _QDISC,
}


def kfuncs_of(name: str, offers: Offers) -> frozenset[str]:
    """Return the names of the kfuncs that a program type may call."""
    return COMMON | _BY_TYPE.get(offers.kfuncs_as.get(name, name), frozenset())


def offered(offers: Offers, rules: Rules) -> dict[str, Kfunc]:
    """Return all kfuncs of a mainline version."""
    return {name: replace(item, flags=_flags(item, offers, rules)) for name, item in _MAINLINE.items()
            if name not in offers.lacks}


def _flags(item: Kfunc, offers: Offers, rules: Rules) -> frozenset[str]:
    flags = item.flags
    if item.name in offers.without_code:
        flags |= {"without_code"}
    if item.name.startswith("bpf_arena_") and not offers.arena_kfuncs_sleep:
        flags -= {"sleepable"}
    return flags | {"trusted_args"} if rules.kfuncs_trust_arguments else flags
