"""Lists and trees of allocated objects as Python objects."""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, Any

from ebpfvm.kernel.red_black import RedBlackTree, TreeNode

if TYPE_CHECKING:
    from collections.abc import Callable

    from ebpfvm.kernel.refs import Holder


class _Rooted:
    """What lists and trees know of themselves.

    Attributes:
        holder: the holder of the references to the objects.
        at: offset of the node by which the objects are in it, of those that are in it now.
    """

    __slots__ = ()
    holder: Holder
    at: int


class ObjectList(_Rooted, deque[Any]):
    """The objects of a `bpf_list_head`."""

    __slots__ = ("at", "holder")
    __hash__ = object.__hash__  # type: ignore[assignment]


class ObjectTree(_Rooted, list[Any]):
    """The objects of a `bpf_rb_root`, in order."""

    __slots__ = ("at", "holder")
    __hash__ = object.__hash__  # type: ignore[assignment]


class ShapedTree(ObjectTree):
    """The objects of a `bpf_rb_root`, in order, and the red-black tree that they form.

    Attributes:
        shape: the tree.
    """

    __slots__ = ("_nodes", "shape")
    __hash__ = object.__hash__

    def __init__(self) -> None:
        super().__init__()
        self.shape = RedBlackTree()
        self._nodes: dict[Any, TreeNode] = {}

    def insert(self, index: Any, made: Any) -> None:
        """Insert an object; there is one place for it in the tree."""
        above, left = None, False
        if index < len(self):
            above, left = self._nodes[self[index]], True
        if index and (above is None or above.left is not None):
            above, left = self._nodes[self[index - 1]], False
        super().insert(index, made)
        self._nodes[made] = self.shape.add(made, above, left)

    def __delitem__(self, index: Any) -> None:
        self.shape.remove(self._nodes.pop(self[index]))
        super().__delitem__(index)

    def place(self, less: Callable[[Any], bool]) -> int:
        """Return the index for a new object, after asking whether it is less than others on the way from the root."""
        node, place = self.shape.root, 0
        while node is not None:
            before = less(node.item)
            place = self.index(node.item) + (not before)
            node = node.left if before else node.right
        return place

    def node(self, member: Any) -> TreeNode:
        """Return the node of an object that is in the tree."""
        return self._nodes[member]


Rooted = ObjectList | ObjectTree
