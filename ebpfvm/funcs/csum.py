"""Checksums (net/core/filter.c, Linux 7.2)."""

from __future__ import annotations

from ebpfvm.contract import contract_only
from ebpfvm.contract.args import Anything, ConstSizeOrZero, Ctx, Integer, MemOrNull

bpf_l3_csum_replace = contract_only("bpf_l3_csum_replace", Ctx, Anything, Anything, Anything, Anything, ret=Integer,
                                    changes_packet=True)
bpf_l4_csum_replace = contract_only("bpf_l4_csum_replace", Ctx, Anything, Anything, Anything, Anything, ret=Integer,
                                    changes_packet=True)
bpf_csum_diff = contract_only("bpf_csum_diff", MemOrNull, ConstSizeOrZero, MemOrNull, ConstSizeOrZero, Anything,
                              ret=Integer, pkt_access=True)
bpf_csum_update = contract_only("bpf_csum_update", Ctx, Anything, ret=Integer)
bpf_csum_level = contract_only("bpf_csum_level", Ctx, Anything, ret=Integer)
