"""XDP (net/core/filter.c, Linux 7.2)."""

from __future__ import annotations

from ebpfvm.contract import contract_only
from ebpfvm.contract.args import Anything, ConstSize, Ctx, Integer, Mem, UninitMem

bpf_xdp_adjust_head = contract_only("bpf_xdp_adjust_head", Ctx, Anything, ret=Integer, changes_packet=True)
bpf_xdp_adjust_meta = contract_only("bpf_xdp_adjust_meta", Ctx, Anything, ret=Integer, changes_packet=True)
bpf_xdp_adjust_tail = contract_only("bpf_xdp_adjust_tail", Ctx, Anything, ret=Integer, changes_packet=True)
bpf_xdp_get_buff_len = contract_only("bpf_xdp_get_buff_len", Ctx, ret=Integer)
bpf_xdp_load_bytes = contract_only("bpf_xdp_load_bytes", Ctx, Anything, UninitMem, ConstSize, ret=Integer)
bpf_xdp_store_bytes = contract_only("bpf_xdp_store_bytes", Ctx, Anything, Mem, ConstSize, ret=Integer)
