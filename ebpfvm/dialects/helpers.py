"""Numbers of the helpers (uapi/linux/bpf.h, Linux 7.2: 1 to 211, a final list), and which program types may call which.

Sources of the sets: kernel/bpf/helpers.c (bpf_base_func_proto), net/core/filter.c (*_func_proto), kernel/bpf/cgroup.c,
kernel/trace/bpf_trace.c; those of socket_filter, sched_cls and xdp were compared with a running Linux 6.18.
"""

from __future__ import annotations

from typing import Final

from ebpfvm import funcs
from ebpfvm.contract import Helper
from ebpfvm.contract.offer_table import OfferTable
from ebpfvm.dialects import where_declared
from ebpfvm.dialects.declared import Declarations
from ebpfvm.dialects.offers import Offers, bpf_names
from ebpfvm.lazy_dataclasses import replace

# In the order of their numbers, from 1.
_NAMES = """
    map_lookup_elem map_update_elem map_delete_elem probe_read ktime_get_ns trace_printk get_prandom_u32
    get_smp_processor_id skb_store_bytes l3_csum_replace l4_csum_replace tail_call clone_redirect
    get_current_pid_tgid get_current_uid_gid get_current_comm get_cgroup_classid skb_vlan_push skb_vlan_pop
    skb_get_tunnel_key skb_set_tunnel_key perf_event_read redirect get_route_realm perf_event_output
    skb_load_bytes get_stackid csum_diff skb_get_tunnel_opt skb_set_tunnel_opt skb_change_proto skb_change_type
    skb_under_cgroup get_hash_recalc get_current_task probe_write_user current_task_under_cgroup skb_change_tail
    skb_pull_data csum_update set_hash_invalid get_numa_node_id skb_change_head xdp_adjust_head probe_read_str
    get_socket_cookie get_socket_uid set_hash setsockopt skb_adjust_room redirect_map sk_redirect_map
    sock_map_update xdp_adjust_meta perf_event_read_value perf_prog_read_value getsockopt override_return
    sock_ops_cb_flags_set msg_redirect_map msg_apply_bytes msg_cork_bytes msg_pull_data bind xdp_adjust_tail
    skb_get_xfrm_state get_stack skb_load_bytes_relative fib_lookup sock_hash_update msg_redirect_hash
    sk_redirect_hash lwt_push_encap lwt_seg6_store_bytes lwt_seg6_adjust_srh lwt_seg6_action rc_repeat rc_keydown
    skb_cgroup_id get_current_cgroup_id get_local_storage sk_select_reuseport skb_ancestor_cgroup_id sk_lookup_tcp
    sk_lookup_udp sk_release map_push_elem map_pop_elem map_peek_elem msg_push_data msg_pop_data rc_pointer_rel
    spin_lock spin_unlock sk_fullsock tcp_sock skb_ecn_set_ce get_listener_sock skc_lookup_tcp tcp_check_syncookie
    sysctl_get_name sysctl_get_current_value sysctl_get_new_value sysctl_set_new_value strtol strtoul
    sk_storage_get sk_storage_delete send_signal tcp_gen_syncookie skb_output probe_read_user probe_read_kernel
    probe_read_user_str probe_read_kernel_str tcp_send_ack send_signal_thread jiffies64 read_branch_records
    get_ns_current_pid_tgid xdp_output get_netns_cookie get_current_ancestor_cgroup_id sk_assign ktime_get_boot_ns
    seq_printf seq_write sk_cgroup_id sk_ancestor_cgroup_id ringbuf_output ringbuf_reserve ringbuf_submit
    ringbuf_discard ringbuf_query csum_level skc_to_tcp6_sock skc_to_tcp_sock skc_to_tcp_timewait_sock
    skc_to_tcp_request_sock skc_to_udp6_sock get_task_stack load_hdr_opt store_hdr_opt reserve_hdr_opt
    inode_storage_get inode_storage_delete d_path copy_from_user snprintf_btf seq_printf_btf skb_cgroup_classid
    redirect_neigh per_cpu_ptr this_cpu_ptr redirect_peer task_storage_get task_storage_delete
    get_current_task_btf bprm_opts_set ktime_get_coarse_ns ima_inode_hash sock_from_file check_mtu
    for_each_map_elem snprintf sys_bpf btf_find_by_name_kind sys_close timer_init timer_set_callback timer_start
    timer_cancel get_func_ip get_attach_cookie task_pt_regs get_branch_snapshot trace_vprintk skc_to_unix_sock
    kallsyms_lookup_name find_vma loop strncmp get_func_arg get_func_ret get_func_arg_cnt get_retval set_retval
    xdp_get_buff_len xdp_load_bytes xdp_store_bytes copy_from_user_task skb_set_tstamp ima_file_hash kptr_xchg
    map_lookup_percpu_elem skc_to_mptcp_sock dynptr_from_mem ringbuf_reserve_dynptr ringbuf_submit_dynptr
    ringbuf_discard_dynptr dynptr_read dynptr_write dynptr_data tcp_raw_gen_syncookie_ipv4
    tcp_raw_gen_syncookie_ipv6 tcp_raw_check_syncookie_ipv4 tcp_raw_check_syncookie_ipv6 ktime_get_tai_ns
    user_ringbuf_drain cgrp_storage_get cgrp_storage_delete
"""

