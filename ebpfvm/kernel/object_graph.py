"""Lists and trees of objects that programs allocate (kernel/bpf/helpers.c, Linux 7.2).

A list is a deque of objects, a tree a list of them in order. That of a head in an allocated object is in the object's
cell; those of other heads are found by address. A list or tree owns its objects (the ledger names the memory that
contains the head); removing an object hands the reference to the program.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ebpfvm.errnos import EINVAL
from ebpfvm.errors import Fault
from ebpfvm.kernel.memory import OBJECT_IDS, REGION_SHIFT, SERIALS, Memory, Region, base_of
from ebpfvm.kernel.object_roots import ObjectList, ObjectTree, Rooted, ShapedTree
from ebpfvm.kernel.object_types import ROOTS, ObjectShape, ObjectType
from ebpfvm.kernel.refs import MEMORY, PROGRAM, PROGRAM_UNIT, RefCounted
from ebpfvm.kernel.typed_values import NoPacket, address_of, held_at

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from ebpfvm.btf.fields import Field
    from ebpfvm.btf.types import Btf
    from ebpfvm.kernel.refs import Refs

_bare = object.__new__


class AllocObject(RefCounted):
    """An object of bpf_obj_new.

    Attributes:
        type: its type.
        cells: its contents by `type.shape`.
        graph: that of its kernel.
    """

    __slots__ = ("_region", "cells", "graph", "type")
    what = "object"
    address = 0

    cells: list[Any]
    graph: Graph
    type: ObjectType
    _region: Region | None

    @property
    def region(self) -> Region:
        """The object's memory for those who have its address."""
        found = self._region
        if found is None:
            memory = self.graph.memory
            placed = memory.regions.get(OBJECT_IDS | self.serial & SERIALS)
            if placed is not None and placed.owner is self:
                return placed  # freed, and retired already
            found = AllocRegion(self)
            memory.place(found, OBJECT_IDS, self.serial)
            if self.refs:
                self._region = found
            else:  # freed, but the running program still has it
                memory.retire(found)
        return found

    @property
    def ptr(self) -> int:
        """The object's address."""
        return self.region.base

    def locate(self) -> int:
        """Return the address for a slot: whoever uses it as a pointer finds the object without a region, too."""
        return base_of(OBJECT_IDS | self.serial & SERIALS)

    def destroy(self) -> None:
        """Free what the object's fields own; its memory lives until the program ends (RCU)."""
        shape, cells, graph = self.type.shape, self.cells, self.graph
        for number in shape.kptrs.values():
            held, cells[number] = cells[number], None
            if isinstance(held, NoPacket):
                held = graph.memory.owner(held.address)
            if isinstance(held, RefCounted):
                graph.refs.release(held, self.type.holder)
        for number in shape.roots.values():
            root, cells[number] = cells[number], None
            if root is not None:
                graph.drain(root)
        if self._region is not None:
            self.retire()

    def retire(self) -> None:
        """Let go of its memory, which it has; its fields own nothing any more, whatever their cells hold."""
        assert self._region is not None
        self.graph.memory.retire(self._region)
        self._region = None  # breaks a cycle that would leave every object to the garbage collector

    def __str__(self) -> str:
        return f"object {self.type.name} #{self.serial}"


