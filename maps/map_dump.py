"""The content of a map as user space reads it, in the format of `bpftool map dump`.

The source is tools/bpf/bpftool/map.c and btf_dumper.c, Linux 7.2: plain lines of hexadecimal bytes, or JSON with the
bytes and, if BTF describes them, "formatted".

A packet that an element owns is not included: the kernel shows a kptr slot as zeros (map_lookup masks special fields).
RFC v6 has no other way to read it: the section "user space" of its cover letter promises `__sk_buff`, but its code does
not provide it. `stored` is a debug view for scheduler authors that no kernel has, and is marked as such wherever it is
printed.
"""

from __future__ import annotations

from itertools import islice
from typing import TYPE_CHECKING, Any, Final

from ebpfvm.btf import types as t
from ebpfvm.kernel.skb import SkBuff
from ebpfvm.lazy_dataclasses import dataclass, field
from ebpfvm.maps.of_maps import MapOfMaps

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from ebpfvm.btf.types import Btf
    from ebpfvm.maps.base import BpfMap, UserRecord

DEBUG_KEY: Final = "not_kernel_abi"
"""The name under which the debug view of stored packets appears in JSON."""

_PACKET_FIELDS: Final = ("id", "len", "arrival", "priority", "mark", "tstamp", "hash", "queue_mapping", "ifindex")
SHOWN: Final = 1 << 16
"""Elements of a map that a dump shows."""
_LINE: Final = 16  # bytes in a line of a long key or value
_MAX_DEPTH: Final = 32


@dataclass(frozen=True, slots=True)
class Element:
    """An element as user space sees it.

    Attributes:
        key, value: bytes; kptr slots of the value are zero.
        percpu: whether it has a value for each CPU (here there is one).
        inner: whether the value is the id of a map.
        formatted: key and value as BTF describes them, None without BTF.
        stored: debug view: for each kptr slot that owns a packet, its offset and fields of the packet.
    """

    key: bytes
    value: bytes
    percpu: bool = False
    inner: bool = False
    formatted: Mapping[str, Any] | None = None
    stored: tuple[Mapping[str, Any], ...] = ()

    def as_dict(self) -> dict[str, Any]:
        """Return the element as `bpftool -j map dump` prints it, with the debug view under its own name."""
        found: dict[str, Any] = {"key": _hex_list(self.key)}
        found |= _cpus(_hex_list(self.value)) if self.percpu else {"value": _hex_list(self.value)}
        if self.formatted is not None:
            found["formatted"] = dict(self.formatted)
        if self.stored:
            found[DEBUG_KEY] = [dict(item) for item in self.stored]
        return found

    def lines(self) -> Iterator[str]:
        """Yield the lines of `bpftool map dump` without BTF, and the debug view."""
        key, value = self.key, self.value
        long = len(key) > _LINE or len(value) > _LINE
        name = "inner_map_id" if self.inner else "value"
        if self.percpu:
            yield from ("key:", *_hex_lines(key))
            yield from _named("value (CPU 00):", value, len(value) > _LINE)
        elif len(key) + len(value) <= 24 and not long:
            yield f"key: {_hex_line(key)}  {name}: {_hex_line(value)}"
        else:
            yield from _named("key:", key, long)
            yield from _named(f"{name}:", value, long)
        for item in self.stored:
            owned = item.get("sk_buff", item.get("object"))
            text = ", ".join(f"{name} {number}" for name, number in owned.items()) if isinstance(owned, dict) else owned
            yield f"  [debug, no kernel shows this] owns at {item['offset']}: {text}"


@dataclass(frozen=True, slots=True)
class MapDump:
    """A map as `bpftool map` shows it.

    Attributes:
        name, type, id, key_size, value_size, max_entries, flags: as `bpftool map show` prints them.
        elements: in the order of BPF_MAP_GET_NEXT_KEY.
        error: why there are no elements, for maps that cannot be read; or a note that there are more.
        records: unread records that programs wrote into a ring buffer or perf event array.
    """

    name: str
    type: str
    id: int
    key_size: int
    value_size: int
    max_entries: int
    flags: int
    elements: tuple[Element, ...] = field(default=(), repr=False)
    error: str = ""
    records: tuple[UserRecord, ...] | None = None

    def as_dict(self) -> dict[str, Any]:
        """Return the map for JSON."""
        head = {name: getattr(self, name) for name in ("name", "type", "id", "key_size", "value_size", "max_entries",
                                                       "flags")}
        tail: dict[str, Any] = {"error": self.error} if self.error else {}
        if self.records is not None:
            tail["records"] = [{"cpu": record.cpu, "data": _hex_list(record.data)} for record in self.records]
        return {**head, "elements": [element.as_dict() for element in self.elements], **tail}

    def head(self) -> Iterator[str]:
        """Yield the lines of `bpftool map show`."""
        yield f"{self.id}: {self.type}  name {self.name}  flags {self.flags:#x}"
        yield f"\tkey {self.key_size}B  value {self.value_size}B  max_entries {self.max_entries}"

    def body(self) -> Iterator[str]:
        """Yield the lines of `bpftool map dump` without BTF, and the records, which bpftool does not show."""
        if self.records is not None:
            for record in self.records:
                yield from _named(f"record (CPU {record.cpu:02d}):", record.data, len(record.data) > _LINE)
            yield f"Found {len(self.records)} record{'s' if len(self.records) != 1 else ''}"
            return
        for element in self.elements:
            yield from element.lines()
        if self.error:
            yield self.error
        yield f"Found {len(self.elements)} element{'s' if len(self.elements) != 1 else ''}"

    def lines(self) -> Iterator[str]:
        """Return the join of both."""
        yield from self.head()
        yield from self.body()