NAMES: Final = tuple(_NAMES.split())


BY_NAME: Final = Declarations(funcs, Helper, where_declared.HELPERS, variants=True)
NUMBERS: Final = {number: f"bpf_{name}" for number, name in enumerate(NAMES, 1)}


def helper_named(name: str) -> Helper:
    """Return the helper of a name.

    Raises:
        InternalError: no file declares it.
    """
    return BY_NAME.needed(name, "has a number, and no file in ebpfvm/funcs declares it")


HELPERS: Final = OfferTable(NUMBERS, helper_named)


def offered(offers: Offers) -> OfferTable[int, Helper]:
    """Return the helpers of a mainline version, by number."""
    later = _later(offers)
    return OfferTable({number: name for number, name in NUMBERS.items() if name not in later},
                      lambda name: _as_offered(helper_named(name), offers))


def _later(offers: Offers) -> frozenset[str]:
    """Return the helpers that a version does not have yet."""
    return frozenset() if offers.last_helper is None else frozenset(
        name for number, name in NUMBERS.items() if number > offers.last_helper)


def _as_offered(item: Helper, offers: Offers) -> Helper:
    if item.name in offers.helper_results:
        item = replace(item, ret=offers.helper_results[item.name])
    changed = offers.helper_args.get(item.name)
    return item if changed is None else replace(
        item, args=tuple(changed.get(at, spec) for at, spec in enumerate(item.args)))


# -- bpf_base_func_proto: what every type may call -----------------------------------------------------------------

# The base set of Linux 6.1, for which the RFC was written.
BASE_6_1: Final = bpf_names("""
    map_lookup_elem map_update_elem map_delete_elem map_push_elem map_pop_elem map_peek_elem map_lookup_percpu_elem
    get_prandom_u32 get_smp_processor_id get_numa_node_id tail_call ktime_get_ns ktime_get_boot_ns ktime_get_tai_ns
    ringbuf_output ringbuf_reserve ringbuf_submit ringbuf_discard ringbuf_query strncmp
    spin_lock spin_unlock jiffies64 per_cpu_ptr this_cpu_ptr timer_init timer_set_callback timer_start timer_cancel
    kptr_xchg for_each_map_elem loop user_ringbuf_drain ringbuf_reserve_dynptr ringbuf_submit_dynptr
    ringbuf_discard_dynptr dynptr_from_mem dynptr_read dynptr_write dynptr_data
    trace_printk get_current_task get_current_task_btf probe_read_user probe_read_kernel probe_read_user_str
    probe_read_kernel_str snprintf_btf snprintf task_pt_regs trace_vprintk
""")
# Since Linux 6.17 (some since earlier versions), helpers that only tracing and cgroup programs had are for all.
BASE: Final = BASE_6_1 | bpf_names("""
    strtol strtoul get_current_pid_tgid get_ns_current_pid_tgid get_current_uid_gid get_cgroup_classid
    get_current_cgroup_id get_current_ancestor_cgroup_id current_task_under_cgroup cgrp_storage_get
    cgrp_storage_delete task_storage_get task_storage_delete get_current_comm perf_event_read perf_event_read_value
    send_signal send_signal_thread get_task_stack copy_from_user copy_from_user_task get_branch_snapshot find_vma
""")
_SK_BASE: Final = bpf_names("""
    skc_to_tcp6_sock skc_to_tcp_sock skc_to_tcp_timewait_sock skc_to_tcp_request_sock skc_to_udp6_sock
    skc_to_unix_sock skc_to_mptcp_sock ktime_get_coarse_ns
""")
_SK_LOOKUP: Final = bpf_names("sk_lookup_tcp sk_lookup_udp sk_release skc_lookup_tcp")
_SYNCOOKIE: Final = bpf_names("""
    tcp_check_syncookie tcp_gen_syncookie tcp_raw_gen_syncookie_ipv4 tcp_raw_gen_syncookie_ipv6
    tcp_raw_check_syncookie_ipv4 tcp_raw_check_syncookie_ipv6
""")
_SK_STORAGE: Final = bpf_names("sk_storage_get sk_storage_delete")
_CGROUP: Final = bpf_names("get_local_storage")
_RETVAL: Final = bpf_names("get_retval set_retval")
_SOCKOPT: Final = bpf_names("setsockopt getsockopt")

