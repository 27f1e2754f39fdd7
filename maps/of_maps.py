"""Maps whose values are maps: array, hash, and the RFC's rbtree (kernel/bpf/map_in_map.c of 7.2; RFC v6, patch 2/5).

A program's lookup returns the inner map itself. User space stores an inner map by its id, instead of bpf(2)'s file
descriptor, and reads the id back. Removing an element drops its reference to the inner map. The RFC's rbtree of maps,
which the posted code stored through a truncated pointer, works as intended: user space can pop the inner map with the
smallest key. Programs cannot update or delete elements, as for the other types, and cannot pop them either, because
bpf_map_pop_elem() copies a value, and a map cannot be copied.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from ebpfvm.btf.fields import special_fields
from ebpfvm.contract import maptype as mt
from ebpfvm.contract.maptype import CreateArgs, MapRefusal, MapType, no_btf
from ebpfvm.errnos import E2BIG, EBADF, EEXIST, EINVAL, ENOENT, ENOTSUPP
from ebpfvm.maps import base
from ebpfvm.maps.array import descriptors_check, next_index
from ebpfvm.maps.hash import htab_alloc_check
from ebpfvm.maps.rbtree import rbtree_alloc_check
from ebpfvm.maps.value_types import shape_of_values

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from ebpfvm.ints import ByteOrder
    from ebpfvm.kernel.emulated import Kernel
    from ebpfvm.kernel.typed_values import ValueShape
    from ebpfvm.loader.object import MapSpec


def _needs_inner(check: Callable[[CreateArgs], MapRefusal | None]) -> Callable[[CreateArgs], MapRefusal | None]:
    """Return the outer type's check followed by that of map_in_map: 4-byte values and a usable template."""

    def checked(args: CreateArgs) -> MapRefusal | None:
        refusal = mt.value_size(args, (4,)) or check(args)
        if refusal is not None:
            return refusal
        inner = args.inner
        if inner is None:
            return MapRefusal(EBADF, "it has no inner map")
        if args.inner_refusal is not None:
            return MapRefusal(args.inner_refusal.errno, f"its inner map cannot be made: {args.inner_refusal.why}")
        if inner.in_map:
            return MapRefusal(EINVAL, "its inner map is a map of maps itself")
        if not inner.inner:
            return MapRefusal(ENOTSUPP, f"a map of type {inner.name} cannot be an inner map")
        return None

    return checked


def same_meta(template: MapSpec, inner: base.BpfMap) -> bool:
    """Return whether `inner` can take the place of `template` (bpf_map_meta_equal)."""
    same = (inner.type.name == _type_name(inner, template) and inner.key_size == template.key_size
            and inner.value_size == template.value_size and inner.flags == template.map_flags)
    if inner.type.name == "array" and not template.map_flags & mt.BPF_F_INNER_MAP:
        same = same and inner.max_entries == template.max_entries
    return same


def _type_name(inner: base.BpfMap, template: MapSpec) -> str:
    return inner.kernel.dialect.map_type(template.type).name


class InnerTemplate:
    """What the inner maps of a map of maps have in common.

    Attributes:
        spec: the definition of the inner map that the outer one was made with.
        kind: the class of inner maps.
        fields, shape: the special fields of values, and how they are cut into members, by that definition.
        uniform: whether the values of all inner maps so far are of this shape: BTF may differ.
        told: is called when that ceases to be so.
    """

    def __init__(self, kernel: Kernel, spec: MapSpec) -> None:
        self.spec = spec
        self.kind = kernel.dialect.map_type(spec.type).make
        self.fields = special_fields(spec.btf, spec.value_type) if spec.btf and spec.value_type else ()
        self.shape = shape_of_values(spec, self.fields, kernel.dialect)
        self.uniform = True
        self.told: list[Callable[[], None]] = []

    def admit(self, inner: base.BpfMap) -> None:
        """Take note of another inner map."""
        shape: ValueShape | None = getattr(inner, "shape", None)
        same = shape is self.shape or (shape is not None and shape.same_as(self.shape))
        if self.uniform and not same:
            self.uniform = False
            for tell in self.told:
                tell()


