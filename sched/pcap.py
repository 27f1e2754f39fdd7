"""Read and write captures: classic pcap and its variants, and pcapng, both also compressed.

Formats: draft-ietf-opsawg-pcap and draft-ietf-opsawg-pcapng. A capture is untrusted: no number in it makes memory grow
beyond a block's own size, and the whole file is checked before its first packet is used. A file that ends within a
packet, like an interrupted capture, is read up to there, with a warning. A large file is read in windows, twice: to
check it, and for its packets.
"""

from __future__ import annotations

import os
import struct
import sys
from itertools import islice
from typing import TYPE_CHECKING, BinaryIO, Final

from ebpfvm.errors import LoadError
from ebpfvm.ints import U32_MAX
from ebpfvm.lazy_dataclasses import dataclass
from ebpfvm.sched import pcapng
from ebpfvm.sched.compressed import unpack
from ebpfvm.sched.linktypes import ETHERNET, RAW_IP, choose_link, converter
from ebpfvm.sched.pcapng import MAGIC_SECTION, MAX_CAPLEN, CutShort, Place, wire_length
from ebpfvm.sched.windows import HELD, WINDOW, FileContents, Spool

if TYPE_CHECKING:
    from collections.abc import Iterator

    from ebpfvm.sched.windows import Contents

__all__ = ["ETHERNET", "RAW_IP", "Capture", "PcapWriter", "Record", "read_capture"]

_MAX_READ: Final = 256 << 20  # pipes, devices and what compressed files hold may not be larger
_MAX_SPAN: Final = 1 << 62  # ns between the first packet and the last, 146 years

_MAGIC_US, _MAGIC_NS, _MAGIC_MODIFIED = 0xA1B2C3D4, 0xA1B23C4D, 0xA1B2CD34
_MAGIC_IXIA_NS, _MAGIC_IXIA_US = 0x1C0001AC, 0x1C0001AB
_VARIANTS: Final = {_MAGIC_US: (1000, 24, 16), _MAGIC_NS: (1, 24, 16), _MAGIC_MODIFIED: (1000, 24, 24),
                    _MAGIC_IXIA_NS: (1, 28, 16), _MAGIC_IXIA_US: (1000, 28, 16)}
"""Magic number -> ns per unit of the fraction, bytes of the file header, bytes of a packet's header.

The modified format is that of Kuznetsov's patches (interface, protocol and type of packet follow the lengths)."""
_LINK_MASK: Final = 0xFFFF  # the upper bits of the link field describe a frame check sequence

_MAX_HEADER: Final = 28

Record = tuple[int, int, bytes]
"""(time stamp in ns since 1970, length on the wire, the captured bytes)."""


@dataclass(frozen=True, slots=True)
class Capture:
    """A checked capture; iteration yields its records, in file order.

    Attributes:
        path: path for messages.
        link: `ETHERNET` or `RAW_IP`; other kinds are converted (`ebpfvm.sched.linktypes`).
        count: number of packets.
        truncated: number of packets that a snap length cut off; they keep their full length on the wire.
        first: timestamp of the first packet that has one, in ns; 0 if none has.
        warnings: anomalies of the file, one sentence each.
    """

    path: str
    link: int
    count: int
    truncated: int
    first: int
    warnings: tuple[str, ...]
    _data: Contents
    _ng: bool

    def __len__(self) -> int:
        return self.count

    def __iter__(self) -> Iterator[Record]:
        """Yield the records.

        A packet without a timestamp gets that of its predecessor, or of the first packet that has one.
        """
        data, wanted, last = self._data, self.link, self.first
        found = _places(data, self.path, self._ng)
        view, base, top = b"", 0, 0
        read = 0
        for stamp, length, start, captured, link in islice(found, self.count):
            read += 1
            end = start + captured
            if end > top:
                view, base = data.window(start, captured)
                top = base + len(view)
            last = last if stamp is None else stamp
            packet = view[start - base:end - base]
            convert = None if link == wanted else converter(link, wanted)
            if convert is None:
                yield last, length, packet
            else:
                yield last, *convert(length, packet)
        if read < self.count:
            raise LoadError("the capture changed while it was read", path=self.path)

    def needs(self, path: str) -> bool:
        """Return whether packets are still read from the file at `path`, so that nobody may write to it."""
        return self._data.is_file(path)


def read_capture(path: str) -> Capture:
    """Open and check a capture; "-" is standard input.

    Raises:
        LoadError: it cannot be read, is empty, damaged, not a capture, or has no packets or a link type that ebpfvm
            does not model.
    """
    data, warning = unpack(_contents(path), path, _MAX_READ)
    if not len(data):
        raise LoadError("the capture is empty (0 bytes)", path=path)
    if len(data) < 4:
        raise LoadError(f"not a capture: only {len(data)} bytes", path=path)
    ng = int.from_bytes(data.window(0, 4)[0][:4], "little") == MAGIC_SECTION
    seen = _Seen()
    try:
        for place in _places(data, path, ng):
            seen.add(place, path)
    except CutShort as error:
        if not seen.count:
            raise
        warning = f"{warning or error.message}; {_packets(seen.count)} used"
    if not seen.count:
        raise LoadError("the capture holds no packet" if not warning else f"{warning}, before its first packet",
                        path=path)
    return Capture(path, choose_link(seen.links, path), seen.count, seen.truncated, seen.first or 0,
                   (warning,) if warning else (), data, ng)


