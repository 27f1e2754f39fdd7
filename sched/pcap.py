"""Reading and writing captures: classic pcap (micro- and nanoseconds, both byte orders) and pcapng.

Formats: draft-ietf-opsawg-pcap and draft-ietf-opsawg-pcapng. A capture is untrusted: no number in it makes memory
grow beyond the file's own size, and the whole file is checked before its first packet is used.
"""

from __future__ import annotations

import mmap
import os
import struct
import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING, BinaryIO

from ebpfvm.errors import LoadError

if TYPE_CHECKING:
    from collections.abc import Iterator

ETHERNET = 1
RAW_IP = 101
_RAW_LINKS = frozenset({RAW_IP, 12, 14, 228, 229})  # DLT_RAW in the spellings of several systems, IPv4, IPv6
_LINK_NAMES = {0: "NULL", 105: "IEEE802_11", 113: "LINUX_SLL", 127: "IEEE802_11_RADIO", 147: "USER0",
               195: "IEEE802_15_4", 220: "USB_LINUX_MMAPPED", 249: "USBPCAP", 276: "LINUX_SLL2"}

MAX_CAPLEN = 262144  # libpcap's MAXIMUM_SNAPLEN
MAX_BLOCK = 16 << 20  # libpcap's limit for a pcapng block

_MAX_READ = 256 << 20  # larger files are mapped; pipes and devices may not be larger

_MAGIC_US, _MAGIC_NS, _MAGIC_SECTION = 0xA1B2C3D4, 0xA1B23C4D, 0x0A0D0D0A
_SECTION_ORDER = 0x1A2B3C4D
_SHB, _IDB, _PB, _SPB, _EPB = _MAGIC_SECTION, 1, 2, 3, 6

Record = tuple[int, int, bytes]
"""(time stamp in ns since 1970, length on the wire, the captured bytes)."""

_Place = tuple[int, int, int, int]  # time stamp, length on the wire, where the bytes start, how many


@dataclass(frozen=True, slots=True)
class Capture:
    """A checked capture; iterate it for its records, in file order.

    Attributes:
        path: for messages.
        link: `ETHERNET` or `RAW_IP`.
        count: packets.
        truncated: packets of which not all bytes were captured (a snap length); they keep their full length.
        first: time stamp of the first packet in ns, 0 if there is none.
    """

    path: str
    link: int
    count: int
    truncated: int
    first: int
    _data: bytes | mmap.mmap
    _ng: bool

    def __len__(self) -> int:
        return self.count

    def __iter__(self) -> Iterator[Record]:
        data = self._data
        for stamp, length, start, captured in _places(data, self.path, self._ng):
            yield stamp, length, data[start:start + captured]


def read_capture(path: str) -> Capture:
    """Open and check a capture; "-" is standard input.

    Raises:
        LoadError: it cannot be read, is empty, cut short, not a capture, holds no packet or a kind of link that
            ebpfvm does not model.
    """
    data = _contents(path)
    if not data:
        raise LoadError("the capture is empty (0 bytes)", path=path)
    if len(data) < 4:
        raise LoadError(f"not a capture: only {len(data)} bytes", path=path)
    magic = int.from_bytes(data[:4], "little")
    ng = magic == _MAGIC_SECTION
    links: set[int] = set()
    count = truncated = first = 0
    for stamp, length, _, captured in _places(data, path, ng, links):
        first = first if count else stamp
        count += 1
        truncated += captured < length
    if not count:
        raise LoadError("the capture holds no packet", path=path)
    return Capture(path, _link(links, path), count, truncated, first, data, ng)


