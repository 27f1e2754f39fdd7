"""Tunnel metadata and lightweight tunnels (net/core/filter.c, Linux 7.2)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ebpfvm.contract import contract_only, helper
from ebpfvm.contract.args import Anything, ConstSize, Ctx, Integer, Mem, Skb, UninitMem
from ebpfvm.funcs.errno import EINVAL
from ebpfvm.funcs.memory import clear

if TYPE_CHECKING:
    from ebpfvm.kernel import Env


@helper()
def bpf_skb_get_tunnel_key(env: Env, skb: Skb, key: UninitMem, size: ConstSize, flags: Anything) -> Integer:
    """Tunnel metadata of the packet: -EINVAL with `key` zeroed, as for every packet that came through no tunnel."""
    clear(env.memory, key, size)
    return -EINVAL


@helper()
def bpf_skb_get_tunnel_opt(env: Env, skb: Skb, opt: UninitMem, size: ConstSize) -> Integer:
    """Tunnel options of the packet: -ENOENT (no tunnel metadata) with `opt` zeroed."""
    clear(env.memory, opt, size)
    return -2


bpf_skb_set_tunnel_key = contract_only("bpf_skb_set_tunnel_key", Ctx, Mem, ConstSize, Anything, ret=Integer)
bpf_skb_set_tunnel_opt = contract_only("bpf_skb_set_tunnel_opt", Ctx, Mem, ConstSize, ret=Integer)
bpf_skb_get_xfrm_state = contract_only("bpf_skb_get_xfrm_state", Ctx, Anything, UninitMem, ConstSize, Anything,
                                       ret=Integer)
bpf_lwt_push_encap = contract_only("bpf_lwt_push_encap", Ctx, Anything, Mem, ConstSize, ret=Integer,
                                   changes_packet=True)
bpf_lwt_seg6_store_bytes = contract_only("bpf_lwt_seg6_store_bytes", Ctx, Anything, Mem, ConstSize, ret=Integer,
                                         changes_packet=True)
bpf_lwt_seg6_adjust_srh = contract_only("bpf_lwt_seg6_adjust_srh", Ctx, Anything, Anything, ret=Integer,
                                        changes_packet=True)
bpf_lwt_seg6_action = contract_only("bpf_lwt_seg6_action", Ctx, Anything, Mem, ConstSize, ret=Integer,
                                    changes_packet=True)
