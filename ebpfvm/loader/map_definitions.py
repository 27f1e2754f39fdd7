"""Map definitions: BTF-defined `.maps` variables, and the structs of legacy `maps` sections.

BTF-defined maps follow `parse_btf_map_def` (tools/lib/bpf/libbpf.c, Linux 7.2): each member of the variable's struct
defines one property, with numbers as array sizes and types as pointers. A legacy definition is a C struct whose layout
depends on the loader that it was written for; its size identifies the layout.
"""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING

from ebpfvm.btf import types as t
from ebpfvm.errors import LoadError
from ebpfvm.ints import U32_MAX, U64_MAX
from ebpfvm.lazy_dataclasses import dataclass, replace
from ebpfvm.loader.object import MapSpec

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from ebpfvm.btf.types import Btf
    from ebpfvm.loader.elf import Elf, Reloc, Section, Symbol

PROG_ARRAY, PERF_EVENT_ARRAY, ARRAY_OF_MAPS, HASH_OF_MAPS = 3, 4, 12, 13
POSSIBLE_CPUS = 1  # CPUs of the simulated machine: libbpf's size of a perf event array that has none
_NUMBERS = frozenset(("type", "max_entries", "map_flags", "numa_node", "pinning", "map_extra"))
_RINGS = frozenset((27, 31))  # ringbuf and user_ringbuf, whose sizes libbpf rounds up (adjust_ringbuf_sz)
_PAGE = 4096
_PERF_EVENT_ARRAY = 4  # if it has no size, it gets an entry for each CPU (map_set_def_max_entries)
_CPUS = 1
BPF_F_NUMA_NODE = 1 << 2


@dataclass(frozen=True, slots=True)
class MapDef:
    """A map, its key in the object, and the bytes of a section that represent it in relocations."""

    key: str
    spec: MapSpec
    section: int
    offset: int
    size: int


class MapTable:
    """All maps of an object: in file order, by key, and by place.

    `ids` maps the numbers of iproute2's definitions to keys.
    """

    def __init__(self) -> None:
        self.by_key: dict[str, MapDef] = {}
        self.ids: dict[int, str] = {}
        self._keys: dict[tuple[int, int], str] = {}

    def __iter__(self) -> Iterator[MapDef]:
        """Yield all maps as they are now, in file order."""
        return iter(list(self.by_key.values()))

    def add(self, found: MapDef) -> None:
        """Add a map.

        Raises:
            LoadError: its key is already in use.
        """
        if found.key in self.by_key:
            raise LoadError("two maps have this name", symbol=found.key)
        self.by_key[found.key] = found
        self._keys[found.section, found.offset] = found.key

    def at(self, section: int, offset: int) -> MapDef | None:
        """Return the map defined at exactly this place, or None."""
        key = self._keys.get((section, offset))
        return self.by_key[key] if key is not None else None

    def replace(self, key: str, spec: MapSpec) -> None:
        """Replace the spec of a map."""
        self.by_key[key] = replace(self.by_key[key], spec=spec)


def collect_maps(elf: Elf, btf: Btf | None, notes: list[str]) -> MapTable:
    """Return all maps that the object defines, without those of its data sections.

    Raises:
        LoadError: a definition is damaged or contains something unknown; the message names the map.
    """
    table = MapTable()
    for section in elf.sections:
        if section.name == ".maps" and section.size:
            if btf is None:
                raise LoadError("maps are described by BTF, and the object has none: compile with -g",
                                section=".maps")
            _btf_maps(section, btf, table, notes)
        elif section.name == "maps" or section.name.startswith("maps/"):
            _legacy_maps(elf, section, btf, table, notes)
    return table


# -- BTF-defined ------------------------------------------------------------------------------------------------


def _btf_maps(section: Section, btf: Btf, table: MapTable, notes: list[str]) -> None:
    sec_id = btf.find(".maps", t.Kind.DATASEC)
    if sec_id is None:
        raise LoadError("the object's BTF does not describe its maps: compile with -g", section=".maps")
    datasec = btf[sec_id]
    assert isinstance(datasec, t.Datasec)
    for info in sorted(datasec.vars, key=lambda v: v.offset):
        var = btf[info.type]
        if not isinstance(var, t.Var):
            raise LoadError(f"BTF type {info.type} is not a variable", section=".maps")
        if info.offset + info.size > section.size:
            raise LoadError(f"the map lies outside of its section of {section.size} bytes", section=".maps",
                            offset=info.offset, symbol=var.name)
        if var.linkage == t.Linkage.STATIC:
            notes.append(f"map {var.name!r} is static; libbpf refuses that")
        spec = _btf_map(btf, var.type, var.name, notes)
        table.add(MapDef(var.name, spec, section.index, info.offset, info.size))


