"""Hash tables: plain, least-recently-used, and per CPU (Linux 7.2 kernel/bpf/hashtab.c).

Keys are in insertion order. The kernel's order depends on a random seed, so no program can rely on it.
"""

from __future__ import annotations

from functools import partial
from itertools import islice
from typing import TYPE_CHECKING

from ebpfvm.contract import maptype as mt
from ebpfvm.contract.maptype import CreateArgs, MapRefusal, MapType
from ebpfvm.errnos import E2BIG, EEXIST, EINVAL, ENOENT, ENOTSUPP
from ebpfvm.ints import U32_MAX
from ebpfvm.maps import base
from ebpfvm.maps.array import cut_percpu
from ebpfvm.maps.keyed import Content, KeyedMap

if TYPE_CHECKING:
    from collections.abc import Iterator

    from ebpfvm.kernel.memory import Region

_FLAGS = mt.BPF_F_NO_PREALLOC | mt.BPF_F_NUMA_NODE | base.ACCESS_FLAGS | mt.BPF_F_ZERO_SEED
_ELEM_SIZE = 48  # sizeof(struct htab_elem)
_MAX_ENTRIES = 1 << 27  # the number of buckets is rounded up to a power of two; buckets of 16 bytes must fit in 32 bits


def htab_alloc_check(args: CreateArgs, lru: bool = False, percpu: bool = False) -> MapRefusal | None:
    """Check a definition as htab_map_alloc_check does."""
    refusal = mt.flags_within(args, _FLAGS | mt.BPF_F_NO_COMMON_LRU)
    if refusal is None and args.map_flags & mt.BPF_F_NO_COMMON_LRU and not lru:
        refusal = MapRefusal(EINVAL, "map_flags BPF_F_NO_COMMON_LRU belong to LRU maps")
    if refusal is None and lru and args.map_flags & mt.BPF_F_NO_PREALLOC:
        refusal = MapRefusal(ENOTSUPP, "an LRU map is always preallocated: BPF_F_NO_PREALLOC is impossible")
    refusal = refusal or mt.sizes(args)
    if refusal is None and args.max_entries > _MAX_ENTRIES:
        refusal = MapRefusal(E2BIG, f"max_entries is {args.max_entries:,}, more than {_MAX_ENTRIES:,}")
    if refusal is None and args.key_size + args.value_size >= base.KMALLOC_MAX_SIZE - _ELEM_SIZE:
        return MapRefusal(E2BIG, f"key and value have {args.key_size + args.value_size:,} bytes, more than the "
                                       "kernel allocates in one piece")
    if refusal is None and percpu and -(-args.value_size // 8) * 8 > base.PCPU_MIN_UNIT_SIZE:
        return MapRefusal(E2BIG, f"value_size is {args.value_size:,}, and a value per CPU has at most "
                                       f"{base.PCPU_MIN_UNIT_SIZE:,} bytes")
    return refusal


class HashMap(KeyedMap):
    """BPF_MAP_TYPE_HASH; all operations are O(1), except get_next_key of an absent key, which is O(n)."""

    def put(self, key: int, value: Content, flags: int) -> int:
        if flags & ~base.BPF_F_LOCK > base.BPF_EXIST or (flags & base.BPF_F_LOCK and not self._has_lock()):
            return -EINVAL
        region = self.elems.get(key)
        if region is not None:
            if flags & base.BPF_NOEXIST:
                return -EEXIST
            self._replace(key, region, value, flags)
            return 0
        if flags & base.BPF_EXIST:
            return -ENOENT
        return self._insert(key, value)

    def _replace(self, key: int, region: Region, value: Content, flags: int) -> None:
        """Replace an element by a new one, as the kernel does, unless BPF_F_LOCK requests an update in place."""
        if flags & base.BPF_F_LOCK:
            self._overwrite(region, value)
            return
        self.elems[key] = self._new_value(value)
        self._drop_value(region)

    def _insert(self, key: int, value: Content) -> int:
        if len(self.elems) >= self.room:
            return self.full()
        self.elems[key] = self._new_value(value)
        return 0

    def remove(self, key: int) -> int:
        region = self.elems.pop(key, None)
        if region is None:
            return -ENOENT
        self._drop_value(region)
        return 0

    def walk(self) -> Iterator[tuple[int, Region]]:
        """Yield the elements that exist now, except those that are deleted or replaced before their turn."""
        for key, region in list(self.elems.items()):
            if self.elems.get(key) is region:
                yield key, region

    def nth(self, number: int) -> int | None:
        """Return the key that a walk visits as number `number`, from 0, if nothing changes meanwhile; None beyond."""
        return next(islice(self.elems, number, None), None)

    def sys_next_key(self, key: bytes | None = None) -> bytes:
        self._check_syscall(key, writes=False)
        keys = iter(self.elems)
        wanted = self._number(key) if key is not None else None
        if wanted in self.elems:
            for found in keys:
                if found == wanted:
                    break
        for following in keys:
            return following.to_bytes(self.key_size, self.key_order)
        raise base.kernel_error(ENOENT, f"keys of map {self.name!r}")

    def keys(self) -> Iterator[bytes]:
        """Yield all keys that exist at the time of the call, in O(n)."""
        self._check_syscall(None, writes=False)
        return iter(self._bytes_of(self.elems))

    def sys_lookup_and_delete(self, key: bytes | None = None, flags: int = 0) -> bytes:
        value = self.sys_lookup(key, flags)
        self._raise(self.delete(key or b""), "delete in")
        return value

    def close(self) -> None:
        super().close()
        self.elems.clear()


class LruHash(HashMap):
    """BPF_MAP_TYPE_LRU_HASH: a full map drops the least recently used element.

    The kernel approximates that order with per-CPU lists; here it is exact.
    """

    def get(self, key: int) -> Region | None:
        region = self.elems.pop(key, None)
        if region is not None:
            self.elems[key] = region
        return region

    def _replace(self, key: int, region: Region, value: Content, flags: int) -> None:
        del self.elems[key]
        self.elems[key] = region
        super()._replace(key, region, value, flags)

    def sys_lookup(self, key: bytes | None, flags: int = 0) -> bytes:
        """Return the value as `HashMap` does; a lookup from user space does not count as a use."""
        order = list(self.elems) if key is not None and self._number(key) in self.elems else []
        value = super().sys_lookup(key, flags)
        if order:
            self.elems = {name: self.elems[name] for name in order}
        return value

    def _insert(self, key: int, value: Content) -> int:
        if len(self.elems) >= self.room:
            self.full()
            self.remove(next(iter(self.elems)))
        return super()._insert(key, value)


class PercpuHash(HashMap):
    """BPF_MAP_TYPE_PERCPU_HASH on a machine with one CPU; user space sees values rounded up to 8 bytes."""

    def put(self, key: int, value: Content, flags: int) -> int:
        if self.names_cpus:
            if flags & U32_MAX > base.BPF_F_ALL_CPUS or flags & base.BPF_F_LOCK:
                return -EINVAL
            # The kernel checks for these two flags only, and only for each alone.
            flags = flags if flags in (base.BPF_NOEXIST, base.BPF_EXIST) else base.BPF_ANY
        return super().put(key, value, flags)

    def _replace(self, key: int, region: Region, value: Content, flags: int) -> None:
        self._overwrite(region, value)

    def lookup_percpu(self, key: bytes, cpu: int) -> int:
        return self.lookup(key) if cpu == 0 else 0

    def sys_lookup(self, key: bytes | None, flags: int = 0) -> bytes:
        value = super().sys_lookup(key, flags)
        return value.ljust(-(-len(value) // 8) * 8, b"\0")

    def sys_update(self, key: bytes | None, value: bytes, flags: int = 0) -> None:
        super().sys_update(key, cut_percpu(value, self.value_size), flags)


class LruPercpuHash(LruHash, PercpuHash):
    """BPF_MAP_TYPE_LRU_PERCPU_HASH."""


_PERCPU = base.ORDINARY | {"bpf_map_lookup_percpu_elem"}
_FIELDS = mt.KPTRS | mt.ASYNC | mt.GRAPHS | {"refcount"}
HASH = MapType("hash", HashMap, base.ORDINARY, fields=_FIELDS | mt.LOCKS, for_each=True, batch=base.BATCH,
               check=htab_alloc_check, check_btf=mt.keyed,
               sleepable="yes", kernel_struct="bpf_htab",
               doc="Any key to a value.")
LRU_HASH = MapType("lru_hash", LruHash, base.ORDINARY, fields=_FIELDS, for_each=True, batch=base.BATCH,
                   check=partial(htab_alloc_check, lru=True),
                   check_btf=mt.keyed,
                   sleepable="yes", kernel_struct="bpf_htab",
                   doc="A hash that forgets what was used longest ago.")
PERCPU_HASH = MapType("percpu_hash", PercpuHash, _PERCPU, fields=mt.KPTRS | {"refcount"}, percpu=True,
                      cpu_flags=True, for_each=True, batch=base.BATCH, check=partial(htab_alloc_check, percpu=True),
                      check_btf=mt.keyed,
                      sleepable="yes", kernel_struct="bpf_htab",
                      doc="A hash with a value per CPU.")
LRU_PERCPU_HASH = MapType("lru_percpu_hash", LruPercpuHash, _PERCPU, fields=mt.KPTRS | {"refcount"}, percpu=True,
                          cpu_flags=True, for_each=True, batch=base.BATCH, check_btf=mt.keyed,
                          check=partial(htab_alloc_check, lru=True, percpu=True),
                          sleepable="yes", kernel_struct="bpf_htab",
                          doc="A hash with a value per CPU that forgets what was used longest ago.")
HashMap.type = HASH
LruHash.type = LRU_HASH
PercpuHash.type = PERCPU_HASH
LruPercpuHash.type = LRU_PERCPU_HASH
