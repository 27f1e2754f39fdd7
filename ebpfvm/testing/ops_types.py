"""The structs and maps of random programs for `Qdisc_ops`: objects in lists and trees, and the locks that guard them.

`element` is an element of a list, `ranked` of a tree, and `counted` of both, with a reference count.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from ebpfvm.btf.encode import BtfBuilder
from ebpfvm.lazy_tuples import NamedTuple
from ebpfvm.loader.object import MapSpec
from ebpfvm.testing.writer import MAPS

if TYPE_CHECKING:
    from ebpfvm.btf.types import Btf


class OwnStruct(NamedTuple):
    """A struct that programs allocate.

    Attributes:
        name: of the struct.
        type_id: its BTF type id.
        link, tree, refs, skb, key: offsets of its members, -1 for those that it lacks; `key` is the first of two
            numbers of 8 bytes.
    """

    name: str
    type_id: int
    link: int
    tree: int
    refs: int
    skb: int
    key: int


class GuardedRoot(NamedTuple):
    """A list head or tree root in memory that a lock guards.

    Attributes:
        map: index of the map.
        lock, off: offsets of the lock and of the head or root in the value.
        of: the struct of its elements.
        tree: whether it is a tree.
        looked_up: whether the map has several values, which must be looked up.
        told: offset of a number of 8 bytes in the value, where programs leave what they have been told.
    """

    map: int
    lock: int
    off: int
    of: OwnStruct
    tree: bool = False
    looked_up: bool = False
    told: int = 24

    @property
    def node(self) -> int:
        """The offset of the element's member that the list or tree links."""
        return self.of.tree if self.tree else self.of.link


class OpsTypes:
    """The types, maps and roots that all programs for `Qdisc_ops` share.

    Attributes:
        builder: has the types; programs add their functions to a copy (`fork`).
        structs: what programs allocate.
        roots: the lists and trees in them.
        slots: index of the array whose values own a packet and a `node`.
    """

    def __init__(self) -> None:
        self._declare()
        self.slots = len(MAPS)
        first = self.slots + 1
        node, ranked, counted = self.structs
        self.roots = (
            GuardedRoot(first, 0, 8, node), GuardedRoot(first + 1, 0, 8, ranked, tree=True),
            GuardedRoot(first + 2, 0, 8, counted, told=40),
            GuardedRoot(first + 2, 0, 24, counted, tree=True, told=40),
            GuardedRoot(first + 3, 0, 8, node, looked_up=True))

    def fork(self) -> BtfBuilder:
        """Return a builder that already has the types."""
        made = BtfBuilder()
        for _, found in self.builder.btf().items():
            made.add(found)
        return made

    def maps(self, btf: Btf) -> tuple[MapSpec, ...]:
        """Return the maps, with types that are those of the program: a kernel compares tables of types by identity."""
        values = (("slots", self.slot, 4), ("list", self.one_list, 1), ("tree", self.one_tree, 1),
                  ("both", self.both, 1), ("buckets", self.one_list, 3))
        return (*MAPS, *(MapSpec("array", 4, btf.size_of(value), entries, name=name, btf=btf, key_type=self.word,
                                 value_type=value) for name, value, entries in values))

    def _declare(self) -> None:
        b = self.builder = BtfBuilder()
        self.word, self.long = b.integer("unsigned int", 4), b.integer("unsigned long", 8)
        lock = b.struct("bpf_spin_lock", [("val", self.word)])
        head = b.struct("bpf_list_head", [("__opaque", b.array(self.long, 2))])
        link = b.struct("bpf_list_node", [("__opaque", b.array(self.long, 3))])
        root = b.struct("bpf_rb_root", [("__opaque", b.array(self.long, 2))])
        tree = b.struct("bpf_rb_node", [("__opaque", b.array(self.long, 4))])
        refs = b.struct("bpf_refcount", [("__opaque", b.array(self.word, 1))])
        skb = b.kptr(b.struct("sk_buff", [("len", self.word)]))
        own = [("skb", skb), ("key", self.long), ("more", self.long)]
        node = b.struct("element", [("link", link), *own])
        ranked = b.struct("ranked", [("tree", tree), *own])
        counted = b.struct("counted", [("tree", tree), ("link", link), ("refs", refs), ("pad", self.word), *own])
        self.structs = (OwnStruct("element", node, 0, -1, -1, 24, 32), OwnStruct("ranked", ranked, -1, 0, -1, 32, 40),
                        OwnStruct("counted", counted, 32, 0, 56, 64, 72))
        self.one_list = b.struct("one_list", [("lock", lock), ("head", head), ("count", self.long)])
        b.tag("contains:element:link", self.one_list, 1)
        self.one_tree = b.struct("one_tree", [("lock", lock), ("root", root), ("count", self.long)])
        b.tag("contains:ranked:tree", self.one_tree, 1)
        self.both = b.struct("both", [("lock", lock), ("head", head), ("root", root), ("count", self.long)])
        b.tag("contains:counted:link", self.both, 1)
        b.tag("contains:counted:tree", self.both, 2)
        self.slot = b.struct("slot", [("skb", skb), ("node", b.kptr(node)), ("number", self.long)])


OPS: Final = OpsTypes()
"""The types, maps and roots."""