# -- beyond the base set, by program type --------------------------------------------------------------------------

_SOCKET_FILTER = _SK_BASE | bpf_names("skb_load_bytes skb_load_bytes_relative get_socket_cookie get_socket_uid "
                                   "perf_event_output get_netns_cookie")
_CGROUP_SKB = _SOCKET_FILTER | _SK_LOOKUP | _SK_STORAGE | _CGROUP | bpf_names("""
    sk_fullsock skb_cgroup_id skb_ancestor_cgroup_id sk_cgroup_id sk_ancestor_cgroup_id tcp_sock get_listener_sock
    skb_ecn_set_ce
""")
_SCHED_CLS = _SK_BASE | _SK_LOOKUP | _SK_STORAGE | _SYNCOOKIE | bpf_names("""
    skb_store_bytes skb_load_bytes skb_load_bytes_relative skb_pull_data csum_diff csum_update csum_level
    l3_csum_replace l4_csum_replace clone_redirect get_cgroup_classid skb_vlan_push skb_vlan_pop skb_change_proto
    skb_change_type skb_adjust_room skb_change_tail skb_change_head skb_get_tunnel_key skb_set_tunnel_key
    skb_get_tunnel_opt skb_set_tunnel_opt redirect redirect_neigh redirect_peer get_route_realm get_hash_recalc
    set_hash_invalid set_hash perf_event_output skb_under_cgroup get_socket_cookie get_socket_uid fib_lookup check_mtu
    sk_fullsock skb_get_xfrm_state skb_cgroup_classid skb_cgroup_id skb_ancestor_cgroup_id tcp_sock
    get_listener_sock skb_ecn_set_ce sk_assign skb_set_tstamp get_netns_cookie
""")
_XDP = _SK_BASE | _SK_LOOKUP | _SYNCOOKIE | bpf_names("""
    perf_event_output csum_diff xdp_adjust_head xdp_adjust_meta redirect redirect_map xdp_adjust_tail
    xdp_get_buff_len xdp_load_bytes xdp_store_bytes fib_lookup check_mtu
""")
_LWT_OUT = _SK_BASE | bpf_names("""
    skb_load_bytes csum_diff get_cgroup_classid get_route_realm get_hash_recalc perf_event_output
    skb_under_cgroup
""")
_LWT_XMIT = _LWT_OUT | bpf_names("""
    skb_pull_data
    skb_get_tunnel_key skb_set_tunnel_key skb_get_tunnel_opt skb_set_tunnel_opt redirect clone_redirect
    skb_change_tail skb_change_head skb_store_bytes csum_update csum_level l3_csum_replace l4_csum_replace
    set_hash_invalid lwt_push_encap
""")
_SK_SKB = _SK_BASE | _SK_LOOKUP | bpf_names("""
    skb_store_bytes skb_load_bytes skb_pull_data skb_change_tail skb_change_head skb_adjust_room get_socket_cookie
    get_socket_uid sk_redirect_map sk_redirect_hash perf_event_output
""")
_SK_MSG = _SK_BASE | _SK_STORAGE | bpf_names("""
    msg_redirect_map msg_redirect_hash msg_apply_bytes msg_cork_bytes msg_pull_data msg_push_data msg_pop_data
    perf_event_output get_netns_cookie
""")
_SOCK_OPS = _SK_BASE | _SK_STORAGE | _CGROUP | bpf_names("""
    setsockopt getsockopt sock_ops_cb_flags_set sock_map_update sock_hash_update get_socket_cookie perf_event_output
    get_netns_cookie load_hdr_opt store_hdr_opt reserve_hdr_opt tcp_sock
""")
_CGROUP_SOCK = _CGROUP | _RETVAL | bpf_names("get_socket_cookie get_netns_cookie perf_event_output sk_storage_get "
                                           "ktime_get_coarse_ns")
