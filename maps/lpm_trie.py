"""Longest-prefix match (Linux 7.2 kernel/bpf/lpm_trie.c).

A key is a u32 prefix length in host order, followed by data, most significant bit first. Instead of a trie, there is
one table for each prefix length in use; look-ups return the same results in O(lengths in use).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from ebpfvm.btf import types as t
from ebpfvm.contract import maptype as mt
from ebpfvm.contract.maptype import CreateArgs, MapRefusal, MapType
from ebpfvm.errnos import EEXIST, EINVAL, ENOENT, ENOSPC
from ebpfvm.maps import base

if TYPE_CHECKING:
    from collections.abc import Iterator

    from ebpfvm.kernel.emulated import Kernel
    from ebpfvm.kernel.memory import Region
    from ebpfvm.loader.object import MapSpec

_FLAGS = mt.BPF_F_NO_PREALLOC | mt.BPF_F_NUMA_NODE | base.ACCESS_FLAGS
_DATA_MIN, _DATA_MAX = 1, 256
_NODE_SIZE = 40  # sizeof(struct lpm_trie_node)


def lpm_alloc_check(args: CreateArgs) -> MapRefusal | None:
    """Check a definition as trie_alloc does."""
    refusal = mt.sizes(args) or mt.flags_within(args, _FLAGS)
    if refusal is None and not args.map_flags & mt.BPF_F_NO_PREALLOC:
        refusal = MapRefusal(EINVAL, "map_flags lack BPF_F_NO_PREALLOC, which a trie needs")
    data = args.key_size - 4
    if refusal is None and not _DATA_MIN <= data <= _DATA_MAX:
        refusal = MapRefusal(EINVAL, f"key_size is {args.key_size}, and must be from {4 + _DATA_MIN} to "
                                           f"{4 + _DATA_MAX}")
    if refusal is None and args.value_size > base.KMALLOC_MAX_SIZE - _DATA_MAX - _NODE_SIZE:
        refusal = MapRefusal(EINVAL, f"value_size is {args.value_size:,}, more than the kernel allocates in one "
                                           "piece")
    return refusal


def trie_check_btf(args: CreateArgs) -> MapRefusal | None:
    """Check BTF as trie_check_btf does: the key is a struct."""
    assert args.btf is not None
    keyed = isinstance(args.btf.resolved(args.key_type), t.Struct) if args.key_type else False
    return None if keyed else MapRefusal(EINVAL, "the BTF type of its key is no struct")


class LpmTrie(base.BpfMap):
    """BPF_MAP_TYPE_LPM_TRIE."""

    def __init__(self, kernel: Kernel, spec: MapSpec) -> None:
        super().__init__(kernel, spec)
        self._bits = (spec.key_size - 4) * 8
        # prefix length -> the prefix as a number -> (key as it was given, value)
        self._tables: dict[int, dict[int, tuple[bytes, Region]]] = {}

    def _split(self, key: bytes) -> tuple[int, int]:
        """Return (prefix length, data as a number of all its bits)."""
        return int.from_bytes(key[:4], "little"), int.from_bytes(key[4:], "big")

    def _prefix(self, data: int, length: int) -> int:
        return data >> (self._bits - length)

    def __len__(self) -> int:
        return sum(len(table) for table in self._tables.values())

    def find(self, key: bytes) -> Region | None:
        """Return the value of the longest stored prefix of `key` that is not longer than its own length."""
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
            return -EINVAL
        prefix = self._prefix(data, length)
        old = self._tables.get(length, {}).get(prefix)
        if old is not None and flags == base.BPF_NOEXIST:
            return -EEXIST
        if old is None and flags == base.BPF_EXIST:
            return -ENOENT
        if old is None and len(self) >= self.room:
            self.full()
            return -ENOSPC
        self._tables.setdefault(length, {})[prefix] = (key, self._new_value(value))
        if old is not None:
            self._drop_value(old[1])
        return 0

    def delete(self, key: bytes) -> int:
        length, data = self._split(key)
        if length > self._bits:
            return -EINVAL
        table = self._tables.get(length, {})
        old = table.pop(self._prefix(data, length), None)
        if old is None:
            return -ENOENT
        if not table:
            del self._tables[length]
        self._drop_value(old[1])
        return 0

    def values(self) -> Iterator[Region]:
        for table in self._tables.values():
            for _, region in table.values():
                yield region

    def _order(self, key: bytes) -> str:
        """Return a sort key for the kernel's order: both subtrees of a prefix before the prefix itself."""
        length, data = self._split(key)
        return format(self._prefix(data, length), f"0{length}b") + "2" if length else "2"

    def keys(self) -> Iterator[bytes]:
        """Yield all keys, longer prefixes before those that include them."""
        self._check_syscall(None, writes=False)
        stored = [key for table in self._tables.values() for key, _ in table.values()]
        return iter(sorted(stored, key=self._order))

    def sys_next_key(self, key: bytes | None = None) -> bytes:
        """Return the key after `key`; after a key that is not stored, the first."""
        self._check_syscall(key, writes=False)
        stored = list(self.keys())
        position = 0
        if key is not None and self._split(key)[0] <= self._bits:
            place = self._order(key)
            position = next((i + 1 for i, found in enumerate(stored) if self._order(found) == place), 0)
        if position >= len(stored):
            raise base.kernel_error(ENOENT, f"keys of map {self.name!r}")
        return stored[position]


LPM_TRIE = MapType("lpm_trie", LpmTrie, base.ORDINARY, batch=frozenset({"lookup", "update", "delete"}),
                   check=lpm_alloc_check, check_btf=trie_check_btf,
                   sleepable="later", kernel_struct="lpm_trie",
                   doc="The value of the longest prefix that matches, as a routing table does.")
LpmTrie.type = LPM_TRIE