class AllocRegion(Region):
    """An allocated object as bytes."""

    __slots__ = ()
    owner: AllocObject

    def __init__(self, made: AllocObject) -> None:
        super().__init__("mem", bytearray(), name=made.type.holder, owner=made)
        self.size = made.type.size

    @property
    def shape(self) -> ObjectShape:
        """How the object is cut into cells."""
        return self.owner.type.shape

    @property
    def data(self) -> bytearray:
        """The bytes, as a copy."""
        return bytearray(self.shape.encode(self.owner.cells))

    @data.setter
    def data(self, data: bytearray) -> None:
        """Do nothing: the bytes follow from the cells."""

    def load(self, off: int, size: int) -> int:
        shape = self.shape
        number = shape.places.get((off, size))
        if number is not None and number not in shape.packets:
            found: int = self.owner.cells[number]
            return found
        if size == 8 and off in shape.kptrs:
            return address_of(self.owner.cells[shape.kptrs[off]])
        if 0 <= off <= self.size - size:
            return int.from_bytes(self.data[off:off + size], "little")
        self.refuse(off, size, "read")

    def store(self, off: int, size: int, value: int) -> None:
        shape = self.shape
        value &= (1 << 8 * size) - 1
        number = shape.places.get((off, size))
        if number is not None and number not in shape.packets:
            self.owner.cells[number] = value
        elif size == 8 and off in shape.kptrs:
            self.owner.cells[shape.kptrs[off]] = self._held(value)
        else:
            self.write(off, value.to_bytes(size, "little"))

    def write(self, off: int, data: bytes) -> None:
        if not 0 <= off <= self.size - len(data):
            self.refuse(off, len(data), "write")
        whole = bytearray(self.data)
        whole[off:off + len(data)] = data
        shape, cells = self.shape, self.owner.cells
        for number, value in shape.decode(bytes(whole)).items():
            if number not in shape.packets:
                cells[number] = value
            elif value != address_of(cells[number]):
                cells[number] = self._held(value)

    def _held(self, address: int) -> Any:
        return held_at(self.owner.graph.memory, address)




