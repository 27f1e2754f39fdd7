"""Tables of what a kernel offers, whose entries are made when someone asks for them.

A kernel has hundreds of helpers, kfuncs, map types and program types, and a program needs a handful. The keys and the
names are known at once; an entry is made (and the file that declares it is imported) at the first look.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any, Protocol, TypeVar, overload


class Named(Protocol):
    """What has a kernel name."""

    @property
    def name(self) -> str:
        """The kernel name."""


K = TypeVar("K")
V = TypeVar("V", bound=Named)
_T = TypeVar("_T")


class OfferTable(Mapping[K, V]):
    """A mapping from numbers (or names) to things that have a name, each made when it is first looked up.

    Attributes:
        names: the name of each thing, by its key.
    """

    __slots__ = ("_made", "_make", "names")

    def __init__(self, names: Mapping[K, str], make: Callable[[str], V]) -> None:
        """Take the names by key, and the function that makes the thing of a name."""
        self.names, self._make = names, make
        self._made: dict[K, V] = {}

    def __getitem__(self, key: K) -> V:
        found = self._made.get(key)
        if found is None:
            found = self._made[key] = self._make(self.names[key])
        return found

    @overload
    def get(self, key: K, /) -> V | None: ...
    @overload
    def get(self, key: K, /, default: V | _T) -> V | _T: ...
    def get(self, key: K, /, default: Any = None) -> Any:
        """Return the thing of a key, or `default`."""
        found = self._made.get(key)
        return found if found is not None else self[key] if key in self.names else default

    def __contains__(self, key: object) -> bool:
        return key in self.names

    def __iter__(self) -> Iterator[K]:
        return iter(self.names)

    def __len__(self) -> int:
        return len(self.names)

    def __repr__(self) -> str:
        return f"OfferTable({dict(self.names)!r})"


def key_of(table: Mapping[K, V], name: str) -> K | None:
    """Return the key of the thing with a name, or None; nothing is made for it."""
    names = names_of(table)
    return next((key for key, known in names.items() if known == name), None)


def names_of(table: Mapping[K, V]) -> Mapping[K, str]:
    """Return the names in a table by key; nothing is made for it."""
    return table.names if isinstance(table, OfferTable) else {key: item.name for key, item in table.items()}
