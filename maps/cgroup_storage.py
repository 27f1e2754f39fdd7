"""Values that belong to a control group and the program attached to it (kernel/bpf/local_storage.c, Linux 7.2).

A value is created when a program is attached. Programs here run as if attached to the control group with inode number
1, so that a map has one value, created on first use.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Final

from ebpfvm.btf import types as t
from ebpfvm.contract import maptype as mt
from ebpfvm.contract.maptype import CreateArgs, MapRefusal, MapType
from ebpfvm.errnos import E2BIG, EINVAL, ENOENT
from ebpfvm.maps import base
from ebpfvm.maps.array import cut_percpu

if TYPE_CHECKING:
    from collections.abc import Iterator

    from ebpfvm.kernel.emulated import Kernel
    from ebpfvm.kernel.memory import Region
    from ebpfvm.loader.object import MapSpec

_CGROUP: Final = 1
_MAX_VALUE: Final = 65407  # U16_MAX less struct bpf_local_storage_elem
_KEY_SIZES: Final = (16, 8)  # struct bpf_cgroup_storage_key, or the inode number alone


def cgroup_storage_alloc_check(args: CreateArgs, percpu: bool = False) -> MapRefusal | None:
    """Check a definition as cgroup_storage_map_alloc does."""
    most = base.PCPU_MIN_UNIT_SIZE if percpu else _MAX_VALUE
    if args.key_size not in _KEY_SIZES:
        return MapRefusal(EINVAL, f"key_size is {args.key_size}, and must be 8 or 16")
    refusal = mt.value_size(args, ())
    if refusal is None and args.value_size > most:
        refusal = MapRefusal(E2BIG, f"value_size is {args.value_size:,}, more than {most:,}")
    refusal = refusal or mt.flags_within(args, mt.BPF_F_NUMA_NODE | base.ACCESS_FLAGS)
    if refusal is None and args.max_entries:
        refusal = MapRefusal(EINVAL, f"max_entries is {args.max_entries}, and must be 0")
    return refusal


def cgroup_storage_check_btf(args: CreateArgs) -> MapRefusal | None:
    """Check BTF as cgroup_storage_check_btf does: the key is struct bpf_cgroup_storage_key, or a u64."""
    assert args.btf is not None
    key = args.btf.resolved(args.key_type) if args.key_type else None
    if args.key_size == 8:
        good = isinstance(key, t.Int) and key.size == 8
    else:
        good = isinstance(key, t.Struct) and [(args.btf.size_of(item.type), item.bit_offset) for item in
                                              key.members] == [(8, 0), (4, 64)]
    return None if good else MapRefusal(EINVAL, "the BTF type of its key is not struct bpf_cgroup_storage_key, "
                                                      "or a u64")


class CgroupStorage(base.BpfMap):
    """BPF_MAP_TYPE_CGROUP_STORAGE."""

    def __init__(self, kernel: Kernel, spec: MapSpec) -> None:
        super().__init__(kernel, spec)
        self._value: Region | None = None

    def storage(self) -> int:
        """Return the address of the value that the running program sees."""
        if self._value is None:
            self._value = self._new_value(bytes(self.value_size))
        return self._value.base

    def find(self, key: bytes) -> Region | None:
        return self._value if int.from_bytes(key[:8], "little") == _CGROUP else None

    def update(self, key: bytes, value: bytes, flags: int) -> int:
        if flags & ~(base.BPF_F_LOCK | base.BPF_EXIST) or (flags & base.BPF_F_LOCK and not self._has_lock()):
            return -EINVAL
        region = self.find(key)
        if region is None:
            return -ENOENT
        self._overwrite(region, value)
        return 0

    def delete(self, key: bytes) -> int:
        return -EINVAL

    def values(self) -> Iterator[Region]:
        return iter(() if self._value is None else (self._value,))

    def sys_next_key(self, key: bytes | None = None) -> bytes:
        self._check_syscall(key, writes=False)
        if self._value is None or key is not None:  # there is one key at most
            raise base.kernel_error(ENOENT, f"keys of map {self.name!r}")
        return _CGROUP.to_bytes(8, "little").ljust(self.key_size, b"\0")


class PercpuCgroupStorage(CgroupStorage):
    """BPF_MAP_TYPE_PERCPU_CGROUP_STORAGE on a machine with one CPU; user space sees values rounded up to 8 bytes."""

    def sys_lookup(self, key: bytes | None, flags: int = 0) -> bytes:
        value = super().sys_lookup(key, flags)
        return value.ljust(-(-len(value) // 8) * 8, b"\0")

    def sys_update(self, key: bytes | None, value: bytes, flags: int = 0) -> None:
        super().sys_update(key, cut_percpu(value, self.value_size), flags)


_FUNCS = frozenset({"bpf_get_local_storage"})
CGROUP_STORAGE = MapType("cgroup_storage", CgroupStorage, _FUNCS, inner=False, one_per_program=True,
                         fields=mt.LOCKS, check=cgroup_storage_alloc_check, check_btf=cgroup_storage_check_btf,
                         kernel_struct="bpf_cgroup_storage_map",
                         doc="A value that belongs to a control group and an attached program.")
PERCPU_CGROUP_STORAGE = MapType("percpu_cgroup_storage", PercpuCgroupStorage, _FUNCS, inner=False, one_per_program=True,
                                percpu=True, check=partial(cgroup_storage_alloc_check, percpu=True),
                                check_btf=cgroup_storage_check_btf,
                                kernel_struct="bpf_cgroup_storage_map",
                                doc="The same with a value per CPU.")
CgroupStorage.type = CGROUP_STORAGE
PercpuCgroupStorage.type = PERCPU_CGROUP_STORAGE
