"""Insertion into trees of objects as functions that are made once for a program: bpf_rbtree_add with a known order."""

from __future__ import annotations

from bisect import bisect_right
from operator import length_hint
from typing import TYPE_CHECKING, Final, Never

from ebpfvm.errnos import EINVAL
from ebpfvm.kernel.refs import COUNT, PROGRAM_UNIT

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from ebpfvm.kernel.object_graph import AllocObject
    from ebpfvm.kernel.object_roots import ObjectTree
    from ebpfvm.kernel.object_types import ObjectType
    from ebpfvm.kernel.refs import Refs

_PLENTY: Final = 1000  # more comparisons than one run without loops can make


def sorter(refs: Refs, kind: ObjectType, at: int) -> Callable[..., int]:
    """Return `add(ticks, tree, obj, less, unit, over)`, which inserts an object as bpf_rbtree_add does.

    `less` is called with the ticks and two objects; each call consumes a tick, and `over` is called without one.
    `unit` is a reference that the tree holds.
    """
    cell = kind.shape.nodes[at]

    def add(ticks: Iterator[None], tree: ObjectTree, obj: AllocObject, less: Callable[..., int], unit: int,
            over: Callable[[], Never]) -> int:
        if obj.cells[cell] is not None:
            refs.release(obj)
            return -EINVAL
        low, high = 0, len(tree)
        while low < high:
            for _ in ticks:
                break
            else:
                over()
            middle = (low + high) // 2
            if less(ticks, obj, tree[middle]):
                high = middle
            else:
                low = middle + 1
        if not obj.refs & COUNT:
            refs.give(obj, tree.holder.name)  # raises the fault
        obj.refs += unit - PROGRAM_UNIT
        refs.held -= 1
        obj.cells[cell] = tree
        tree.at = at
        tree.insert(low, obj)
        return 0
    return add


def sorter_by(refs: Refs, kind: ObjectType, at: int, key: int, exact: bool) -> Callable[..., int]:
    """Return `add(ticks, tree, obj, unit, over)`, which does what `sorter` does for `less` that compares one cell.

    Args:
        refs, kind, at: see `sorter`.
        key: the cell.
        exact: whether each comparison consumes a tick; otherwise only if few are left.
    """
    cell = kind.shape.nodes[at]

    def key_of(obj: AllocObject) -> int:
        number: int = obj.cells[key]
        return number

    def less(ticks: Iterator[None], obj: AllocObject, other: AllocObject) -> bool:
        return key_of(obj) < key_of(other)
    slowly = sorter(refs, kind, at)

    def add(ticks: Iterator[None], tree: ObjectTree, obj: AllocObject, unit: int, over: Callable[[], Never]) -> int:
        cells = obj.cells
        if exact or length_hint(ticks) < _PLENTY or cells[cell] is not None or not obj.refs & COUNT:
            return slowly(ticks, tree, obj, less, unit, over)
        obj.refs += unit - PROGRAM_UNIT
        refs.held -= 1
        cells[cell] = tree
        tree.at = at
        tree.insert(bisect_right(tree, cells[key], key=key_of), obj)  # which compares what `slowly` compares
        return 0
    return add
