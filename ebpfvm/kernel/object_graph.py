"""Lists and trees of objects that programs allocate (kernel/bpf/helpers.c, Linux 7.2).

The contents of a `bpf_list_head` or `bpf_rb_root` are stored outside of the memory, because programs cannot read these
fields anyway. A list or tree owns its objects (the ledger names the memory that contains the head); removing an object
hands the reference to the program.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ebpfvm.errnos import EINVAL
from ebpfvm.errors import Fault
from ebpfvm.kernel.refs import RefCounted

if TYPE_CHECKING:
    from collections.abc import Iterable

    from ebpfvm.kernel.memory import Memory, Region
    from ebpfvm.kernel.refs import Refs

_ROOTS = ("list_head", "rb_root")
_KPTRS = ("kptr_ref", "kptr_percpu")


class AllocObject(RefCounted):
    """An object of bpf_obj_new.

    Attributes:
        region: its memory.
        fields: its special fields.
    """

    what = "object"

    def __init__(self, graph: Graph, struct: str, size: int, fields: tuple[Any, ...]) -> None:
        self.graph = graph
        self.struct = struct
        self.fields = fields
        self.region = graph.memory.add("mem", bytearray(size), name=f"object {struct}", owner=self)

    def destroy(self) -> None:
        """Free what the object's fields own; its memory lives until the program ends (RCU)."""
        memory, refs = self.graph.memory, self.graph.refs
        for field in self.fields:
            if field.kind in _KPTRS:
                held = memory.region(int.from_bytes(self.region.data[field.offset:field.offset + 8], "little")).owner \
                    if any(self.region.data[field.offset:field.offset + 8]) else None
                self.region.data[field.offset:field.offset + 8] = bytes(8)
                if isinstance(held, RefCounted):
                    refs.release(held, self.region.name)
        self.graph.drain(self.region, self.fields)
        memory.retire(self.region)

    def __str__(self) -> str:
        return f"object {self.struct} #{self.serial}"


class Graph:
    """All lists and trees of a kernel.

    Attributes:
        memory, refs: of the kernel.
        members: address of a list head or tree root -> addresses of its nodes in order.
        owner: address of a node -> address of the head or root that holds it.
    """

    def __init__(self, memory: Memory, refs: Refs) -> None:
        self.memory = memory
        self.refs = refs
        self.members: dict[int, list[int]] = {}
        self.owner: dict[int, int] = {}

    def object(self, node: int) -> RefCounted:
        """Return the object that contains a node.

        Raises:
            Fault: no object contains it.
        """
        found = self.memory.region(node).owner
        if not isinstance(found, RefCounted):
            raise Fault("memory", f"{node:#x} is not a node of an allocated object")
        return found

    def insert(self, head: int, node: int, index: int) -> int:
        """Insert a node that the program owns at `index`.

        Return 0, or drop the node and return -EINVAL if it is in use.
        """
        held = self.object(node)
        if node in self.owner:
            self.refs.release(held)
            return -EINVAL
        self.refs.give(held, self.memory.region(head).name)
        self.members.setdefault(head, []).insert(index, node)
        self.owner[node] = head
        return 0

    def take(self, head: int, node: int) -> int:
        """Remove a node, which the program then owns, and return its address."""
        self._unlink(head, node)
        self.refs.take(self.object(node), self.memory.region(head).name)
        return node

    def _unlink(self, head: int, node: int) -> None:
        nodes = self.members[head]
        nodes.remove(node)
        if not nodes:
            del self.members[head]
        del self.owner[node]

    def drain(self, region: Region, fields: Iterable[Any]) -> None:
        """Drop everything in the lists and trees of memory that is freed."""
        for field in fields:
            if field.kind in _ROOTS:
                head = region.base + field.offset
                for node in list(self.members.get(head, ())):
                    self._unlink(head, node)
                    self.refs.release(self.object(node), region.name)

    def nodes(self, head: int) -> list[int]:
        """Return the addresses of the nodes in order."""
        return self.members.get(head, [])