class MapOfMaps(base.BpfMap):
    """Base of the types: a mapping from key to inner map, in the order of the outer type.

    Attributes:
        elems: key, read in `key_order` -> inner map.
        template: what its inner maps have in common, None if there is no template.
    """

    key_order: ClassVar[ByteOrder] = "little"
    ordered: ClassVar[bool] = False

    def __init__(self, kernel: Kernel, spec: MapSpec) -> None:
        super().__init__(kernel, spec)
        self.elems: dict[int, base.BpfMap] = {}
        self.template = InnerTemplate(kernel, spec.inner) if spec.inner is not None else None

    def lookup(self, key: bytes) -> int:
        inner = self.elems.get(self._number(key))
        return inner.region.base if inner is not None else 0

    def _number(self, key: bytes) -> int:
        """Return a key as an integer."""
        return int.from_bytes(key, self.key_order)

    def update(self, key: bytes, value: bytes, flags: int) -> int:
        """Set an element from user space; `value` is the id of a map equal to the template."""
        inner = self.kernel.maps.get(int.from_bytes(value, "little"))
        return -EBADF if inner is None else self.put(key, inner, flags)

    def put(self, key: bytes, inner: base.BpfMap, flags: int = base.BPF_ANY) -> int:
        """Set the inner map of `key`; return 0, -EINVAL (differs from the template), -EEXIST, -ENOENT or -E2BIG."""
        template, number = self.template, self._number(key)
        if flags > base.BPF_EXIST or template is None or not same_meta(template.spec, inner):
            return -EINVAL
        if number in self.elems:
            if flags == base.BPF_NOEXIST:
                return -EEXIST
        elif flags == base.BPF_EXIST:
            return -ENOENT
        elif len(self.elems) >= self.room:
            return self.full()
        self.elems[number] = inner
        template.admit(inner)
        return 0

    def delete(self, key: bytes) -> int:
        return 0 if self.elems.pop(self._number(key), None) is not None else -ENOENT

    def sys_lookup(self, key: bytes | None, flags: int = 0) -> bytes:
        self._check_syscall(key, writes=False)
        inner = self.elems.get(self._number(key or b""))
        if inner is None:
            raise base.kernel_error(ENOENT, f"lookup in map {self.name!r}")
        return inner.id.to_bytes(4, "little")

    def sys_next_key(self, key: bytes | None = None) -> bytes:
        self._check_syscall(key, writes=False)
        keys = self._in_order()
        position = keys.index(key) + 1 if key is not None and key in keys else 0
        if position >= len(keys) or (self.ordered and key is not None and key not in keys):
            raise base.kernel_error(ENOENT, f"keys of map {self.name!r}")
        return keys[position]

    def keys(self) -> Iterator[bytes]:
        """Yield all keys that have an inner map at the time of the call."""
        return iter(self._in_order())

    def _in_order(self) -> list[bytes]:
        """Return the keys in the order of the type."""
        keys = [key.to_bytes(self.key_size, self.key_order) for key in self.elems]
        return sorted(keys) if self.ordered else keys

    def close(self) -> None:
        self.elems.clear()
        super().close()


class ArrayOfMaps(MapOfMaps):
    """BPF_MAP_TYPE_ARRAY_OF_MAPS: slots by index, empty until set."""

    def update(self, key: bytes, value: bytes, flags: int) -> int:
        if flags != base.BPF_ANY:
            return -EINVAL
        return -E2BIG if self._beyond(key) else super().update(key, value, flags)

    def delete(self, key: bytes) -> int:
        return -E2BIG if self._beyond(key) else super().delete(key)

    def _beyond(self, key: bytes) -> bool:
        return int.from_bytes(key, "little") >= self.max_entries

    def put(self, key: bytes, inner: base.BpfMap, flags: int = base.BPF_ANY) -> int:
        if flags != base.BPF_ANY:
            return -EINVAL
        return -E2BIG if self._beyond(key) else super().put(key, inner, flags)

    def sys_next_key(self, key: bytes | None = None) -> bytes:
        self._check_syscall(key, writes=False)
        return next_index(self, key)


class HashOfMaps(MapOfMaps):
    """BPF_MAP_TYPE_HASH_OF_MAPS."""


class RbtreeOfMaps(MapOfMaps):
    """BPF_MAP_TYPE_RBTREE_OF_MAPS: inner maps in the order of the bytes of their keys."""

    ordered = True

    def pop_inner(self) -> base.BpfMap | None:
        """Remove and return the inner map with the smallest key; its reference moves to the caller."""
        if not self.elems:
            return None
        return self.elems.pop(self._number(self._in_order()[0]))

    def sys_lookup_and_delete(self, key: bytes | None = None, flags: int = 0) -> bytes:
        """Remove the inner map with the smallest key and return its id (pop for user space)."""
        inner = self.pop_inner()
        if inner is None:
            raise base.kernel_error(ENOENT, f"pop from map {self.name!r}")
        return inner.id.to_bytes(4, "little")


_LOOKUP = frozenset({"bpf_map_lookup_elem"})
ARRAY_OF_MAPS = MapType("array_of_maps", ArrayOfMaps, _LOOKUP, gives="map", batch=frozenset({"lookup", "update"}),
                        check=_needs_inner(descriptors_check), check_btf=no_btf, takes_btf=False,
                        sleepable="yes", kernel_struct="bpf_array",
                        doc="An array whose values are maps.")
HASH_OF_MAPS = MapType("hash_of_maps", HashOfMaps, _LOOKUP, gives="map", batch=base.BATCH,
                       check=_needs_inner(htab_alloc_check), check_btf=no_btf, takes_btf=False,
                       sleepable="yes", kernel_struct="bpf_htab",
                       doc="A hash whose values are maps.")
RBTREE_OF_MAPS = MapType("rbtree_of_maps", RbtreeOfMaps, _LOOKUP, gives="map",
                         check=_needs_inner(rbtree_alloc_check), doc="An ordered map whose values are maps.")
ArrayOfMaps.type = ARRAY_OF_MAPS
HashOfMaps.type = HASH_OF_MAPS
RbtreeOfMaps.type = RBTREE_OF_MAPS
