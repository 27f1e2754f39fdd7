"""The RFC's rbtree map: a priority queue that owns packets (RFC v6 patch 1/5, BPF_MAP_TYPE_RBTREE).

Keys are ordered as bytes (memcmp), so a program stores ranks big-endian; equal keys cannot exist. Where the posted code
was silent or broken, these decisions apply:

* `pop` is callable from a program (D12). It copies the value but skips kptr slots, then releases what they own.
* Values may hold kptrs (D13).
* Update flags other than BPF_ANY, BPF_NOEXIST, BPF_EXIST are -EINVAL, BPF_F_LOCK always is (D14).
* get_next_key of the last key is -ENOENT (D15).
* A full map returns -E2BIG, as a hash does (D16): an untrusted object must not grow memory without bound.
* Keys are compared as bytes, and never as integers of the machine (D17).
* Iteration fetches the next node before it calls back; deleting that next node is a use-after-free (D18).
"""

from __future__ import annotations

from bisect import bisect_left, insort
from typing import TYPE_CHECKING

from ebpfvm.contract import maptype as mt
from ebpfvm.contract.maptype import CreateArgs, MapRefusal, MapType
from ebpfvm.errnos import E2BIG, EEXIST, EINVAL, ENOENT
from ebpfvm.errors import Fault
from ebpfvm.kernel.typed_values import TypedValue, new_list, typed_value
from ebpfvm.maps import base
from ebpfvm.maps.keyed import Content, KeyedMap

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from sortedcontainers import SortedList

    from ebpfvm.kernel.emulated import Kernel
    from ebpfvm.kernel.memory import Region
    from ebpfvm.loader.object import MapSpec

_PLAIN = 4096  # largest plain list; beyond it, moving the tail costs more than a look-up in lists of lists
_SPARE = 512  # places before the head of a plain list that are kept, because moving the list costs time
_FLAGS = mt.BPF_F_NUMA_NODE | base.ACCESS_FLAGS


def rbtree_alloc_check(args: CreateArgs) -> MapRefusal | None:
    """Check a definition as the RFC does; sizes of 0 are legal, and a map with 0-byte keys has at most one element."""
    if not args.max_entries:
        return MapRefusal(EINVAL, "max_entries is 0")
    refusal = mt.flags_within(args, _FLAGS)
    if refusal is None and args.value_size > base.KMALLOC_MAX_SIZE:
        return MapRefusal(E2BIG, f"value_size is {args.value_size:,}, more than {base.KMALLOC_MAX_SIZE:,}")
    return refusal


