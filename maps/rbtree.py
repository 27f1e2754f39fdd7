"""The RFC's rbtree map: a priority queue that owns packets (RFC v6 patch 1/5, BPF_MAP_TYPE_RBTREE).

Keys are ordered as bytes (memcmp), so a program stores ranks big-endian; equal keys cannot exist. Where the posted
code was silent or broken, these decisions hold:

* `pop` is callable from a program (D12). It copies the value but skips kptr slots, then releases what they own.
* Values may hold kptrs (D13).
* Update flags other than BPF_ANY, BPF_NOEXIST, BPF_EXIST are -EINVAL, BPF_F_LOCK always is (D14).
* get_next_key of the last key is -ENOENT (D15).
* A full map answers -E2BIG, as a hash does (D16): an untrusted object must not grow memory without bound.
* Keys are compared as bytes and never as integers (D17).
* Iteration fetches the next node before it calls back; deleting that next node is a use-after-free (D18).
"""

from __future__ import annotations

import errno
from typing import TYPE_CHECKING

from sortedcontainers import SortedDict

from ebpfvm.contract.maptype import MapType
from ebpfvm.errors import Fault
from ebpfvm.maps import base

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from ebpfvm.kernel.memory import Region
    from ebpfvm.kernel.state import Kernel
    from ebpfvm.loader.object import MapSpec

_FLAGS = base.BPF_F_NUMA_NODE | base.ACCESS_FLAGS


def rbtree_alloc_check(spec: MapSpec, caps: object) -> int:
    """The RFC's creation checks: 0 or a negative errno. Sizes of 0 are legal, a key of 0 bytes makes one element."""
    if not spec.max_entries or not base.flags_ok(spec, _FLAGS):
        return -errno.EINVAL
    return -errno.E2BIG if spec.value_size > base.KMALLOC_MAX_SIZE else 0


class Rbtree(base.BpfMap):
    """BPF_MAP_TYPE_RBTREE. Lookup O(1); update, delete, pop and next key O(log n) in practice."""

    def __init__(self, kernel: Kernel, spec: MapSpec) -> None:
        super().__init__(kernel, spec)
        self._elems: SortedDict[bytes, Region] = SortedDict()

    def find(self, key: bytes) -> Region | None:
        found: Region | None = self._elems.get(key)
        return found

    def update(self, key: bytes, value: bytes, flags: int) -> int:
        if flags > base.BPF_EXIST:
            return -errno.EINVAL
        region = self._elems.get(key)
        if region is not None:
            if flags == base.BPF_NOEXIST:
                return -errno.EEXIST
            self._overwrite(region, value)
            return 0
        if flags == base.BPF_EXIST:
            return -errno.ENOENT
        if len(self._elems) >= self.max_entries:
            return -errno.E2BIG
        self._elems[key] = self._new_value(value)
        return 0

    def delete(self, key: bytes) -> int:
        region = self._elems.pop(key, None)
        if region is None:
            return -errno.ENOENT
        self._drop_value(region)
        return 0

    def pop(self) -> tuple[int, bytes]:
        if not self._elems:
            return -errno.ENOENT, bytes(self.value_size)
        _, region = self._elems.popitem(0)
        value = self.snapshot(region)
        self._drop_value(region)
        return 0, value

    def for_each(self, visit: Callable[[bytes, Region], int]) -> int:
        count = 0
        elems = self._elems  # not through its views, which cost several calls for each step
        key = elems.peekitem(0)[0] if elems else None
        while key is not None:
            region = elems.get(key)
            if region is None:
                raise Fault("use-after-free", f"bpf_for_each_map_elem over map {self.name!r}: the callback deleted "
                                              f"the element it would have visited next")
            after = elems.bisect_right(key)
            following = elems.peekitem(after)[0] if after < len(elems) else None
            count += 1
            if visit(key, region):
                break
            key = following
        return count

    def values(self) -> Iterator[Region]:
        return iter(self._elems.values())

    def sys_next_key(self, key: bytes | None = None) -> bytes:
        self._check_syscall(key, writes=False)
        keys = self._elems.keys()
        position = 0 if key is None else self._elems.bisect_right(key)
        if (key is not None and key not in self._elems) or position >= len(keys):
            raise base.kernel_error(errno.ENOENT, f"keys of map {self.name!r}")
        found: bytes = keys[position]
        return found

    def keys(self) -> Iterator[bytes]:
        """All keys in order; the keys are those of the moment of the call."""
        self._check_syscall(None, writes=False)
        return iter(list(self._elems))

    def close(self) -> None:
        super().close()
        self._elems.clear()

    def check(self) -> None:
        """Assert what must always hold: keys sorted and of one size, no more than max_entries, values alive."""
        keys = list(self._elems)
        assert keys == sorted(set(keys)), "keys out of order"
        assert all(len(key) == self.key_size for key in keys), "a key of another size"
        assert len(keys) <= self.max_entries, "more elements than max_entries"
        assert all(region.alive for region in self._elems.values()), "a dead value"


RBTREE = MapType("rbtree", Rbtree, base.ELEM_FUNCS | {"bpf_map_pop_elem"}, fields=frozenset({"kptr"}),
                 check=rbtree_alloc_check, doc="An ordered map by bytes of the key that may own packets.")
Rbtree.type = RBTREE
