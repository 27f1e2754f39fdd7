"""Numbers, strings and per-CPU pointers (kernel/bpf/helpers.c, Linux 7.2)."""

from __future__ import annotations

from ebpfvm.contract import contract_only
from ebpfvm.contract.args import (
    Anything,
    ConstSize,
    ConstSizeOrZero,
    ConstStr,
    Integer,
    Mem,
    MemOrNull,
    Out64,
    PercpuBtf,
    PercpuMem,
    PercpuMemOrNull,
    UninitMem,
    WriteMemOrNull,
)

bpf_strtol = contract_only("bpf_strtol", Mem, ConstSize, Anything, Out64, ret=Integer)
bpf_strtoul = contract_only("bpf_strtoul", Mem, ConstSize, Anything, Out64, ret=Integer)
bpf_strncmp = contract_only("bpf_strncmp", Mem, ConstSize, ConstStr, ret=Integer)
bpf_snprintf = contract_only("bpf_snprintf", WriteMemOrNull, ConstSizeOrZero, ConstStr, MemOrNull, ConstSizeOrZero,
                             ret=Integer, gpl_only=True, cap="perfmon")
bpf_trace_printk = contract_only("bpf_trace_printk", Mem, ConstSize, Anything, Anything, Anything, ret=Integer,
                                 gpl_only=True, cap="perfmon")
bpf_trace_vprintk = contract_only("bpf_trace_vprintk", Mem, ConstSize, MemOrNull, ConstSizeOrZero, ret=Integer,
                                  gpl_only=True, cap="perfmon")
bpf_probe_read_kernel = contract_only("bpf_probe_read_kernel", UninitMem, ConstSizeOrZero, Anything, ret=Integer,
                                      gpl_only=True, cap="perfmon")
bpf_probe_read_kernel_str = contract_only("bpf_probe_read_kernel_str", UninitMem, ConstSizeOrZero, Anything,
                                          ret=Integer, gpl_only=True, cap="perfmon")
bpf_per_cpu_ptr = contract_only("bpf_per_cpu_ptr", PercpuBtf, Anything, ret=PercpuMemOrNull, cap="bpf")
bpf_this_cpu_ptr = contract_only("bpf_this_cpu_ptr", PercpuBtf, ret=PercpuMem, cap="bpf")
