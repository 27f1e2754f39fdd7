"""Trees of allocated objects, ordered by the program's `less` (kernel/bpf/helpers.c, Linux 7.2).

Objects are kept in order; root, left and right show the shape of a balanced tree. A kernel's red-black tree may have
another shape, but a program can only rely on the order.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from ebpfvm.contract import kfunc

if TYPE_CHECKING:
    from ebpfvm.kernel import CallEnv

_ROOT = "struct bpf_rb_root *root"
_NODE = "struct bpf_rb_node *node"
_LESS = "bool (less)(struct bpf_rb_node *a, const struct bpf_rb_node *b)"


def _add(env: CallEnv, root: int, node: int, less: int) -> int:
    """Insert an object after all objects that it is not less than, so that ties keep their insertion order."""
    graph = env.kernel.graph
    nodes = graph.nodes(root)
    low, high = 0, len(nodes) if node not in graph.owner else 0
    while low < high:
        middle = (low + high) // 2
        if env.call(less, node, nodes[middle]):
            high = middle
        else:
            low = middle + 1
    return graph.insert(root, node, low)


def _span(env: CallEnv, root: int, node: int) -> tuple[list[int], int, int, int] | None:
    """Return the nodes, and low, middle and high of the part of them whose root `node` is."""
    nodes = env.kernel.graph.nodes(root)
    if node not in nodes:
        return None
    at, low, high = nodes.index(node), 0, len(nodes)
    while (middle := (low + high) // 2) != at:
        low, high = (low, middle) if at < middle else (middle + 1, high)
    return nodes, low, middle, high


@kfunc(f"int bpf_rbtree_add_impl({_ROOT}, {_NODE}, {_LESS}, void *meta__ign, u64 off)",
       role="graph_put", callback="sync", in_lock=True)
def bpf_rbtree_add_impl(env: CallEnv, root: int, node: int, less: int, meta__ign: int, off: int) -> int:
    """Insert an object; return 0, or drop the object and return -EINVAL if its node is in use."""
    return _add(env, root, node, less)


@kfunc(f"int bpf_rbtree_add({_ROOT}, {_NODE}, {_LESS})", role="graph_put", callback="sync", in_lock=True)
def bpf_rbtree_add(env: CallEnv, root: int, node: int, less: int) -> int:
    """Insert an object, as bpf_rbtree_add_impl does (since 7.2)."""
    return _add(env, root, node, less)


@kfunc(f"struct bpf_rb_node *bpf_rbtree_remove({_ROOT}, {_NODE})", "acquire", "ret_null",
       role="graph_take", in_lock=True)
def bpf_rbtree_remove(env: CallEnv, root: int, node: int) -> int:
    """Remove an object and return its node, or NULL if it is not in this tree."""
    graph = env.kernel.graph
    return graph.take(root, node) if graph.owner.get(node) == root else 0


@kfunc(f"struct bpf_rb_node *bpf_rbtree_first({_ROOT})", "ret_null", role="graph_look", in_lock=True)
def bpf_rbtree_first(env: CallEnv, root: int) -> int:
    """Return the smallest node without removing it; NULL for an empty tree."""
    nodes = env.kernel.graph.nodes(root)
    return nodes[0] if nodes else 0


@kfunc(f"struct bpf_rb_node *bpf_rbtree_root({_ROOT})", "ret_null", role="graph_look", in_lock=True)
def bpf_rbtree_root(env: CallEnv, root: int) -> int:
    """Return the root node without removing it; NULL for an empty tree."""
    nodes = env.kernel.graph.nodes(root)
    return nodes[len(nodes) // 2] if nodes else 0


@kfunc(f"struct bpf_rb_node *bpf_rbtree_left({_ROOT}, {_NODE})", "ret_null", role="graph_look", in_lock=True)
def bpf_rbtree_left(env: CallEnv, root: int, node: int) -> int:
    """Return the left child of a node; NULL if it has none, or if `node` is not in this tree."""
    span = _span(env, root, node)
    if span is None or span[1] >= span[2]:
        return 0
    nodes, low, middle, _ = span
    return nodes[(low + middle) // 2]


@kfunc(f"struct bpf_rb_node *bpf_rbtree_right({_ROOT}, {_NODE})", "ret_null", role="graph_look", in_lock=True)
def bpf_rbtree_right(env: CallEnv, root: int, node: int) -> int:
    """Return the right child of a node; NULL if it has none, or if `node` is not in this tree."""
    span = _span(env, root, node)
    if span is None or span[2] + 1 >= span[3]:
        return 0
    nodes, _, middle, high = span
    return nodes[(middle + 1 + high) // 2]
