"""The structs of operations that programs of type struct_ops fill, as far as they are modelled.

Source of the contract: net/sched/bpf_qdisc.c, Linux 7.2 (since 6.16).
"""

from __future__ import annotations

from typing import Final

from ebpfvm.contract.ops import OpsStruct, member
from ebpfvm.contract.progtype import Writable
from ebpfvm.dialects.offers import bpf_names

# The kernel itself calls these two, before init and after reset and destroy.
_HIDDEN: Final = bpf_names("qdisc_init_prologue qdisc_reset_destroy_epilogue")

QDISC_OPS: Final = OpsStruct(
    "Qdisc_ops",
    {item.name: item for item in (
        member("int enqueue(struct sk_buff *skb__ref, struct Qdisc *sch, struct bpf_sk_buff_ptr *to_free)",
               "Take a packet: keep it, or put it on the list of packets to free.", retyped="to_free",
               kfuncs=bpf_names("qdisc_skb_drop qdisc_watchdog_schedule")),
        member("struct sk_buff *dequeue(struct Qdisc *sch)", "Give the next packet to send, or NULL.",
               kfuncs=bpf_names("qdisc_watchdog_schedule qdisc_bstats_update")),
        member("int init(struct Qdisc *sch, struct nlattr *opt, struct netlink_ext_ack *extack)",
               "Set the qdisc up; a number other than 0 is the errno that `tc` gets."),
        member("void reset(struct Qdisc *sch)", "Drop all packets.", saves_context=True),
        member("void destroy(struct Qdisc *sch)", "Free what init has set up.", saves_context=True))},
    kfuncs=_HIDDEN | bpf_names("qdisc_skb_drop qdisc_watchdog_schedule qdisc_bstats_update"),
    writable={"Qdisc": (Writable("limit"), Writable("q.qlen"), Writable("qstats", anywhere=True)),
              "sk_buff": (Writable("tstamp"), Writable("cb", "qdisc_skb_cb.data", anywhere=True))},
    required=("enqueue", "dequeue", "init", "reset", "destroy"),
    doc="A queueing discipline.")

STRUCT_OPS: Final = {item.name: item for item in (QDISC_OPS,)}
