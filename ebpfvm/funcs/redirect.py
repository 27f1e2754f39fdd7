"""Redirection, routes and MTU (net/core/filter.c, Linux 7.2)."""

from __future__ import annotations

from ebpfvm.contract import Arg, ArgSpec, contract_only
from ebpfvm.contract.args import Anything, ConstSize, ConstSizeOrZero, Ctx, Integer, MapPtr, MemOrNull, WriteMem

_MTU_LEN = ArgSpec(Arg.PTR_TO_MEM, write=True, size=4, aligned=True)

bpf_clone_redirect = contract_only("bpf_clone_redirect", Ctx, Anything, Anything, ret=Integer, changes_packet=True)
bpf_redirect = contract_only("bpf_redirect", Anything, Anything, ret=Integer)
bpf_redirect_peer = contract_only("bpf_redirect_peer", Anything, Anything, ret=Integer)
bpf_redirect_neigh = contract_only("bpf_redirect_neigh", Anything, MemOrNull, ConstSizeOrZero, Anything, ret=Integer)
bpf_redirect_map = contract_only("bpf_redirect_map", MapPtr, Anything, Anything, ret=Integer)
bpf_fib_lookup = contract_only("bpf_fib_lookup", Ctx, WriteMem, ConstSize, Anything, ret=Integer, gpl_only=True)
bpf_check_mtu = contract_only("bpf_check_mtu", Ctx, Anything, _MTU_LEN, Anything, Anything, ret=Integer,
                              gpl_only=True)
