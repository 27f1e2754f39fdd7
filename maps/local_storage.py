"""Values that belong to a socket, inode, task or control group (kernel/bpf/bpf_local_storage.c, Linux 7.2).

A program identifies the owner by a pointer, user space by a descriptor. There are no descriptors here (EBADF), so
Python code reads `stored` instead.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from ebpfvm.contract import maptype as mt
from ebpfvm.contract.maptype import CreateArgs, MapRefusal, MapType
from ebpfvm.errnos import E2BIG, EBADF, EINVAL, ENOENT
from ebpfvm.maps import base
from ebpfvm.maps.array import is_i32

if TYPE_CHECKING:
    from collections.abc import Iterator

    from ebpfvm.kernel.emulated import Kernel
    from ebpfvm.kernel.memory import Region
    from ebpfvm.loader.object import MapSpec

GET_F_CREATE: Final = 1  # BPF_LOCAL_STORAGE_GET_F_CREATE
_MAX_VALUE: Final = 0xFFFF - 112  # U16_MAX less struct bpf_local_storage_elem


def local_storage_alloc_check(args: CreateArgs) -> MapRefusal | None:
    """Check a definition as bpf_local_storage_map_alloc_check does."""
    refusal = mt.flags_within(args, mt.BPF_F_NO_PREALLOC | mt.BPF_F_CLONE)
    if refusal is None and not args.map_flags & mt.BPF_F_NO_PREALLOC:
        refusal = MapRefusal(EINVAL, "map_flags lack BPF_F_NO_PREALLOC, which a map of this type needs")
    if refusal is None and args.max_entries:
        refusal = MapRefusal(EINVAL, f"max_entries is {args.max_entries}, and must be 0")
    refusal = refusal or mt.key_size(args, 4) or mt.value_size(args, ())
    if refusal is None and not (args.btf is not None and args.key_type and args.value_type):
        refusal = MapRefusal(EINVAL, "there is no BTF of its key and value, which a map of this type needs")
    if refusal is None and args.value_size > _MAX_VALUE:
        refusal = MapRefusal(E2BIG, f"value_size is {args.value_size:,}, more than {_MAX_VALUE:,}")
    return refusal


def local_storage_check_btf(args: CreateArgs) -> MapRefusal | None:
    """Check BTF as bpf_local_storage_map_check_btf does: the key is an int."""
    assert args.btf is not None
    keyed = args.key_type and is_i32(args.btf, args.key_type)
    return None if keyed else MapRefusal(EINVAL, "the BTF type of its key is no int")


class LocalStorage(base.BpfMap):
    """Base of the four types: owner's address -> value."""

    def __init__(self, kernel: Kernel, spec: MapSpec) -> None:
        super().__init__(kernel, spec)
        self.room = kernel.limits.map_elements
        self._elems: dict[int, Region] = {}

    def get(self, owner: int, value: bytes, flags: int) -> int:
        """Return the address of the owner's value, created from `value` (or zeros) with GET_F_CREATE; otherwise 0."""
        if not owner or flags & ~GET_F_CREATE:
            return 0
        region = self._elems.get(owner)
        if region is None and flags & GET_F_CREATE:
            if len(self._elems) >= self.room:
                raise self.kernel.limits.reached("map_elements", f"map {self.name!r}")
            region = self._elems[owner] = self._new_value(value or bytes(self.value_size))
        return region.base if region is not None else 0

    def remove(self, owner: int) -> int:
        """Remove the owner's value; return 0, -EINVAL without an owner, or -ENOENT without a value."""
        if not owner:
            return -EINVAL
        region = self._elems.pop(owner, None)
        if region is None:
            return -ENOENT
        self._drop_value(region)
        return 0

    def stored(self) -> dict[int, bytes]:
        """Return the stored values: address of the owner -> value."""
        return {owner: self.snapshot(region) for owner, region in self._elems.items()}

    def values(self) -> Iterator[Region]:
        return iter(self._elems.values())

    def update(self, key: bytes, value: bytes, flags: int) -> int:
        return -EBADF

    def delete(self, key: bytes) -> int:
        return -EBADF

    def sys_lookup(self, key: bytes | None, flags: int = 0) -> bytes:
        """Raise EBADF, because there are no descriptors of owners."""
        self._check_syscall(key, writes=False)
        raise base.kernel_error(EBADF, f"lookup in map {self.name!r}")


class SkStorage(LocalStorage):
    """BPF_MAP_TYPE_SK_STORAGE."""


class InodeStorage(LocalStorage):
    """BPF_MAP_TYPE_INODE_STORAGE."""


class TaskStorage(LocalStorage):
    """BPF_MAP_TYPE_TASK_STORAGE."""


class CgrpStorage(LocalStorage):
    """BPF_MAP_TYPE_CGRP_STORAGE."""


def _declare(name: str, make: type[LocalStorage], what: str, fields: frozenset[str] = frozenset()) -> MapType:
    funcs = frozenset({f"bpf_{name}_get", f"bpf_{name}_delete"})
    return MapType(name, make, funcs, fields=mt.KPTRS | mt.LOCKS | {"refcount"} | fields,
                   check=local_storage_alloc_check, check_btf=local_storage_check_btf,
                   sleepable="storage", kernel_struct="bpf_local_storage_map",
                   doc=f"A value that belongs to {what}.")


SK_STORAGE = _declare("sk_storage", SkStorage, "a socket")
INODE_STORAGE = _declare("inode_storage", InodeStorage, "an inode")
TASK_STORAGE = _declare("task_storage", TaskStorage, "a task", frozenset({"uptr"}))
CGRP_STORAGE = _declare("cgrp_storage", CgrpStorage, "a control group")
SkStorage.type = SK_STORAGE
InodeStorage.type = INODE_STORAGE
TaskStorage.type = TASK_STORAGE
CgrpStorage.type = CGRP_STORAGE
