"""The maps of a test run: their initial content, and views of them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING

from ebpfvm import checked
from ebpfvm.errors import UsageError

if TYPE_CHECKING:
    from ebpfvm.maps import BpfMap
    from ebpfvm.maps.base import UserRecord


class MapView(Mapping[bytes, bytes]):
    """A live view of a map's content, key -> value, as bpf(2) shows it; maps without keys are empty."""

    def __init__(self, bpf_map: BpfMap) -> None:
        self._map = bpf_map

    def records(self) -> list[UserRecord]:
        """Consume the records of a ring buffer or perf event array and return them, oldest first."""
        return self._map.records()

    def pending(self) -> list[UserRecord]:
        """Return the records that `records` would return, without consuming them."""
        return self._map.pending()

    def __getitem__(self, key: bytes) -> bytes:
        try:
            return self._map.sys_lookup(key)
        except OSError:
            raise KeyError(key) from None

    def __iter__(self) -> Iterator[bytes]:
        key: bytes | None = None
        while True:
            try:
                key = self._map.sys_next_key(key)
            except OSError:
                return
            if key in self:  # iteration over an array of programs or maps includes its empty slots
                yield key

    def __contains__(self, key: object) -> bool:
        try:
            return isinstance(key, bytes) and self._map.sys_lookup(key) is not None
        except OSError:
            return False

    def __len__(self) -> int:
        return sum(1 for _ in self)

    def __repr__(self) -> str:
        return f"MapView({dict(self)!r})"


class MapViews(Mapping[int | str, MapView]):
    """The maps of a program, by their index in `Program.maps` or by name; iteration yields the indices."""

    def __init__(self, bound: Sequence[BpfMap]) -> None:
        self._bound = bound

    def __getitem__(self, which: int | str) -> MapView:
        try:
            return MapView(map_of(self._bound, which))
        except UsageError as error:
            raise KeyError(str(error)) from None

    def __iter__(self) -> Iterator[int | str]:
        return iter(range(len(self._bound)))

    def __len__(self) -> int:
        return len(self._bound)

    def __repr__(self) -> str:
        return f"MapViews({dict(self)!r})"


def check_content(maps: object) -> None:
    """Raise `UsageError` if this is not the content of maps: index or name of a map -> key -> value, both bytes."""
    if maps is not None and not isinstance(maps, Mapping):
        raise checked.wrong("maps", "a mapping from a map's name or index to its entries", maps)
    for which, items in (maps or {}).items():
        if not isinstance(items, Mapping):
            raise checked.wrong(f"maps[{which!r}]", "a mapping from keys to values, both bytes", items)
        for key, value in items.items():
            checked.raw(f"maps[{which!r}]: a key", key)
            checked.raw(f"maps[{which!r}]: a value", value)


def fill_maps(bound: Sequence[BpfMap], content: Mapping[int | str, Mapping[bytes, bytes]]) -> None:
    """Fill maps with their initial content."""
    for which, items in content.items():
        found = map_of(bound, which)
        for key, value in items.items():
            try:
                found.fill(bytes(key), bytes(value))
            except OSError as error:
                raise UsageError(f"map {which!r}: key {key.hex()} cannot be set: {error.strerror or error}") from error


def map_of(bound: Sequence[BpfMap], which: object) -> BpfMap:
    """Return the map of a program by its index or name.

    Raises:
        UsageError: the program has no such map.
    """
    if isinstance(which, str):
        named = [found for found in bound if found.name == which]
        if named:
            return named[0]
    elif isinstance(which, int) and not isinstance(which, bool) and 0 <= which < len(bound):
        return bound[which]
    have = ", ".join(f"{index} {found.name!r}" if found.name else str(index) for index, found in enumerate(bound))
    raise UsageError(f"the program has no map {which!r}; it has: {have or 'none'}")
