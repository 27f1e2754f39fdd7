"""AF_XDP sockets as targets of bpf_redirect_map (net/xdp/xskmap.c, Linux 7.2).

User space writes a socket's descriptor; Python code stores an object with `put`. A program's lookup returns a
`struct bpf_xdp_sock`, whose only field is the queue's number.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ebpfvm.contract import maptype as mt
from ebpfvm.contract.maptype import CreateArgs, MapRefusal, MapType, no_btf
from ebpfvm.errnos import E2BIG, EBADF, EINVAL, EOPNOTSUPP
from ebpfvm.maps import base
from ebpfvm.maps.fd_array import FdArray

if TYPE_CHECKING:
    from collections.abc import Iterator

    from ebpfvm.kernel.emulated import Kernel
    from ebpfvm.kernel.memory import Region
    from ebpfvm.loader.object import MapSpec


def xsk_map_alloc_check(args: CreateArgs) -> MapRefusal | None:
    """Check a definition as xsk_map_alloc does."""
    return mt.sizes(args, 4, (4,)) or mt.flags_within(args, base.FILE_FLAGS)


class Xskmap(FdArray):
    """BPF_MAP_TYPE_XSKMAP."""

    def __init__(self, kernel: Kernel, spec: MapSpec) -> None:
        super().__init__(kernel, spec)
        self._seen: dict[int, Region] = {}

    def put(self, index: int, what: Any = "socket") -> int:
        """Set a slot to a socket that is bound to queue `index`; return 0, or -E2BIG beyond the end."""
        result = super().put(index, what)
        if not result and index not in self._seen:
            self._seen[index] = self.kernel.memory.add("xdp_sock", index.to_bytes(4, "little"), name=self.holder,
                                                       writable=False)
        return result

    def fill(self, key: bytes, value: bytes) -> None:
        """Set the slot of `key` to a socket, whatever `value` is."""
        self._check_syscall(key, writes=True)
        self._raise(self.put(self._index(key)), "update of")

    def target(self, index: int) -> int | None:
        """Return the slot if it holds a socket, otherwise None."""
        return index if index in self.slots else None

    def find(self, key: bytes) -> Region | None:
        index = self._index(key)
        return self._seen[index] if index in self.slots else None

    def update(self, key: bytes, value: bytes, flags: int) -> int:
        if flags > base.BPF_EXIST:
            return -EINVAL
        return -E2BIG if self._index(key) >= self.max_entries else -EBADF

    def delete(self, key: bytes) -> int:
        index = self._index(key)
        if index >= self.max_entries:
            return -EINVAL
        self.slots.pop(index, None)
        return 0

    def values(self) -> Iterator[Region]:
        return iter(())

    def sys_lookup(self, key: bytes | None, flags: int = 0) -> bytes:
        """Raise EOPNOTSUPP, because the type has no lookup from user space."""
        self._check_syscall(key, writes=False)
        raise base.kernel_error(EOPNOTSUPP, f"lookup in map {self.name!r}")


XSKMAP = MapType("xskmap", Xskmap, frozenset({"bpf_redirect_map", "bpf_map_lookup_elem"}), check=xsk_map_alloc_check,
                 check_btf=no_btf, takes_btf=False,
                 kernel_struct="xsk_map", gives="xdp_socket",
                 doc="AF_XDP sockets by queue, targets of bpf_redirect_map.")
Xskmap.type = XSKMAP
