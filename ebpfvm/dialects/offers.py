"""How the versions of Linux differ in what they offer: helpers, kfuncs, contexts and types.

`ebpfvm.contract.rules` describes how their verifiers behave. The two tables must name the same versions, and the files
of types must exist; otherwise importing this module fails. CONTRIBUTING.md says how to add a version.
"""

from __future__ import annotations

import os.path
from collections.abc import Iterable, Mapping
from typing import Final, Literal

from ebpfvm.contract.args import Arg, ArgSpec, Ret, RetSpec
from ebpfvm.contract.rules import DESCRIBED
from ebpfvm.dialects.unmodelled import IN_6_1, IN_6_12, IN_BOTH, ONLY_6_18, ONLY_7_2
from ebpfvm.errors import InternalError
from ebpfvm.lazy_dataclasses import dataclass, field, replace

HERE: Final = os.path.dirname(__file__)


def bpf_names(text: str) -> frozenset[str]:
    """Return names of helpers or kfuncs with the prefix "bpf_" that all of them share."""
    return frozenset(f"bpf_{name}" for name in text.split())


@dataclass(frozen=True, slots=True, kw_only=True)
class Offers:
    """What one version offers.

    Attributes:
        types: suffixes of the names of the files with the types that differ from the base: "_6_18"; several if a file
            has the differences from another version. The base has none.
        lacks: modelled kernel functions that this version does not have.
        only: the modelled kernel functions that it has, None for all but those.
        without_code: kernel functions that its types name but that cannot be called.
        unmodelled: kernel functions that it has but that are not modelled.
        fewer_kfuncs: program type -> kernel functions that it may not call.
        kfuncs_as: program type -> the type whose kernel functions it may call.
        arena_kfuncs_sleep: whether the kernel functions of arenas may sleep.
        helper_args: helper -> position -> argument, where the contract differs from the declaration.
        helper_results: helper -> result, likewise.
        last_helper: number of its last helper; None if it has all that have a number.
        not_for_all: helpers that only some program types have, although other versions offer them to all.
        more_helpers: program type -> helpers that only this version offers it.
        fewer_helpers: program type -> helpers that this version does not offer it.
        more_hook_helpers: program type -> hook -> helpers that only this version offers there; the hook "" is a program
            whose section names none.
        ctx_offsets: program type -> which offsets a pointer to its context may have (`ProgType.ctx_offsets`).
        writes_context: program types that may write all fields of their context.
        lacks_types: map types and program types that this version does not have.
        lacks_structs: structs of operations that it does not have.
        lacks_fields: program type -> fields of its context that it does not have.
        destructors: structs that a map can own, None for those of the base.
    """

    types: tuple[str, ...]
    lacks: frozenset[str] = frozenset()
    only: frozenset[str] | None = None
    without_code: frozenset[str] = frozenset()
    unmodelled: frozenset[str] = frozenset()
    kfuncs_as: Mapping[str, str]
    arena_kfuncs_sleep: bool
    helper_args: Mapping[str, Mapping[int, ArgSpec]]
    helper_results: Mapping[str, RetSpec]
    last_helper: int | None = None
    not_for_all: frozenset[str] = frozenset()
    fewer_helpers: Mapping[str, frozenset[str]] = field(default_factory=dict)
    fewer_kfuncs: Mapping[str, frozenset[str]] = field(default_factory=dict)
    lacks_types: frozenset[str] = frozenset()
    lacks_structs: frozenset[str] = frozenset()
    lacks_fields: Mapping[str, frozenset[str]] = field(default_factory=dict)
    destructors: frozenset[str] | None = None
    more_helpers: Mapping[str, frozenset[str]]
    more_hook_helpers: Mapping[str, Mapping[str, frozenset[str]]]
    ctx_offsets: Mapping[str, Literal["fixed", "any"]]
    writes_context: frozenset[str]


_SOCKOPT: Final = bpf_names("setsockopt getsockopt")