_CGROUP_SOCK_ADDR = _SK_BASE | _SK_LOOKUP | _SK_STORAGE | _CGROUP | bpf_names("""
    get_socket_cookie get_netns_cookie perf_event_output
""")
_CGROUP_DEVICE = _CGROUP | bpf_names("perf_event_output")
_CGROUP_SYSCTL = _CGROUP_DEVICE | bpf_names("strtol strtoul sysctl_get_name sysctl_get_current_value "
                                         "sysctl_get_new_value sysctl_set_new_value ktime_get_coarse_ns")
_CGROUP_SOCKOPT = _CGROUP_DEVICE | _RETVAL | _SK_STORAGE | bpf_names("get_netns_cookie tcp_sock")
_SK_REUSEPORT = bpf_names("sk_select_reuseport skb_load_bytes skb_load_bytes_relative get_socket_cookie "
                       "ktime_get_coarse_ns")
_SK_LOOKUP_TYPE = _SK_BASE | bpf_names("perf_event_output sk_assign sk_release")

# What every tracing program may call (bpf_tracing_func_proto), except bpf_override_return, which needs a kernel that is
# configured for it.
_TRACING = bpf_names("probe_read probe_read_str get_func_ip get_attach_cookie get_stackid get_stack perf_event_output")
_BTF_TRACING = _TRACING - bpf_names("get_attach_cookie") | _SK_BASE - bpf_names("ktime_get_coarse_ns") | bpf_names("""
    skb_output xdp_output d_path sock_from_file get_socket_cookie sk_storage_get sk_storage_delete xdp_get_buff_len
""")
_TRAMPOLINE: Final = bpf_names("get_attach_cookie get_func_arg get_func_ret get_func_arg_cnt")

# Helpers of program types (and hooks) that ebpfvm does not know, and one that needs a kernel configured for it.
OFFERED_TO_NOBODY: Final = bpf_names("""
    bprm_opts_set ima_file_hash ima_inode_hash inode_storage_get inode_storage_delete override_return rc_repeat
    rc_keydown rc_pointer_rel tcp_send_ack
""")

BY_TYPE: Final = {
    "socket_filter": _SOCKET_FILTER, "sched_cls": _SCHED_CLS, "sched_act": _SCHED_CLS, "xdp": _XDP,
    "cgroup_skb": _CGROUP_SKB, "cgroup_sock": _CGROUP_SOCK,
    "lwt_in": _LWT_OUT | bpf_names("skb_pull_data lwt_push_encap"), "lwt_out": _LWT_OUT | bpf_names("skb_pull_data"),
    "lwt_xmit": _LWT_XMIT, "sock_ops": _SOCK_OPS, "sk_skb": _SK_SKB,
    "cgroup_device": _CGROUP_DEVICE, "sk_msg": _SK_MSG, "cgroup_sock_addr": _CGROUP_SOCK_ADDR,
    "lwt_seg6local": _LWT_OUT | bpf_names("lwt_seg6_store_bytes lwt_seg6_adjust_srh lwt_seg6_action"),
    "sk_reuseport": _SK_REUSEPORT, "flow_dissector": _SK_BASE | bpf_names("skb_load_bytes"),
    "cgroup_sysctl": _CGROUP_SYSCTL, "cgroup_sockopt": _CGROUP_SOCKOPT, "sk_lookup": _SK_LOOKUP_TYPE,
    "kprobe": _TRACING, "tracepoint": _TRACING, "perf_event": _TRACING | bpf_names("perf_prog_read_value "
                                                                                "read_branch_records"),
    "raw_tracepoint": _TRACING, "raw_tracepoint_writable": _TRACING, "tracing": _BTF_TRACING,
    "syscall": _BTF_TRACING | bpf_names("sys_bpf btf_find_by_name_kind sys_close kallsyms_lookup_name"),
    # Types that may call only what every program may call, and types whose rules are not modelled.
    **dict.fromkeys(("unspec", "netfilter", "lirc_mode2", "struct_ops", "ext", "lsm"), frozenset()),
}

