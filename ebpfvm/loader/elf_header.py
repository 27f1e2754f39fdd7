"""The fixed parts of a 64-bit little-endian ELF file (System V ABI): the header and the section headers."""

from __future__ import annotations

import struct
from typing import Final

from ebpfvm.lazy_tuples import NamedTuple

MAGIC: Final = b"\x7fELF"
ELFCLASS64: Final = 2
ELFDATA2LSB: Final = 1
ELFDATA2MSB: Final = 2

_HEADER: Final = struct.Struct("<16sHHIQQQIHHHHHH")
_SECTION: Final = struct.Struct("<IIQQQQIIQQ")
HEADER_SIZE: Final = _HEADER.size
SECTION_HEADER_SIZE: Final = _SECTION.size

# Where error messages point: the offsets of fields in the header.
AT_CLASS: Final = 4
AT_DATA: Final = 5
AT_TYPE: Final = 16
AT_MACHINE: Final = 18
AT_SHENTSIZE: Final = 58
AT_SHSTRNDX: Final = 62


class ElfHeader(NamedTuple):
    """Elf64_Ehdr, field by field without the prefix `e_`."""

    ident: bytes
    type: int
    machine: int
    version: int
    entry: int
    phoff: int
    shoff: int
    flags: int
    ehsize: int
    phentsize: int
    phnum: int
    shentsize: int
    shnum: int
    shstrndx: int


class SectionHeader(NamedTuple):
    """Elf64_Shdr, field by field without the prefix `sh_`; `name` is an offset into the names of sections."""

    name: int
    type: int
    flags: int
    addr: int
    offset: int
    size: int
    link: int
    info: int
    addralign: int
    entsize: int


def read_header(data: bytes) -> ElfHeader:
    """Return the header that `data` begins with; there must be `HEADER_SIZE` bytes."""
    return ElfHeader._make(_HEADER.unpack_from(data))


def read_section_headers(data: bytes) -> list[SectionHeader]:
    """Return the section headers that `data` consists of."""
    return [SectionHeader._make(row) for row in _SECTION.iter_unpack(data)]