LINUX_7_2: Final = Offers(
    types=(),
    # Functions with hidden arguments, which the kernel adds, replace them.
    without_code=bpf_names("wq_set_callback_impl task_work_schedule_signal_impl task_work_schedule_resume_impl "
                           "stream_vprintk_impl"),
    unmodelled=IN_BOTH | ONLY_7_2,
    kfuncs_as={"raw_tracepoint": "tracepoint"},
    arena_kfuncs_sleep=False,
    # The number of loops is a number, and what becomes a system call's result is a result.
    helper_args={"bpf_loop": {0: ArgSpec(Arg.SCALAR)},
                 "bpf_set_retval": {0: ArgSpec(Arg.ANYTHING, low=-4095, high=0)}},
    helper_results={"bpf_get_retval": RetSpec(Ret.INTEGER, low=-4095, high=0)},
    more_helpers=dict.fromkeys(("kprobe", "tracepoint", "perf_event", "raw_tracepoint", "raw_tracepoint_writable",
                                "tracing", "syscall"), bpf_names("probe_write_user")),
    more_hook_helpers={"cgroup_sock": dict.fromkeys(("", "sock", "sock_create"), _SOCKOPT),
                       "tracing": {"trace_raw_tp": bpf_names("get_attach_cookie get_func_arg get_func_arg_cnt")}},
    # Contexts that the kernel does not convert; that of a syscall program is plain memory.
    ctx_offsets={"kprobe": "fixed", "tracepoint": "fixed", "raw_tracepoint": "fixed", "syscall": "any"},
    writes_context=frozenset({"kprobe"}))

LINUX_6_18: Final = Offers(
    types=("_6_18",),
    lacks=bpf_names("""
        obj_new obj_drop percpu_obj_new percpu_obj_drop refcount_acquire list_push_front list_push_back list_add
        list_del list_is_first list_is_last list_empty rbtree_add wq_set_callback
    """),
    unmodelled=IN_BOTH | ONLY_6_18,
    kfuncs_as={},
    arena_kfuncs_sleep=True,
    helper_args={},
    helper_results={},
    more_helpers={"lwt_seg6local": bpf_names("skb_pull_data")},  # the compared one forbade bpf_probe_write_user
    more_hook_helpers={"cgroup_sock_addr": dict.fromkeys(("getpeername_unix", "getsockname_unix"), _SOCKOPT)},
    ctx_offsets={},
    writes_context=frozenset())

_TASK: Final = bpf_names("""
    current_task_under_cgroup get_current_comm get_current_uid_gid
""")
_TRACE: Final = bpf_names("""
    copy_from_user copy_from_user_task find_vma get_branch_snapshot get_task_stack perf_event_read
    perf_event_read_value send_signal send_signal_thread task_storage_delete task_storage_get
""")
_CLASSID: Final = bpf_names("get_cgroup_classid")
_KEYS: Final = bpf_names("key_put lookup_system_key lookup_user_key")
_TRACING_TYPES: Final = ("kprobe", "perf_event", "raw_tracepoint", "raw_tracepoint_writable", "syscall", "tracepoint",
                         "tracing")

LINUX_6_12: Final = replace(
    LINUX_6_18,
    types=("_6_12",),
    lacks=LINUX_6_18.lacks | frozenset({"__bpf_trap"}) | bpf_names("""
        arena_reserve_pages cgroup_read_xattr copy_from_user_dynptr copy_from_user_str_dynptr
        copy_from_user_task_dynptr copy_from_user_task_str copy_from_user_task_str_dynptr dynptr_copy
        dynptr_from_skb_meta dynptr_memset get_kmem_cache iter_dmabuf_destroy iter_dmabuf_new iter_dmabuf_next
        iter_kmem_cache_destroy iter_kmem_cache_new iter_kmem_cache_next kfree_skb list_back list_front
        local_irq_restore local_irq_save probe_read_kernel_dynptr probe_read_kernel_str_dynptr probe_read_user_dynptr
        probe_read_user_str_dynptr qdisc_bstats_update qdisc_init_prologue qdisc_reset_destroy_epilogue
        qdisc_skb_drop qdisc_watchdog_schedule rbtree_left rbtree_right rbtree_root res_spin_lock
        res_spin_lock_irqsave res_spin_unlock res_spin_unlock_irqrestore send_signal_task skb_get_hash strcasecmp
        strchr strchrnul strcmp strcspn stream_vprintk_impl strlen strnchr strnlen strnstr strrchr strspn strstr
        task_from_vpid task_work_schedule_resume_impl task_work_schedule_signal_impl xdp_pull_data
    """),
    unmodelled=IN_6_12,
    not_for_all=_TASK | _TRACE | _CLASSID,
    more_helpers={
        **dict.fromkeys(("cgroup_sock_addr", "cgroup_sockopt", "cgroup_sock"), _TASK | _CLASSID),
        **dict.fromkeys(("cgroup_device", "cgroup_sysctl"), _TASK | _CLASSID | bpf_names("get_retval set_retval")),
        **dict.fromkeys(_TRACING_TYPES, _TASK | _TRACE | bpf_names("probe_write_user")),
        "sk_msg": _CLASSID | bpf_names("get_current_uid_gid")},
    fewer_helpers=dict.fromkeys(("sched_act", "cgroup_skb", "socket_filter", "sched_cls"),
                                bpf_names("get_netns_cookie")),
    more_hook_helpers={},
    fewer_kfuncs={
        **dict.fromkeys(("cgroup_sock_addr", "cgroup_device", "cgroup_sockopt", "cgroup_sock", "cgroup_skb",
                         "cgroup_sysctl", "syscall", "sched_cls", "xdp"), _KEYS),
        "sock_ops": _KEYS | bpf_names("""
            cgroup_acquire cgroup_ancestor cgroup_from_id cgroup_release dynptr_from_skb list_pop_back list_pop_front
            list_push_back_impl list_push_front_impl obj_drop_impl obj_new_impl percpu_obj_drop_impl
            percpu_obj_new_impl rbtree_add_impl rbtree_first rbtree_remove refcount_acquire_impl task_acquire
            task_from_pid task_get_cgroup1 task_release task_under_cgroup throw
        """)},
    helper_args={"bpf_loop": {0: ArgSpec(Arg.SCALAR)}},
    lacks_structs=frozenset({"Qdisc_ops"}))

