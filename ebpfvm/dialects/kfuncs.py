"""The kfuncs that a kernel has, and which program types may call them.

A kernel keeps sets of kfuncs for hooks, and program types share hooks (bpf_prog_type_to_kfunc_hook, kernel/bpf/btf.c).
The sets of socket_filter, sched_cls and xdp were compared with a running Linux 6.18.
"""

from __future__ import annotations

from functools import cache
from typing import Final

from ebpfvm import funcs
from ebpfvm.contract import Kfunc
from ebpfvm.contract.offer_table import OfferTable
from ebpfvm.contract.rules import Rules
from ebpfvm.dialects import where_declared
from ebpfvm.dialects.declared import Declarations
from ebpfvm.dialects.offers import Offers, bpf_names
from ebpfvm.errors import InternalError
from ebpfvm.lazy_dataclasses import replace

BY_NAME: Final = Declarations(funcs, Kfunc, where_declared.KFUNCS)
RFC6_PACKETS: Final = bpf_names("skb_acquire skb_kptr_get skb_release")
RFC6_TASKS: Final = bpf_names("task_acquire task_release task_from_pid")

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
_QDISC: Final = bpf_names("""
    kfree_skb qdisc_bstats_update qdisc_init_prologue qdisc_reset_destroy_epilogue qdisc_skb_drop
    qdisc_watchdog_schedule skb_get_hash
""")
_HOOKS: Final = _GENERIC | _SKB | _CT | _CRYPTO | _META | _XDP | _QDISC | bpf_names("sk_assign_tcp_reqsk")

# What every program type may call.
COMMON: Final = frozenset({"__bpf_trap"}) | bpf_names("""
    arena_alloc_pages arena_free_pages arena_reserve_pages cast_to_kern_ctx cgroup_read_xattr copy_from_user_dynptr
    copy_from_user_str copy_from_user_str_dynptr copy_from_user_task_dynptr copy_from_user_task_str
    copy_from_user_task_str_dynptr dynptr_adjust dynptr_clone dynptr_copy dynptr_is_null dynptr_is_rdonly
    dynptr_memset dynptr_size dynptr_slice dynptr_slice_rdwr get_kmem_cache iter_bits_destroy iter_bits_new
    iter_bits_next iter_css_destroy iter_css_new iter_css_next iter_css_task_destroy iter_css_task_new
    iter_css_task_next iter_dmabuf_destroy iter_dmabuf_new iter_dmabuf_next iter_kmem_cache_destroy
    iter_kmem_cache_new iter_kmem_cache_next iter_num_destroy iter_num_new iter_num_next iter_task_destroy
    iter_task_new iter_task_next iter_task_vma_destroy iter_task_vma_new iter_task_vma_next local_irq_restore
    local_irq_save map_sum_elem_count preempt_disable preempt_enable probe_read_kernel_dynptr
    probe_read_kernel_str_dynptr probe_read_user_dynptr probe_read_user_str_dynptr rcu_read_lock rcu_read_unlock
    rdonly_cast res_spin_lock res_spin_lock_irqsave res_spin_unlock res_spin_unlock_irqrestore strcasecmp strchr
    strchrnul strcmp strcspn stream_vprintk_impl strlen strnchr strnlen strnstr strrchr strspn strstr
    task_work_schedule_resume_impl task_work_schedule_signal_impl wq_init wq_set_callback wq_set_callback_impl
    wq_start xdp_metadata_rx_hash xdp_metadata_rx_timestamp xdp_metadata_rx_vlan_tag
""")


def kfunc_named(name: str) -> Kfunc:
    """Return the kfunc of a name.

    Raises:
        InternalError: no file declares it.
    """
    return BY_NAME.needed(name, "may be called, and no file in ebpfvm/funcs declares it")


def check() -> None:
    """Raise InternalError if a set names an undeclared kfunc, or a declared kfunc is in no set."""
    listed = COMMON | _HOOKS
    mainline = set(BY_NAME.all()) - RFC6_PACKETS
    for name in sorted(listed | RFC6_PACKETS | RFC6_TASKS):
        kfunc_named(name)
    for name in sorted(mainline - listed):
        raise InternalError(f"kfunc {name} is declared, and no program type may call it: put its name into one of the "
                            "sets of ebpfvm/dialects/kfuncs.py")
    for name in sorted(COMMON & _HOOKS):
        raise InternalError(f"kfunc {name} is in the set that every program type may call and in another one")


_CGROUP: Final = _GENERIC | _SKB
BY_TYPE: Final = {
    "socket_filter": _SKB,
    "sched_cls": _GENERIC | _SKB | _CT | _CRYPTO | _META | bpf_names("sk_assign_tcp_reqsk"),
    "sched_act": _SKB | _CRYPTO | _META,
    "xdp": _GENERIC | _CT | _CRYPTO | _XDP,
    "lwt_in": _SKB, "lwt_out": _SKB, "lwt_xmit": _SKB, "lwt_seg6local": _SKB, "sk_skb": _SKB, "netfilter": _SKB,
    **dict.fromkeys(("cgroup_skb", "cgroup_sock", "cgroup_device", "cgroup_sock_addr", "cgroup_sockopt",
                     "cgroup_sysctl", "sock_ops"), _CGROUP),
    **dict.fromkeys(("tracing", "lsm", "tracepoint", "perf_event"), _GENERIC | _SKB), "syscall": _GENERIC,
    "struct_ops": _GENERIC | _SKB | _QDISC,
    # Types that may call only what every program may call, and types whose rules are not modelled.
    **dict.fromkeys(("unspec", "kprobe", "raw_tracepoint", "raw_tracepoint_writable", "flow_dissector", "sk_lookup",
                     "sk_msg", "sk_reuseport", "lirc_mode2", "ext"), frozenset()),
}


def kfuncs_of(name: str, offers: Offers) -> frozenset[str]:
    """Return the names of the kfuncs that a program type may call."""
    return (COMMON | BY_TYPE[offers.kfuncs_as.get(name, name)]) - offers.fewer_kfuncs.get(name, frozenset())


def absent(offers: Offers) -> frozenset[str]:
    """Return the kfuncs of other versions that a mainline version lacks."""
    return (offers.lacks if offers.only is None else (COMMON | _HOOKS) - offers.only) - offers.unmodelled


def offered(offers: Offers, rules: Rules) -> OfferTable[str, Kfunc]:
    """Return all kfuncs of a mainline version."""
    names = BY_NAME.ordered((COMMON | _HOOKS) - offers.lacks if offers.only is None else offers.only)
    return OfferTable({name: name for name in names},
                      lambda name: _with_flags(name, _flags(kfunc_named(name), offers, rules)))


def of_rfc6() -> OfferTable[str, Kfunc]:
    """Return the kfuncs of the RFC's kernel."""
    names = BY_NAME.ordered(RFC6_PACKETS | RFC6_TASKS)
    return OfferTable({name: name for name in names}, kfunc_named)


@cache
def _with_flags(name: str, flags: frozenset[str]) -> Kfunc:
    """Return a kfunc with the flags that it has in one version; versions with the same flags share it."""
    item = kfunc_named(name)
    return item if flags == item.flags else replace(item, flags=flags)


def _flags(item: Kfunc, offers: Offers, rules: Rules) -> frozenset[str]:
    flags = item.flags
    if item.name in offers.without_code:
        flags |= {"without_code"}
    if item.name.startswith("bpf_arena_") and not offers.arena_kfuncs_sleep:
        flags -= {"sleepable"}
    return flags | {"trusted_args"} if rules.kfuncs_trust_arguments else flags
