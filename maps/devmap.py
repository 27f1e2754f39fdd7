"""Network devices as targets of bpf_redirect_map, by index or by any number (kernel/bpf/devmap.c, Linux 7.2).

A value is `struct bpf_devmap_val`: the interface's number, and in 8-byte values a program's descriptor, which must be 0
here. If a kernel has devices (`Kernel.devices`), the number must name one, except for entries set before a test run.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from ebpfvm.contract import maptype as mt
from ebpfvm.contract.maptype import CreateArgs, MapRefusal, MapType, no_btf
from ebpfvm.errnos import E2BIG, EBADF, EEXIST, EINVAL, ENOENT
from ebpfvm.maps import base
from ebpfvm.maps.array import next_index

if TYPE_CHECKING:
    from collections.abc import Iterator

    from ebpfvm.kernel.emulated import Kernel
    from ebpfvm.kernel.memory import Region
    from ebpfvm.loader.object import MapSpec


def dev_map_alloc_check(args: CreateArgs) -> MapRefusal | None:
    """Check a definition as dev_map_alloc_check does."""
    return mt.sizes(args, 4, (4, 8)) or mt.flags_within(args, base.FILE_FLAGS)


def dev_map_hash_alloc_check(args: CreateArgs) -> MapRefusal | None:
    """Check the definition of a hash, as `dev_map_alloc_check` does."""
    refusal = dev_map_alloc_check(args)
    if refusal is None and args.max_entries > 1 << 31:
        return MapRefusal(EINVAL, f"max_entries is {args.max_entries:,}, more than 2^31")
    return refusal


class Devmap(base.BpfMap):
    """BPF_MAP_TYPE_DEVMAP: entries by index."""

    def __init__(self, kernel: Kernel, spec: MapSpec) -> None:
        super().__init__(kernel, spec)
        self._elems: dict[int, Region] = {}

    def find(self, key: bytes) -> Region | None:
        return self._elems.get(int.from_bytes(key, "little"))

    def target(self, index: int) -> int | None:
        """Return the interface of an entry, None if there is none."""
        region = self._elems.get(index)
        return None if region is None else region.load(0, 4)

    def targets(self) -> list[int]:
        """Return the interfaces of all entries, for a broadcast."""
        return [region.load(0, 4) for _, region in sorted(self._elems.items())]

    def update(self, key: bytes, value: bytes, flags: int) -> int:
        index = int.from_bytes(key, "little")
        if flags > base.BPF_EXIST:
            return -EINVAL
        if index >= self.max_entries:
            return -E2BIG
        if flags == base.BPF_NOEXIST:
            return -EEXIST
        if not int.from_bytes(value[:4], "little"):
            if int.from_bytes(value[4:], "little", signed=True) > 0:
                return -EINVAL
            self._remove(index)
            return 0
        return self._set(index, value)

    def fill(self, key: bytes, value: bytes) -> None:
        """Set an element before a run; the interface number need not exist."""
        self._check_syscall(key, writes=True)
        devices, self.kernel.devices = self.kernel.devices, {}
        try:
            self.sys_update(key, value)
        finally:
            self.kernel.devices = devices

    def _known(self, value: bytes) -> bool:
        return not self.kernel.devices or int.from_bytes(value[:4], "little") in self.kernel.devices

    def _set(self, index: int, value: bytes) -> int:
        if not self._known(value):
            return -EINVAL
        if int.from_bytes(value[4:], "little", signed=True) > 0:
            return -EBADF  # programs have no descriptors here
        self._remove(index)
        # A look-up returns the program's id instead of the descriptor; it is 0 without a program.
        self._elems[index] = region = self._new_value(value[:4].ljust(self.value_size, b"\0"))
        region.writable = False
        return 0

    def _remove(self, index: int) -> bool:
        region = self._elems.pop(index, None)
        if region is not None:
            self._drop_value(region)
        return region is not None

    def delete(self, key: bytes) -> int:
        index = int.from_bytes(key, "little")
        if index >= self.max_entries:
            return -EINVAL
        self._remove(index)
        return 0

    def values(self) -> Iterator[Region]:
        return iter(self._elems.values())

    def sys_next_key(self, key: bytes | None = None) -> bytes:
        self._check_syscall(key, writes=False)
        return next_index(self, key)

    def keys(self) -> Iterator[bytes]:
        """Yield the keys that have an entry."""
        return iter([index.to_bytes(4, "little") for index in sorted(self._elems)])


class DevmapHash(Devmap):
    """BPF_MAP_TYPE_DEVMAP_HASH: entries by any number."""

    def update(self, key: bytes, value: bytes, flags: int) -> int:
        index = int.from_bytes(key, "little")
        if flags > base.BPF_EXIST or not int.from_bytes(value[:4], "little"):
            return -EINVAL
        if index in self._elems:
            return -EEXIST if flags & base.BPF_NOEXIST else self._set(index, value)
        if not self._known(value):
            return -EINVAL
        return self.full() if len(self._elems) >= self.room else self._set(index, value)

    def delete(self, key: bytes) -> int:
        return 0 if self._remove(int.from_bytes(key, "little")) else -ENOENT

    def sys_next_key(self, key: bytes | None = None) -> bytes:
        self._check_syscall(key, writes=False)
        keys = list(self.keys())
        position = keys.index(key) + 1 if key in keys else 0
        if position >= len(keys):
            raise base.kernel_error(ENOENT, f"keys of map {self.name!r}")
        return keys[position]


_FUNCS = frozenset({"bpf_redirect_map", "bpf_map_lookup_elem"})
DEVMAP = MapType("devmap", Devmap, _FUNCS, check=dev_map_alloc_check, check_btf=no_btf, takes_btf=False,
                 prog_read_only=True,
                 kernel_struct="bpf_dtab",
                 doc="Network devices by index, targets of bpf_redirect_map.")
DEVMAP_HASH = MapType("devmap_hash", DevmapHash, _FUNCS, check=dev_map_hash_alloc_check, check_btf=no_btf,
                      takes_btf=False, prog_read_only=True,
                      kernel_struct="bpf_dtab",
                      doc="Network devices by any number, targets of bpf_redirect_map.")
Devmap.type = DEVMAP
DevmapHash.type = DEVMAP_HASH
