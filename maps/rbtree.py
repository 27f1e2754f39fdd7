"""The RFC's rbtree map: a priority queue that owns packets (RFC v6 patch 1/5, BPF_MAP_TYPE_RBTREE).

Keys are ordered as bytes (memcmp), so a program stores ranks big-endian; equal keys cannot exist. Where the posted code
was silent or broken, these decisions apply:

* `pop` is callable from a program (D12). It copies the value but skips kptr slots, then releases what they own.
* Values may hold kptrs (D13).
* Update flags other than BPF_ANY, BPF_NOEXIST, BPF_EXIST are -EINVAL, BPF_F_LOCK always is (D14).
* get_next_key of the last key is -ENOENT (D15).
* A full map returns -E2BIG, as a hash does (D16): an untrusted object must not grow memory without bound.
* Keys are compared as bytes and never as integers (D17).
* Iteration fetches the next node before it calls back; deleting that next node is a use-after-free (D18).
"""

from __future__ import annotations

from bisect import bisect_left, insort
from typing import TYPE_CHECKING

from sortedcontainers import SortedList

from ebpfvm.contract import maptype as mt
from ebpfvm.contract.maptype import CreateArgs, MapRefusal, MapType
from ebpfvm.errnos import E2BIG, EEXIST, EINVAL, ENOENT
from ebpfvm.errors import Fault
from ebpfvm.maps import base

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from ebpfvm.kernel.emulated import Kernel
    from ebpfvm.kernel.memory import Region
    from ebpfvm.loader.object import MapSpec

_PLAIN = 4096  # largest plain list; beyond it, moving the tail costs more than a look-up in lists of lists
_FLAGS = mt.BPF_F_NUMA_NODE | base.ACCESS_FLAGS


def rbtree_alloc_check(args: CreateArgs) -> MapRefusal | None:
    """Check a definition as the RFC does; sizes of 0 are legal, and a map with 0-byte keys has at most one element."""
    if not args.max_entries:
        return MapRefusal(EINVAL, "max_entries is 0")
    refusal = mt.flags_within(args, _FLAGS)
    if refusal is None and args.value_size > base.KMALLOC_MAX_SIZE:
        return MapRefusal(E2BIG, f"value_size is {args.value_size:,}, more than {base.KMALLOC_MAX_SIZE:,}")
    return refusal


class Rbtree(base.BpfMap):
    """BPF_MAP_TYPE_RBTREE; lookup is O(1), and update, delete, pop and next key are O(log n) in practice.

    The elements are a dict, accompanied by a sorted list of keys: a plain list, which is fastest while its tail is
    cheap to move, and one of sortedcontainers once it has grown beyond that.
    """

    def __init__(self, kernel: Kernel, spec: MapSpec) -> None:
        super().__init__(kernel, spec)
        self._elems: dict[bytes, Region] = {}
        self._keys: list[bytes] | SortedList[bytes] = []
        self.find = self._elems.get  # type: ignore[method-assign, assignment]  # a look-up is a look-up in the dict

    def update(self, key: bytes, value: bytes, flags: int) -> int:
        if flags > base.BPF_EXIST:
            return -EINVAL
        elems = self._elems
        if key in elems:
            if flags == base.BPF_NOEXIST:
                return -EEXIST
            self._overwrite(elems[key], value)
            return 0
        if flags == base.BPF_EXIST:
            return -ENOENT
        if len(elems) >= self.room:
            return self.full()
        elems[key] = self._new_value(value)
        keys = self._keys
        if type(keys) is not list or len(keys) >= _PLAIN:
            self._add_to_many(key)
        elif not keys or key > keys[-1]:
            keys.append(key)
        else:
            insort(keys, key)
        return 0

    def _add_to_many(self, key: bytes) -> None:
        if not isinstance(self._keys, SortedList):
            self._keys = SortedList(self._keys)
        self._keys.add(key)

    def delete(self, key: bytes) -> int:
        region = self._elems.pop(key, None)
        if region is None:
            return -ENOENT
        keys = self._keys
        del keys[0 if keys[0] == key else self._position(key)]
        self._drop_value(region)
        return 0

    def _position(self, key: bytes) -> int:
        """Return the number of keys less than `key`."""
        keys = self._keys
        return bisect_left(keys, key) if isinstance(keys, list) else keys.bisect_left(key)

    def pop(self) -> tuple[int, bytes]:
        if not self._elems:
            return -ENOENT, b""  # the program's memory is left unchanged
        region = self._elems.pop(self._keys.pop(0))
        value = self.snapshot(region)
        self._drop_value(region)
        return 0, value

    def for_each(self, visit: Callable[[bytes, Region], int]) -> int:
        count = at = 0
        key = self._keys[0] if self._keys else None
        while key is not None:
            region = self._elems.get(key)
            if region is None:
                raise Fault("use-after-free", f"bpf_for_each_map_elem over map {self.name!r}: the callback deleted "
                                              f"the element it would have visited next")
            keys = self._keys
            if keys[at] is not key:  # the callback has inserted or deleted earlier keys
                at = self._position(key)
            at += 1
            following = keys[at] if at < len(keys) else None
            count += 1
            if visit(key, region):
                break
            if at >= len(self._keys):  # the last element, or the callback deletes
                at = 0
            key = following
        return count

    def values(self) -> Iterator[Region]:
        return (self._elems[key] for key in self._keys)

    def sys_next_key(self, key: bytes | None = None) -> bytes:
        self._check_syscall(key, writes=False)
        position = 0 if key is None else self._position(key) + 1
        if (key is not None and key not in self._elems) or position >= len(self._keys):
            raise base.kernel_error(ENOENT, f"keys of map {self.name!r}")
        return self._keys[position]

    def keys(self) -> Iterator[bytes]:
        """Yield all keys that exist at the time of the call, in order."""
        self._check_syscall(None, writes=False)
        return iter(list(self._keys))

    def close(self) -> None:
        super().close()
        self._elems.clear()
        self._keys = []

    def check(self) -> None:
        """Assert the invariants: keys are sorted and of one size, at most max_entries, and values are alive."""
        keys = list(self._keys)
        assert keys == sorted(self._elems), "keys out of order"
        assert all(len(key) == self.key_size for key in keys), "a key of another size"
        assert len(keys) <= self.max_entries, "more elements than max_entries"
        assert all(region.alive for region in self._elems.values()), "a dead value"


RBTREE = MapType("rbtree", Rbtree, base.ORDINARY | {"bpf_map_pop_elem"}, fields=frozenset({"kptr_ref", "kptr_unref"}),
                 for_each=True, check=rbtree_alloc_check,
                 doc="An ordered map by bytes of the key that may own packets.")
Rbtree.type = RBTREE
