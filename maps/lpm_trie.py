"""Longest-prefix match (Linux 7.2 kernel/bpf/lpm_trie.c).

A key is a u32 prefix length in host order, then data, most significant bit first. Instead of a trie there is a table
for each prefix length in use: the same answers, in O(lengths in use).
"""

from __future__ import annotations

import errno
from typing import TYPE_CHECKING

from ebpfvm.contract.maptype import MapType
from ebpfvm.maps import base

if TYPE_CHECKING:
    from collections.abc import Iterator

    from ebpfvm.kernel.memory import Region
    from ebpfvm.kernel.state import Kernel
    from ebpfvm.loader.object import MapSpec

_FLAGS = base.BPF_F_NO_PREALLOC | base.BPF_F_NUMA_NODE | base.ACCESS_FLAGS
_DATA_MIN, _DATA_MAX = 1, 256


def lpm_alloc_check(spec: MapSpec, caps: object) -> int:
    """trie_alloc's checks: 0 or a negative errno. BPF_F_NO_PREALLOC is a must."""
    data = spec.key_size - 4
    if (not spec.max_entries or not spec.map_flags & base.BPF_F_NO_PREALLOC or not base.flags_ok(spec, _FLAGS)
            or not _DATA_MIN <= data <= _DATA_MAX or not spec.value_size):
        return -errno.EINVAL
    return -errno.EINVAL if spec.value_size > base.KMALLOC_MAX_SIZE else 0


class LpmTrie(base.BpfMap):
    """BPF_MAP_TYPE_LPM_TRIE."""

    def __init__(self, kernel: Kernel, spec: MapSpec) -> None:
        super().__init__(kernel, spec)
        self._bits = (spec.key_size - 4) * 8
        # prefix length -> the prefix as a number -> (key as it was given, value)
        self._tables: dict[int, dict[int, tuple[bytes, Region]]] = {}

    def _split(self, key: bytes) -> tuple[int, int]:
        """(prefix length, data as a number of all its bits)."""
        return int.from_bytes(key[:4], "little"), int.from_bytes(key[4:], "big")

    def _prefix(self, data: int, length: int) -> int:
        return data >> (self._bits - length)

    def __len__(self) -> int:
        return sum(len(table) for table in self._tables.values())

    def find(self, key: bytes) -> Region | None:
        """The value of the longest stored prefix of `key` that is no longer than its own length."""
        length, data = self._split(key)
        if length > self._bits:
            return None
        for candidate in sorted(self._tables, reverse=True):
            if candidate <= length:
                found = self._tables[candidate].get(self._prefix(data, candidate))
                if found is not None:
                    return found[1]
        return None

    def update(self, key: bytes, value: bytes, flags: int) -> int:
        length, data = self._split(key)
        if flags > base.BPF_EXIST or length > self._bits:
            return -errno.EINVAL
        prefix = self._prefix(data, length)
        old = self._tables.get(length, {}).get(prefix)
        if old is not None and flags == base.BPF_NOEXIST:
            return -errno.EEXIST
        if old is None and flags == base.BPF_EXIST:
            return -errno.ENOENT
        if old is None and len(self) >= self.room:
            self.full()
            return -errno.ENOSPC
        self._tables.setdefault(length, {})[prefix] = (key, self._new_value(value))
        if old is not None:
            self._drop_value(old[1])
        return 0

    def delete(self, key: bytes) -> int:
        length, data = self._split(key)
        if length > self._bits:
            return -errno.EINVAL
        table = self._tables.get(length, {})
        old = table.pop(self._prefix(data, length), None)
        if old is None:
            return -errno.ENOENT
        if not table:
            del self._tables[length]
        self._drop_value(old[1])
        return 0

    def values(self) -> Iterator[Region]:
        for table in self._tables.values():
            for _, region in table.values():
                yield region

    def _order(self, key: bytes) -> str:
        """Sorts as the kernel walks: both subtrees of a prefix before the prefix itself."""
        length, data = self._split(key)
        return format(self._prefix(data, length), f"0{length}b") + "2" if length else "2"

    def keys(self) -> Iterator[bytes]:
        """All keys, longer prefixes before those that hold them."""
        self._check_syscall(None, writes=False)
        stored = [key for table in self._tables.values() for key, _ in table.values()]
        return iter(sorted(stored, key=self._order))

    def sys_next_key(self, key: bytes | None = None) -> bytes:
        """The key after `key`; a key that is not stored starts again at the first."""
        self._check_syscall(key, writes=False)
        stored = list(self.keys())
        position = 0
        if key is not None and self._split(key)[0] <= self._bits:
            place = self._order(key)
            position = next((i + 1 for i, found in enumerate(stored) if self._order(found) == place), 0)
        if position >= len(stored):
            raise base.kernel_error(errno.ENOENT, f"keys of map {self.name!r}")
        return stored[position]


LPM_TRIE = MapType("lpm_trie", LpmTrie, base.ELEM_FUNCS, check=lpm_alloc_check,
                   doc="The value of the longest prefix that matches, as a routing table does.")
LpmTrie.type = LPM_TRIE
