"""Lists of allocated objects (kernel/bpf/helpers.c, Linux 7.2)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ebpfvm.contract import kfunc
from ebpfvm.errnos import EINVAL

if TYPE_CHECKING:
    from ebpfvm.kernel import CallEnv

_HEAD = "struct bpf_list_head *head"
_NODE = "struct bpf_list_node *node"


def _push(env: CallEnv, head: int, node: int, *, front: bool) -> int:
    graph = env.kernel.graph
    members = graph.list_at(head)
    return graph.insert(members, node, 0 if front else len(members))


def _end(env: CallEnv, head: int, *, front: bool) -> int:
    members = env.kernel.graph.list_at(head)
    return members[0 if front else -1].ptr + members.at if members else 0


def _pop(env: CallEnv, head: int, *, front: bool) -> int:
    graph = env.kernel.graph
    members = graph.list_at(head)
    return graph.take(members, 0 if front else -1) if members else 0


@kfunc(f"int bpf_list_push_front_impl({_HEAD}, {_NODE}, void *meta__ign, u64 off)",
       role="graph_put", in_lock=True, expands="push_front")
def bpf_list_push_front_impl(env: CallEnv, head: int, node: int, meta__ign: int, off: int) -> int:
    """Insert an object at the front; return 0, or drop the object and return -EINVAL if its node is in use."""
    return _push(env, head, node, front=True)


@kfunc(f"int bpf_list_push_back_impl({_HEAD}, {_NODE}, void *meta__ign, u64 off)",
       role="graph_put", in_lock=True, expands="push_back")
def bpf_list_push_back_impl(env: CallEnv, head: int, node: int, meta__ign: int, off: int) -> int:
    """Insert an object at the back, as bpf_list_push_front_impl does."""
    return _push(env, head, node, front=False)


@kfunc(f"int bpf_list_push_front({_HEAD}, {_NODE})", role="graph_put", in_lock=True, expands="push_front")
def bpf_list_push_front(env: CallEnv, head: int, node: int) -> int:
    """Insert an object at the front, as bpf_list_push_front_impl does (since 7.2)."""
    return _push(env, head, node, front=True)


@kfunc(f"int bpf_list_push_back({_HEAD}, {_NODE})", role="graph_put", in_lock=True, expands="push_back")
def bpf_list_push_back(env: CallEnv, head: int, node: int) -> int:
    """Insert an object at the back, as bpf_list_push_back_impl does (since 7.2)."""
    return _push(env, head, node, front=False)


@kfunc(f"int bpf_list_add({_HEAD}, {_NODE}, struct bpf_list_node *prev)", role="graph_put", in_lock=True)
def bpf_list_add(env: CallEnv, head: int, node: int, prev: int) -> int:
    """Insert an object after `prev` (since 7.2).

    Return 0, or -EINVAL if its node is in use or `prev` is not in the list.
    """
    graph = env.kernel.graph
    members = graph.list_at(head)
    before = graph.index(members, prev)
    if before < 0:
        env.refs.release(graph.object(node))
        return -EINVAL
    return graph.insert(members, node, before + 1)


@kfunc(f"struct bpf_list_node *bpf_list_pop_front({_HEAD})",
       "acquire", "ret_null", role="graph_take", in_lock=True, expands="pop_front")
def bpf_list_pop_front(env: CallEnv, head: int) -> int:
    """Remove the first object and return its node, or NULL."""
    return _pop(env, head, front=True)


@kfunc(f"struct bpf_list_node *bpf_list_pop_back({_HEAD})",
       "acquire", "ret_null", role="graph_take", in_lock=True, expands="pop_back")
def bpf_list_pop_back(env: CallEnv, head: int) -> int:
    """Remove the last object and return its node, or NULL."""
    return _pop(env, head, front=False)


@kfunc(f"struct bpf_list_node *bpf_list_del({_HEAD}, {_NODE})",
       "acquire", "ret_null", role="graph_take", in_lock=True, expands="unlink")
def bpf_list_del(env: CallEnv, head: int, node: int) -> int:
    """Remove an object and return its node, or NULL if it is not in this list (since 7.2)."""
    graph = env.kernel.graph
    members = graph.list_at(head)
    found = graph.index(members, node)
    return graph.take(members, found) if found >= 0 else 0


@kfunc(f"struct bpf_list_node *bpf_list_front({_HEAD})", "ret_null", role="graph_look", in_lock=True, expands="first")
def bpf_list_front(env: CallEnv, head: int) -> int:
    """Return the first node without removing it; NULL for an empty list."""
    return _end(env, head, front=True)


@kfunc(f"struct bpf_list_node *bpf_list_back({_HEAD})", "ret_null", role="graph_look", in_lock=True, expands="last")
def bpf_list_back(env: CallEnv, head: int) -> int:
    """Return the last node without removing it; NULL for an empty list."""
    return _end(env, head, front=False)


@kfunc(f"bool bpf_list_is_first({_HEAD}, {_NODE})", role="graph_ask", in_lock=True, expands="is_first")
def bpf_list_is_first(env: CallEnv, head: int, node: int) -> int:
    """Return whether a node is the first (since 7.2)."""
    return int(_end(env, head, front=True) == node)


@kfunc(f"bool bpf_list_is_last({_HEAD}, {_NODE})", role="graph_ask", in_lock=True, expands="is_last")
def bpf_list_is_last(env: CallEnv, head: int, node: int) -> int:
    """Return whether a node is the last (since 7.2)."""
    return int(_end(env, head, front=False) == node)


@kfunc(f"bool bpf_list_empty({_HEAD})", role="graph_ask", in_lock=True, expands="empty")
def bpf_list_empty(env: CallEnv, head: int) -> int:
    """Return whether the list is empty (since 7.2)."""
    return int(not env.kernel.graph.list_at(head))
