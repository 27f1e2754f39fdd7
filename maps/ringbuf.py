"""Ring buffer: records from programs to user space, in order (Linux 7.2 kernel/bpf/ringbuf.c).

Space is accounted as in the kernel (an 8-byte header, records rounded up to 8 bytes), so that a full ring refuses the
same records; the bytes themselves live in regions, so that a large ring takes no memory until it is used.
"""

from __future__ import annotations

import itertools
from collections import deque
from typing import TYPE_CHECKING

from ebpfvm.contract import maptype as mt
from ebpfvm.contract.maptype import CreateArgs, MapRefusal, MapType
from ebpfvm.errnos import EAGAIN, EINVAL, ENOTSUPP
from ebpfvm.lazy_dataclasses import dataclass
from ebpfvm.maps import base
from ebpfvm.maps.base import UserRecord

if TYPE_CHECKING:
    from ebpfvm.kernel.emulated import Kernel
    from ebpfvm.kernel.memory import Region
    from ebpfvm.loader.object import MapSpec

BPF_RB_NO_WAKEUP, BPF_RB_FORCE_WAKEUP = 1, 2
BPF_RB_AVAIL_DATA, BPF_RB_RING_SIZE, BPF_RB_CONS_POS, BPF_RB_PROD_POS = range(4)
_HEADER = 8
_MAX_RECORD = (1 << 30) - 1


def ringbuf_alloc_check(args: CreateArgs, flags: int = mt.BPF_F_NUMA_NODE) -> MapRefusal | None:
    """Check a definition as ringbuf_map_alloc does; the size must be a power of two of whole pages."""
    size = args.max_entries
    refusal = mt.flags_within(args, flags) or mt.key_size(args, 0) or mt.value_size(args, (0,))
    if refusal is None and (not size or size & (size - 1) or size % base.PAGE_SIZE):
        return MapRefusal(EINVAL, f"max_entries is {size}, and must be a power of two of at least "
                                        f"{base.PAGE_SIZE}")
    return refusal


def _ring_check(args: CreateArgs) -> MapRefusal | None:
    overwrite = mt.BPF_F_RB_OVERWRITE if args.rules.ring_buffers_overwrite else 0
    return ringbuf_alloc_check(args, mt.BPF_F_NUMA_NODE | overwrite)


@dataclass(slots=True)
class _Record:
    region: Region
    span: int  # bytes that it occupies in the ring
    state: str  # "busy", "ready" or "discarded"


class Ringbuf(base.BpfMap):
    """BPF_MAP_TYPE_RINGBUF; `max_entries` is its size in bytes. User space reads with `drain`."""

    def __init__(self, kernel: Kernel, spec: MapSpec) -> None:
        super().__init__(kernel, spec)
        self._records: deque[_Record] = deque()
        self._busy: dict[int, _Record] = {}
        self.producer = 0
        self.consumer = 0

    def reserve(self, size: int, flags: int) -> int:
        """Return the address of a new record of `size` bytes, or 0 if it does not fit or flags are not 0."""
        span = -(-(size + _HEADER) // 8) * 8
        if flags or size > _MAX_RECORD or span > self.max_entries:
            return 0
        if self.producer + span - self.consumer > self.max_entries - 1:
            return 0
        self.kernel.records.keep(size, self.name)
        region = self.kernel.memory.add("mem", bytearray(size), name=self.holder)
        record = _Record(region, span, "busy")
        self._records.append(record)
        self._busy[region.base] = record
        self.producer += span
        return region.base

    def commit(self, pointer: int, discard: bool) -> bool:
        """Submit or discard the record at `pointer`; return False if there is none."""
        record = self._busy.pop(pointer, None)
        if record is None:
            return False
        record.state = "discarded" if discard else "ready"
        self.kernel.memory.retire(record.region)
        return True

    def output(self, data: bytes, flags: int) -> int:
        """Copy `data` in as one record; return 0, -EINVAL for unknown flags, or -EAGAIN if it does not fit."""
        if flags & ~(BPF_RB_NO_WAKEUP | BPF_RB_FORCE_WAKEUP):
            return -EINVAL
        pointer = self.reserve(len(data), 0)
        if not pointer:
            return -EAGAIN
        self._busy[pointer].region.data[:] = data
        self.commit(pointer, discard=False)
        return 0

    def query(self, what: int) -> int:
        """Return what bpf_ringbuf_query does for one of the BPF_RB_* numbers; 0 for an unknown one."""
        answers = {BPF_RB_AVAIL_DATA: self.producer - self.consumer, BPF_RB_RING_SIZE: self.max_entries,
                   BPF_RB_CONS_POS: self.consumer, BPF_RB_PROD_POS: self.producer}
        return answers.get(what, 0)

    def pending(self) -> list[UserRecord]:
        """Return what `records` would return, without consuming it."""
        done = itertools.takewhile(lambda record: record.state != "busy", self._records)
        return [UserRecord(0, bytes(record.region.data)) for record in done if record.state == "ready"]

    def records(self) -> list[UserRecord]:
        """Consume the submitted records up to the first that is still being written, and return them, oldest first."""
        return [UserRecord(0, data) for data in self.drain()]

    def drain(self) -> list[bytes]:
        """Consume records as `records` does, and return only their bytes."""
        out = []
        while self._records and self._records[0].state != "busy":
            record = self._records.popleft()
            self.consumer += record.span
            self.kernel.records.bytes -= record.region.size
            if record.state == "ready":
                out.append(bytes(record.region.data))
        return out

    def update(self, key: bytes, value: bytes, flags: int) -> int:
        return -ENOTSUPP

    def delete(self, key: bytes) -> int:
        return -ENOTSUPP

    def sys_next_key(self, key: bytes | None = None) -> bytes:
        raise base.kernel_error(ENOTSUPP, f"keys of map {self.name!r}")

    def sys_lookup(self, key: bytes | None, flags: int = 0) -> bytes:
        raise base.kernel_error(ENOTSUPP, f"lookup in map {self.name!r}")


RINGBUF = MapType("ringbuf", Ringbuf,
                  frozenset({"bpf_ringbuf_output", "bpf_ringbuf_reserve", "bpf_ringbuf_query",
                             "bpf_ringbuf_reserve_dynptr"}),
                  check=_ring_check, records=True,
                  sleepable="yes", kernel_struct="bpf_ringbuf_map",
                  doc="Records for user space, in order.")
Ringbuf.type = RINGBUF
