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

PLENTY: Final = 1000  # more comparisons than one run without loops can make


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
        low = _place(ticks, tree, obj, less, over)
        if not obj.refs & COUNT:
            refs.give(obj, tree.holder.name)  # raises the fault
        obj.refs += unit - PROGRAM_UNIT
        refs.held -= 1
        obj.cells[cell] = tree
        tree.at = at
        tree.insert(low, obj)
        return 0
    return add


def _place(ticks: Iterator[None], tree: list[AllocObject], obj: AllocObject, less: Callable[..., int],
           over: Callable[[], Never]) -> int:
    """Return where an object belongs in a tree; each comparison consumes a tick."""
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
    return low


def sorter_by(refs: Refs, kind: ObjectType, at: int, key: int, exact: bool) -> Callable[..., int]:
    """Return `add(ticks, tree, obj, unit, over)`, which does what `sorter` does for `less` that compares one cell.

    Args:
        refs, kind, at: see `sorter`.
        key: the cell.
        exact: whether each comparison consumes a tick; otherwise only if few are left.
    """
    cell, key_of, less = kind.shape.nodes[at], _key_of(key), _less_by(key)
    slowly = sorter(refs, kind, at)

    def add(ticks: Iterator[None], tree: ObjectTree, obj: AllocObject, unit: int, over: Callable[[], Never]) -> int:
        cells = obj.cells
        if exact or length_hint(ticks) < PLENTY or cells[cell] is not None or not obj.refs & COUNT:
            return slowly(ticks, tree, obj, less, unit, over)
        obj.refs += unit - PROGRAM_UNIT
        refs.held -= 1
        cells[cell] = tree
        tree.at = at
        tree.insert(bisect_right(tree, cells[key], key=key_of), obj)  # which compares what `slowly` compares
        return 0
    return add


def inserter(key: int) -> Callable[[list[AllocObject], AllocObject], None]:
    """Return `insert(tree, obj)`, which puts an object where its cell `key` belongs, and does nothing else."""
    key_of = _key_of(key)

    def insert(tree: list[AllocObject], obj: AllocObject) -> None:
        tree.insert(bisect_right(tree, obj.cells[key], key=key_of), obj)
    return insert


def spender(key: int) -> Callable[..., None]:
    """Return `spend(ticks, tree, obj, over)`, which consumes the ticks of an insertion by the cell `key`."""
    less = _less_by(key)

    def spend(ticks: Iterator[None], tree: list[AllocObject], obj: AllocObject, over: Callable[[], Never]) -> None:
        _place(ticks, tree, obj, less, over)
    return spend


def _key_of(key: int) -> Callable[[AllocObject], int]:
    def key_of(obj: AllocObject) -> int:
        number: int = obj.cells[key]
        return number
    return key_of


def _less_by(key: int) -> Callable[..., bool]:
    def less(ticks: Iterator[None], obj: AllocObject, other: AllocObject) -> bool:
        mine: int = obj.cells[key]
        theirs: int = other.cells[key]
        return mine < theirs
    return less
