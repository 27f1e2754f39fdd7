"""Ring buffers and perf event output (kernel/bpf/ringbuf.c, kernel/trace/bpf_trace.c, Linux 7.2)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from ebpfvm.contract import helper
from ebpfvm.contract.args import (
    AllocSize,
    Anything,
    ConstSizeOrZero,
    Func,
    Integer,
    MapPtr,
    Mem,
    Packet,
    RingbufDynptrRelease,
    RingbufMemOrNull,
    RingbufMemRelease,
    StackOrNull,
    UninitRingbufDynptr,
    Void,
)
from ebpfvm.errnos import E2BIG, EBUSY, EFAULT, EINVAL
from ebpfvm.errors import Fault
from ebpfvm.funcs import dynptr
from ebpfvm.funcs.map_kind import taken_by
from ebpfvm.funcs.packet_bytes import get, length
from ebpfvm.ints import U32_MAX
from ebpfvm.kernel.services import RingbufRecord

if TYPE_CHECKING:
    from collections.abc import Callable

    from ebpfvm.kernel import CallEnv

_INDEX_MASK: Final = U32_MAX
_CTXLEN_MASK: Final = 0xFFFFF << 32
_CURRENT_CPU: Final = U32_MAX


def _reserve(env: CallEnv, ring: Any, size: int, flags: int, helper: str) -> int:
    address: int = taken_by(ring, helper).reserve(size, flags)
    if address:
        record = RingbufRecord(ring)
        env.refs.add(record)
        env.kernel.records.reserved[address] = record
    return address


def _commit(env: CallEnv, address: int, *, discard: bool) -> int:
    record = env.kernel.records.reserved.pop(address, None)
    if record is None:
        raise Fault("double-free", f"{address:#x} is not a ring buffer record that is still to be submitted")
    env.refs.release(record)
    record.ring.commit(address, discard)
    return 0


@helper()
def bpf_ringbuf_output(env: CallEnv, ringbuf: MapPtr, data: Mem, size: ConstSizeOrZero, flags: Anything) -> Integer:
    """Copy `data` as one record; return 0, -EINVAL for flags, or -EAGAIN if it does not fit."""
    status: int = taken_by(ringbuf, "bpf_ringbuf_output").output(data, flags)
    return status


@helper()
def bpf_ringbuf_reserve(env: CallEnv, ringbuf: MapPtr, size: AllocSize, flags: Anything) -> RingbufMemOrNull:
    """Reserve a record to be filled, then submitted or discarded; return NULL if it does not fit or for flags."""
    return _reserve(env, ringbuf, size, flags, "bpf_ringbuf_reserve")


@helper()
def bpf_ringbuf_submit(env: CallEnv, data: RingbufMemRelease, flags: Anything) -> Void:
    """Submit a record to user space."""
    return _commit(env, data, discard=False)


@helper()
def bpf_ringbuf_discard(env: CallEnv, data: RingbufMemRelease, flags: Anything) -> Void:
    """Discard a record; user space never sees it."""
    return _commit(env, data, discard=True)


@helper()
def bpf_ringbuf_query(env: CallEnv, ringbuf: MapPtr, flags: Anything) -> Integer:
    """Return the unread bytes (0), the size (1), the consumer's (2) or producer's (3) position; otherwise 0."""
    answer: int = taken_by(ringbuf, "bpf_ringbuf_query").query(flags)
    return answer


@helper(cap="bpf")
def bpf_ringbuf_reserve_dynptr(env: CallEnv, ringbuf: MapPtr, size: Anything, flags: Anything,
                               ptr: UninitRingbufDynptr) -> Integer:
    """Reserve a record whose size is only known at run time, as bpf_ringbuf_reserve does, in a dynptr.

    The dynptr must be submitted or discarded even if this fails: -EINVAL for flags or no room, -E2BIG above 16 MiB - 1.
    """
    size &= U32_MAX
    status = -EINVAL if flags else -E2BIG if size > dynptr.MAX_SIZE else 0
    address = 0 if status else _reserve(env, ringbuf, size, 0, "bpf_ringbuf_reserve_dynptr")
    if not address:
        dynptr.set_null(env, ptr)
        return status or -EINVAL
    dynptr.init(env, ptr, address, dynptr.RINGBUF, size)
    return 0


def _commit_dynptr(env: CallEnv, ptr: int, *, discard: bool) -> int:
    address = dynptr.view(env, ptr).data
    if address:
        _commit(env, address, discard=discard)
        dynptr.set_null(env, ptr)
    return 0


@helper(cap="bpf")
def bpf_ringbuf_submit_dynptr(env: CallEnv, ptr: RingbufDynptrRelease, flags: Anything) -> Void:
    """Submit a dynptr's record to user space; an invalid dynptr has no effect."""
    return _commit_dynptr(env, ptr, discard=False)


