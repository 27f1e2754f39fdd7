"""Arrays of descriptors: the base of map types whose values user space writes as file descriptors.

There are no descriptors here, so `sys_update` fails with EBADF; Python code stores the objects with `put` (fd_array of
kernel/bpf/arraymap.c, Linux 7.2).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ebpfvm.errnos import E2BIG, EBADF, EINVAL, ENOENT, ENOTSUPP
from ebpfvm.maps import base
from ebpfvm.maps.array import next_index

if TYPE_CHECKING:
    from collections.abc import Iterator

    from ebpfvm.kernel.emulated import Kernel
    from ebpfvm.loader.object import MapSpec


class FdArray(base.BpfMap):
    """Base of arrays whose slots hold objects of the kernel.

    Attributes:
        slots: the object in each slot that is set, by index.
    """

    def __init__(self, kernel: Kernel, spec: MapSpec) -> None:
        super().__init__(kernel, spec)
        self.slots: dict[int, Any] = {}

    def put(self, index: int, what: Any) -> int:
        """Set a slot, as user space does with a descriptor of the object; return 0, or -E2BIG beyond the end."""
        if index >= self.max_entries:
            return -E2BIG
        self.slots[index] = what
        return 0

    def update(self, key: bytes, value: bytes, flags: int) -> int:
        if flags != base.BPF_ANY:
            return -EINVAL
        return -E2BIG if self._index(key) >= self.max_entries else -EBADF

    def delete(self, key: bytes) -> int:
        index = self._index(key)
        if index >= self.max_entries:
            return -E2BIG
        return 0 if self.slots.pop(index, None) is not None else -ENOENT

    def sys_lookup(self, key: bytes | None, flags: int = 0) -> bytes:
        """Raise ENOTSUPP, because the type has no lookup from user space."""
        self._check_syscall(key, writes=False)
        raise base.kernel_error(ENOTSUPP, f"lookup in map {self.name!r}")

    def sys_next_key(self, key: bytes | None = None) -> bytes:
        self._check_syscall(key, writes=False)
        return next_index(self, key)

    def keys(self) -> Iterator[bytes]:
        """Yield the slots that are set."""
        return iter([index.to_bytes(4, "little") for index in sorted(self.slots)])

    @staticmethod
    def _index(key: bytes) -> int:
        return int.from_bytes(key, "little")