_TASK_6_1: Final = bpf_names("""
    get_current_ancestor_cgroup_id get_current_cgroup_id get_current_pid_tgid get_current_uid_gid
""")
_SOCKET_TASK: Final = _TASK_6_1 | _CLASSID | bpf_names("get_current_comm")
_TRACE_6_1: Final = _TASK | _TASK_6_1 | _TRACE - bpf_names("copy_from_user copy_from_user_task") | bpf_names(
    "get_ns_current_pid_tgid probe_write_user")
LINUX_6_1: Final = replace(
    LINUX_6_12,
    types=("_6_12", "_6_1"),
    only=frozenset(),
    last_helper=209,
    unmodelled=IN_6_1,
    not_for_all=LINUX_6_12.not_for_all | _TASK_6_1 | bpf_names("get_ns_current_pid_tgid"),
    more_helpers={
        "cgroup_sock_addr": _SOCKET_TASK | _SOCKOPT,
        **dict.fromkeys(("cgroup_device", "cgroup_sysctl"), _SOCKET_TASK | bpf_names("get_retval set_retval")),
        **dict.fromkeys(("cgroup_sockopt", "cgroup_sock"), _SOCKET_TASK),
        **dict.fromkeys(_TRACING_TYPES, _TRACE_6_1),
        "syscall": _TRACE_6_1 | _TRACE,
        "lwt_seg6local": bpf_names("skb_pull_data"),
        "sk_msg": _TASK_6_1 | _CLASSID},
    fewer_helpers={**LINUX_6_12.fewer_helpers, **dict.fromkeys(("raw_tracepoint", "raw_tracepoint_writable"),
                                                               bpf_names("get_attach_cookie"))},
    helper_args={"bpf_read_branch_records": {1: ArgSpec(Arg.PTR_TO_MEM, maybe_null=True)}},
    helper_results={"bpf_get_smp_processor_id": RetSpec(Ret.INTEGER)},
    lacks_fields={"sock_ops": frozenset({"skb_hwtstamp"})},
    destructors=frozenset({"nf_conn", "prog_test_ref_kfunc", "prog_test_member"}),
    lacks_types=frozenset({"netfilter", "cgrp_storage", "arena"}))

OFFERS: Final[Mapping[tuple[int, int], Offers]] = {
    (7, 2): LINUX_7_2, (6, 18): LINUX_6_18, (6, 12): LINUX_6_12, (6, 1): LINUX_6_1}


def check(offers: Mapping[tuple[int, int], Offers], described: Iterable[tuple[int, int]]) -> None:
    """Check that the same versions have rules and offers, and that their files exist.

    Raises:
        InternalError: a version or a file is missing.
    """
    for version in set(described) ^ set(offers):
        known, lacking = ("contract/rules.py (DESCRIBED)", "dialects/offers.py (OFFERS)")
        if version in offers:
            known, lacking = lacking, known
        raise InternalError(f"Linux {version[0]}.{version[1]} is in {known} and not in {lacking}")
    for version, item in offers.items():
        ends = ("", *item.types)
        for name in (*(f"kernel_types{end}.json" for end in ends), *(f"kernel_names{end}.txt" for end in ends)):
            if not os.path.isfile(os.path.join(HERE, name)):
                raise InternalError(f"Linux {version[0]}.{version[1]}: dialects/{name} is missing; "
                                    "scripts/kernel_types.py writes it from the kernel's BTF")


check(OFFERS, DESCRIBED)
