"""Dynamic pointers (kernel/bpf/helpers.c, Linux 7.2)."""

from __future__ import annotations

from ebpfvm.contract import contract_only
from ebpfvm.contract.args import (
    AllocSize,
    Anything,
    ConstSizeOrZero,
    Dynptr,
    DynptrMemOrNull,
    Integer,
    Mem,
    UninitLocalDynptr,
    UninitMem,
)

bpf_dynptr_from_mem = contract_only("bpf_dynptr_from_mem", UninitMem, ConstSizeOrZero, Anything, UninitLocalDynptr,
                                    ret=Integer, cap="bpf")
bpf_dynptr_read = contract_only("bpf_dynptr_read", UninitMem, ConstSizeOrZero, Dynptr, Anything, Anything,
                                ret=Integer, cap="bpf")
bpf_dynptr_write = contract_only("bpf_dynptr_write", Dynptr, Anything, Mem, ConstSizeOrZero, Anything, ret=Integer,
                                 cap="bpf")
bpf_dynptr_data = contract_only("bpf_dynptr_data", Dynptr, Anything, AllocSize, ret=DynptrMemOrNull, cap="bpf")
