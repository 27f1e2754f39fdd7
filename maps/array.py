"""Arrays, whose elements exist from the start, by index (Linux 7.2 kernel/bpf/arraymap.c).

Elements are allocated when they are first accessed: an untouched element is zero, and an object that declares 2^32 of
them costs nothing.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from ebpfvm.btf import types as t
from ebpfvm.contract import maptype as mt
from ebpfvm.contract.maptype import CreateArgs, MapRefusal, MapType
from ebpfvm.errnos import E2BIG, EEXIST, EINVAL, ENOENT, ENOMEM
from ebpfvm.ints import S32_MAX, U32_MAX
from ebpfvm.maps import base
from ebpfvm.maps.keyed import Content, KeyedMap

if TYPE_CHECKING:
    from collections.abc import Iterator

    from ebpfvm.kernel.emulated import Kernel
    from ebpfvm.kernel.memory import Region
    from ebpfvm.loader.object import MapSpec

_FLAGS = mt.BPF_F_NUMA_NODE | mt.BPF_F_MMAPABLE | base.ACCESS_FLAGS | mt.BPF_F_INNER_MAP
_VMALLOC_SPACE = 32 << 40  # x86-64


def array_alloc_check(args: CreateArgs, flags: int = _FLAGS) -> MapRefusal | None:
    """Check a definition as array_map_alloc_check does; `flags` are those that the type accepts."""
    refusal = mt.sizes(args, 4) or mt.flags_within(args, flags)
    if refusal is None and args.value_size > S32_MAX:
        return MapRefusal(E2BIG, f"value_size is {args.value_size:,}, more than {S32_MAX:,}")
    return refusal


def _plain_array(args: CreateArgs) -> MapRefusal | None:
    refusal = array_alloc_check(args)
    size = -(-args.value_size // 8) * 8 * args.max_entries
    if refusal is None and size >= _VMALLOC_SPACE:
        return MapRefusal(ENOMEM, f"{args.max_entries:,} elements of {args.value_size:,} bytes are more than a "
                                        "kernel has addresses for")
    return refusal


def percpu_array_alloc_check(args: CreateArgs) -> MapRefusal | None:
    """Check a definition as array_map_alloc_check does for per-CPU values: no mmap, no node, no resizable inner map."""
    refusal = array_alloc_check(args, base.ACCESS_FLAGS)
    if refusal is None and -(-args.value_size // 8) * 8 > base.PCPU_MIN_UNIT_SIZE:
        return MapRefusal(E2BIG, f"value_size is {args.value_size:,}, and a value per CPU has at most "
                                       f"{base.PCPU_MIN_UNIT_SIZE:,} bytes")
    return refusal


def descriptors_check(args: CreateArgs, flags: int = base.FILE_FLAGS) -> MapRefusal | None:
    """Check an array of 4-byte descriptors as fd_array_map_alloc_check does."""
    return mt.value_size(args, (4,)) or array_alloc_check(args, flags)


def array_check_btf(args: CreateArgs) -> MapRefusal | None:
    """Check BTF as array_map_check_btf does: the key is a u32, or there is none and the value is a data section."""
    assert args.btf is not None
    if not args.key_type:
        section = isinstance(args.btf.resolved(args.value_type), t.Datasec)
        if args.max_entries == 1 and section:
            return None
        return MapRefusal(EINVAL, "BTF says nothing of its key")
    return None if is_i32(args.btf, args.key_type) else MapRefusal(EINVAL, "the BTF type of its key is no u32")


def is_i32(btf: t.Btf, type_id: int) -> bool:
    """Return whether a type is an integer of 32 bits, signed or not (btf_type_is_i32)."""
    found = btf.resolved(type_id)
    return isinstance(found, t.Int) and found.size == 4 and found.bits == 32


class ArrayMap(KeyedMap):
    """BPF_MAP_TYPE_ARRAY; lookup and update are O(1), and delete always returns -EINVAL."""

    def __init__(self, kernel: Kernel, spec: MapSpec) -> None:
        super().__init__(kernel, spec)
        self.existing = self.elems.get  # type: ignore[method-assign, assignment]  # a dict does it
        if spec.data is not None:
            self.elems[0] = self._new_value(spec.data.ljust(self.value_size, b"\0"))
            self.frozen = bool(spec.map_flags & mt.BPF_F_RDONLY_PROG)  # as libbpf does with .rodata

    def get(self, key: int) -> Region | None:
        """Return the live value at index `key`, or None beyond the end."""
        region = self.elems.get(key)
        if region is None and key < self.max_entries:
            region = self._make(key)
        return region

    def existing(self, key: int) -> Region | None:
        """Return the value at index `key`, None unless it was accessed before."""
        return self.elems.get(key)

    def _make(self, index: int) -> Region:
        """Create an element on first access.

        Raises:
            LimitError: too many elements exist, or they take too many bytes.
        """
        if len(self.elems) >= self.room:
            self.full()
        if self.value_size > self._memory_limit:  # an untouched element stays uncreated
            self._too_much(self.value_size, self.value_size)
        region = self.elems[index] = self._new_value(bytes(self.value_size))
        return region

    def put(self, key: int, value: Content, flags: int) -> int:
        if not flags and not self._kptrs and isinstance(value, list):  # the usual case
            found = self.elems.get(key)
            if found is not None:
                found[:] = value  # type: ignore[index]
                return 0
        if flags & ~base.BPF_F_LOCK > base.BPF_EXIST or (flags & base.BPF_F_LOCK and not self._has_lock()):
            return -EINVAL
        region = self.get(key)
        if region is None:
            return -E2BIG
        if flags & base.BPF_NOEXIST:
            return -EEXIST
        self._release_kptrs(region)  # bpf_obj_free_fields: an update frees what the old value owns
        timers = self.kernel.timers
        if timers is not None:
            timers.forget(region)
        self._overwrite(region, value)
        return 0

    def remove(self, key: int) -> int:
        return -EINVAL

    def walk(self) -> Iterator[tuple[int, Region]]:
        for index in range(self.max_entries):
            region = self.get(index)
            assert region is not None
            yield index, region

    def sys_lookup(self, key: bytes | None, flags: int = 0) -> bytes:
        """Return the value as `BpfMap` does; an untouched element reads as zero and is not created."""
        index = int.from_bytes(key or b"", "little")
        if index in self.elems or index >= self.max_entries or flags or key is None:
            return super().sys_lookup(key, flags)
        self._check_syscall(key, writes=False)
        return bytes(self.value_size)

    def sys_next_key(self, key: bytes | None = None) -> bytes:
        self._check_syscall(key, writes=False)
        return next_index(self, key)


def next_index(array: base.BpfMap, key: bytes | None) -> bytes:
    """Return the next key as array_map_get_next_key does: 0 after an absent or too large key; ENOENT after the last."""
    index = int.from_bytes(key, "little") if key is not None else -1
    if index >= array.max_entries or index < 0:
        return bytes(4)
    if index == array.max_entries - 1:
        raise base.kernel_error(ENOENT, f"keys of map {array.name!r}")
    return (index + 1).to_bytes(4, "little")


class PercpuArray(ArrayMap):
    """BPF_MAP_TYPE_PERCPU_ARRAY on a machine with one CPU; user space sees values rounded up to 8 bytes."""

    def put(self, key: int, value: Content, flags: int) -> int:
        if self.names_cpus:
            if flags & U32_MAX > base.BPF_F_ALL_CPUS or flags & base.BPF_F_LOCK:
                return -EINVAL
            flags = flags & base.BPF_NOEXIST
        return super().put(key, value, flags)

    def lookup_percpu(self, key: bytes, cpu: int) -> int:
        return self.lookup(key) if cpu == 0 else 0

    def sys_lookup(self, key: bytes | None, flags: int = 0) -> bytes:
        value = super().sys_lookup(key, flags)
        return value.ljust(-(-len(value) // 8) * 8, b"\0")

    def sys_update(self, key: bytes | None, value: bytes, flags: int = 0) -> None:
        super().sys_update(key, cut_percpu(value, self.value_size), flags)


def cut_percpu(value: bytes, value_size: int) -> bytes:
    """Return the part of a value from user space, which may be rounded up to 8 bytes, that one CPU stores."""
    return value[:value_size] if len(value) == -(-value_size // 8) * 8 else value


_BATCH = frozenset({"lookup", "update"})
ARRAY = MapType("array", ArrayMap, base.ORDINARY, value_access=True, for_each=True, batch=_BATCH,
                fields=mt.KPTRS | mt.LOCKS | mt.ASYNC | mt.GRAPHS | {"refcount"}, check=_plain_array,
                check_btf=array_check_btf,
                sleepable="yes", kernel_struct="bpf_array", has_all_keys=True,
                doc="Values by index 0 to max_entries-1; all exist from the start.")
PERCPU_ARRAY = MapType("percpu_array", PercpuArray, base.ORDINARY | {"bpf_map_lookup_percpu_elem"}, for_each=True,
                       batch=_BATCH, fields=mt.KPTRS | {"refcount"}, percpu=True,
                       cpu_flags=True, check=percpu_array_alloc_check,
                       check_btf=array_check_btf,
                       sleepable="yes", kernel_struct="bpf_array", has_all_keys=True,
                       doc="An array with a value per CPU.")
ArrayMap.type = ARRAY
PercpuArray.type = PERCPU_ARRAY
