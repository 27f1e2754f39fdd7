"""Perf events by CPU, into which programs write records for user space (kernel/bpf/arraymap.c, Linux 7.2).

A kernel returns -ENOENT until user space has opened an event for the slot. Here a reader exists from the start: slot 0,
which belongs to the only CPU, holds an event, as after libbpf's perf_buffer__new(). `records` reads what was written.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from ebpfvm.contract import maptype as mt
from ebpfvm.contract.maptype import CreateArgs, MapRefusal, MapType, no_btf
from ebpfvm.errnos import E2BIG, ENOENT
from ebpfvm.maps import base
from ebpfvm.maps.array import descriptors_check
from ebpfvm.maps.base import UserRecord
from ebpfvm.maps.fd_array import FdArray

if TYPE_CHECKING:
    from ebpfvm.kernel.emulated import Kernel
    from ebpfvm.loader.object import MapSpec


def perf_event_alloc_check(args: CreateArgs) -> MapRefusal | None:
    """Check a definition as fd_array_map_alloc_check does."""
    return descriptors_check(args, base.FILE_FLAGS | mt.BPF_F_PRESERVE_ELEMS)


class PerfEventArray(FdArray):
    """BPF_MAP_TYPE_PERF_EVENT_ARRAY."""

    def __init__(self, kernel: Kernel, spec: MapSpec) -> None:
        super().__init__(kernel, spec)
        self.slots[0] = "event"
        self._order: list[UserRecord] = []

    def output(self, index: int, data: bytes) -> int:
        """Write a record; return 0, -E2BIG beyond the end, or -ENOENT without an event in the slot.

        Raises:
            LimitError: there are too many unread bytes.
        """
        if index >= self.max_entries:
            return -E2BIG
        if index not in self.slots:
            return -ENOENT
        self.kernel.records.keep(len(data), self.name)
        self._order.append(UserRecord(index, data))
        return 0

    def pending(self) -> list[UserRecord]:
        """Return the unread records without consuming them."""
        return list(self._order)

    def records(self) -> list[UserRecord]:
        """Consume all records and return them, oldest first."""
        found, self._order = self._order, []
        self.kernel.records.bytes -= sum(len(record.data) for record in found)
        return found


_FUNCS = frozenset({"bpf_perf_event_read", "bpf_perf_event_output", "bpf_skb_output", "bpf_perf_event_read_value",
                    "bpf_xdp_output"})
PERF_EVENT_ARRAY = MapType("perf_event_array", PerfEventArray, _FUNCS, check=perf_event_alloc_check, check_btf=no_btf,
                           takes_btf=False, records=True,
                           kernel_struct="bpf_array",
                           doc="Perf events by CPU, for records that user space reads.")
PerfEventArray.type = PERF_EVENT_ARRAY
