"""The batch commands of bpf(2), and map ids (kernel/bpf/syscall.c, Linux 7.2).

A position in a map (`in_batch`, `out_batch`) is opaque to user space: for most types it is the last key, for the hash
family the number of a bucket. Here it is always the last key, so that a batch of a hash ends after exactly `count`
elements, and never with ENOSPC for a bucket that does not fit. Each type declares which commands it supports;
the RFC's rbtree supports none.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from ebpfvm.errnos import EINVAL, ENOENT, ENOTSUPP
from ebpfvm.lazy_tuples import NamedTuple
from ebpfvm.maps.base import BPF_F_LOCK, kernel_error

if TYPE_CHECKING:
    from collections.abc import Iterable

    from ebpfvm.kernel.emulated import Kernel
    from ebpfvm.maps.base import BpfMap

class Batch(NamedTuple):
    """The result of a batch look-up.

    Attributes:
        items: (key, value).
        position: where to continue, None at the end of the map (the kernel returns ENOENT and the count).
    """

    items: list[tuple[bytes, bytes]]
    position: bytes | None


class BatchError(OSError):
    """A batch stopped at an element; the errno is that of the corresponding single-element command.

    Attributes:
        done: number of elements completed before (the kernel's `count`).
    """

    done: int = 0


def _check(bpf_map: BpfMap, command: str, flags: int) -> None:
    if command not in bpf_map.type.batch:
        raise kernel_error(ENOTSUPP, f"batch {command} of map {bpf_map.name!r}")
    locks = any(field.kind in ("spin_lock", "res_spin_lock") for field in bpf_map.fields)
    if flags & ~BPF_F_LOCK or (flags & BPF_F_LOCK and not locks):
        raise kernel_error(EINVAL, f"batch {command} of map {bpf_map.name!r}: flags {flags:#x}")


def lookup_batch(bpf_map: BpfMap, position: bytes | None = None, count: int = 1 << 32, flags: int = 0) -> Batch:
    """Return up to `count` elements after a position, None for the start (BPF_MAP_LOOKUP_BATCH).

    Raises:
        OSError: ENOTSUPP if the type does not support it, EINVAL for unknown flags, EPERM for a write-only map.
    """
    _check(bpf_map, "lookup", flags)
    return _read(bpf_map, position, count)


def lookup_and_delete_batch(bpf_map: BpfMap, position: bytes | None = None, count: int = 1 << 32,
                            flags: int = 0) -> Batch:
    """Return elements as `lookup_batch` does, and remove them (BPF_MAP_LOOKUP_AND_DELETE_BATCH)."""
    _check(bpf_map, "lookup and delete", flags)
    found = _read(bpf_map, position, count)
    for key, _ in found.items:
        bpf_map.sys_delete(key)
    return found


def _read(bpf_map: BpfMap, position: bytes | None, count: int) -> Batch:
    items: list[tuple[bytes, bytes]] = []
    key = position or None
    while len(items) < count:
        try:
            key = bpf_map.sys_next_key(key)
        except OSError as error:
            if error.errno == ENOENT:
                return Batch(items, None)
            raise
        try:
            items.append((key, bpf_map.sys_lookup(key)))
        except OSError as error:
            if error.errno != ENOENT:  # a slot of a map of maps may be empty
                raise
    return Batch(items, key)


def update_batch(bpf_map: BpfMap, items: Iterable[tuple[bytes, bytes]], flags: int = 0) -> int:
    """Update the elements one by one, and return the number of updates (BPF_MAP_UPDATE_BATCH).

    Raises:
        OSError: ENOTSUPP or EINVAL as for `lookup_batch`.
        BatchError: an update failed; those before it have been made.
    """
    _check(bpf_map, "update", flags)
    done = 0
    for key, value in items:
        try:
            bpf_map.sys_update(key, value, flags)
        except OSError as error:
            raise _stopped(error, done) from error
        done += 1
    return done


def delete_batch(bpf_map: BpfMap, keys: Iterable[bytes], flags: int = 0) -> int:
    """Delete the elements one by one, and return the number of deletions; raise as `update_batch` does."""
    _check(bpf_map, "delete", flags)
    done = 0
    for key in keys:
        try:
            bpf_map.sys_delete(key)
        except OSError as error:
            raise _stopped(error, done) from error
        done += 1
    return done


def _stopped(error: OSError, done: int) -> BatchError:
    stopped = BatchError(error.errno, f"{error.strerror} (after {done} elements)")
    stopped.done = done
    return stopped


def next_id(kernel: Kernel, id: int = 0) -> int:
    """Return the smallest id of a map above `id` (BPF_MAP_GET_NEXT_ID); `kernel.maps[id]` is the map.

    Raises:
        OSError: ENOENT if there is none.
    """
    above = [number for number in kernel.maps if number > id]
    if not above:
        raise kernel_error(ENOENT, f"a map with an id above {id}")
    return min(above)
