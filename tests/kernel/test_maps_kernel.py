"""The syscall side of our maps against a real kernel's: the same calls, the same values and errno.

Only maps are made, nothing is loaded, attached or pinned.
"""

from __future__ import annotations

import ctypes
import errno
import struct
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ebpfvm.dialects.rfc6 import rfc6
from ebpfvm.kernel.emulated import Kernel
from ebpfvm.loader.object import MapSpec
from ebpfvm.maps import make_map

pytestmark = pytest.mark.kernel

SYS_BPF = 321
CREATE, LOOKUP, UPDATE, DELETE, NEXT_KEY, LOOKUP_DELETE, FREEZE = 0, 1, 2, 3, 4, 21, 22
TYPES = {"hash": 1, "array": 2, "percpu_array": 6, "percpu_hash": 5, "lru_hash": 9, "lpm_trie": 11,
         "queue": 22, "stack": 23, "bloom_filter": 30, "ringbuf": 27}
_libc = ctypes.CDLL(None, use_errno=True)


def bpf(command: int, attr: bytes) -> int:
    """One bpf(2) call: its result, or a negative errno."""
    buffer = ctypes.create_string_buffer(attr.ljust(160, b"\0"), 160)
    result = int(_libc.syscall(SYS_BPF, command, buffer, 160))
    return result if result >= 0 else -ctypes.get_errno()


class KernelMap:
    """A map of the real kernel with the methods of ours."""

    def __init__(self, fd: int, key_size: int, value_size: int) -> None:
        self.fd, self.key_size, self.value_size = fd, key_size, value_size

    def _elem(self, command: int, key: bytes | None, value: bytes | None, flags: int = 0) -> tuple[int, bytes]:
        key_buffer = ctypes.create_string_buffer(key or b"", max(1, len(key or b"")))
        value_buffer = ctypes.create_string_buffer(value if value is not None else bytes(self.value_size), 256)
        attr = struct.pack("<IIQQQ", self.fd, 0, ctypes.addressof(key_buffer) if key else 0,
                           0 if command == DELETE else ctypes.addressof(value_buffer), flags)
        return bpf(command, attr), bytes(value_buffer.raw)

    def update(self, key: bytes | None, value: bytes, flags: int) -> int:
        return self._elem(UPDATE, key, value, flags)[0]

    def delete(self, key: bytes) -> int:
        return self._elem(DELETE, key, None)[0]

    def lookup(self, key: bytes | None) -> int | bytes:
        result, value = self._elem(LOOKUP, key, None)
        return value[:self.value_size] if result >= 0 else result

    def lookup_and_delete(self, key: bytes | None) -> int | bytes:
        result, value = self._elem(LOOKUP_DELETE, key, None)
        return value[:self.value_size] if result >= 0 else result

    def next_key(self, key: bytes | None) -> int | bytes:
        result, value = self._elem(NEXT_KEY, key, bytes(self.key_size))
        return value[:self.key_size] if result >= 0 else result


class OurMap:
    """Ours, with errors as negative errno."""

    def __init__(self, real: Any) -> None:
        self.real = real

    @staticmethod
    def _call(function: Any, *args: Any) -> Any:
        try:
            return function(*args)
        except OSError as error:
            return -int(error.errno or 0)

    def update(self, key: bytes | None, value: bytes, flags: int) -> int:
        return self._call(self.real.sys_update, key, value, flags) or 0

    def delete(self, key: bytes) -> int:
        return self._call(self.real.sys_delete, key) or 0

    def lookup(self, key: bytes | None) -> Any:
        return self._call(self.real.sys_lookup, key)

    def lookup_and_delete(self, key: bytes | None) -> Any:
        return self._call(self.real.sys_lookup_and_delete, key)

    def next_key(self, key: bytes | None) -> Any:
        return self._call(self.real.sys_next_key, key)


def create(type: str, key: int, value: int, entries: int, flags: int = 0, extra: int = 0) -> int:
    return bpf(CREATE, struct.pack("<16IQ", TYPES[type], key, value, entries, flags, *([0] * 11), extra))


@pytest.fixture(scope="module", autouse=True)
def permitted() -> Iterator[None]:
    result = create("array", 4, 8, 1)
    if result < 0:
        pytest.skip(f"bpf(2) is not permitted here (errno {-result})")
    close(result)
    yield


def close(fd: int) -> None:
    import os

    os.close(fd)


