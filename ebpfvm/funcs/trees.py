"""Trees of allocated objects, ordered by the program's `less` (kernel/bpf/helpers.c, Linux 7.2).

Objects are kept in order. The shape of the red-black tree is kept too if a program can tell it
(`ebpfvm.loading.tree_use`).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from ebpfvm.contract import kfunc
from ebpfvm.kernel.object_roots import ShapedTree

if TYPE_CHECKING:
    from ebpfvm.kernel import CallEnv
    from ebpfvm.kernel.object_roots import Rooted

_ROOT = "struct bpf_rb_root *root"
_NODE = "struct bpf_rb_node *node"
_LESS = "bool (less)(struct bpf_rb_node *a, const struct bpf_rb_node *b)"


def _add(env: CallEnv, root: int, node: int, less: int) -> int:
    """Insert an object after all objects that it is not less than, so that ties keep their insertion order."""
    graph = env.kernel.graph
    members = graph.tree_at(root)
    held, at = graph.member(node)
    if held.cells[held.type.shape.nodes[at]] is not None:
        return graph.insert(members, node, 0)  # which refuses it
    if isinstance(members, ShapedTree):
        place = members.place(lambda other: bool(env.call(less, node, other.ptr + members.at)))
        return graph.insert(members, node, place)
    low, high = 0, len(members)
    while low < high:
        middle = (low + high) // 2
        if env.call(less, node, members[middle].ptr + members.at):
            high = middle
        else:
            low = middle + 1
    return graph.insert(members, node, low)


def _shaped(env: CallEnv, root: int) -> ShapedTree:
    """Return a tree with its shape, for one that another object has filled without."""
    members = env.kernel.graph.tree_at(root)
    if isinstance(members, ShapedTree):
        return members
    made = ShapedTree()
    made.at = members.at
    for member in members:
        made.insert(len(made), member)
    return made


def _child(env: CallEnv, root: int, node: int, *, left: bool) -> int:
    """Return a child of a node; NULL if it has none, or if `node` is not in this tree."""
    graph = env.kernel.graph
    if graph.index(graph.tree_at(root), node) < 0:
        return 0
    members = _shaped(env, root)
    found = members.node(graph.member(node)[0])
    child = found.left if left else found.right
    return child.item.ptr + members.at if child is not None else 0


def _address(members: Rooted, index: int) -> int:
    return members[index].ptr + members.at if members else 0


@kfunc(f"int bpf_rbtree_add_impl({_ROOT}, {_NODE}, {_LESS}, void *meta__ign, u64 off)",
       role="graph_put", callback="sync", in_lock=True, expands="insert_sorted")
def bpf_rbtree_add_impl(env: CallEnv, root: int, node: int, less: int, meta__ign: int, off: int) -> int:
    """Insert an object; return 0, or drop the object and return -EINVAL if its node is in use."""
    return _add(env, root, node, less)


@kfunc(f"int bpf_rbtree_add({_ROOT}, {_NODE}, {_LESS})",
       role="graph_put", callback="sync", in_lock=True, expands="insert_sorted")
def bpf_rbtree_add(env: CallEnv, root: int, node: int, less: int) -> int:
    """Insert an object, as bpf_rbtree_add_impl does (since 7.2)."""
    return _add(env, root, node, less)


@kfunc(f"struct bpf_rb_node *bpf_rbtree_remove({_ROOT}, {_NODE})", "acquire", "ret_null",
       role="graph_take", in_lock=True, expands="unlink")
def bpf_rbtree_remove(env: CallEnv, root: int, node: int) -> int:
    """Remove an object and return its node, or NULL if it is not in this tree."""
    graph = env.kernel.graph
    members = graph.tree_at(root)
    found = graph.index(members, node)
    return graph.take(members, found) if found >= 0 else 0


@kfunc(f"struct bpf_rb_node *bpf_rbtree_first({_ROOT})", "ret_null", role="graph_look", in_lock=True, expands="first")
def bpf_rbtree_first(env: CallEnv, root: int) -> int:
    """Return the smallest node without removing it; NULL for an empty tree."""
    return _address(env.kernel.graph.tree_at(root), 0)


@kfunc(f"struct bpf_rb_node *bpf_rbtree_root({_ROOT})", "ret_null", role="graph_look", in_lock=True)
def bpf_rbtree_root(env: CallEnv, root: int) -> int:
    """Return the root node without removing it; NULL for an empty tree."""
    members = _shaped(env, root)
    top = members.shape.root
    return top.item.ptr + members.at if top is not None else 0


@kfunc(f"struct bpf_rb_node *bpf_rbtree_left({_ROOT}, {_NODE})", "ret_null", role="graph_look", in_lock=True)
def bpf_rbtree_left(env: CallEnv, root: int, node: int) -> int:
    """Return the left child of a node; NULL if it has none, or if `node` is not in this tree."""
    return _child(env, root, node, left=True)


@kfunc(f"struct bpf_rb_node *bpf_rbtree_right({_ROOT}, {_NODE})", "ret_null", role="graph_look", in_lock=True)
def bpf_rbtree_right(env: CallEnv, root: int, node: int) -> int:
    """Return the right child of a node; NULL if it has none, or if `node` is not in this tree."""
    return _child(env, root, node, left=False)
