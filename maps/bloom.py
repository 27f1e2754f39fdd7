"""Bloom filter: a set that may wrongly say yes, but never wrongly no (Linux 7.2 kernel/bpf/bloom_filter.c).

The bits are stored as a set of positions, so that memory is used only for pushed values and not for the declared size.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from ebpfvm.contract import maptype as mt
from ebpfvm.contract.maptype import CreateArgs, MapRefusal, MapType
from ebpfvm.errnos import E2BIG, EINVAL, ENOENT, EOPNOTSUPP
from ebpfvm.maps import base

if TYPE_CHECKING:
    from collections.abc import Iterator

    from ebpfvm.kernel.emulated import Kernel
    from ebpfvm.loader.object import MapSpec

_FLAGS = mt.BPF_F_NUMA_NODE | mt.BPF_F_ZERO_SEED | base.ACCESS_FLAGS
_DEFAULT_HASHES = 5
_MAX_HASHES = 15


def bloom_alloc_check(args: CreateArgs) -> MapRefusal | None:
    """Check a definition as bloom_map_alloc does."""
    refusal = mt.sizes(args, 0) or mt.flags_within(args, _FLAGS)
    if refusal is None and args.map_extra & ~_MAX_HASHES:
        return MapRefusal(EINVAL, f"map_extra is {args.map_extra:#x}; the number of hash functions is at most 15")
    if refusal is None and args.value_size > base.KMALLOC_MAX_SIZE:
        return MapRefusal(E2BIG, f"value_size is {args.value_size:,}, more than {base.KMALLOC_MAX_SIZE:,}")
    return refusal


def bloom_check_btf(args: CreateArgs) -> MapRefusal | None:
    """Check BTF as bloom_map_check_btf does: there is no key."""
    return MapRefusal(EINVAL, "BTF names a type of its key, and there is none") if args.key_type else None


class BloomFilter(base.BpfMap):
    """BPF_MAP_TYPE_BLOOM_FILTER; `map_extra` is the number of hash functions (5 if 0)."""

    def __init__(self, kernel: Kernel, spec: MapSpec) -> None:
        super().__init__(kernel, spec)
        self._hashes = spec.map_extra or _DEFAULT_HASHES
        wanted = max(64, round(spec.max_entries * self._hashes / math.log(2)))
        self._mask = (1 << min(32, (wanted - 1).bit_length())) - 1
        self._bits: set[int] = set()

    def _positions(self, value: bytes) -> Iterator[int]:
        from hashlib import blake2b  # here, because it loads OpenSSL, and few programs have such a map
        for seed in range(self._hashes):
            digest = blake2b(value, digest_size=8, salt=seed.to_bytes(16, "little")).digest()
            yield int.from_bytes(digest, "little") & self._mask

    def push(self, value: bytes, flags: int) -> int:
        if flags != base.BPF_ANY:
            return -EINVAL
        before = len(self._bits)
        self._bits.update(self._positions(value))
        if len(self._bits) > before:
            self._count(0)
        return 0

    def peek(self, value: bytes = b"") -> tuple[int, bytes]:
        found = all(position in self._bits for position in self._positions(value))
        return (0 if found else -ENOENT), value

    def update(self, key: bytes, value: bytes, flags: int) -> int:
        """Push a value, which is what an update from user space means."""
        return self.push(value, flags)

    def contains(self, value: bytes) -> bool:
        """Return whether the filter contains a value, as BPF_MAP_LOOKUP_ELEM of user space does."""
        return self.peek(value)[0] == 0

    def sys_next_key(self, key: bytes | None = None) -> bytes:
        raise base.kernel_error(EOPNOTSUPP, f"keys of map {self.name!r}")


BLOOM_FILTER = MapType("bloom_filter", BloomFilter, frozenset({"bpf_map_push_elem", "bpf_map_peek_elem"}),
                       map_extra=True, check=bloom_alloc_check, check_btf=bloom_check_btf,
                       kernel_struct="bpf_bloom_filter", peek_asks=True,
                       doc="Was this value pushed? Perhaps, or certainly not.")
BloomFilter.type = BLOOM_FILTER
