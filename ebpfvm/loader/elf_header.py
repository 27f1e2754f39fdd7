"""The structures of a 64-bit little-endian ELF file (System V ABI): headers, symbols and relocations."""

from __future__ import annotations

import struct
from typing import Final, NamedTuple

MAGIC: Final = b"\x7fELF"
ELFCLASS64: Final = 2
ELFDATA2LSB: Final = 1
ELFDATA2MSB: Final = 2

_HEADER: Final = struct.Struct("<16sHHIQQQIHHHHHH")
_SECTION: Final = struct.Struct("<IIQQQQIIQQ")
_SYMBOL: Final = struct.Struct("<IBBHQQ")
_REL: Final = struct.Struct("<QQ")
_RELA: Final = struct.Struct("<QQq")
HEADER_SIZE: Final = _HEADER.size
SECTION_HEADER_SIZE: Final = _SECTION.size

# Where error messages point: the offsets of fields in the header.
AT_CLASS: Final = 4
AT_DATA: Final = 5
AT_TYPE: Final = 16
AT_MACHINE: Final = 18
AT_SHENTSIZE: Final = 58
AT_SHSTRNDX: Final = 62


# The parts of a symbol's `info` and `other`, without their prefixes STT_, STB_ and STV_.
SYMBOL_TYPES: Final = {0: "NOTYPE", 1: "OBJECT", 2: "FUNC", 3: "SECTION", 4: "FILE", 5: "COMMON", 6: "TLS"}
BINDINGS: Final = {0: "LOCAL", 1: "GLOBAL", 2: "WEAK"}
VISIBILITIES: Final = ("DEFAULT", "INTERNAL", "HIDDEN", "PROTECTED", "EXPORTED", "SINGLETON", "ELIMINATE", "")


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


class SymbolEntry(NamedTuple):
    """Elf64_Sym, field by field without the prefix `st_`; `name` is an offset into the names of symbols."""

    name: int
    info: int
    other: int
    shndx: int
    value: int
    size: int


class RelocEntry(NamedTuple):
    """Elf64_Rela, field by field without the prefix `r_`; Elf64_Rel has no addend (None)."""

    offset: int
    info: int
    addend: int | None = None


def read_header(data: bytes) -> ElfHeader:
    """Return the header that `data` begins with; there must be `HEADER_SIZE` bytes."""
    return ElfHeader._make(_HEADER.unpack_from(data))


def read_section_headers(data: bytes) -> list[SectionHeader]:
    """Return the section headers that `data` consists of."""
    return [SectionHeader._make(row) for row in _SECTION.iter_unpack(data)]


def read_symbols(data: bytes) -> list[SymbolEntry]:
    """Return the symbols that `data` consists of."""
    return [SymbolEntry._make(row) for row in _SYMBOL.iter_unpack(data)]


def read_relocs(data: bytes, with_addend: bool) -> list[RelocEntry]:
    """Return the relocations that `data` consists of, in the form RELA or REL."""
    return [RelocEntry(*row) for row in (_RELA if with_addend else _REL).iter_unpack(data)]