_ADDR_WITH_RESULT = [*(f"{hook}{version}" for hook in ("bind", "connect", "sendmsg") for version in "46"),
                     "connect_unix", "sendmsg_unix"]
_ADDR_WITHOUT = [f"{hook}{version}" for hook in ("recvmsg", "getpeername", "getsockname") for version in "46"]
# Helpers that only some hooks of a type offer, by the hook in the section name or by the expected attach type.
BY_HOOK: Final[dict[str, dict[str, frozenset[str]]]] = {
    "cgroup_device": dict.fromkeys(("dev", "cgroup_device"), _RETVAL),
    "cgroup_sysctl": dict.fromkeys(("sysctl", "cgroup_sysctl"), _RETVAL),
    "cgroup_sockopt": {"setsockopt": _SOCKOPT},
    "cgroup_sock_addr": {**dict.fromkeys(_ADDR_WITH_RESULT, _RETVAL | _SOCKOPT),
                         **dict.fromkeys((*_ADDR_WITHOUT, "recvmsg_unix"), _SOCKOPT),
                         **dict.fromkeys(("connect4", "connect6"), _RETVAL | _SOCKOPT | bpf_names("bind"))},
    "tracing": {"trace_iter": bpf_names("seq_printf seq_write seq_printf_btf"),
                "trace_raw_tp": bpf_names("get_attach_cookie"),
                **dict.fromkeys(("trace_fentry", "trace_fexit", "modify_return", "trace_fsession"), _TRAMPOLINE)},
}


def hook_helpers_of(name: str, offers: Offers) -> dict[str, frozenset[str]]:
    """Return the helpers that hooks of a program type may call in addition to those of the type."""
    hooks = {**BY_HOOK.get(name, {}), **offers.more_hook_helpers.get(name, {})}
    prefix = "" if name == "tracing" else "cgroup/"
    return {key: names for hook, names in hooks.items() for key in ({hook, prefix + hook} if hook else {hook})}


def helpers_of(name: str, offers: Offers, base: frozenset[str] = BASE) -> frozenset[str]:
    """Return the names of the helpers that a program type may call; `base` has those of every type."""
    named = BY_TYPE[name] | offers.more_helpers.get(name, frozenset())
    return (base - offers.not_for_all | named) - offers.fewer_helpers.get(name, frozenset()) - _later(offers)


_CURR: Final = {"bpf_get_cgroup_classid": "bpf_get_cgroup_classid__curr"}
_WITH_PACKET: Final = frozenset({"sched_cls", "sched_act", "lwt_in", "lwt_out", "lwt_xmit", "lwt_seg6local", "qdisc"})
_PROBED: Final = bpf_names("d_path sk_storage_get sk_storage_delete")  # listed for syscall, and then rejected
# Type -> the declarations that it has instead of the usual ones.
_VARIANTS: Final = {
    "tracing": ("bpf_get_socket_cookie__sock", "bpf_xdp_get_buff_len__btf"),
    "syscall": ("bpf_get_socket_cookie__sock", "bpf_xdp_get_buff_len__btf"),
    "sk_reuseport": ("bpf_get_socket_cookie__sock",),
    "cgroup_sock": ("bpf_sk_storage_get__ctx",),
    "cgroup_sockopt": ("bpf_setsockopt__sk", "bpf_getsockopt__sk"),
    "sk_lookup": ("bpf_sk_assign__sk_lookup",),
}


def variants_of(name: str) -> OfferTable[str, Helper]:
    """Return the helpers whose contract for this type differs from the usual one, by their names."""
    own = {full.partition("__")[0]: full for full in _VARIANTS.get(name, ())}
    names = ({} if name in _WITH_PACKET else _CURR) | own | (dict.fromkeys(_PROBED) if name == "syscall" else {})
    return OfferTable({usual: usual for usual in names}, lambda usual: _variant(usual, names[usual]))


def _variant(usual: str, full: str | None) -> Helper:
    return BY_NAME.variant(full) if full is not None else replace(helper_named(usual), barred="probe")