def pair(type: str, key: int, value: int, entries: int, flags: int = 0) -> tuple[KernelMap, OurMap]:
    fd = create(type, key, value, entries, flags)
    assert fd >= 0, errno.errorcode[-fd]
    spec = MapSpec(type, key, value, entries, flags, name="m")
    return KernelMap(fd, key, value), OurMap(make_map(Kernel(rfc6()), spec))


KEYS = st.integers(0, 6).map(lambda n: n.to_bytes(4, "little"))
VALUES = st.binary(min_size=8, max_size=8)
FLAGS = st.sampled_from([0, 0, 0, 1, 2, 3, 4, 5, 8])
OPS = st.one_of(st.tuples(st.just("update"), KEYS, VALUES, FLAGS), st.tuples(st.just("lookup"), KEYS),
                st.tuples(st.just("delete"), KEYS))


@pytest.mark.parametrize("type", ["hash", "array"])
@given(ops=st.lists(OPS, max_size=25))
@settings(max_examples=150, deadline=None)
def test_elements(type: str, ops: list[tuple[Any, ...]]) -> None:
    theirs, ours = pair(type, 4, 8, 4)
    try:
        for op in ops:
            assert getattr(ours, op[0])(*op[1:]) == getattr(theirs, op[0])(*op[1:]), op
        key: Any = None
        found, wanted = [], []
        while isinstance(key := theirs.next_key(key), bytes):
            wanted.append(key)
        end = key
        key = None
        while isinstance(key := ours.next_key(key), bytes):
            found.append(key)
        assert (sorted(found), key) == (sorted(wanted), end)
    finally:
        close(theirs.fd)


@pytest.mark.parametrize("type", ["queue", "stack"])
@given(ops=st.lists(st.one_of(st.tuples(st.just("update"), st.none(), VALUES, FLAGS),
                              st.tuples(st.just("lookup"), st.none()),
                              st.tuples(st.just("lookup_and_delete"), st.none())), max_size=25))
@settings(max_examples=100, deadline=None)
def test_queue_and_stack(type: str, ops: list[tuple[Any, ...]]) -> None:
    theirs, ours = pair(type, 0, 8, 3)
    try:
        for op in ops:
            assert getattr(ours, op[0])(*op[1:]) == getattr(theirs, op[0])(*op[1:]), op
    finally:
        close(theirs.fd)


PREFIXES = st.builds(lambda length, data: length.to_bytes(4, "little") + data.to_bytes(2, "big"),
                     st.integers(0, 17), st.sampled_from([0, 0x8000, 0xC000, 0xC0A8, 0xC0A0, 0x0A00, 0xFFFF]))
LPM_OPS = st.one_of(st.tuples(st.just("update"), PREFIXES, VALUES, FLAGS), st.tuples(st.just("lookup"), PREFIXES),
                    st.tuples(st.just("delete"), PREFIXES), st.tuples(st.just("next_key"), PREFIXES),
                    st.tuples(st.just("next_key"), st.none()))


@given(ops=st.lists(LPM_OPS, max_size=25))
@settings(max_examples=150, deadline=None)
def test_lpm_trie(ops: list[tuple[Any, ...]]) -> None:
    theirs, ours = pair("lpm_trie", 6, 8, 5, 1)
    try:
        for op in ops:
            assert getattr(ours, op[0])(*op[1:]) == getattr(theirs, op[0])(*op[1:]), op
    finally:
        close(theirs.fd)


@given(st.sampled_from(sorted(TYPES)), st.sampled_from([0, 1, 4, 6, 8, 300]), st.sampled_from([0, 1, 4, 8]),
       st.sampled_from([0, 1, 4, 4096, 5000]),
       st.sampled_from([0, 1, 2, 4, 8, 16, 0x40, 0x80, 0x100, 0x180, 0x400, 0x800, 0x1000]))
@settings(max_examples=400, deadline=None)
def test_creation_is_refused_alike(type: str, key: int, value: int, entries: int, flags: int) -> None:
    if flags == 4:
        return  # BPF_F_NUMA_NODE names node 0 then, which a kernel has or not
    result = create(type, key, value, entries, flags)
    if result >= 0:
        close(result)
    try:
        make_map(Kernel(rfc6()), MapSpec(type, key, value, entries, flags, name="m"))
        ours = 0
    except OSError as error:
        ours = -int(error.errno or 0)
    assert ours == min(result, 0)
