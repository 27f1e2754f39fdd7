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
from ebpfvm.dialects.unmodelled import IN_BOTH, ONLY_6_18, ONLY_7_2
from ebpfvm.errors import InternalError
from ebpfvm.lazy_dataclasses import dataclass

HERE: Final = os.path.dirname(__file__)


def bpf_names(text: str) -> frozenset[str]:
    """Return names of helpers or kfuncs with the prefix "bpf_" that all of them share."""
    return frozenset(f"bpf_{name}" for name in text.split())


@dataclass(frozen=True, slots=True, kw_only=True)
class Offers:
    """What one version offers.

    Attributes:
        types: suffix of the names of the files with the types that differ from the base: "_6_18", "" for the base.
        lacks: modelled kernel functions that this version does not have.
        without_code: kernel functions that its types name but that cannot be called.
        unmodelled: kernel functions that it has but that are not modelled.
        kfuncs_as: program type -> the type whose kernel functions it may call.
        arena_kfuncs_sleep: whether the kernel functions of arenas may sleep.
        helper_args: helper -> position -> argument, where the contract differs from the declaration.
        helper_results: helper -> result, likewise.
        more_helpers: program type -> helpers that only this version offers it.
        more_hook_helpers: program type -> hook -> helpers that only this version offers there; the hook "" is a program
            whose section names none.
        ctx_offsets: program type -> which offsets a pointer to its context may have (`ProgType.ctx_offsets`).
        writes_context: program types that may write all fields of their context.
    """

    types: str
    lacks: frozenset[str] = frozenset()
    without_code: frozenset[str] = frozenset()
    unmodelled: frozenset[str] = frozenset()
    kfuncs_as: Mapping[str, str]
    arena_kfuncs_sleep: bool
    helper_args: Mapping[str, Mapping[int, ArgSpec]]
    helper_results: Mapping[str, RetSpec]
    more_helpers: Mapping[str, frozenset[str]]
    more_hook_helpers: Mapping[str, Mapping[str, frozenset[str]]]
    ctx_offsets: Mapping[str, Literal["fixed", "any"]]
    writes_context: frozenset[str]


_SOCKOPT: Final = bpf_names("setsockopt getsockopt")

LINUX_7_2: Final = Offers(
    types="",
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
    types="_6_18",
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

OFFERS: Final[Mapping[tuple[int, int], Offers]] = {(7, 2): LINUX_7_2, (6, 18): LINUX_6_18}


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
        for name in (f"kernel_types{item.types}.json", f"kernel_names{item.types}.txt"):
            if not os.path.isfile(os.path.join(HERE, name)):
                raise InternalError(f"Linux {version[0]}.{version[1]}: dialects/{name} is missing; "
                                    "scripts/kernel_types.py writes it from the kernel's BTF")


check(OFFERS, DESCRIBED)
