"""A kernel with two lists and two trees in the values of a map, and one of each in an object, whose kfuncs are called.

`item` is in a list and in a tree at once; `folder` is an object that owns a list and a tree of items.
"""

from __future__ import annotations

from typing import Any

from ebpfvm.btf.encode import BtfBuilder
from ebpfvm.btf.types import Btf
from tests.unit.funcs.world import World

AT = {"list": 8, "tree": 32}  # offsets of an item's nodes
_VALUE = 40  # bytes of a value of the map


class _Types:
    def __init__(self) -> None:
        b = BtfBuilder()
        u64, self.word = b.integer("unsigned long", 8), b.integer("unsigned int", 4)
        lock = b.struct("bpf_spin_lock", [("val", self.word)])
        head = b.struct("bpf_list_head", [("x", b.array(u64, 2))])
        root = b.struct("bpf_rb_root", [("x", b.array(u64, 2))])
        link = b.struct("bpf_list_node", [("x", b.array(u64, 3))])
        node = b.struct("bpf_rb_node", [("x", b.array(u64, 4))])
        count = b.struct("bpf_refcount", [("x", b.array(self.word, 1))])
        self.item = b.struct("item", [("key", u64), ("link", link), ("node", node), ("count", count)])
        members = [("lock", lock), ("head", head), ("root", root)]
        self.folder, self.value = (self._owner(b, name, members) for name in ("folder", "value"))
        self.btf: Btf = b.btf()

    def _owner(self, b: BtfBuilder, name: str, members: list[tuple[str, int]]) -> int:
        made = b.struct(name, members)
        b.tag("contains:item:link", made, 1)
        b.tag("contains:item:node", made, 2)
        return made


class GraphWorld:
    """Attributes: world, map, folder (address of the object), holders (root -> holder of its references)."""

    def __init__(self) -> None:
        types = self._types = _Types()
        self.world = World(btf=types.btf)
        self.map: Any = self.world.map("hash", 4, _VALUE, btf=types.btf, key_type=types.word, value_type=types.value)
        self.less = self.world.callback(lambda a, b: self.key(a - AT["tree"]) < self.key(b - AT["tree"]))
        self.old = False
        for name in "ab":
            self.make_value(name)
        self.make_folder()
        in_map, in_folder = "map m", "object folder"
        self.holders = {f"{kind} {name}": in_map for kind in AT for name in "ab"}
        self.holders |= {f"{kind} of folder": in_folder for kind in AT}

    # -- calls; those with two spellings use the older one if `old` ---------------------------------------------------

    def call(self, name: str, *args: int) -> int:
        return self.world.call(f"bpf_{name}", *args)

    def either(self, name: str, *args: int) -> int:
        return self.call(name + "_impl" * self.old, *args)

    def new(self, key: int) -> int:
        address = self.either("obj_new", self._types.item)
        self.world.memory.store(address, 8, key)
        return address

    def key(self, address: int) -> int:
        return self.world.memory.load(address, 8)

    # -- memory with roots --------------------------------------------------------------------------------------------

    def root(self, name: str) -> int:
        """The address of a list's head or a tree's root."""
        kind, _, where = name.partition(" ")
        base = self.folder if where == "of folder" else self.map.lookup(where.encode().ljust(4, b"\0"))
        return int(base) + {"list": 8, "tree": 24}[kind]

    def make_value(self, name: str) -> None:
        assert self.map.update(name.encode().ljust(4, b"\0"), bytes(_VALUE), 0) == 0

    def delete_value(self, name: str) -> None:
        assert self.map.delete(name.encode().ljust(4, b"\0")) == 0

    def make_folder(self) -> None:
        self.folder = self.either("obj_new", self._types.folder)

    # -- what there is ------------------------------------------------------------------------------------------------

    def object(self, address: int) -> Any:
        return self.world.memory.region(address).owner

    def nodes(self, tree: str) -> list[tuple[int, int]]:
        """The nodes of a tree in order, each with its depth, as a program that follows left and right finds them."""
        root = self.root(tree)

        def walk(node: int, depth: int) -> list[tuple[int, int]]:
            if not node:
                return []
            left, right = self.call("rbtree_left", root, node), self.call("rbtree_right", root, node)
            return [*walk(left, depth + 1), (node, depth), *walk(right, depth + 1)]
        return walk(self.call("rbtree_root", root), 1)
