"""Queue and stack: values without keys (Linux 7.2 kernel/bpf/queue_stack_maps.c)."""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, ClassVar

from ebpfvm.contract import maptype as mt
from ebpfvm.contract.maptype import CreateArgs, MapRefusal, MapType
from ebpfvm.errnos import E2BIG, EINVAL, ENOENT
from ebpfvm.maps import base

if TYPE_CHECKING:
    from ebpfvm.kernel.emulated import Kernel
    from ebpfvm.loader.object import MapSpec

_FLAGS = mt.BPF_F_NUMA_NODE | base.ACCESS_FLAGS


def queue_stack_alloc_check(args: CreateArgs) -> MapRefusal | None:
    """Check a definition as queue_stack_map_alloc_check does."""
    refusal = mt.sizes(args, 0) or mt.flags_within(args, _FLAGS)
    if refusal is None and args.value_size > base.KMALLOC_MAX_SIZE:
        return MapRefusal(E2BIG, f"value_size is {args.value_size:,}, more than {base.KMALLOC_MAX_SIZE:,}")
    return refusal


class QueueMap(base.BpfMap):
    """BPF_MAP_TYPE_QUEUE: first in, first out; all operations are O(1)."""

    _take: ClassVar[int] = 0  # index of the value that pop removes

    def __init__(self, kernel: Kernel, spec: MapSpec) -> None:
        super().__init__(kernel, spec)
        self._items: deque[bytes] = deque()

    def push(self, value: bytes, flags: int) -> int:
        if flags & base.BPF_NOEXIST or flags > base.BPF_EXIST:
            return -EINVAL
        if len(self._items) >= self.room:
            full = self.full()
            if flags != base.BPF_EXIST:
                return full
            self._forget(0)  # BPF_EXIST: the oldest value is dropped
        self._count(len(value))
        self._items.append(bytes(value))
        return 0

    def _forget(self, index: int) -> None:
        memory = self.kernel.memory
        memory.map_bytes -= len(self._items[index]) + base.ELEMENT_BYTES
        del self._items[index]

    def pop(self) -> tuple[int, bytes]:
        result = self.peek()
        if not result[0]:
            self._forget(self._take)
        return result

    def peek(self, value: bytes = b"") -> tuple[int, bytes]:
        if not self._items:
            return -ENOENT, bytes(self.value_size)
        return 0, self._items[self._take]

    def delete(self, key: bytes) -> int:
        return -EINVAL

    def update(self, key: bytes, value: bytes, flags: int) -> int:
        return self.push(value, flags)

    def sys_lookup(self, key: bytes | None = None, flags: int = 0) -> bytes:
        """Return the value that pop would return; the key must be absent."""
        self._check_syscall(key or b"", writes=False)
        result, value = self.peek()
        self._raise(result, "peek of")
        return value

    def sys_lookup_and_delete(self, key: bytes | None = None, flags: int = 0) -> bytes:
        """Pop a value; the key must be absent."""
        self._check_syscall(key or b"", writes=True)
        result, value = self.pop()
        self._raise(result, "pop from")
        return value

    def sys_next_key(self, key: bytes | None = None) -> bytes:
        raise base.kernel_error(EINVAL, f"keys of map {self.name!r}")


class StackMap(QueueMap):
    """BPF_MAP_TYPE_STACK: last in, first out."""

    _take = -1


_FUNCS = frozenset({"bpf_map_push_elem", "bpf_map_pop_elem", "bpf_map_peek_elem"})
QUEUE = MapType("queue", QueueMap, _FUNCS, check=queue_stack_alloc_check,
                sleepable="storage", kernel_struct="bpf_queue_stack",
                doc="First in, first out.")
STACK = MapType("stack", StackMap, _FUNCS, check=queue_stack_alloc_check,
                sleepable="storage", kernel_struct="bpf_queue_stack",
                doc="Last in, first out.")
QueueMap.type = QUEUE
StackMap.type = STACK
