"""The `.BTF.ext` section: the BTF function, C line and CO-RE relocation that belong to each instruction.

Documentation/bpf/btf.rst, section 4. Records are grouped by ELF section and carry *byte* offsets into it. The linker
converts them to slots, because a section may hold several programs.
"""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING

from ebpfvm.errors import LoadError
from ebpfvm.lazy_dataclasses import dataclass, field
from ebpfvm.lazy_tuples import NamedTuple

if TYPE_CHECKING:
    from ebpfvm.btf.types import Btf

_HEADER = struct.Struct("<HBBIIIII")


class FuncRecord(NamedTuple):
    """The function that starts at byte `offset` of a section is BTF FUNC `type_id`."""

    offset: int
    type_id: int


class LineRecord(NamedTuple):
    """The code from byte `offset` of a section on came from this C line."""

    offset: int
    file: str
    text: str
    line: int
    column: int


class CoreRecord(NamedTuple):
    """The CO-RE relocation of the instruction at byte `offset` of a section."""

    offset: int
    type_id: int
    access: str
    kind: int


@dataclass(frozen=True, slots=True)
class BtfExt:
    """Records by section name, in file order."""

    func_info: dict[str, list[FuncRecord]] = field(default_factory=dict)
    line_info: dict[str, list[LineRecord]] = field(default_factory=dict)
    core_relos: dict[str, list[CoreRecord]] = field(default_factory=dict)


def _bad(message: str, offset: int | None = None) -> LoadError:
    return LoadError(f"bad BTF.ext: {message}", section=".BTF.ext", offset=offset)


def parse_ext(data: bytes, btf: Btf) -> BtfExt:
    """Parse `.BTF.ext`; strings and type ids are those of `btf`.

    Raises:
        LoadError: the bytes are malformed.
    """
    if len(data) < 24:
        raise _bad(f"{len(data)} bytes are too short for its header of 24")
    magic, version, flags, hdr_len, func_off, func_len, line_off, line_len = _HEADER.unpack_from(data)
    if magic != 0xEB9F:
        raise _bad("it is big-endian" if magic == 0x9FEB else f"magic {magic:#x} is not 0xeb9f", 0)
    if version != 1 or flags:
        raise _bad(f"version {version} with flags {flags:#x} is not known", 2)
    if not _HEADER.size <= hdr_len <= len(data):
        raise _bad(f"header length {hdr_len} does not fit in {len(data)} bytes", 4)
    core = struct.unpack_from("<II", data, 24) if hdr_len >= 32 else (0, 0)
    strings = _Strings(btf)
    ext = BtfExt()
    for section, at in _records(data, _Table("func_info", hdr_len + func_off, func_off, func_len, 8), strings):
        offset, type_id = struct.unpack_from("<II", data, at)
        ext.func_info.setdefault(section, []).append(FuncRecord(offset, type_id))
    for section, at in _records(data, _Table("line_info", hdr_len + line_off, line_off, line_len, 16), strings):
        offset, file, text, place = struct.unpack_from("<IIII", data, at)
        ext.line_info.setdefault(section, []).append(
            LineRecord(offset, strings[file], strings[text], place >> 10, place & 0x3FF))
    for section, at in _records(data, _Table("core_relo", hdr_len + core[0], core[0], core[1], 16), strings):
        offset, type_id, access, kind = struct.unpack_from("<IIII", data, at)
        ext.core_relos.setdefault(section, []).append(CoreRecord(offset, type_id, strings[access], kind))
    return ext


class _Strings(dict[int, str]):
    """The strings of a BTF by offset, each decoded once, because many records share them."""

    def __init__(self, btf: Btf) -> None:
        super().__init__()
        self._btf = btf

    def __missing__(self, offset: int) -> str:
        self[offset] = found = self._btf.string(offset)
        return found


class _Table(NamedTuple):
    """Where one of the three tables is: its start in the section and, as the header says it, after the header."""

    what: str
    start: int
    off: int
    length: int
    least: int


def _records(data: bytes, table: _Table, strings: _Strings) -> list[tuple[str, int]]:
    """Return (section name, offset of the record in `data`) of all records of a table."""
    what, at, off, length, least = table
    if not length:
        return []
    end = at + length
    if end > len(data) or length < 4 or at % 4:
        raise _bad(f"{what} at {off:#x}, {length} bytes long, does not fit in {len(data)} bytes")
    size = struct.unpack_from("<I", data, at)[0]
    if size < least or size % 4:
        raise _bad(f"{what} records of {size} bytes; at least {least} are needed", at)
    at += 4
    found: list[tuple[str, int]] = []
    while at < end:
        if at + 8 > end:
            raise _bad(f"{what} is cut short", at)
        name, count = struct.unpack_from("<II", data, at)
        section = strings[name]
        at += 8
        if at + count * size > end:
            raise _bad(f"{what} of section {section!r} claims {count} records, more than there are bytes", at - 4)
        found.extend((section, start) for start in range(at, at + count * size, size))
        at += count * size
    return found
