"""Allocated objects in lists and trees, and who owns them."""

from __future__ import annotations

import pytest

from ebpfvm.btf.encode import BtfBuilder
from ebpfvm.errnos import EINVAL
from ebpfvm.errors import Fault
from tests.unit.funcs.world import World

LIST_NODE, RB_NODE, KPTR = 8, 32, 64


def _world() -> tuple[World, int, int]:
    """A world, the type of `struct item`, and the address of a head that owns nothing yet."""
    b = BtfBuilder()
    u64 = b.integer("unsigned long", 8)
    list_node = b.struct("bpf_list_node", [("x", b.array(u64, 3))])
    rb_node = b.struct("bpf_rb_node", [("x", b.array(u64, 4))])
    skb = b.struct("sk_buff", [("len", u64)])
    count = b.struct("bpf_refcount", [("x", b.integer("unsigned int", 4))])
    item = b.struct("item", [("value", u64), ("list", list_node), ("tree", rb_node), ("skb", b.kptr(skb)),
                             ("count", count)])
    w = World(btf=b.btf())
    return w, item, w.memory.add("map_value", bytearray(64), name="map heads").base


def _new(w: World, item: int, value: int = 0) -> int:
    address = w.call("bpf_obj_new_impl", item, 0)
    w.memory.store(address, 8, value)
    return address


def test_new_objects_are_zero_and_owned() -> None:
    w, item, _ = _world()
    address = w.call("bpf_obj_new", item)
    assert w.memory.read(address, 80) == bytes(80) and w.env.refs.held == 1
    assert w.call("bpf_obj_drop_impl", address, 0) == 0
    assert w.env.refs.held == 0
    w.memory.quiesce()
    with pytest.raises(Fault, match="after it was freed"):
        w.memory.read(address, 8)


def test_a_list_is_a_queue_and_a_stack() -> None:
    w, item, head = _world()
    nodes = [_new(w, item, number) + LIST_NODE for number in range(3)]
    for node in nodes[:2]:
        assert w.call("bpf_list_push_back_impl", head, node, 0, 0) == 0
    assert w.call("bpf_list_push_front", head, nodes[2]) == 0
    assert w.env.refs.held == 0
    assert w.call("bpf_list_front", head) == nodes[2] and w.call("bpf_list_back", head) == nodes[1]
    assert w.call("bpf_list_is_first", head, nodes[2]) == 1 and w.call("bpf_list_is_last", head, nodes[2]) == 0
    assert w.call("bpf_list_pop_back", head) == nodes[1] and w.env.refs.held == 1
    assert w.call("bpf_list_pop_front", head) == nodes[2]
    assert w.call("bpf_list_del", head, nodes[1]) == 0
    assert w.call("bpf_list_del", head, nodes[0]) == nodes[0]
    assert w.call("bpf_list_empty", head) == 1 and w.call("bpf_list_pop_front", head) == 0
    assert w.env.refs.held == 3


def test_list_add_behind_a_node() -> None:
    w, item, head = _world()
    first, second, between, stray = (_new(w, item, number) + LIST_NODE for number in range(4))
    w.call("bpf_list_push_back", head, first)
    w.call("bpf_list_push_back", head, second)
    assert w.call("bpf_list_add", head, between, first) == 0
    assert _nodes(w, head) == [first, between, second]
    assert w.call("bpf_list_add", head, stray, w.mem) == -EINVAL  # and the object is gone
    assert w.env.refs.held == 0


def test_a_node_in_use_is_dropped() -> None:
    w, item, head = _world()
    node = _new(w, item) + LIST_NODE
    assert w.call("bpf_list_push_back_impl", head, node, 0, 0) == 0
    assert w.call("bpf_refcount_acquire_impl", node - LIST_NODE, 0) == node - LIST_NODE
    assert w.call("bpf_list_push_back_impl", head, node, 0, 0) == -EINVAL
    assert w.env.refs.held == 0 and w.call("bpf_list_front", head) == node


def test_a_tree_is_ordered_and_ties_keep_their_order() -> None:
    w, item, root = _world()
    values = [5, 1, 9, 5, 3, 5, 7]
    nodes = [_new(w, item, value) + RB_NODE for value in values]

    def value(node: int) -> int:
        return w.memory.load(node - RB_NODE, 8)

    less = w.callback(lambda a, b: value(a) < value(b))
    for node in nodes:
        assert w.call("bpf_rbtree_add_impl", root, node, less, 0, 0) == 0
    order = _nodes(w, root)
    assert [value(node) for node in order] == sorted(values)
    assert [node for node in order if value(node) == 5] == [nodes[0], nodes[3], nodes[5]]
    assert w.call("bpf_rbtree_first", root) == nodes[1]
    assert _walk(w, root, w.call("bpf_rbtree_root", root)) == order
    assert w.call("bpf_rbtree_remove", root, nodes[0]) == nodes[0] and w.env.refs.held == 1
    assert w.call("bpf_rbtree_remove", root, nodes[0]) == 0
    assert w.call("bpf_rbtree_left", root, nodes[0]) == 0 and w.call("bpf_rbtree_right", root, nodes[0]) == 0


def _nodes(w: World, root: int) -> list[int]:
    members = w.kernel.graph.list_at(root)
    return [member.ptr + members.at for member in members]


def _walk(w: World, root: int, node: int) -> list[int]:
    if not node:
        return []
    return [*_walk(w, root, w.call("bpf_rbtree_left", root, node)), node,
            *_walk(w, root, w.call("bpf_rbtree_right", root, node))]


def test_an_empty_tree() -> None:
    w, _, root = _world()
    assert w.call("bpf_rbtree_first", root) == 0 and w.call("bpf_rbtree_root", root) == 0


def test_an_object_takes_along_what_it_owns() -> None:
    w, item, _ = _world()
    skb, _ = w.skb(bytes(60))
    address = _new(w, item)
    w.env.refs.acquire(skb)
    assert w.call("bpf_kptr_xchg", address + KPTR, skb.ptr) == 0
    assert skb.users == 2 and w.env.refs.held == 1
    w.call("bpf_obj_drop", address)
    assert skb.users == 1 and w.env.refs.held == 0


def test_a_map_element_takes_its_list_along() -> None:
    w, item, _ = _world()
    b = BtfBuilder()
    u64 = b.integer("unsigned long", 8)
    b.struct("bpf_list_node", [("x", b.array(u64, 3))])
    lock = b.struct("bpf_spin_lock", [("val", b.integer("unsigned int", 4))])
    head_type = b.struct("bpf_list_head", [("x", b.array(u64, 2))])
    inner = b.struct("item", [("value", u64), ("list", 3)])
    value = b.struct("value", [("lock", lock), ("head", head_type)])
    b.tag("contains:item:list", value, 1)
    key = b.integer("int", 4)
    m = w.map("hash", 4, 24, btf=b.btf(), key_type=key, value_type=value)
    if not m.fields:
        pytest.skip("this BTF has no list head that counts")
    assert inner and m.update(bytes(4), bytes(24), 0) == 0
    head = m.lookup(bytes(4)) + 8
    obj = _new(w, item)
    assert w.call("bpf_list_push_back", head, obj + LIST_NODE) == 0
    assert m.delete(bytes(4)) == 0
    assert not w.kernel.graph.roots and not w.env.refs.live()


def test_what_is_no_object_cannot_be_linked() -> None:
    w, _, head = _world()
    with pytest.raises(Fault, match="not a node of an allocated object"):
        w.call("bpf_list_push_back", head, w.mem)
    with pytest.raises(Fault, match="needs the program's BTF"):
        World().call("bpf_obj_new", 1)
