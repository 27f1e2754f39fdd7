"""What every map has: sizes, flags, live values in regions, and two interfaces.

*Program side* methods return what a program sees: an address, NULL, 0 or a negative errno. *Syscall side* methods
(`sys_*`) are bpf(2) for Python: they return values and raise `OSError` with the kernel's errno.

A live value is a `Region` of kind "map_value". When an element is removed, its region outlives the running program, as
RCU keeps an element until the end of a read-side section (Linux 7.2 kernel/bpf/hashtab.c). So a program that still
holds the address does not fault; the objects that the element's kptr slots own are released at once.
"""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING, ClassVar, Never

from ebpfvm import errnos
from ebpfvm.btf.fields import special_fields
from ebpfvm.contract.maptype import (
    BATCH_COMMANDS,
    BPF_F_NUMA_NODE,
    BPF_F_RDONLY,
    BPF_F_RDONLY_PROG,
    BPF_F_WRONLY,
    BPF_F_WRONLY_PROG,
    MapType,
)
from ebpfvm.errnos import E2BIG, EBUSY, EINVAL, ENOENT, ENOTSUPP, EOPNOTSUPP, EPERM, ERANGE
from ebpfvm.kernel.memory import packet_slot
from ebpfvm.kernel.refs import MEMORY, RefCounted
from ebpfvm.lazy_tuples import NamedTuple

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from ebpfvm.kernel.emulated import Kernel
    from ebpfvm.kernel.memory import Region
    from ebpfvm.loader.object import MapSpec

_SLOT = struct.Struct("<Q").unpack_from  # a kptr

BPF_ANY = 0
BPF_NOEXIST = 1
BPF_EXIST = 2
BPF_F_LOCK = 4
BPF_F_CPU = 8
BPF_F_ALL_CPUS = 16

ACCESS_FLAGS = BPF_F_RDONLY | BPF_F_WRONLY | BPF_F_RDONLY_PROG | BPF_F_WRONLY_PROG

ELEMENT_BYTES = 256
"""What an element costs besides its value, as `Limits.map_memory` counts it."""

FILE_FLAGS = BPF_F_NUMA_NODE | BPF_F_RDONLY | BPF_F_WRONLY  # flags that most maps of descriptors accept
KMALLOC_MAX_SIZE = 4 << 20
PCPU_MIN_UNIT_SIZE = 32 << 10
PAGE_SIZE = 4096

# The helpers that accept any map whose type does not list its own (check_map_func_compatibility). Their further
# requirements of a map (a timer, a walk) are checked later.
ORDINARY = frozenset({"bpf_map_lookup_elem", "bpf_map_update_elem", "bpf_map_delete_elem", "bpf_for_each_map_elem",
                      "bpf_timer_init"})
BATCH = BATCH_COMMANDS


def kernel_error(number: int, what: str) -> OSError:
    """Return an `OSError` for a kernel errno, with a text for ENOTSUPP, which user space does not know."""
    number = abs(number)
    text = "Operation is not supported by this map (ENOTSUPP)" if number == ENOTSUPP else errnos.describe(number)
    return OSError(number, f"{what}: {text}")


class UserRecord(NamedTuple):
    """A record that a program wrote for user space: the CPU it ran on, and the bytes without the kernel's padding."""

    cpu: int
    data: bytes


