"""The RFC v6 "eBPF based Qdisc" (bpf-next, 5 October 2022): its documented ABI with repairs.

Four of its numbers mean something else in mainline: map types 32 and 33, program type 32, helper 210. Everything else
is as in Linux 6.1, with the verifier's rules and messages of 7.2. Decisions taken where the patches were silent or
could not work (the numbers are those of the guide):

====  ==================================================================================================
D1    R1 is `struct sch_bpf_ctx`; `ctx->skb` is a packet that tc's helpers take as their context
D2    enqueue and dequeue are told apart by the section name
D3    in dequeue `ctx->skb` may be written with NULL or a packet that the program owns; the write transfers
      ownership
D12   bpf_map_pop_elem accepts an rbtree; the objects that the element's kptrs own are freed
D13   values of an rbtree may hold kptrs; "kptr_ref" and "kptr" both tag a referenced one
====  ==================================================================================================

The cover letter's seventh use, a CPU scheduler, has no program type in any patch. Here it is "task_sched", with a
number that the RFC does not use, a context of plain numbers and the kfuncs on tasks that Linux has had since 6.2.
"""

from __future__ import annotations

from functools import cache
from typing import Final

from ebpfvm.contract import Dialect, ProgType
from ebpfvm.contract.rules import rfc6_rules, rules_of
from ebpfvm.dialects import contexts, kfuncs
from ebpfvm.dialects.helpers import BASE_6_1, HELPERS, variants_of
from ebpfvm.dialects.kernel_config import kernel_config
from ebpfvm.dialects.maptypes import NUMBERS, map_type
from ebpfvm.dialects.progtypes import PROG_TYPES, with_base
from ebpfvm.dialects.struct_names import DESTRUCTORS
from ebpfvm.funcs import skb_helpers

QUEUED: Final = 0  # also DEQUEUED
DROP: Final = 1
CN: Final = 2
THROTTLE: Final = 3
PASS: Final = 4

BPF_PROG_TYPE_QDISC: Final = 32
BPF_MAP_TYPE_RBTREE: Final = 32
BPF_MAP_TYPE_RBTREE_OF_MAPS: Final = 33
BPF_FUNC_SKB_TC_CLASSIFY: Final = 210
PROG_TYPE_TASK_SCHED: Final = 0x7A5C  # ebpfvm's own

# libbpf of that time tagged a referenced kptr "kptr_ref"; today's macros use "kptr". Both are accepted (decision D13).

_RBTREES: Final = {BPF_MAP_TYPE_RBTREE: map_type("rbtree"), BPF_MAP_TYPE_RBTREE_OF_MAPS: map_type("rbtree_of_maps")}


def _prog_types() -> dict[int, ProgType]:
    types = {number: item for number, item in with_base(PROG_TYPES, BASE_6_1).items() if number < BPF_PROG_TYPE_QDISC}
    sched_cls = next(item for item in types.values() if item.name == "sched_cls")
    types[BPF_PROG_TYPE_QDISC] = ProgType(
        "qdisc", "sch_bpf_ctx", contexts.SCH_BPF_CTX_SIZE, contexts.SCH_BPF_CTX,
        attach_fields={"dequeue": contexts.SCH_BPF_DEQUEUE},
        helpers=sched_cls.helpers | {"bpf_skb_tc_classify"}, variants=variants_of("qdisc"),
        kfuncs=frozenset(kfuncs.RFC6_PACKETS), packet_read=True,
        doc="A queueing discipline's enqueue or dequeue function.")
    types[PROG_TYPE_TASK_SCHED] = ProgType(
        "task_sched", "sched_task_ctx", contexts.SCHED_TASK_CTX_SIZE, contexts.SCHED_TASK_CTX, helpers=BASE_6_1,
        kfuncs=frozenset(kfuncs.RFC6_TASKS),
        doc="A CPU scheduler's enqueue or pick function, a simulation's own (not of any patch).")
    return types


def rfc6(version: tuple[int, int] = (7, 2)) -> Dialect:
    """Return the RFC's dialect.

    Args:
        version: kernel version whose verifier rules and messages apply.
    """
    rules_of(version)
    return _rfc6(version)


@cache
def _rfc6(version: tuple[int, int]) -> Dialect:
    helpers = {number: item for number, item in HELPERS.items() if number < BPF_FUNC_SKB_TC_CLASSIFY}
    helpers[BPF_FUNC_SKB_TC_CLASSIFY] = skb_helpers.bpf_skb_tc_classify
    maps = {number: item for number, item in NUMBERS.items() if number < BPF_MAP_TYPE_RBTREE} | _RBTREES
    functions = kfuncs.RFC6_PACKETS | kfuncs.RFC6_TASKS
    return Dialect("rfc6", rfc6_rules(rules_of(version)), helpers, functions, maps, _prog_types(),
                   destructors=DESTRUCTORS, config=kernel_config(version), forward_kptrs=True)


