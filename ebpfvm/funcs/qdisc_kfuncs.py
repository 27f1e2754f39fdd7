"""kfuncs of queueing disciplines written as struct_ops (net/sched/bpf_qdisc.c, since Linux 6.16)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ebpfvm.contract import kfunc, kfunc_only
from ebpfvm.funcs.skb_meta import hash_of

if TYPE_CHECKING:
    from ebpfvm.kernel import CallEnv, SkBuff


@kfunc("u32 bpf_skb_get_hash(struct sk_buff *skb)", "trusted_args")
def bpf_skb_get_hash(env: CallEnv, skb: SkBuff) -> int:
    """Return the packet's flow hash, which is computed once."""
    return hash_of(skb)


@kfunc("void bpf_kfree_skb(struct sk_buff *skb)", "release", counts=True)
def bpf_kfree_skb(env: CallEnv, skb: SkBuff) -> int:
    """Release a reference to a packet; the last release frees it."""
    env.refs.release(skb)
    return 0


bpf_qdisc_skb_drop = kfunc_only(
    "void bpf_qdisc_skb_drop(struct sk_buff *skb, struct bpf_sk_buff_ptr *to_free_list)", "release")
bpf_qdisc_watchdog_schedule = kfunc_only(
    "void bpf_qdisc_watchdog_schedule(struct Qdisc *sch, u64 expire, u64 delta_ns)", "trusted_args")
bpf_qdisc_init_prologue = kfunc_only(
    "int bpf_qdisc_init_prologue(struct Qdisc *sch, struct netlink_ext_ack *extack)", "trusted_args")
bpf_qdisc_reset_destroy_epilogue = kfunc_only("void bpf_qdisc_reset_destroy_epilogue(struct Qdisc *sch)",
                                              "trusted_args")
bpf_qdisc_bstats_update = kfunc_only(
    "void bpf_qdisc_bstats_update(struct Qdisc *sch, const struct sk_buff *skb)", "trusted_args")
