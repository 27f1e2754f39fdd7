"""Batch commands: errno and count as a kernel has them."""

from __future__ import annotations

import ctypes
import errno
import os
import struct
from typing import Any

import pytest

from ebpfvm.dialects import linux
from ebpfvm.kernel import Kernel
from ebpfvm.loader.object import MapSpec
from ebpfvm.maps import BpfMap, make_map
from ebpfvm.maps.batch import BatchError, delete_batch, lookup_and_delete_batch, lookup_batch, update_batch
from tests.kernel.sysbpf import MAP_CREATE, bpf

pytestmark = pytest.mark.kernel

# name -> number, key size, flags
TYPES = {"hash": (1, 4, 0), "array": (2, 4, 0), "lru_hash": (9, 4, 0), "lpm_trie": (11, 8, 1), "queue": (22, 0, 0),
         "percpu_array": (6, 4, 0)}
LOOKUP, LOOKUP_AND_DELETE, UPDATE, DELETE = 24, 25, 26, 27
ENTRIES = 4
Outcome = tuple[int, int]


def keys_of(type: str, count: int) -> list[bytes]:
    if type == "lpm_trie":
        return [struct.pack("<II", 32, n) for n in range(count)]
    return [n.to_bytes(4, "little") for n in range(count)]


def create(type: str) -> int:
    number, key_size, flags = TYPES[type]
    attr = ctypes.create_string_buffer(160)
    struct.pack_into("<IIIII", attr, 0, number, key_size, 8, ENTRIES, flags)
    fd = bpf(MAP_CREATE, attr)
    assert fd >= 0
    return fd


def real(fd: int, type: str, command: int, count: int, flags: int = 0) -> Outcome:
    """errno (0 for success) and count of a batch command in the kernel."""
    keys = ctypes.create_string_buffer(b"".join(keys_of(type, count)) or bytes(64), 64 + 8 * count)
    values, position = ctypes.create_string_buffer(8 * 64 * (count + 1)), ctypes.create_string_buffer(16)
    attr = ctypes.create_string_buffer(160)
    struct.pack_into("<QQQQIIQQ", attr, 0, 0, ctypes.addressof(position), ctypes.addressof(keys),
                     ctypes.addressof(values), count, fd, flags, 0)
    result = bpf(command, attr)
    return -result, struct.unpack_from("<I", attr, 32)[0]


def ours(found: BpfMap, type: str, command: int, count: int, flags: int = 0) -> Outcome:
    """The same from ebpfvm: ENOENT for a read that came to the end."""
    keys = keys_of(type, count)
    calls: dict[int, Any] = {
        LOOKUP: lambda: lookup_batch(found, None, count, flags),
        LOOKUP_AND_DELETE: lambda: lookup_and_delete_batch(found, None, count, flags),
        UPDATE: lambda: update_batch(found, [(key, bytes(8)) for key in keys], flags),
        DELETE: lambda: delete_batch(found, keys, flags)}
    try:
        result = calls[command]()
    except OSError as error:
        return error.errno or 0, error.done if isinstance(error, BatchError) else 0
    if isinstance(result, int):
        return 0, result
    return errno.ENOENT if result.position is None and count else 0, len(result.items)


# No read stops in the middle: of a hash that depends on its buckets (see maps/batch.py).
SCRIPT = [(UPDATE, 3, 0), (LOOKUP, 9, 0), (UPDATE, 2, 1), (UPDATE, 6, 0), (LOOKUP, 0, 0), (DELETE, 2, 0),
          (DELETE, 3, 0), (LOOKUP, 9, 4), (LOOKUP, 9, 8), (LOOKUP_AND_DELETE, 9, 0), (LOOKUP, 9, 0), (DELETE, 1, 0),
          (UPDATE, 1, 4)]


@pytest.mark.parametrize("type", TYPES)
def test_batches_do_as_the_kernel(type: str) -> None:
    fd = create(type)
    number, key_size, flags = TYPES[type]
    found = make_map(Kernel(linux((6, 18))), MapSpec(number, key_size, 8, ENTRIES, flags, name=type))
    seen = []
    try:
        for command, count, elem_flags in SCRIPT:
            there, here = real(fd, type, command, count, elem_flags), ours(found, type, command, count, elem_flags)
            if there[0] in (524, errno.EINVAL):
                there, here = (there[0], 0), (here[0], 0)  # the count is not written then
            seen.append(((command, count, elem_flags), there, here))
    finally:
        os.close(fd)
    assert [item for item in seen if item[1] != item[2]] == []
