"""Ring buffers and perf event output (kernel/bpf/ringbuf.c, kernel/trace/bpf_trace.c, Linux 7.2)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from ebpfvm.contract import contract_only, helper
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
from ebpfvm.errors import Fault
from ebpfvm.funcs import dynptr
from ebpfvm.funcs.errno import E2BIG, EFAULT, EINVAL
from ebpfvm.funcs.packet import U32, get, length
from ebpfvm.kernel.refs import RefCounted

if TYPE_CHECKING:
    from ebpfvm.kernel import Env

_INDEX_MASK: Final = U32
_CTXLEN_MASK: Final = 0xFFFFF << 32
_CURRENT_CPU: Final = U32


class Record(RefCounted):
    """A reserved record: a reference that the program must submit or discard."""

    what = "ring buffer record"

    def __init__(self, ring: Any) -> None:
        self.ring = ring


def _of_type(map: Any, name: str) -> Any:
    if map.type.name != name:
        raise Fault("memory", f"map '{map.name}' is a {map.type.name}, where a {name} is needed")
    return map


def _reserve(env: Env, ring: Any, size: int, flags: int) -> int:
    address: int = _of_type(ring, "ringbuf").reserve(size, flags)
    if address:
        record = Record(ring)
        env.refs.add(record)
        env.kernel.extra.setdefault("ringbuf", {})[address] = record
    return address


def _commit(env: Env, address: int, *, discard: bool) -> int:
    record = env.kernel.extra.get("ringbuf", {}).pop(address, None)
    if record is None:
        raise Fault("double-free", f"{address:#x} is not a ring buffer record that is still to be submitted")
    env.refs.release(record)
    record.ring.commit(address, discard)
    return 0


@helper()
def bpf_ringbuf_output(env: Env, ringbuf: MapPtr, data: Mem, size: ConstSizeOrZero, flags: Anything) -> Integer:
    """Copy `data` in as one record; 0, -EINVAL for flags, -EAGAIN when it does not fit."""
    status: int = _of_type(ringbuf, "ringbuf").output(data, flags)
    return status


@helper()
def bpf_ringbuf_reserve(env: Env, ringbuf: MapPtr, size: AllocSize, flags: Anything) -> RingbufMemOrNull:
    """A new record to be filled, then submitted or discarded; NULL when it does not fit or for flags."""
    return _reserve(env, ringbuf, size, flags)


@helper()
def bpf_ringbuf_submit(env: Env, data: RingbufMemRelease, flags: Anything) -> Void:
    """Hand a record to user space."""
    return _commit(env, data, discard=False)


@helper()
def bpf_ringbuf_discard(env: Env, data: RingbufMemRelease, flags: Anything) -> Void:
    """Give a record up; user space never sees it."""
    return _commit(env, data, discard=True)


@helper()
def bpf_ringbuf_query(env: Env, ringbuf: MapPtr, flags: Anything) -> Integer:
    """Bytes not yet read (0), size (1), consumer's (2) or producer's (3) position; 0 for another question."""
    answer: int = _of_type(ringbuf, "ringbuf").query(flags)
    return answer


@helper(cap="bpf")
def bpf_ringbuf_reserve_dynptr(env: Env, ringbuf: MapPtr, size: Anything, flags: Anything,
                               ptr: UninitRingbufDynptr) -> Integer:
    """As bpf_ringbuf_reserve, of a size known at run time only, into a dynptr that is to be submitted or discarded
    even where this fails: -EINVAL for flags or no room, -E2BIG above 16 MiB - 1.
    """
    size &= U32
    status = -EINVAL if flags else -E2BIG if size > dynptr.MAX_SIZE else 0
    address = 0 if status else _reserve(env, ringbuf, size, 0)
    if not address:
        dynptr.set_null(env, ptr)
        return status or -EINVAL
    dynptr.init(env, ptr, address, dynptr.RINGBUF, size)
    return 0


def _commit_dynptr(env: Env, ptr: int, *, discard: bool) -> int:
    address = dynptr.view(env, ptr).data
    if address:
        _commit(env, address, discard=discard)
        dynptr.set_null(env, ptr)
    return 0


@helper(cap="bpf")
def bpf_ringbuf_submit_dynptr(env: Env, ptr: RingbufDynptrRelease, flags: Anything) -> Void:
    """Hand a dynptr's record to user space; nothing for an invalid one."""
    return _commit_dynptr(env, ptr, discard=False)


@helper(cap="bpf")
def bpf_ringbuf_discard_dynptr(env: Env, ptr: RingbufDynptrRelease, flags: Anything) -> Void:
    """Give a dynptr's record up; nothing for an invalid one."""
    return _commit_dynptr(env, ptr, discard=True)


@helper(gpl_only=True)
def bpf_perf_event_output(env: Env, ctx: Packet, map: MapPtr, flags: Anything, data: Mem,
                          size: ConstSizeOrZero) -> Integer:
    """Write `data`, and as many bytes of the packet as bits 32 to 51 of `flags` say, to a perf event of the array.

    -EINVAL for other flags, -EFAULT for more than the packet has, else what the event says.
    """
    if flags & ~(_INDEX_MASK | _CTXLEN_MASK):
        return -EINVAL
    wanted = (flags & _CTXLEN_MASK) >> 32
    packet = get(ctx, 0, wanted) if wanted and wanted <= length(ctx) else b""
    if wanted and not packet:
        return -EFAULT
    index = flags & _INDEX_MASK
    events = _of_type(map, "perf_event_array")
    status: int = events.output(0 if index == _CURRENT_CPU else index, data + (packet or b""))
    return status


bpf_user_ringbuf_drain = contract_only("bpf_user_ringbuf_drain", MapPtr, Func, StackOrNull, Anything, ret=Integer,
                                       cap="bpf", context_to=2)
