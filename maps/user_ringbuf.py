"""User ring buffer: records from user space to programs, in order (Linux 7.2 kernel/bpf/ringbuf.c).

`push` is what libbpf's user_ring_buffer__submit() does; a program takes the records with bpf_user_ringbuf_drain().
"""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, Final

from ebpfvm.contract.maptype import MapType
from ebpfvm.errnos import E2BIG, ENOSPC, ENOTSUPP
from ebpfvm.maps import base
from ebpfvm.maps.ringbuf import ringbuf_alloc_check

if TYPE_CHECKING:
    from ebpfvm.kernel.emulated import Kernel
    from ebpfvm.loader.object import MapSpec

_HEADER: Final = 8


class UserRingbuf(base.BpfMap):
    """BPF_MAP_TYPE_USER_RINGBUF; `max_entries` is its size in bytes.

    Attributes:
        busy: whether a program is draining it.
    """

    def __init__(self, kernel: Kernel, spec: MapSpec) -> None:
        super().__init__(kernel, spec)
        self.busy = False
        self._samples: deque[bytes] = deque()
        self._used = 0

    def push_sample(self, data: bytes) -> int:
        """Add a record from user space; return 0, -E2BIG (larger than the ring), or -ENOSPC (no room now).

        Raises:
            LimitError: records take too many bytes.
        """
        span = -(-(len(data) + _HEADER) // 8) * 8
        if span > self.max_entries:
            return -E2BIG
        if self._used + span > self.max_entries:
            return -ENOSPC
        self.kernel.records.keep(len(data), self.name)
        self._used += span
        self._samples.append(bytes(data))
        return 0

    def fill(self, key: bytes, value: bytes) -> None:
        """Add a record; `key` only makes it distinct from other records."""
        self._raise(self.push_sample(value), "record in")

    def take(self) -> bytes | None:
        """Remove and return the oldest record, None if there is none."""
        if not self._samples:
            return None
        data = self._samples.popleft()
        self._used -= -(-(len(data) + _HEADER) // 8) * 8
        self.kernel.records.bytes -= len(data)
        return data

    def update(self, key: bytes, value: bytes, flags: int) -> int:
        return -ENOTSUPP

    def delete(self, key: bytes) -> int:
        return -ENOTSUPP

    def sys_lookup(self, key: bytes | None, flags: int = 0) -> bytes:
        raise base.kernel_error(ENOTSUPP, f"lookup in map {self.name!r}")


USER_RINGBUF = MapType("user_ringbuf", UserRingbuf, frozenset({"bpf_user_ringbuf_drain"}), check=ringbuf_alloc_check,
                       sleepable="yes", kernel_struct="bpf_ringbuf_map",
                       doc="Records from user space, in order.")
UserRingbuf.type = USER_RINGBUF
