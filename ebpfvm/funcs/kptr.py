"""Pointers in map values, and the references that they stand for (kernel/bpf/helpers.c; RFC v6 patch 4/5)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ebpfvm.contract import helper, kfunc
from ebpfvm.contract.args import KptrOrNull, KptrRefOrNull, KptrXchgDest
from ebpfvm.kernel.refs import RefCounted

if TYPE_CHECKING:
    from ebpfvm.kernel import CallEnv, SkBuff


@helper(cap="bpf", role="kptr_xchg", in_lock=True)
def bpf_kptr_xchg(env: CallEnv, dst: KptrXchgDest, ptr: KptrOrNull) -> KptrRefOrNull:
    """Swap the pointer in a map value (or object) with `ptr`, and the references too.

    Return the old pointer or NULL.
    """
    region = env.memory.region(dst)
    return env.kernel.exchange(region, dst - region.base, ptr)


@kfunc("struct sk_buff *bpf_skb_acquire(struct sk_buff *p)", "acquire", counts=True)
def bpf_skb_acquire(env: CallEnv, p: SkBuff) -> int:
    """Acquire another reference to a packet and return the packet, never NULL (RFC v6 patch 4/5)."""
    env.refs.acquire(p)
    return p.ptr


@kfunc("struct sk_buff *bpf_skb_kptr_get(struct sk_buff **pp)", "acquire", "kptr_get", "ret_null")
def bpf_skb_kptr_get(env: CallEnv, pp: int) -> int:
    """Acquire another reference to the packet in a map value's slot; return NULL if it is empty (RFC v6 patch 4/5)."""
    held = env.memory.load(pp, 8)
    skb = env.memory.owner(held)
    if not isinstance(skb, RefCounted):
        return 0
    env.refs.acquire(skb)
    return held


@kfunc("void bpf_skb_release(struct sk_buff *p)", "release", "trusted_args", counts=True)
def bpf_skb_release(env: CallEnv, p: SkBuff) -> int:
    """Release a reference to a packet; the last release consumes it, which does not count as a drop (decision D21)."""
    env.refs.release(p)
    return 0