def _btf_map(btf: Btf, type_id: int, name: str, notes: list[str], inner: bool = False) -> MapSpec:
    """Return the map that the struct `type_id` defines."""
    definition = btf.resolved(type_id)
    if not isinstance(definition, t.Struct):
        raise LoadError(f"a map is defined by a struct, not by {btf.describe(type_id)}", section=".maps", symbol=name)
    numbers: dict[str, int] = {}
    sizes: dict[str, int] = {}
    types: dict[str, int] = {}
    spec = MapSpec(0, name=name, btf=btf)
    seen: set[str] = set()
    for member in definition.members:
        field = member.name
        if field in seen:
            raise LoadError(f"map field {field!r} is defined twice", section=".maps", symbol=name)
        seen.add(field)
        if field in _NUMBERS:
            numbers[field] = _number(btf, member, name)
        elif field in ("key_size", "value_size"):
            _set_size(sizes, field, _number(btf, member, name), name)
        elif field in ("key", "value"):
            types[f"{field}_type"] = target = _pointee(btf, member, name)
            _set_size(sizes, f"{field}_size", btf.size_of(target), name)
        elif field == "values":
            if inner:
                raise LoadError("an inner map cannot hold maps itself", section=".maps", symbol=name)
            _set_size(sizes, "value_size", 4, name)
            spec = replace(spec, inner=_inner(btf, member, name, notes))
        else:
            raise LoadError(f"unknown map field {field!r}; known are type, max_entries, map_flags, key, key_size, "
                            "value, value_size, values, pinning, numa_node and map_extra", section=".maps",
                            symbol=name)
    if "type" not in numbers:
        raise LoadError("the map has no type", section=".maps", symbol=name)
    if numbers.get("pinning", 0) > 1:
        notes.append(f"map {name!r}: pinning {numbers['pinning']} is not one of libbpf's (0 or 1)")
    numbers["max_entries"] = _entries(numbers["type"], numbers.get("max_entries", 0))
    if numbers["type"] == _PERF_EVENT_ARRAY and not numbers.get("max_entries"):
        numbers["max_entries"] = _CPUS
    return replace(spec, **numbers, **sizes, **types)  # type: ignore[arg-type]


def _entries(type: int, asked: int) -> int:
    """Return the number of entries that libbpf requests from the kernel."""
    if type in _RINGS:
        return _ring_size(asked)
    return asked or (POSSIBLE_CPUS if type == PERF_EVENT_ARRAY else 0)