def _packets(count: int) -> str:
    return "the packet before that is" if count == 1 else f"the {count} packets before that are"


class _Seen:
    """The findings of the first pass over a capture."""

    def __init__(self) -> None:
        self.links: set[int] = set()
        self.count = self.truncated = 0
        self.first: int | None = None

    def add(self, place: Place, path: str) -> None:
        """Count a packet; raise `LoadError` if its timestamp is impossible."""
        stamp, length, start, captured, link = place
        self.count += 1
        self.truncated += captured < length
        self.links.add(link)
        if stamp is None:
            return
        if self.first is None:
            self.first = stamp
        elif stamp - self.first > _MAX_SPAN:
            raise LoadError(f"packet {self.count} is stamped {(stamp - self.first) // 31_557_600_000_000_000} years "
                            "after the first; correct the timestamps", path=path, offset=start)


def _contents(path: str) -> Contents:
    try:
        if path == "-":
            found = _spooled(sys.stdin.buffer, path)
        else:
            with open(path, "rb") as file:
                if os.fstat(file.fileno()).st_size > HELD:
                    return FileContents(file, path)
                found = _spooled(file, path)
    except (OSError, ValueError) as error:
        raise LoadError(f"cannot read the capture: {getattr(error, 'strerror', None) or error}", path=path) from None
    if len(found) > _MAX_READ:
        raise LoadError(f"more than {_MAX_READ >> 20} MiB come out of something that is not a file", path=path)
    return found.contents()


def _spooled(file: BinaryIO, path: str) -> Spool:
    """Read a file until it ends, or is larger than the limit."""
    found = Spool(path)
    while len(found) <= _MAX_READ and (piece := file.read(WINDOW)):
        found.write(piece)
    return found


def _places(data: Contents, path: str, ng: bool) -> Iterator[Place]:
    return pcapng.places(data, path) if ng else _classic_places(data, path)


# ---- classic ------------------------------------------------------------------------------------------------

def _classic_header(data: bytes, path: str) -> tuple[str, tuple[int, int, int], int]:
    """Return byte order, variant and link type; `data` is the beginning of the file."""
    for order in "<>":
        magic = struct.unpack_from(order + "I", data)[0]
        if magic in _VARIANTS:
            break
    else:
        raise LoadError(f"not a capture: it starts with {data[:4].hex(' ')}, expected pcap or pcapng",
                        path=path)
    size = _VARIANTS[magic][1]
    if len(data) < size:
        raise LoadError(f"the capture is cut short in its file header ({len(data)} of {size} bytes)", path=path)
    major, minor = struct.unpack_from(order + "HH", data, 4)
    if major != 2:
        raise LoadError(f"pcap version {major}.{minor} is not supported by ebpfvm, only 2.x", path=path)
    return order, _VARIANTS[magic], struct.unpack_from(order + "I", data, 20)[0] & _LINK_MASK


def _classic_places(data: Contents, path: str) -> Iterator[Place]:
    view, base = data.window(0, _MAX_HEADER)
    order, (unit, offset, size), link = _classic_header(view[:_MAX_HEADER], path)
    top = base + len(view)
    unpack, end, number = struct.Struct(order + "IIII").unpack_from, len(data), 0
    while offset < end:
        number += 1
        start = offset + size
        if start > end:
            raise CutShort(f"the capture is cut short in the header of packet {number}", path=path, offset=offset)
        if start > top:
            view, base = data.window(offset, size)
            top = base + len(view)
        seconds, fraction, captured, length = unpack(view, offset - base)
        if captured > MAX_CAPLEN:
            raise LoadError(f"packet {number} claims {captured} captured bytes, more than any capture has "
                            f"({MAX_CAPLEN})", path=path, offset=offset)
        offset = start + captured
        if offset > end:
            raise CutShort(f"the capture is cut short: packet {number} has {end - start} of {captured} bytes",
                           path=path, offset=start)
        yield seconds * 1_000_000_000 + fraction * unit, wire_length(length, captured), start, captured, link


# ---- writing ------------------------------------------------------------------------------------------------

class PcapWriter:
    """Write a classic capture with nanosecond timestamps (magic 0xa1b23c4d, little-endian).

    Args:
        file: binary file, which is left open; use the writer as a context manager to close it.
        link: `ETHERNET` or `RAW_IP`.

    Raises:
        OSError: the file cannot be written.
    """

    __slots__ = ("_file", "_pack", "_write")

    def __init__(self, file: BinaryIO, link: int = ETHERNET) -> None:
        self._file = file
        self._write = file.write
        self._pack = struct.Struct("<IIII").pack
        self._write(struct.pack("<IHHiIII", _MAGIC_NS, 2, 4, 0, 0, MAX_CAPLEN, link))
        file.flush()  # from now on the file is a valid capture, whatever happens to the run

    def write(self, stamp: int, length: int, data: bytes) -> None:
        """Append one packet: timestamp in ns, length on the wire, captured bytes."""
        seconds, fraction = divmod(stamp, 1_000_000_000)
        self._write(self._pack(seconds & U32_MAX, fraction, len(data), length))
        self._write(data)

    def __enter__(self) -> PcapWriter:
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()
