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
from ebpfvm.contract.offer_table import OfferTable
from ebpfvm.contract.rules import rfc6_rules, rules_of
from ebpfvm.dialects import contexts, kfuncs
from ebpfvm.dialects.built import map_type
from ebpfvm.dialects.helpers import BASE_6_1, NUMBERS, helper_named, variants_of
from ebpfvm.dialects.kernel_config import kernel_config
from ebpfvm.dialects.maptypes import NAMES
from ebpfvm.dialects.progtypes import NAMES as TYPE_NAMES
from ebpfvm.dialects.progtypes import with_base
from ebpfvm.dialects.struct_names import DESTRUCTORS

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

_HELPERS: Final = {**{number: name for number, name in NUMBERS.items() if number < BPF_FUNC_SKB_TC_CLASSIFY},
                   BPF_FUNC_SKB_TC_CLASSIFY: "bpf_skb_tc_classify"}
_MAP_TYPES: Final = {**{number: name for number, name in NAMES.items() if number < BPF_MAP_TYPE_RBTREE},
                     BPF_MAP_TYPE_RBTREE: "rbtree", BPF_MAP_TYPE_RBTREE_OF_MAPS: "rbtree_of_maps"}
_PROG_TYPES: Final = {**{number: name for number, name in TYPE_NAMES.items() if number < BPF_PROG_TYPE_QDISC},
                      BPF_PROG_TYPE_QDISC: "qdisc", PROG_TYPE_TASK_SCHED: "task_sched"}


def _prog_type(name: str) -> ProgType:
    if name == "qdisc":
        return _qdisc()
    if name == "task_sched":
        return ProgType(
            "task_sched", "sched_task_ctx", contexts.SCHED_TASK_CTX_SIZE, contexts.SCHED_TASK_CTX, helpers=BASE_6_1,
            kfuncs=kfuncs.RFC6_TASKS,
            doc="A CPU scheduler's enqueue or pick function, a simulation's own (not of any patch).")
    return with_base(name, BASE_6_1)


def _qdisc() -> ProgType:
    return ProgType(
        "qdisc", "sch_bpf_ctx", contexts.SCH_BPF_CTX_SIZE, contexts.SCH_BPF_CTX,
        attach_fields={"dequeue": contexts.SCH_BPF_DEQUEUE},
        helpers=with_base("sched_cls", BASE_6_1).helpers | {"bpf_skb_tc_classify"}, variants=variants_of("qdisc"),
        kfuncs=kfuncs.RFC6_PACKETS, packet_read=True,
        doc="A queueing discipline's enqueue or dequeue function.")


def rfc6(version: tuple[int, int] = (7, 2)) -> Dialect:
    """Return the RFC's dialect.

    Args:
        version: kernel version whose verifier rules and messages apply.
    """
    rules_of(version)
    return _rfc6(version)


@cache
def _rfc6(version: tuple[int, int]) -> Dialect:
    return Dialect("rfc6", rfc6_rules(rules_of(version)), OfferTable(_HELPERS, helper_named), kfuncs.of_rfc6(),
                   OfferTable(_MAP_TYPES, map_type), OfferTable(_PROG_TYPES, _prog_type),
                   destructors=DESTRUCTORS, config=kernel_config(version), forward_kptrs=True)
