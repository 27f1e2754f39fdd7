"""Find lists and trees whose struct is missing from the types of the object.

Compilers describe only the types that code uses. A struct that is named in a tag alone is not described, and the
kernel then drops all special fields of that map without an error (map_check_btf, Linux 7.2).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from ebpfvm.btf import types as t

if TYPE_CHECKING:
    from collections.abc import Iterator

    from ebpfvm.btf.types import Btf
    from ebpfvm.loader.object import MapSpec, Object


def missing_structs(found: Object) -> Iterator[str]:
    """Yield a sentence for each list or tree of the object's maps whose struct or node is not described."""
    for spec in found.maps.values():
        yield from missing_in(spec)


def missing_in(spec: MapSpec) -> Iterator[str]:
    """Yield a sentence for each list or tree in the values of a map whose struct or node is not described."""
    if spec.btf is None or not spec.value_type:
        return
    for name, tag in _tags(spec.btf, spec.value_type):
        struct, _, node = tag.partition(":")
        number = spec.btf.find(struct, t.Kind.STRUCT)
        shape = spec.btf[number] if number is not None else None
        if not isinstance(shape, t.Struct):
            yield (f"{name!r} in map {spec.name} contains struct {struct}, which the object does not describe, "
                   "because nothing else uses it")
        elif node not in [member.name for member in shape.members]:
            yield f"{name!r} in map {spec.name} contains struct {struct}, which has no member {node!r}"


def _tags(btf: Btf, type_id: int) -> Iterator[tuple[str, str]]:
    """Yield the name of each variable or member of a map's value, and what its tag says that it contains."""
    value = btf.resolved(type_id)
    holders: list[tuple[str, int, int]] = []
    if isinstance(value, t.Datasec):
        holders = [(getattr(btf[item.type], "name", ""), item.type, -1) for item in value.vars]
    elif isinstance(value, t.Struct):
        root = btf.resolve(type_id)
        holders = [(member.name, root, index) for index, member in enumerate(value.members)]
    for name, owner, index in holders:
        for tag in btf.decl_tags(owner, index):
            if tag.startswith("contains:"):
                yield name, tag.removeprefix("contains:")
