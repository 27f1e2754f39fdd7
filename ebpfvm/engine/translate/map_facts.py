"""What is known of a map that an instruction uses: the map itself, or what all maps in its place have in common."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ebpfvm.lazy_tuples import NamedTuple

if TYPE_CHECKING:
    from ebpfvm.btf.fields import Field
    from ebpfvm.ints import ByteOrder
    from ebpfvm.kernel.typed_values import ValueShape


class MapFacts(NamedTuple):
    """Facts about a map.

    Attributes:
        number, found: its number among the program's maps, and the map; None for an inner map of a map of maps.
        kind: its class.
        key_size, value_size: bytes of a key and of a value.
        fields: the special fields of its values.
        shape: how values are cut into the members of lists, None if they are bytes.
        mixed: whether it is one of several whose values are lists of different shapes, or bytes.
    """

    number: int | None
    found: Any
    kind: Any
    key_size: int
    value_size: int
    fields: tuple[Field, ...] = ()
    shape: ValueShape | None = None
    mixed: bool = False

    @property
    def order(self) -> ByteOrder | None:
        """How it reads a key as an integer, None if it only knows bytes."""
        found: ByteOrder | None = getattr(self.kind, "key_order", None)
        return found

    @property
    def is_keyed(self) -> bool:
        """Whether programs find, change and remove its values by integers."""
        return self.order is not None and hasattr(self.kind, "remove")

    @property
    def is_walked(self) -> bool:
        """Whether its elements can be visited by integers."""
        return hasattr(self.kind, "walk") and bool(self.kind.type.for_each)

    @property
    def all_keys(self) -> int:
        """How many keys, from 0 on, are always there; 0 for a map whose elements come and go."""
        always = self.found is not None and self.is_keyed and self.kind.type.has_all_keys
        return int(self.found.max_entries) if always else 0

    @property
    def has_nth(self) -> bool:
        """Whether the element that a walk visits at a given time is known at once, while the map does not change."""
        return hasattr(self.kind, "nth")


def facts_of(number: int, found: Any) -> MapFacts:
    """Return the facts about a map that is known."""
    return MapFacts(number, found, type(found), found.key_size, found.value_size, getattr(found, "fields", ()),
                    getattr(found, "shape", None))


def inner_facts(outer: MapFacts) -> MapFacts | None:
    """Return what the inner maps of a map of maps have in common; None if it is something else."""
    common = getattr(outer.found, "template", None)
    if common is None:
        return None
    return MapFacts(None, None, common.kind, common.spec.key_size, common.spec.value_size, common.fields,
                    common.shape if common.uniform else None, not common.uniform)