def dump_map(bpf_map: BpfMap) -> MapDump:
    """Return what user space may read of a map now: at most `SHOWN` elements, because a map may declare 2^32."""
    error = ""
    elements: tuple[Element, ...] = ()
    records = tuple(islice(bpf_map.pending(), SHOWN)) if bpf_map.type.records else None
    try:
        found = _elements(bpf_map)
        elements = tuple(islice(found, SHOWN))
        if next(found, None) is not None:
            error = f"only the first {SHOWN} elements are shown"
    except OSError as refused:
        error = str(refused.strerror or refused)
    return MapDump(bpf_map.name, bpf_map.type.name, bpf_map.id, bpf_map.key_size, bpf_map.value_size,
                   bpf_map.max_entries, bpf_map.flags, elements, "" if records is not None else error, records)


def _elements(bpf_map: BpfMap) -> Iterator[Element]:
    stored = stored_packets(bpf_map)
    for key in bpf_map.keys():  # noqa: SIM118 - a map is no dict
        value = bpf_map.sys_lookup(key)
        yield Element(key, value, bpf_map.type.percpu, isinstance(bpf_map, MapOfMaps), formatted(bpf_map, key, value),
                      tuple(stored.get(key, ())))


def formatted(bpf_map: BpfMap, key: bytes, value: bytes) -> dict[str, Any] | None:
    """Return key and value as their BTF types describe them, if they have one; None without BTF."""
    spec = bpf_map.spec
    if spec.btf is None or (not spec.key_type and not spec.value_type):
        return None
    found = {"key": format_value(spec.btf, spec.key_type, key)} if spec.key_type else {}
    if spec.value_type and not isinstance(bpf_map, MapOfMaps):
        shown = format_value(spec.btf, spec.value_type, value)
        found |= _cpus(shown) if bpf_map.type.percpu else {"value": shown}
    return found


def _cpus(value: Any) -> dict[str, Any]:
    return {"values": [{"cpu": 0, "value": value}]}


def stored_packets(bpf_map: BpfMap) -> dict[bytes, list[dict[str, Any]]]:
    """Return key -> the packets (and other objects) that its element owns; a debug view, not a kernel ABI."""
    found: dict[bytes, list[dict[str, Any]]] = {}
    if not bpf_map.fields:
        return found
    slots: dict[int, list[tuple[int, int]]] = {}
    for pointer, region, offset in bpf_map.owned():
        slots.setdefault(region.base, []).append((offset, pointer))
    for key in bpf_map.keys() if slots else ():
        value = bpf_map.find(key)
        for offset, pointer in slots.get(value.base, ()) if value is not None else ():
            found.setdefault(key, []).append({"offset": offset, **_describe(bpf_map, pointer)})
    return found


def _describe(bpf_map: BpfMap, pointer: int) -> dict[str, Any]:
    owner = bpf_map.kernel.memory.owner(pointer)
    if isinstance(owner, SkBuff):
        return {"sk_buff": {name: getattr(owner, name) for name in _PACKET_FIELDS}}
    return {"object": str(owner)}


# ---- values formatted by their BTF ----------------------------------------------------------------------------

def format_value(btf: Btf, type_id: int, data: bytes, depth: int = 0) -> Any:
    """Return bytes as JSON data by their BTF type: numbers, strings for enumerators and characters, lists, objects."""
    found = btf.resolved(type_id)
    if depth > _MAX_DEPTH:
        return _hex_list(data)
    if isinstance(found, t.Int):
        return _integer(found, data)
    if isinstance(found, t.Enum | t.Enum64):
        number = int.from_bytes(data[:found.size], "little", signed=found.signed)
        return next((name for name, value in found.values if value == number), number)
    if isinstance(found, t.Array):
        size = btf.size_of(found.type)
        return [format_value(btf, found.type, data[size * i:size * (i + 1)], depth + 1) for i in range(found.nelems)]
    if isinstance(found, t.Struct | t.Union):
        return {member.name or "(anon)": _member(btf, member, data, depth) for member in found.members}
    if isinstance(found, t.Datasec):
        variables = [(btf[item.type], item) for item in found.vars]
        return [{var.name: format_value(btf, var.type, data[item.offset:item.offset + item.size], depth + 1)}
                for var, item in variables if isinstance(var, t.Var)]
    if isinstance(found, t.Ptr):
        return f"{int.from_bytes(data[:8], 'little'):#x}"
    return _hex_list(data)


def _member(btf: Btf, member: t.Member, data: bytes, depth: int) -> Any:
    if member.bitfield_size:
        number = int.from_bytes(data, "little") >> member.bit_offset & (1 << member.bitfield_size) - 1
        return number
    start = member.bit_offset // 8
    return format_value(btf, member.type, data[start:start + btf.size_of(member.type)], depth + 1)


def _integer(found: t.Int, data: bytes) -> Any:
    number = int.from_bytes(data[:found.size], "little", signed=found.signed)
    if found.is_bool:
        return bool(number)
    if found.is_char and found.size == 1:
        return chr(number & 0x7F) if 0x20 <= number < 0x7F else f"0x{number & 0xFF:02x}"
    return number


def _hex_line(data: bytes) -> str:
    """Return at most 16 bytes in hexadecimal, with a gap in the middle (fprint_hex)."""
    return "  ".join(data[at:at + 8].hex(" ") for at in range(0, len(data), 8))


def _hex_lines(data: bytes) -> list[str]:
    return [_hex_line(data[at:at + _LINE]) for at in range(0, len(data), _LINE)]


def _named(name: str, data: bytes, long: bool) -> list[str]:
    return [name, *_hex_lines(data)] if long else [f"{name} {_hex_line(data)}"]


def _hex_list(data: bytes) -> list[str]:
    return [f"0x{byte:02x}" for byte in data]
