"""Packet bytes and metadata (net/core/filter.c, Linux 7.2)."""

from __future__ import annotations

from ebpfvm.contract import contract_only
from ebpfvm.contract.args import Anything, ConstSize, Ctx, Integer, Mem, UninitMem

bpf_skb_load_bytes = contract_only("bpf_skb_load_bytes", Ctx, Anything, UninitMem, ConstSize, ret=Integer)
bpf_skb_load_bytes_relative = contract_only("bpf_skb_load_bytes_relative", Ctx, Anything, UninitMem, ConstSize,
                                            Anything, ret=Integer)
bpf_skb_store_bytes = contract_only("bpf_skb_store_bytes", Ctx, Anything, Mem, ConstSize, Anything, ret=Integer,
                                    changes_packet=True)
bpf_skb_pull_data = contract_only("bpf_skb_pull_data", Ctx, Anything, ret=Integer, changes_packet=True)
bpf_skb_change_head = contract_only("bpf_skb_change_head", Ctx, Anything, Anything, ret=Integer, changes_packet=True)
bpf_skb_change_tail = contract_only("bpf_skb_change_tail", Ctx, Anything, Anything, ret=Integer, changes_packet=True)
bpf_skb_change_proto = contract_only("bpf_skb_change_proto", Ctx, Anything, Anything, ret=Integer,
                                     changes_packet=True)
bpf_skb_change_type = contract_only("bpf_skb_change_type", Ctx, Anything, ret=Integer)
bpf_skb_adjust_room = contract_only("bpf_skb_adjust_room", Ctx, Anything, Anything, Anything, ret=Integer,
                                    changes_packet=True)
bpf_skb_vlan_push = contract_only("bpf_skb_vlan_push", Ctx, Anything, Anything, ret=Integer, changes_packet=True)
bpf_skb_vlan_pop = contract_only("bpf_skb_vlan_pop", Ctx, ret=Integer, changes_packet=True)
bpf_get_hash_recalc = contract_only("bpf_get_hash_recalc", Ctx, ret=Integer)
bpf_set_hash = contract_only("bpf_set_hash", Ctx, Anything, ret=Integer)
bpf_set_hash_invalid = contract_only("bpf_set_hash_invalid", Ctx, ret=Integer)
bpf_skb_ecn_set_ce = contract_only("bpf_skb_ecn_set_ce", Ctx, ret=Integer)
bpf_skb_set_tstamp = contract_only("bpf_skb_set_tstamp", Ctx, Anything, Anything, ret=Integer)
bpf_get_route_realm = contract_only("bpf_get_route_realm", Ctx, ret=Integer)
bpf_get_socket_cookie = contract_only("bpf_get_socket_cookie", Ctx, ret=Integer)
bpf_get_socket_uid = contract_only("bpf_get_socket_uid", Ctx, ret=Integer)
bpf_skb_tc_classify = contract_only("bpf_skb_tc_classify", Ctx, Anything, Anything, ret=Integer)