@helper(cap="bpf")
def bpf_ringbuf_discard_dynptr(env: CallEnv, ptr: RingbufDynptrRelease, flags: Anything) -> Void:
    """Discard a dynptr's record; an invalid dynptr has no effect."""
    return _commit_dynptr(env, ptr, discard=True)


@helper(gpl_only=True)
def bpf_perf_event_output(env: CallEnv, ctx: Packet, map: MapPtr, flags: Anything, data: Mem,
                          size: ConstSizeOrZero) -> Integer:
    """Write `data`, and the bytes of the packet that bits 32 to 51 of `flags` count, to a perf event of the array.

    Return -EINVAL for other flags, -EFAULT for more than the packet has, otherwise the event's result.
    """
    if flags & ~(_INDEX_MASK | _CTXLEN_MASK):
        return -EINVAL
    wanted = (flags & _CTXLEN_MASK) >> 32
    packet = get(ctx, 0, wanted) if wanted and wanted <= length(ctx) else b""
    if wanted and not packet:
        return -EFAULT
    index = flags & _INDEX_MASK
    events = taken_by(map, "bpf_perf_event_output")
    status: int = events.output(0 if index == _CURRENT_CPU else index, data + (packet or b""))
    return status


_MAX_SAMPLES: Final = 128 * 1024  # BPF_MAX_USER_RINGBUF_SAMPLES
_WAKEUPS: Final = 3  # BPF_RB_NO_WAKEUP, BPF_RB_FORCE_WAKEUP


@helper(cap="bpf", context_to=2, callback="sync", role="drain")
def bpf_user_ringbuf_drain(env: CallEnv, map: MapPtr, callback_fn: Func, ctx: StackOrNull, flags: Anything) -> Integer:
    """Call `callback_fn(dynptr, ctx)` for each record of user space until it returns 1, and return their number.

    Return -EINVAL for flags except BPF_RB_NO_WAKEUP and BPF_RB_FORCE_WAKEUP, -EBUSY while the buffer is being drained.
    """
    ring = taken_by(map, "bpf_user_ringbuf_drain")
    if flags & ~_WAKEUPS:
        return -EINVAL
    if ring.busy:
        return -EBUSY
    call, taken = env.function(callback_fn), 0
    ring.busy = True
    try:
        while taken < _MAX_SAMPLES:
            data = ring.take()
            if data is None:
                break
            taken += 1
            if _give_sample(env, call, data, ctx):
                break
    finally:
        ring.busy = False
    return taken


def _give_sample(env: CallEnv, call: Callable[..., int], data: bytes, ctx: int) -> int:
    """Call back with a dynptr of a record, which the callback may only read."""
    record = env.memory.add("mem", bytearray(data), name="user ring buffer record", writable=False)
    pointer = env.memory.add("mem", bytearray(16), name="dynptr")
    dynptr.init(env, pointer.base, record.base, dynptr.LOCAL, len(data), rdonly=True)
    try:
        return call(pointer.base, ctx)
    finally:
        env.memory.free(record)
        env.memory.free(pointer)