class Graph:
    """All objects, lists and trees of a kernel.

    Attributes:
        memory, refs: of the kernel.
        roots: the lists and trees whose head or root is not in an object, by its address.
        shaped: whether programs can tell which shape trees have. It is decided before programs are loaded.
    """

    def __init__(self, memory: Memory, refs: Refs) -> None:
        self.memory = memory
        self.refs = refs
        self.roots: dict[int, Rooted] = {}
        self.shaped = False
        self._types: dict[tuple[int, int], ObjectType] = {}

    # -- objects -------------------------------------------------------------------------------------------------

    def type_of(self, btf: Btf, type_id: int) -> ObjectType:
        """Return the type of the objects of a struct."""
        root = btf.resolve(type_id)
        found = self._types.get((id(btf), root))
        if found is None:  # it keeps the BTF alive, so the id is not used again
            found = self._types[id(btf), root] = ObjectType(btf, root)
        return found

    @property
    def used(self) -> bool:
        """Whether any program has had the type of an object."""
        return bool(self._types)

    def forget_types(self) -> None:
        """Forget the types, of which there is no object."""
        self._types.clear()

    def maker(self, kind: ObjectType) -> Callable[[], AllocObject]:
        """Return the function that makes an object which the running program holds."""
        fresh, refs = kind.shape.fresh, self.refs
        roots = [(kind.shape.roots[field.offset], self._rooted_kind(field.kind), field.node_offset)
                 for field in kind.fields if field.kind in ROOTS]

        def make() -> AllocObject:
            made = _bare(AllocObject)
            made.type, made.graph, made.cells, made._region = kind, self, [*fresh], None
            made.refs = PROGRAM_UNIT  # inlines `Refs.add`
            made.serial = refs.serial = refs.serial + 1
            refs.held += 1
            refs.born.append(made)
            if len(refs.born) > refs.room:
                refs.live()
            for number, rooted, at in roots:
                made.cells[number] = self.rooted(rooted, kind.holder, at)
            return made
        return make

    def dropper(self, kind: ObjectType) -> Callable[[AllocObject], None]:
        """Return the function that releases the program's reference to an object, as `Refs.release` does."""
        refs, held = self.refs, (*kind.shape.kptrs.values(), *kind.shape.roots.values())

        def drop(obj: AllocObject) -> None:
            if obj.refs != PROGRAM_UNIT:
                refs.release(obj)
                return
            refs.held -= 1
            obj.refs, obj.last_holder = 0, PROGRAM
            cells = obj.cells
            if obj._region is not None:
                obj.destroy()
                return
            for number in held:
                if cells[number]:  # an empty list counts as nothing
                    obj.destroy()
                    return
        return drop

    def object(self, node: int) -> RefCounted:
        """Return the object that contains a node.

        Raises:
            Fault: no object contains it.
        """
        found = self.memory.region(node).owner
        if not isinstance(found, RefCounted):
            raise Fault("memory", f"{node:#x} is not a node of an allocated object")
        return found

    def member(self, node: int) -> tuple[AllocObject, int]:
        """Return the object that contains a node, and the node's offset in it.

        Raises:
            Fault: no object contains it, or there is no node.
        """
        region = self.memory.region(node)
        found = region.owner
        if not isinstance(found, AllocObject) or node - region.base not in found.type.shape.nodes:
            raise Fault("memory", f"{node:#x} is not a node of an allocated object")
        return found, node - region.base

    # -- lists and trees -----------------------------------------------------------------------------------------

    def list_at(self, head: int) -> Rooted:
        """Return the list of a head."""
        found = self.roots.get(head)
        return found if found is not None else self._root(head, ObjectList)

    def tree_at(self, root: int) -> Rooted:
        """Return the tree of a root."""
        found = self.roots.get(root)
        return found if found is not None else self._root(root, self._rooted_kind("rb_root"))

    def _rooted_kind(self, field: str) -> type[Rooted]:
        """Return what represents a head or root."""
        return ObjectList if field == "list_head" else ShapedTree if self.shaped else ObjectTree

    def _root(self, address: int, kind: type[Rooted]) -> Rooted:
        region = self.memory.region(address)
        owner = region.owner
        if not isinstance(owner, AllocObject):
            found = self.roots[address] = self.rooted(kind, region.name)
            return found
        number = owner.type.shape.roots.get(address - region.base)
        if number is None:
            raise Fault("memory", f"{address:#x} is neither the head of a list nor the root of a tree")
        inner: Rooted | None = owner.cells[number]
        if inner is None:
            inner = owner.cells[number] = self.rooted(kind, region.name)  # a raw write has deleted it
        return inner

    def rooted(self, kind: type[Rooted], holder: str, at: int = 0) -> Rooted:
        """Return a new list or tree in memory whose references belong to `holder`."""
        made: Rooted = kind()
        made.holder, made.at = self.refs.holder(holder, MEMORY), at
        return made

    def insert(self, root: Rooted, node: int, index: int) -> int:
        """Insert a node that the program owns at `index`.

        Return 0, or drop the node and return -EINVAL if it is in use.

        Raises:
            Fault: it is no node, or other nodes of their objects are in the list or tree.
        """
        held, at = self.member(node)
        if held.cells[held.type.shape.nodes[at]] is not None:
            self.refs.release(held)
            return -EINVAL
        if root and root.at != at:
            raise Fault("memory", f"a node at offset {at} of {held} goes where nodes are at offset {root.at}")
        self.refs.give(held, root.holder.name)
        root.insert(index, held)
        root.at = at
        held.cells[held.type.shape.nodes[at]] = root
        return 0

    def index(self, root: Rooted, node: int) -> int:
        """Return the place of a node in a list or tree, -1 if it is not in it."""
        region = self.memory.regions.get(node >> REGION_SHIFT)
        held = region.owner if region is not None else None
        if region is None or not isinstance(held, AllocObject):
            return -1
        number = held.type.shape.nodes.get(node - region.base)
        return root.index(held) if number is not None and held.cells[number] is root else -1

    def take(self, root: Rooted, index: int) -> int:
        """Remove the node at `index`, which the program then owns, and return its address."""
        held: AllocObject = root[index]
        del root[index]
        held.cells[held.type.shape.nodes[root.at]] = None
        self.refs.take(held, root.holder.name)
        return held.ptr + root.at

    def drain_value(self, value: Region, fields: Iterable[Field]) -> None:
        """Drop everything in the lists and trees of a map's value that is deleted."""
        for field in fields:
            root = self.roots.pop(value.base + field.offset, None) if field.kind in ROOTS else None
            if root is not None:
                self.drain(root)

    def drain(self, root: Rooted) -> None:
        """Drop everything in a list or tree in memory that is freed."""
        while root:
            held = root[0]
            del root[0]
            held.cells[held.type.shape.nodes[root.at]] = None
            self.refs.release(held, root.holder.name)
