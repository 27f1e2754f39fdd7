"""Red-black trees with the shape that a kernel's have (lib/rbtree.c): what bpf_rbtree_root, left and right show.

Where a node goes and which nodes are turned follows from the order of insertions and removals alone. The rules are
those of textbooks; a node with two children is replaced by the next one in order.
"""

from __future__ import annotations

from typing import Any


class TreeNode:
    """A node.

    Attributes:
        item: what it stands for.
        above, left, right: its neighbours in the tree.
        red: its colour.
    """

    __slots__ = ("above", "item", "left", "red", "right")

    def __init__(self, item: Any) -> None:
        self.item = item
        self.above: TreeNode | None = None
        self.left: TreeNode | None = None
        self.right: TreeNode | None = None
        self.red = True


class RedBlackTree:
    """A tree.

    Attributes:
        root: its uppermost node.
    """

    def __init__(self) -> None:
        self.root: TreeNode | None = None

    def add(self, item: Any, above: TreeNode | None, left: bool) -> TreeNode:
        """Insert an item as a child of a node that has none there, and return its node.

        Args:
            above: the node; None for an empty tree.
            left: whether it becomes the left child.
        """
        node = TreeNode(item)
        node.above = above
        if above is None:
            self.root = node
        elif left:
            above.left = node
        else:
            above.right = node
        self._added(node)
        return node

    def remove(self, node: TreeNode) -> None:
        """Remove a node."""
        if node.left is not None and node.right is not None:
            self._remove_inner(node)
            return
        child, above = node.left or node.right, node.above
        self._replace(node, child)
        if child is not None:
            child.red = False
        elif not node.red and above is not None:
            self._lightened(above, None)

    def _remove_inner(self, node: TreeNode) -> None:
        """Remove a node with two children: the next one takes its place and colour."""
        following = node.right
        assert following is not None
        while following.left is not None:
            following = following.left
        child, above, red = following.right, following.above, following.red
        if above is node:
            above = following
        else:
            self._replace(following, child)
            self._hang(following, node.right, left=False)
        self._replace(node, following)
        self._hang(following, node.left, left=True)
        following.red = node.red
        if child is not None:
            child.red = False
        elif not red and above is not None:
            self._lightened(above, None)

    # -- neighbours ----------------------------------------------------------------------------------------------

    def _replace(self, node: TreeNode, by: TreeNode | None) -> None:
        """Put a node, or nothing, where another one is below its parent."""
        above = node.above
        if by is not None:
            by.above = above
        if above is None:
            self.root = by
        elif above.left is node:
            above.left = by
        else:
            above.right = by

    @staticmethod
    def _hang(node: TreeNode, child: TreeNode | None, *, left: bool) -> None:
        """Make a node, or nothing, the child of another one."""
        if left:
            node.left = child
        else:
            node.right = child
        if child is not None:
            child.above = node

    def _turn(self, node: TreeNode, *, left: bool) -> TreeNode:
        """Turn a node and its child on the other side, and return that child, which is above it then."""
        child = node.right if left else node.left
        assert child is not None
        self._replace(node, child)
        self._hang(node, child.left if left else child.right, left=not left)
        self._hang(child, node, left=left)
        return child

    # -- colours -------------------------------------------------------------------------------------------------

    def _added(self, node: TreeNode) -> None:
        """Restore the colours above a red node that was added."""
        while (above := node.above) is not None and above.red:
            top = above.above
            assert top is not None  # the root is black
            on_left = top.left is above
            other = top.right if on_left else top.left
            if other is not None and other.red:
                above.red = other.red = False
                top.red = True
                node = top
                continue
            if (above.right if on_left else above.left) is node:
                above = self._turn(above, left=on_left)
            self._turn(top, left=not on_left)
            above.red, top.red = False, True
            return
        if node.above is None:
            node.red = False

    def _lightened(self, above: TreeNode, node: TreeNode | None) -> None:
        """Restore the colours where the paths through a child of `above`, `node`, have one black node too few."""
        while True:
            on_left = above.left is node
            other = above.right if on_left else above.left
            assert other is not None
            if other.red:
                self._turn(above, left=on_left)
                other.red, above.red = False, True
                other = above.right if on_left else above.left
                assert other is not None
            outer, inner = (other.right, other.left) if on_left else (other.left, other.right)
            if outer is not None and outer.red:
                self._balance(above, other, outer, left=on_left)
                return
            if inner is not None and inner.red:
                self._balance(above, self._turn(other, left=not on_left), other, left=on_left)
                return
            other.red = True
            if above.red or above.above is None:
                above.red = False
                return
            above, node = above.above, above

    def _balance(self, above: TreeNode, other: TreeNode, outer: TreeNode, *, left: bool) -> None:
        """Turn `other` over its parent, which makes up for the missing black node."""
        self._turn(above, left=left)
        other.red, above.red, outer.red = above.red, False, False
