"""Ring buffers and perf event output (kernel/bpf/ringbuf.c, net/core/filter.c, Linux 7.2)."""

from __future__ import annotations

from ebpfvm.contract import contract_only
from ebpfvm.contract.args import (
    AllocSize,
    Anything,
    ConstSizeOrZero,
    Ctx,
    Func,
    Integer,
    MapPtr,
    Mem,
    RingbufDynptrRelease,
    RingbufMemOrNull,
    RingbufMemRelease,
    StackOrNull,
    UninitRingbufDynptr,
    Void,
)

bpf_ringbuf_output = contract_only("bpf_ringbuf_output", MapPtr, Mem, ConstSizeOrZero, Anything, ret=Integer)
bpf_ringbuf_reserve = contract_only("bpf_ringbuf_reserve", MapPtr, AllocSize, Anything, ret=RingbufMemOrNull)
bpf_ringbuf_submit = contract_only("bpf_ringbuf_submit", RingbufMemRelease, Anything, ret=Void)
bpf_ringbuf_discard = contract_only("bpf_ringbuf_discard", RingbufMemRelease, Anything, ret=Void)
bpf_ringbuf_query = contract_only("bpf_ringbuf_query", MapPtr, Anything, ret=Integer)
bpf_ringbuf_reserve_dynptr = contract_only("bpf_ringbuf_reserve_dynptr", MapPtr, Anything, Anything,
                                           UninitRingbufDynptr, ret=Integer, cap="bpf")
bpf_ringbuf_submit_dynptr = contract_only("bpf_ringbuf_submit_dynptr", RingbufDynptrRelease, Anything, ret=Void,
                                          cap="bpf")
bpf_ringbuf_discard_dynptr = contract_only("bpf_ringbuf_discard_dynptr", RingbufDynptrRelease, Anything, ret=Void,
                                           cap="bpf")
bpf_user_ringbuf_drain = contract_only("bpf_user_ringbuf_drain", MapPtr, Func, StackOrNull, Anything, ret=Integer,
                                       cap="bpf")
bpf_perf_event_output = contract_only("bpf_perf_event_output", Ctx, MapPtr, Anything, Mem, ConstSizeOrZero,
                                      ret=Integer, gpl_only=True)