def _ring_size(size: int) -> int:
    """Return `size` rounded up to a power-of-2 number of pages; if that is impossible, `size`, which is refused."""
    if not size:
        return size
    pages = 1 << max(0, (-(-size // _PAGE) - 1).bit_length())
    return pages * _PAGE if pages * _PAGE <= U32_MAX else size


def _set_size(sizes: dict[str, int], field: str, size: int, name: str) -> None:
    if sizes.setdefault(field, size) != size:
        raise LoadError(f"{field} is said to be {sizes[field]} and {size} bytes", section=".maps", symbol=name)
    if size > U32_MAX:
        raise LoadError(f"{field} of {size} bytes is more than a map can have", section=".maps", symbol=name)


def _number(btf: Btf, member: t.Member, name: str) -> int:
    """Return the number of `__uint(field, n)`, a pointer to an array of n, or of `__ulong`, an enum with one value."""
    found = btf.resolved(member.type)
    if isinstance(found, t.Ptr):
        array = btf[found.type]
        if isinstance(array, t.Array):
            return array.nelems
    elif isinstance(found, t.Enum | t.Enum64) and len(found.values) == 1:
        return found.values[0][1] & U64_MAX
    raise LoadError(f"map field {member.name!r} is not a number; write __uint({member.name}, N)", section=".maps",
                    symbol=name)


def _pointee(btf: Btf, member: t.Member, name: str) -> int:
    found = btf[member.type]
    if not isinstance(found, t.Ptr):
        raise LoadError(f"map field {member.name!r} is not a type; write __type({member.name}, T)", section=".maps",
                        symbol=name)
    return found.type


def _inner(btf: Btf, member: t.Member, name: str, notes: list[str]) -> MapSpec | None:
    """Return the inner map's template that `__array(values, T)` defines, or None for an array of programs."""
    array = btf.resolved(member.type)
    pointer = btf.resolved(array.type) if isinstance(array, t.Array) else None
    if not isinstance(pointer, t.Ptr):
        raise LoadError("map field 'values' is not an array of pointers; write __array(values, T)", section=".maps",
                        symbol=name)
    if isinstance(btf.resolved(pointer.type), t.FuncProto):
        return None
    return _btf_map(btf, pointer.type, f"{name}.inner", notes, inner=True)


# -- initial elements -------------------------------------------------------------------------------------------


def initial_elements(elf: Elf, table: MapTable, program_at: Callable[[Symbol, int], str | None]) -> None:
    """Fill `init` of the maps whose initial elements are programs or maps.

    Args:
        program_at: returns the name of the program that a symbol plus addend denotes, or None.

    Raises:
        LoadError: an element is neither a program nor a map.
    """
    for found in table:
        section = elf.sections[found.section] if found.section > 0 else None
        if section is None or section.name != ".maps":
            continue
        start = _values_offset(found)
        relocs = elf.relocs_between(section.index, found.offset, found.offset + found.size)
        init = {slot: _element(section, reloc, table, program_at) for slot, reloc in _slots(relocs, found, start)}
        if init:
            table.replace(found.key, replace(found.spec, init=init))


def tail_calls(table: MapTable, sections: Iterable[tuple[str, str]]) -> None:
    """Put each program in a section named ID/SLOT into that slot of the program array with that id (iproute2).

    Args:
        sections: (program, section name) of all programs.
    """
    for program, section in sections:
        number, _, slot = section.partition("/")
        if number.isdecimal() and slot.isdecimal() and len(number) < 11 and len(slot) < 11:
            key = table.ids.get(int(number))
            if key is not None and table.by_key[key].spec.type == PROG_ARRAY:
                spec = table.by_key[key].spec
                table.replace(key, replace(spec, init={**spec.init, int(slot): program}))


def _values_offset(found: MapDef) -> int | None:
    """Return the offset of `values` in the variable: the last member, and the only one whose contents count."""
    btf = found.spec.btf
    assert btf is not None
    var = btf.find(found.spec.name, t.Kind.VAR)
    definition = btf.resolved(btf[var].type) if var is not None else None  # type: ignore[union-attr]
    for member in definition.members if isinstance(definition, t.Struct) else ():
        if member.name == "values":
            return member.bit_offset // 8
    return None


def _slots(relocs: tuple[Reloc, ...], found: MapDef, start: int | None) -> Iterator[tuple[int, Reloc]]:
    for reloc in relocs:
        inside = reloc.offset - found.offset
        if start is None or inside < start or (inside - start) % 8:
            raise LoadError("a member of the map definition refers to something, but should state a property",
                            section=".maps", offset=reloc.offset, symbol=found.spec.name)
        yield (inside - start) // 8, reloc


def _element(section: Section, reloc: Reloc, table: MapTable,
             program_at: Callable[[Symbol, int], str | None]) -> str:
    addend = reloc.addend
    if addend is None:
        held = section.data[reloc.offset:reloc.offset + 8]
        addend = int.from_bytes(held, "little")
    inner = table.at(reloc.symbol.section, reloc.symbol.value + addend)
    name = inner.key if inner else program_at(reloc.symbol, addend)
    if name is None:
        raise LoadError("an initial element is neither a map nor a program", section=".maps", offset=reloc.offset,
                        symbol=reloc.symbol.name)
    return name


# -- legacy -----------------------------------------------------------------------------------------------------

_BASE = ("type", "key_size", "value_size", "max_entries", "map_flags")
# Layouts of `struct bpf_map_def` and its relatives by size: the fields after the common five.
_LAYOUTS: dict[int, tuple[str, ...]] = {
    20: (),
    24: ("inner_map_idx",),                              # samples/bpf/bpf_load.h, Linux 4.12 to 4.13
    28: ("inner_map_idx", "numa_node"),                  # the same, to Linux 5.17
    36: ("id", "pinning", "inner_id", "inner_idx"),      # iproute2 include/bpf_elf.h
    280: ("pinning",),                                   # gobpf, followed by a name of 256 characters
}
_AYA = ("id", "pinning")  # also 28 bytes
_NAMES = ", ".join(str(size) for size in _LAYOUTS)


def _legacy_maps(elf: Elf, section: Section, btf: Btf | None, table: MapTable, notes: list[str]) -> None:
    """Add all maps of a legacy section, which has one struct for each symbol."""
    if not section.data:
        return
    symbols = sorted(elf.symbols_in(section.index), key=lambda s: s.value)
    if not symbols:
        raise LoadError("the section has contents but no symbol names a map in it", section=section.name)
    notes.append(f"section {section.name!r} holds map definitions of the time before BTF; libbpf 1.0 refuses them")
    if len({symbol.value for symbol in symbols}) != len(symbols):
        raise LoadError("two symbols name the same map", section=section.name)
    ends = [symbol.value for symbol in symbols[1:]] + [len(section.data)]
    rows = [(symbol, _legacy_fields(section, symbol, end - symbol.value))
            for symbol, end in zip(symbols, ends, strict=True)]
    table.ids.update((row["id"], symbol.name) for symbol, row in rows if row.get("id"))
    specs = {symbol.name: _legacy_spec(symbol.name, row, btf, notes) for symbol, row in rows}
    slots = _legacy_slots(rows)
    for symbol, row in rows:
        spec = specs[symbol.name]
        inner = _legacy_inner(symbol, row, rows, table.ids)
        if inner is not None:
            spec = replace(spec, inner=specs[inner], init=slots.get(row.get("inner_id", 0), {}))
        table.add(MapDef(symbol.name, spec, section.index, symbol.value, 0))


def _legacy_fields(section: Section, symbol: Symbol, room: int) -> dict[str, int]:
    """Return the struct at a symbol, by field name; the bytes after the known fields must be zero."""
    size = symbol.size if 20 <= symbol.size <= room else room
    if symbol.value + size > len(section.data):
        raise LoadError(f"the map definition of {size} bytes extends beyond the section's {len(section.data)}",
                        section=section.name, offset=symbol.value, symbol=symbol.name)
    if size < 20:
        raise LoadError(f"a map definition has at least 20 bytes, here are {size}", section=section.name,
                        offset=symbol.value, symbol=symbol.name)
    data = section.data[symbol.value:symbol.value + size]
    fields = _BASE + _layout(size, data)
    known = 4 * len(fields)
    if any(data[known:]) and size != 280:
        raise LoadError(f"a map definition of {size} bytes has unknown fields that are not zero (known sizes: "
                        f"{_NAMES}); rewrite it as a BTF-defined map in .maps", section=section.name,
                        offset=symbol.value + known, symbol=symbol.name)
    return dict(zip(fields, struct.unpack_from(f"<{len(fields)}I", data), strict=True))


def _layout(size: int, data: bytes) -> tuple[str, ...]:
    """Return the fields of a definition of this size; two loaders had different layouts of 28 bytes."""
    type_, _, _, _, flags = struct.unpack_from("<5I", data)
    if size == 28 and type_ not in (ARRAY_OF_MAPS, HASH_OF_MAPS) and not flags & BPF_F_NUMA_NODE:
        return _AYA
    return _LAYOUTS.get(size, ())


def _legacy_spec(name: str, row: dict[str, int], btf: Btf | None, notes: list[str]) -> MapSpec:
    pinning = row.get("pinning", 0)
    if pinning > 2:
        notes.append(f"map {name!r}: pinning {pinning} is a namespace of the loader it was made for")
    spec = MapSpec(row["type"], row["key_size"], row["value_size"], row["max_entries"], row["map_flags"], name,
                   pinning=pinning, numa_node=row.get("numa_node", 0))
    # BPF_ANNOTATE_KV_PAIR of libbpf before 1.0: a struct that exists only to tell the types.
    pair = btf.find(f"____btf_map_{name}", t.Kind.STRUCT) if btf is not None else None
    struct_ = btf[pair] if btf is not None and pair is not None else None
    if not isinstance(struct_, t.Struct):
        return spec
    types = {member.name: member.type for member in struct_.members}
    return replace(spec, btf=btf, key_type=types.get("key", 0), value_type=types.get("value", 0))


def _legacy_inner(symbol: Symbol, row: dict[str, int], rows: list[tuple[Symbol, dict[str, int]]],
                  ids: dict[int, str]) -> str | None:
    """Return the name of the map that is the template of a map-in-map, or None for another map."""
    if row["type"] not in (ARRAY_OF_MAPS, HASH_OF_MAPS):
        return None
    if row.get("inner_id"):
        if row["inner_id"] not in ids:
            raise LoadError(f"no map has the id {row['inner_id']} that inner_id names", section="maps",
                            symbol=symbol.name)
        return ids[row["inner_id"]]
    index = row.get("inner_map_idx")
    return rows[index][0].name if index is not None and index < len(rows) else None


def _legacy_slots(rows: list[tuple[Symbol, dict[str, int]]]) -> dict[int, dict[int, str]]:
    """Return the outer map's slots that inner maps fill, by id (iproute2: `inner_idx` names the slot, -1 for none)."""
    found: dict[int, dict[int, str]] = {}
    for symbol, row in rows:
        slot = row.get("inner_idx", U32_MAX)
        if row.get("id") and slot != U32_MAX:
            found.setdefault(row["id"], {})[slot] = symbol.name
    return found