class BpfMap:
    """Base of all map types. A type overrides what it supports; all other operations fail as in the kernel.

    Args:
        kernel: the kernel in whose memory the values live.
        spec: sizes, flags and BTF.

    Attributes:
        region: region of kind "map"; its base is what a program sees as the map pointer.
        id: number assigned by the kernel, 0 until the map is registered.
        holder: name of this map's kptr slots in the ledger of references, and of its values' regions.
        kptr_holder: that holder, None for a map without kptr slots.
        room: maximum number of elements: `max_entries`, or fewer if `Limits.map_elements` is lower.
        names_cpus: whether user space may name a CPU in the flags of an operation (BPF_F_CPU, since Linux 7.0).
        spare_key: region in which a walk passes keys to its callback, kept between walks.
        fields: special fields of the value (kptr, spin lock, timer...) from its BTF.
    """

    type: ClassVar[MapType]

    def __init__(self, kernel: Kernel, spec: MapSpec) -> None:
        self.kernel = kernel
        self.spec = spec
        self.name = spec.name
        self.key_size = spec.key_size
        self.value_size = spec.value_size
        self.max_entries = spec.max_entries
        self.room = min(spec.max_entries, kernel.limits.map_elements)
        self.names_cpus = kernel.dialect.rules.flags_name_cpus
        self._memory_limit = kernel.limits.map_memory
        self.flags = spec.map_flags
        self.id = 0
        self.frozen = False
        self.spare_key: Region | None = None
        self.fields = special_fields(spec.btf, spec.value_type) if spec.btf and spec.value_type else ()
        self._kptrs = tuple(field.offset for field in self.fields if field.kind in ("kptr_ref", "kptr_percpu"))
        self._one_packet = len(self._kptrs) == 1 and any(field.struct == "sk_buff" for field in self.fields)
        self._blanks = tuple((field.offset, field.offset + field.size, bytes(field.size)) for field in self.fields)
        self.holder = f"map {spec.name}"
        self.kptr_holder = kernel.refs.holder(self.holder, MEMORY) if self._kptrs else None
        self.region = kernel.memory.add("map", bytearray(), name=spec.name, writable=False, owner=self)

    # -- values ----------------------------------------------------------------------------------------------------

    def _new_value(self, value: bytes) -> Region:
        """Return a live value that holds `value`; its special fields start as zero (check_and_init_map_value).

        Raises:
            LimitError: all maps together would take more than `Limits.map_memory`.
        """
        memory = self.kernel.memory
        memory.map_bytes = taken = memory.map_bytes + len(value) + ELEMENT_BYTES
        if taken > self._memory_limit:
            self._too_much(taken, len(value))
        data = bytearray(value)
        for start, end, zeros in self._blanks:
            data[start:end] = zeros
        if self._one_packet:
            return packet_slot(data, self.holder, self)
        return memory.add("map_value", data, name=self.holder, owner=self)

    def _count(self, size: int) -> None:
        """Count a new element of `size` bytes that has no region; raise LimitError beyond `Limits.map_memory`."""
        memory = self.kernel.memory
        memory.map_bytes = taken = memory.map_bytes + size + ELEMENT_BYTES
        if taken > self._memory_limit:
            self._too_much(taken, size)

    def _too_much(self, taken: int, size: int) -> Never:
        raise self.kernel.limits.reached("map_memory", f"a new element of {size:,} bytes in map {self.name!r}, with "
                                                       f"{taken:,} in all maps,")

    def full(self) -> int:
        """Return -E2BIG, because the map is full.

        Raises:
            LimitError: it has fewer than `max_entries` elements, but as many as `Limits.map_elements` allows.
        """
        if self.room < self.max_entries:
            raise self.kernel.limits.reached("map_elements", f"map {self.name!r} (max_entries {self.max_entries:,})")
        return -E2BIG

    def _overwrite(self, region: Region, value: bytes) -> None:
        """Copy `value` over a live one; special fields keep their contents (copy_map_value)."""
        if not self.fields:
            region.data[:] = value
            return
        kept = [(field.offset, bytes(region.data[field.offset:field.offset + field.size])) for field in self.fields]
        region.data[:] = value
        for offset, old in kept:
            region.data[offset:offset + len(old)] = old

    def _drop_value(self, region: Region) -> None:
        """Remove a value: release what its kptrs own; its memory is freed when the running program ends."""
        if self._kptrs:
            self._release_kptrs(region)
        graph = self.kernel.graph
        if graph.roots:
            graph.drain_value(region, self.fields)
        memory = self.kernel.memory
        memory.retired.append(region)
        memory.retired_bytes += region.size + ELEMENT_BYTES

    def _release_kptrs(self, region: Region) -> None:
        for offset in self._kptrs:
            pointer: int = _SLOT(region.data, offset)[0]
            if not pointer:
                continue
            region.data[offset:offset + 8] = bytes(8)
            owned = self.kernel.memory.owner(pointer)
            if isinstance(owned, RefCounted):
                self.kernel.refs.release(owned, self.holder)

    def owned(self) -> Iterator[tuple[int, Region, int]]:
        """Yield every non-NULL kptr that the map owns, as (address, value region, offset of the slot)."""
        for region in self.values():
            for offset in self._kptrs:
                pointer = int.from_bytes(region.data[offset:offset + 8], "little")
                if pointer:
                    yield pointer, region, offset

    def values(self) -> Iterator[Region]:
        """Yield the live values, in the map's own order."""
        return iter(())

    def snapshot(self, region: Region) -> bytes:
        """Return what user space may read of a value; special fields read as zero."""
        data = bytearray(region.data)
        for field in self.fields:
            data[field.offset:field.offset + field.size] = bytes(field.size)
        return bytes(data)

    # -- program side ----------------------------------------------------------------------------------------------

    def find(self, key: bytes) -> Region | None:
        """Return the live value of `key`, or None."""
        return None

    def lookup(self, key: bytes) -> int:
        """Return the address of the live value of `key`, or 0."""
        region = self.find(key)
        return region.base if region is not None else 0

    def lookup_percpu(self, key: bytes, cpu: int) -> int:
        """Return the address of one CPU's value, or 0 (per-CPU maps only)."""
        return 0

    def update(self, key: bytes, value: bytes, flags: int) -> int:
        """Create or change an element; return 0 or a negative errno."""
        return -EOPNOTSUPP

    def delete(self, key: bytes) -> int:
        """Remove an element; return 0 or a negative errno."""
        return -EOPNOTSUPP

    def push(self, value: bytes, flags: int) -> int:
        """Add a value without a key; return 0 or a negative errno."""
        return -EOPNOTSUPP

    def pop(self) -> tuple[int, bytes]:
        """Remove a value, and return (0 or a negative errno, the value or zeros)."""
        return -EOPNOTSUPP, bytes(self.value_size)

    def peek(self, value: bytes = b"") -> tuple[int, bytes]:
        """Return what `pop` would return, without removing it; a bloom filter looks up `value`."""
        return -EOPNOTSUPP, bytes(self.value_size)

    def for_each(self, visit: Callable[[bytes, Region], int]) -> int:
        """Call `visit(key, value)` for each element until it returns nonzero, and return the number of calls."""
        return -EINVAL

    def pending(self) -> list[UserRecord]:
        """Return the unread records, oldest first, without consuming them.

        Only ring buffers and perf event arrays have records.
        """
        return []

    def records(self) -> list[UserRecord]:
        """Consume the records that programs wrote for user space, and return them, oldest first."""
        return []

    # -- syscall side ----------------------------------------------------------------------------------------------

    def _check_syscall(self, key: bytes | None, *, writes: bool) -> None:
        if writes and (self.flags & BPF_F_RDONLY or self.frozen):
            raise kernel_error(EPERM, f"map {self.name!r} is read-only to user space")
        if not writes and self.flags & BPF_F_WRONLY:
            raise kernel_error(EPERM, f"map {self.name!r} is write-only to user space")
        if key is not None and len(key) != self.key_size:
            raise kernel_error(EINVAL, f"map {self.name!r} has keys of {self.key_size} bytes, not {len(key)}")

    def sys_lookup(self, key: bytes | None, flags: int = 0) -> bytes:
        """Return a copy of the value, with special fields zeroed (BPF_MAP_LOOKUP_ELEM).

        Raises:
            OSError: ENOENT if there is no such element, EINVAL for a key of another size or flags that the type
                refuses.
        """
        self._check_syscall(key, writes=False)
        if flags & ~BPF_F_LOCK or (flags & BPF_F_LOCK and not self._has_lock()):
            raise kernel_error(EINVAL, f"lookup in map {self.name!r}: flags {flags:#x}")
        region = self.find(key if key is not None else b"")
        if region is None:
            raise kernel_error(ENOENT, f"lookup in map {self.name!r}")
        return self.snapshot(region)

    def sys_update(self, key: bytes | None, value: bytes, flags: int = 0) -> None:
        """Create or change an element (BPF_MAP_UPDATE_ELEM).

        Raises:
            OSError: as for the type's `update`; EPERM for a frozen or read-only map.
        """
        self._check_syscall(key, writes=True)
        self._check_op_flags(flags)
        if len(value) != self.value_size:
            raise kernel_error(EINVAL, f"map {self.name!r} has values of {self.value_size} bytes, "
                                             f"not {len(value)}")
        self._raise(self.user_update(key if key is not None else b"", value, flags), "update of")
        self._settle()

    def user_update(self, key: bytes, value: bytes, flags: int) -> int:
        """Create or change an element for user space, for types where that differs; return 0 or a negative errno."""
        return self.update(key, value, flags)

    def _check_op_flags(self, flags: int) -> None:
        """Check the flags of an update, as bpf_map_check_op_flags does."""
        wrong = flags & BPF_F_LOCK and not self._has_lock()
        if self.names_cpus:
            cpus = flags & (BPF_F_CPU | BPF_F_ALL_CPUS)
            wrong = wrong or (cpus and not self.type.cpu_flags) or cpus == BPF_F_CPU | BPF_F_ALL_CPUS or (
                flags >> 32 and not flags & BPF_F_CPU)
        if wrong:
            raise kernel_error(EINVAL, f"update of map {self.name!r}: flags {flags:#x}")
        if self.names_cpus and flags & BPF_F_CPU and flags >> 32:
            raise kernel_error(ERANGE, f"update of map {self.name!r}: there is no CPU {flags >> 32}")

    def fill(self, key: bytes, value: bytes) -> None:
        """Set an element before a run, as a loader does; for most types this is an update.

        Raises:
            OSError: as for `sys_update`.
        """
        self.sys_update(key, value)

    def sys_delete(self, key: bytes) -> None:
        """Remove an element (BPF_MAP_DELETE_ELEM); raise `OSError` as for the type's `delete`."""
        self._check_syscall(key, writes=True)
        if not self.key_size:
            raise kernel_error(EINVAL, f"delete in map {self.name!r}, which has no keys")
        self._raise(self.delete(key), "delete in")
        self._settle()

    def sys_next_key(self, key: bytes | None = None) -> bytes:
        """Return the key after `key`, or the first for None (BPF_MAP_GET_NEXT_KEY).

        Raises:
            OSError: ENOENT at the end; ENOTSUPP if the type has no keys.
        """
        raise kernel_error(ENOTSUPP, f"keys of map {self.name!r}")

    def sys_lookup_and_delete(self, key: bytes | None = None, flags: int = 0) -> bytes:
        """Remove and return a value (BPF_MAP_LOOKUP_AND_DELETE_ELEM); raise `OSError` ENOTSUPP if the type cannot."""
        raise kernel_error(ENOTSUPP, f"lookup and delete in map {self.name!r}")

    def keys(self) -> Iterator[bytes]:
        """Yield all keys, as a loop over BPF_MAP_GET_NEXT_KEY does; the current one may be deleted meanwhile."""
        key: bytes | None = None
        while True:
            try:
                key = self.sys_next_key(key)
            except OSError as error:
                if error.errno == ENOENT:
                    return
                raise
            yield key

    def items(self) -> Iterator[tuple[bytes, bytes]]:
        """Yield all elements as user space sees them."""
        for key in self.keys():
            yield key, self.sys_lookup(key)

    def freeze(self) -> None:
        """Forbid further writes from user space (BPF_MAP_FREEZE)."""
        if self.frozen:
            raise kernel_error(EBUSY, f"freeze of map {self.name!r}")
        self.frozen = True

    def close(self) -> None:
        """Remove every element, and release what its kptrs own, because the last reference to the map is gone."""
        for region in list(self.values()):
            self._drop_value(region)
        self.kernel.maps.pop(self.id, None)
        self.kernel.memory.retire(self.region)

    def _settle(self) -> None:
        """Free elements that user space has replaced or deleted, unless a running program may still use them."""
        memory = self.kernel.memory
        if (memory.retired or memory.retired_bytes) and not self.kernel.stack.depth:
            memory.quiesce()

    def _has_lock(self) -> bool:
        return any(field.kind in ("spin_lock", "res_spin_lock") for field in self.fields)

    def _raise(self, result: int, what: str) -> None:
        if result < 0:
            raise kernel_error(result, f"{what} map {self.name!r}")