def _contents(path: str) -> bytes | mmap.mmap:
    try:
        if path == "-":
            data = sys.stdin.buffer.read(_MAX_READ + 1)
        else:
            with open(path, "rb") as file:
                if os.fstat(file.fileno()).st_size > _MAX_READ:
                    return mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
                data = file.read(_MAX_READ + 1)
    except (OSError, ValueError) as error:
        raise LoadError(f"cannot read the capture: {getattr(error, 'strerror', None) or error}", path=path) from None
    if len(data) > _MAX_READ:
        raise LoadError(f"more than {_MAX_READ >> 20} MiB come out of something that is not a file", path=path)
    return data


def _link(links: set[int], path: str) -> int:
    if links <= {ETHERNET}:
        return ETHERNET
    if links <= _RAW_LINKS:
        return RAW_IP
    if len(links) > 1:
        raise LoadError(f"the capture mixes link types {sorted(links)}: split it by interface first", path=path)
    link = min(links)
    name = f" ({_LINK_NAMES[link]})" if link in _LINK_NAMES else ""
    raise LoadError(f"link type {link}{name} is not supported by ebpfvm: take the capture on one Ethernet interface",
                    path=path)


def _places(data: bytes | mmap.mmap, path: str, ng: bool, links: set[int] | None = None) -> Iterator[_Place]:
    links = set() if links is None else links
    return _ng_places(data, path, links) if ng else _classic_places(data, path, links)


# ---- classic ------------------------------------------------------------------------------------------------

def _classic_header(data: bytes | mmap.mmap, path: str) -> tuple[str, int, int]:
    """Byte order, ns per unit of the fraction, link type."""
    for order in "<>":
        magic = struct.unpack_from(order + "I", data)[0]
        if magic in (_MAGIC_US, _MAGIC_NS):
            break
    else:
        raise LoadError(f"not a capture: it starts with {bytes(data[:4]).hex(' ')}, expected pcap or pcapng",
                        path=path)
    if len(data) < 24:
        raise LoadError(f"the capture is cut short in its file header ({len(data)} of 24 bytes)", path=path)
    major, minor = struct.unpack_from(order + "HH", data, 4)
    if major != 2:
        raise LoadError(f"pcap version {major}.{minor} is not supported by ebpfvm, only 2.x", path=path)
    link = struct.unpack_from(order + "I", data, 20)[0] & 0x0FFFFFFF  # the upper bits tell about checksums
    return order, 1000 if magic == _MAGIC_US else 1, link


def _classic_places(data: bytes | mmap.mmap, path: str, links: set[int]) -> Iterator[_Place]:
    order, unit, link = _classic_header(data, path)
    links.add(link)
    header = struct.Struct(order + "IIII")
    unpack, size, end, limit = header.unpack_from, header.size, len(data), MAX_CAPLEN
    offset, number = 24, 0
    while offset < end:
        number += 1
        start = offset + size
        if start > end:
            raise LoadError(f"the capture is cut short in the header of packet {number}", path=path, offset=offset)
        seconds, fraction, captured, length = unpack(data, offset)
        if captured > limit:
            raise LoadError(f"packet {number} claims {captured} captured bytes, more than any capture has ({limit})",
                            path=path, offset=offset)
        offset = start + captured
        if offset > end:
            raise LoadError(f"the capture is cut short: packet {number} has {end - start} of {captured} bytes",
                            path=path, offset=start)
        yield seconds * 1_000_000_000 + fraction * unit, _wire_length(length, captured), start, captured


def _wire_length(length: int, captured: int) -> int:
    """The length on the wire, as far as it can be believed; it is a number only, nothing is allocated by it."""
    return captured if length < captured or length > MAX_CAPLEN else length


# ---- pcapng -------------------------------------------------------------------------------------------------

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


