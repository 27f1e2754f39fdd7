"""A plain model of lists and trees of counted objects: Python lists, sorted ones with bisect, and counts."""

from __future__ import annotations

from bisect import bisect_right
from collections import Counter

PROGRAM = "program"
LISTS = ("list a", "list b", "list of folder")
TREES = ("tree a", "tree b", "tree of folder")


class ModelItem:
    """Attributes: key, address, held (references of the program), place ("list", "tree" -> root or None), freed_by."""

    def __init__(self, key: int, address: int) -> None:
        self.key, self.address = key, address
        self.held = 1
        self.place: dict[str, str | None] = {"list": None, "tree": None}
        self.freed_by = ""


class GraphModel:
    """Attributes: items (all that ever were), roots (name -> its items), holders (root -> holder of its references)."""

    def __init__(self, holders: dict[str, str]) -> None:
        self.items: list[ModelItem] = []
        self.roots: dict[str, list[ModelItem]] = {name: [] for name in (*LISTS, *TREES)}
        self.holders = holders

    @property
    def live(self) -> list[ModelItem]:
        return [item for item in self.items if not item.freed_by]

    def owners(self, item: ModelItem) -> Counter[str]:
        """The holder of each reference to an item, with the number of them."""
        found = Counter(self.holders[root] for root in item.place.values() if root is not None)
        found[PROGRAM] += item.held
        return +found

    def new(self, key: int, address: int) -> None:
        self.items.append(ModelItem(key, address))

    def drop(self, item: ModelItem) -> None:
        item.held -= 1
        self._left(item, PROGRAM)

    def put(self, root: str, item: ModelItem, index: int | None) -> bool:
        """Put an item that the program holds at a place (None: there is none); return whether that was possible."""
        if item.place[kind(root)] is not None or index is None:
            self.drop(item)
            return False
        self.roots[root].insert(index, item)
        item.place[kind(root)] = root
        item.held -= 1
        return True

    def sort(self, tree: str, item: ModelItem) -> bool:
        keys = [other.key for other in self.roots[tree]]
        return self.put(tree, item, bisect_right(keys, item.key))

    def take(self, root: str, item: ModelItem) -> None:
        self.roots[root].remove(item)
        item.place[kind(root)] = None
        item.held += 1

    def empty(self, *roots: str) -> None:
        """Drop everything that is in roots whose memory is freed."""
        for root in roots:
            for item in self.roots[root]:
                item.place[kind(root)] = None
                self._left(item, self.holders[root])
            self.roots[root] = []

    def _left(self, item: ModelItem, holder: str) -> None:
        if not self.owners(item):
            item.freed_by = holder


def kind(root: str) -> str:
    """Return "list" or "tree"."""
    return root.partition(" ")[0]