class Rbtree(KeyedMap):
    """BPF_MAP_TYPE_RBTREE; lookup is O(1), and update, delete, pop and next key are O(log n) in practice.

    Keys are integers in big-endian reading, which sort as their bytes do. The elements are a dict, accompanied by a
    sorted list of keys: a plain list, which is fastest while it is cheap to move, and one of sortedcontainers once it
    has grown beyond that. The smallest key leaves a plain list by moving its head.

    Attributes:
        ranks: that list.
        head: keys before it are gone already; always 0 for a SortedList.
        plain_room: how many elements there may be while their keys are a plain list; 0 if they are none, or if values
            are bytes.
        spare: values to use again, for code that does what `put` and `remove` do (`ebpfvm.sched.fused`).
    """

    __slots__ = ("head", "plain_room", "ranks", "spare")
    key_order = "big"

    def __init__(self, kernel: Kernel, spec: MapSpec) -> None:
        super().__init__(kernel, spec)
        self.ranks: list[int] | SortedList[int] = []
        self.head = 0
        self.plain_room = min(self.room, _PLAIN) if self.shape is not None else 0
        self.spare: list[TypedValue] = []

    def made(self) -> TypedValue:
        """Return a value that is no element yet, and empty."""
        shape = self.shape
        assert shape is not None
        return typed_value(self, shape.without_packets(bytes(shape.size)))

    def plain_keys(self) -> tuple[Sequence[int], int, int]:
        """Return the sorted list of keys, the head, and how many elements there may be; no keys if they are many."""
        keys = self.ranks
        return (keys, self.head, self.plain_room) if type(keys) is list else ((), 0, 0)

    def put(self, key: int, value: Content, flags: int) -> int:
        elems, shape = self.elems, self.shape
        if shape is None or flags > base.BPF_NOEXIST or key in elems or len(elems) >= self.plain_room:
            return self._put_at_length(key, value, flags)
        memory = self._memory  # what follows is what the long way does, without calls: most packets pass here
        memory.map_bytes = taken = memory.map_bytes + self.element_bytes
        if taken > self._memory_limit:
            self._too_much(taken, shape.size)
        found = new_list(value if type(value) is list else shape.without_packets(value))  # type: ignore[arg-type]
        found.owner, found.id, found.alive = self, 0, True
        keys = self.ranks
        if not elems or key > keys[-1]:
            keys.append(key)
        else:
            insort(keys, key, self.head)
        elems[key] = found
        return 0

    def _put_at_length(self, key: int, value: Content, flags: int) -> int:
        """Do what `put` does where an element exists, the keys are no plain list, or values are bytes."""
        if flags > base.BPF_EXIST:
            return -EINVAL
        elems = self.elems
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
        keys = self.ranks
        if type(keys) is not list or len(elems) > _PLAIN:
            self._add_to_many(key)
        elif len(elems) == 1 or key > keys[-1]:
            keys.append(key)
        else:
            insort(keys, key, self.head)
        return 0

    def _add_to_many(self, key: int) -> None:
        if isinstance(self.ranks, list):
            from sortedcontainers import SortedList  # here, because few maps get that many elements
            self.ranks, self.head = SortedList(self.ranks[self.head:]), 0
            self.plain_room = 0
        self.ranks.add(key)

    def remove(self, key: int) -> int:
        value = self.elems.pop(key, None)
        if value is None:
            return -ENOENT
        keys, head = self.ranks, self.head
        if keys[head] != key:
            del keys[self._position(key)]
        elif type(keys) is list:
            self.head = head = head + 1
            if head == len(keys) or (head > _SPARE and head * 2 > len(keys)):
                del keys[:head]
                self.head = 0
        else:
            del keys[0]
        if self.shape is None or value.id:
            self._drop_value(value)
            return 0
        for number in self._packets:  # what `_drop_value` does if nobody has the value's address, without a call
            if value[number] is not None:  # type: ignore[index]
                self._release_kptrs(value)
                break
        self._memory.retired_bytes += self.element_bytes
        value.alive = False
        return 0

    def _position(self, key: int) -> int:
        """Return the position of the first key that is not less than `key`."""
        keys = self.ranks
        return bisect_left(keys, key, self.head) if isinstance(keys, list) else keys.bisect_left(key)

    def pop(self) -> tuple[int, bytes]:
        if not self.elems:
            return -ENOENT, b""  # the program's memory is left unchanged
        first = self.ranks[self.head]
        content = self.snapshot(self.elems[first])
        self.remove(first)
        return 0, content

    def walk(self) -> Iterator[tuple[int, Region]]:
        """Yield all elements in order; elements may come and go meanwhile.

        Raises:
            Fault: the element that was next is gone (D18).
        """
        keys, at = self.ranks, self.head
        key = keys[at] if at < len(keys) else None
        while key is not None:
            value = self.elems.get(key)
            if value is None:
                raise Fault("use-after-free", f"bpf_for_each_map_elem over map {self.name!r}: the callback deleted "
                                              f"the element it would have visited next")
            keys = self.ranks
            if not self.head <= at < len(keys) or keys[at] != key:  # elements came or went meanwhile
                at = self._position(key)
            at += 1
            following = keys[at] if at < len(keys) else None
            yield key, value
            key = following

    def nth(self, number: int) -> int | None:
        """Return the key that a walk visits as number `number`, from 0, if nothing changes meanwhile; None beyond."""
        return self.ranks[self.head + number] if number < len(self.elems) else None

    def values(self) -> Iterator[Region]:
        return (self.elems[key] for key in self._sorted())

    def _sorted(self) -> list[int]:
        """Return the keys in order."""
        return list(self.ranks[self.head:])

    def sys_next_key(self, key: bytes | None = None) -> bytes:
        self._check_syscall(key, writes=False)
        position = self.head
        if key is not None:
            number = int.from_bytes(key, "big")
            position = self._position(number) + 1 if number in self.elems else len(self.ranks)
        if position >= len(self.ranks):
            raise base.kernel_error(ENOENT, f"keys of map {self.name!r}")
        return self.ranks[position].to_bytes(self.key_size, "big")

    def keys(self) -> Iterator[bytes]:
        """Yield all keys that exist at the time of the call, in order."""
        self._check_syscall(None, writes=False)
        return iter(self._bytes_of(self._sorted()))

    def close(self) -> None:
        super().close()
        self.elems.clear()
        self.ranks, self.head = [], 0

    def check(self) -> None:
        """Assert the invariants: keys are sorted and fit their size, at most max_entries, and values are alive."""
        keys = self._sorted()
        assert keys == sorted(self.elems), "keys out of order"
        assert all(key < 1 << 8 * self.key_size for key in keys), "a key of another size"
        assert len(keys) <= self.max_entries, "more elements than max_entries"
        assert all(region.alive for region in self.elems.values()), "a dead value"


RBTREE = MapType("rbtree", Rbtree, base.ORDINARY | {"bpf_map_pop_elem"}, fields=frozenset({"kptr_ref", "kptr_unref"}),
                 for_each=True, check=rbtree_alloc_check,
                 doc="An ordered map by bytes of the key that may own packets.")
Rbtree.type = RBTREE