def _blocks(data: bytes | mmap.mmap, path: str) -> Iterator[tuple[str, int, int, int]]:
    """Each block's byte order, type, where its body starts, how long it is."""
    order, offset, end = "<", 0, len(data)
    while offset < end:
        if end - offset < 12:
            raise LoadError("the capture is cut short in a block header", path=path, offset=offset)
        kind = struct.unpack_from(order + "I", data, offset)[0]
        if kind == _SHB:
            mark = bytes(data[offset + 8:offset + 12])
            if mark not in (struct.pack("<I", _SECTION_ORDER), struct.pack(">I", _SECTION_ORDER)):
                raise LoadError("a section header has no byte-order mark", path=path, offset=offset + 8)
            order = "<" if mark == struct.pack("<I", _SECTION_ORDER) else ">"
        length = struct.unpack_from(order + "I", data, offset + 4)[0]
        if length < 12 or length % 4 or length > MAX_BLOCK:
            raise LoadError(f"a block of type {kind:#x} claims {length} bytes", path=path, offset=offset)
        if length > end - offset:
            raise LoadError(f"the capture is cut short: a block has {end - offset} of {length} bytes", path=path,
                            offset=offset)
        yield order, kind, offset + 8, length - 12
        offset += length


def _ng_places(data: bytes | mmap.mmap, path: str, links: set[int]) -> Iterator[_Place]:
    interfaces: list[_Interface] = []
    stamp = 0
    for order, kind, at, size in _blocks(data, path):
        if kind == _SHB:
            interfaces = []
        elif kind == _IDB:
            interfaces.append(_interface(bytes(data[at:at + size]), order, path, at))
        elif kind in (_EPB, _SPB, _PB):
            place = _ng_packet(data, path, order, kind, at, size, interfaces, stamp)
            links.add(place[4])
            stamp = place[0]
            yield place[:4]


def _ng_packet(data: bytes | mmap.mmap, path: str, order: str, kind: int, at: int, size: int,
               interfaces: list[_Interface], last: int) -> tuple[int, int, int, int, int]:
    """A packet's place and its link type; a simple packet has no time stamp and takes the last one."""
    head = 4 if kind == _SPB else 20
    if size < head:
        raise LoadError("a packet block is too short", path=path, offset=at)
    number, high, low, captured, length = 0, 0, 0, 0, 0
    if kind == _EPB:
        number, high, low, captured, length = struct.unpack_from(order + "IIIII", data, at)
    elif kind == _PB:
        number, _, high, low, captured, length = struct.unpack_from(order + "HHIIII", data, at)
    else:
        length = struct.unpack_from(order + "I", data, at)[0]
    if number >= len(interfaces):
        raise LoadError(f"a packet names interface {number}, which no block describes", path=path, offset=at)
    interface = interfaces[number]
    if kind == _SPB:
        captured = min(length, interface.snaplen or length)
    if captured > size - head or captured > MAX_CAPLEN:
        raise LoadError(f"a packet block claims {captured} captured bytes and has {size - head}", path=path,
                        offset=at)
    stamp = last if kind == _SPB else interface.ns(high << 32 | low)
    return stamp, _wire_length(length, captured), at + head, captured, interface.link


# ---- writing ------------------------------------------------------------------------------------------------

class PcapWriter:
    """Writes a classic capture with nanosecond time stamps (magic 0xa1b23c4d, little-endian).

    Args:
        file: binary file, written and left open; use it as a context manager to have it closed.
        link: `ETHERNET` or `RAW_IP`.

    Raises:
        OSError: from the file.
    """

    __slots__ = ("_file", "_pack", "_write")

    def __init__(self, file: BinaryIO, link: int = ETHERNET) -> None:
        self._file = file
        self._write = file.write
        self._pack = struct.Struct("<IIII").pack
        self._write(struct.pack("<IHHiIII", _MAGIC_NS, 2, 4, 0, 0, MAX_CAPLEN, link))

    def write(self, stamp: int, length: int, data: bytes) -> None:
        """Append one packet: time stamp in ns, length on the wire, captured bytes."""
        seconds, fraction = divmod(stamp, 1_000_000_000)
        self._write(self._pack(seconds & 0xFFFFFFFF, fraction, len(data), length))
        self._write(data)

    def __enter__(self) -> PcapWriter:
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()
