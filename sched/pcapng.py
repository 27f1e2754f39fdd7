"""The blocks of pcapng captures (draft-ietf-opsawg-pcapng)."""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING, Final

from ebpfvm.errors import LoadError
from ebpfvm.lazy_dataclasses import dataclass
from ebpfvm.lazy_tuples import NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterator

    from ebpfvm.sched.windows import Contents

MAGIC_SECTION: Final = 0x0A0D0D0A
MAX_BLOCK: Final = 16 << 20  # libpcap's limit for a pcapng block
MAX_CAPLEN: Final = 262144  # libpcap's MAXIMUM_SNAPLEN

_SECTION_ORDER: Final = 0x1A2B3C4D
_SHB, _IDB, _PB, _SPB, _EPB = MAGIC_SECTION, 1, 2, 3, 6

Place = tuple[int | None, int, int, int, int]
"""Time stamp (ns; None without one), length on the wire, where the bytes start, how many, link type."""


class CutShort(LoadError):
    """The file ends within a packet; everything before is valid."""


@dataclass(slots=True)
class _Interface:
    link: int
    snaplen: int
    resolution: int = 1_000_000  # units a second
    offset: int = 0  # seconds

    def ns(self, stamp: int) -> int:
        return self.offset * 1_000_000_000 + stamp * 1_000_000_000 // self.resolution


def _interface(body: bytes, order: str, path: str, offset: int) -> _Interface:
    if len(body) < 8:
        raise LoadError("an interface description is too short", path=path, offset=offset)
    link, _, snaplen = struct.unpack_from(order + "HHI", body)
    found = _Interface(link, snaplen)
    for code, value in _options(body[8:], order):
        if code == 9 and len(value) == 1:  # if_tsresol: a power of 2 or of 10
            power = value[0] & 0x7F
            if power > 63:
                raise LoadError(f"if_tsresol {value[0]:#x} is no usable time resolution", path=path, offset=offset)
            found.resolution = 2 ** power if value[0] & 0x80 else 10 ** min(power, 30)
        elif code == 14 and len(value) == 8:  # if_tsoffset
            found.offset = struct.unpack(order + "q", value)[0]
    return found


def _options(data: bytes, order: str) -> Iterator[tuple[int, bytes]]:
    at = 0
    while at + 4 <= len(data):
        code, length = struct.unpack_from(order + "HH", data, at)
        if code == 0:
            return
        yield code, data[at + 4:at + 4 + length]
        at += 4 + (length + 3 & ~3)


def _section(head: bytes, path: str, offset: int) -> str:
    """Return the byte order of the section that begins at `offset` with the bytes `head`."""
    mark = head[8:12]
    if mark not in (struct.pack("<I", _SECTION_ORDER), struct.pack(">I", _SECTION_ORDER)):
        raise LoadError("a section header has no byte-order mark", path=path, offset=offset + 8)
    order = "<" if mark == struct.pack("<I", _SECTION_ORDER) else ">"
    if len(head) >= 16:
        major, minor = struct.unpack_from(order + "HH", head, 12)
        if major != 1:
            raise LoadError(f"pcapng version {major}.{minor} is not supported by ebpfvm, only 1.x", path=path,
                            offset=offset + 12)
    return order


class _Block(NamedTuple):
    """A block: byte order, type, where its body is, and bytes that include the first 24 of the body from `start` on."""

    order: str
    kind: int
    at: int
    size: int
    view: bytes
    start: int


_HEAD: Final = 32  # bytes of a block that say what it is and, of a packet, everything but its data


def _blocks(data: Contents, path: str) -> Iterator[_Block]:
    """Yield the blocks."""
    order, offset, end = "<", 0, len(data)
    view, base, top = b"", 0, 0
    while offset < end:
        if end - offset < 12:
            raise CutShort("the capture is cut short in a block header", path=path, offset=offset)
        if offset + _HEAD > top:
            view, base = data.window(offset, _HEAD)
            top = base + len(view)
        index = offset - base
        kind = struct.unpack_from(order + "I", view, index)[0]
        if kind == _SHB:
            order = _section(view[index:index + 16], path, offset)
        length = struct.unpack_from(order + "I", view, index + 4)[0]
        if length < 12 or length % 4 or length > MAX_BLOCK:
            raise LoadError(f"a block of type {kind:#x} claims {length} bytes", path=path, offset=offset)
        if length > end - offset:
            raise CutShort(f"the capture is cut short: a block has {end - offset} of {length} bytes", path=path,
                           offset=offset)
        yield _Block(order, kind, offset + 8, length - 12, view, index + 8)
        offset += length


def places(data: Contents, path: str) -> Iterator[Place]:
    """Yield the packets.

    Raises:
        LoadError: the file is damaged; `CutShort` if it ends within a block.
    """
    interfaces: list[_Interface] = []
    for block in _blocks(data, path):
        if block.kind == _SHB:
            interfaces = []
        elif block.kind == _IDB:
            view, base = data.window(block.at, block.size)
            body = view[block.at - base:block.at - base + block.size]
            interfaces.append(_interface(body, block.order, path, block.at))
        elif block.kind in (_EPB, _SPB, _PB):
            yield _packet(path, block, interfaces)


def _packet(path: str, block: _Block, interfaces: list[_Interface]) -> Place:
    order, kind, at, size, view, start = block
    head = 4 if kind == _SPB else 20
    if size < head:
        raise LoadError("a packet block is too short", path=path, offset=at)
    number, high, low, captured, length = 0, 0, 0, 0, 0
    if kind == _EPB:
        number, high, low, captured, length = struct.unpack_from(order + "IIIII", view, start)
    elif kind == _PB:
        number, _, high, low, captured, length = struct.unpack_from(order + "HHIIII", view, start)
    else:
        length = struct.unpack_from(order + "I", view, start)[0]
    if number >= len(interfaces):
        raise LoadError(f"a packet names interface {number}, which no block describes", path=path, offset=at)
    interface = interfaces[number]
    if kind == _SPB:
        captured = min(length, interface.snaplen or length)
    if captured > size - head or captured > MAX_CAPLEN:
        raise LoadError(f"a packet block claims {captured} captured bytes and has {size - head}", path=path,
                        offset=at)
    stamp = None if kind == _SPB else interface.ns(high << 32 | low)
    return stamp, wire_length(length, captured), at + head, captured, interface.link


def wire_length(length: int, captured: int) -> int:
    """Return the length on the wire, as far as it is plausible; no memory is allocated for it."""
    return captured if length < captured or length > MAX_CAPLEN else length
