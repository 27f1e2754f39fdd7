"""kfuncs of queueing disciplines written as struct_ops (net/sched/bpf_qdisc.c, since Linux 6.16)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ebpfvm.contract import kfunc, kfunc_only
from ebpfvm.errors import Fault
from ebpfvm.funcs.skb_meta import hash_of
from ebpfvm.ints import U64_MAX
from ebpfvm.kernel.kernel_structs import packet_segments, packet_size

if TYPE_CHECKING:
    from ebpfvm.kernel import CallEnv, SkBuff


def _qdisc(found: Any) -> Any:
    """Return the qdisc that an argument is; raise Fault if it is something else."""
    if not hasattr(found, "kernel_view"):
        raise Fault("memory", f"{found!r} is not a qdisc")
    return found


@kfunc("u32 bpf_skb_get_hash(struct sk_buff *skb)", "trusted_args", expands="flow_hash")
def bpf_skb_get_hash(env: CallEnv, skb: SkBuff) -> int:
    """Return the packet's flow hash, which is computed once."""
    return hash_of(skb)


@kfunc("void bpf_kfree_skb(struct sk_buff *skb)", "release", counts=True)
def bpf_kfree_skb(env: CallEnv, skb: SkBuff) -> int:
    """Release a reference to a packet; the last release frees it."""
    env.refs.release(skb)
    return 0


@kfunc("void bpf_qdisc_skb_drop(struct sk_buff *skb, struct bpf_sk_buff_ptr *to_free_list)",
       "release", expands="put_aside")
def bpf_qdisc_skb_drop(env: CallEnv, skb: SkBuff, to_free_list: int) -> int:
    """Put a packet on the list of packets to free, which the kernel frees after enqueue has returned."""
    to_free: Any = env.memory.owner(to_free_list)
    if not to_free_list or env.memory.region(to_free_list).kind != "bpf_sk_buff_ptr":
        raise Fault("memory", f"{to_free_list:#x} is not the list of packets to free of a running enqueue")
    to_free.put(skb)
    return 0


@kfunc("void bpf_qdisc_watchdog_schedule(struct Qdisc *sch, u64 expire, u64 delta_ns)", "trusted_args",
       arms=True)
def bpf_qdisc_watchdog_schedule(env: CallEnv, sch: Any, expire: int, delta_ns: int) -> int:
    """Run the qdisc again at `expire` (ns); a timer that will fire up to `delta_ns` later stays as it is."""
    _qdisc(sch).watchdog.schedule_range(expire & U64_MAX, delta_ns & U64_MAX)
    return 0


@kfunc("void bpf_qdisc_bstats_update(struct Qdisc *sch, const struct sk_buff *skb)", "trusted_args",
       expands="count_sent")
def bpf_qdisc_bstats_update(env: CallEnv, sch: Any, skb: SkBuff) -> int:
    """Count a packet as sent by the qdisc."""
    _qdisc(sch).kernel_view.bytes += packet_size(skb)
    sch.kernel_view.packets += packet_segments(skb)
    return 0


# The kernel itself calls these two: `ebpfvm.sched.sch_struct_ops` does what they do.
bpf_qdisc_init_prologue = kfunc_only(
    "int bpf_qdisc_init_prologue(struct Qdisc *sch, struct netlink_ext_ack *extack)", "trusted_args")
bpf_qdisc_reset_destroy_epilogue = kfunc_only("void bpf_qdisc_reset_destroy_epilogue(struct Qdisc *sch)",
                                              "trusted_args")
