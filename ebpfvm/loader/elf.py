"""Read ELF files: sections, symbols and relocations, as plain data.

The header and all tables are read and checked here, because a file may claim anything: with pyelftools' `ELFFile` a
NOBITS section of a terabyte becomes a terabyte of zero bytes, and an absurd section count an endless loop. pyelftools
has the names of the numbers that compilers for eBPF do not write; it is imported when a file has one of them, because
importing it takes a fifth of the time in which a small program is verified. Tests compare what is read with `ELFFile`.
"""

from __future__ import annotations

import struct
from bisect import bisect_left
from functools import cached_property
from typing import Final

from ebpfvm.errors import LoadError
from ebpfvm.escape import decoded
from ebpfvm.ints import U32_MAX
from ebpfvm.lazy_dataclasses import dataclass, field
from ebpfvm.lazy_tuples import NamedTuple
from ebpfvm.loader import elf_header
from ebpfvm.loader.elf_header import HEADER_SIZE, SECTION_HEADER_SIZE, ElfHeader, SectionHeader

EM_NONE, EM_BPF = 0, 247
ET_REL = 1
SHT_NULL, SHT_PROGBITS, SHT_SYMTAB, SHT_STRTAB, SHT_RELA, SHT_NOBITS, SHT_REL = 0, 1, 2, 3, 4, 8, 9
SHF_ALLOC, SHF_EXECINSTR, SHF_COMPRESSED = 2, 4, 0x800
MAX_SECTIONS = 0xFF00
MAX_NAME = 1024
"""Kernels take symbols of up to 511 characters; a damaged table can make each name as long as the file."""
_MACHINES = {3: "x86", 8: "MIPS", 20: "PowerPC", 21: "PowerPC64", 22: "s390", 40: "ARM", 62: "x86-64",
             183: "AArch64", 243: "RISC-V", 258: "LoongArch"}
_SYMBOL: Final = struct.Struct("<IBBHQQ")
_REL: Final = struct.Struct("<QQ")
_RELA: Final = struct.Struct("<QQq")
_TYPES: Final = ("NOTYPE", "OBJECT", "FUNC", "SECTION", "FILE", "COMMON", "TLS")
_BINDS: Final = ("LOCAL", "GLOBAL", "WEAK")
_VISIBILITIES: Final = ("DEFAULT", "INTERNAL", "HIDDEN", "PROTECTED")
_RECOMPILE = "compile with `clang -target bpf -g -O2 -c`"


@dataclass(frozen=True, slots=True)
class Section:
    """A section; `data` is what the file holds, which is nothing for NOBITS, whose `size` nothing in the file backs."""

    index: int
    name: str
    type: int
    flags: int
    size: int
    link: int
    info: int
    entsize: int
    data: bytes

    @property
    def is_code(self) -> bool:
        """Whether the section holds instructions."""
        return self.type == SHT_PROGBITS and bool(self.flags & SHF_EXECINSTR)


class Symbol(NamedTuple):
    """A symbol; `type`, `bind` and `visibility` are names without the prefix STT_, STB_ or STV_.

    `section` is a section index: 0 for undefined symbols, -1 for absolute and common ones.
    """

    name: str
    value: int
    size: int
    type: str
    bind: str
    visibility: str
    section: int


class Reloc(NamedTuple):
    """A relocation at byte `offset` of its section; `addend` is None for REL, which stores the addend in place."""

    offset: int
    type: int
    symbol: Symbol
    addend: int | None


@dataclass(frozen=True)
class Elf:
    """The contents of an ELF file; `relocs` maps the index of a section to its relocations, sorted by offset."""

    sections: tuple[Section, ...]
    symbols: tuple[Symbol, ...]
    relocs: dict[int, tuple[Reloc, ...]] = field(default_factory=dict)
    notes: tuple[str, ...] = ()

    def section(self, name: str) -> Section | None:
        """Return the first section of that name, or None."""
        return self._by_name.get(name)

    @cached_property
    def _by_name(self) -> dict[str, Section]:
        return {section.name: section for section in reversed(self.sections)}

    @cached_property
    def _symbols_of(self) -> dict[int, list[Symbol]]:
        found: dict[int, list[Symbol]] = {}
        for symbol in self.symbols:
            found.setdefault(symbol.section, []).append(symbol)
        return found

    def relocs_between(self, section: int, start: int, end: int) -> tuple[Reloc, ...]:
        """Return the relocations of the bytes `start` to `end` of a section."""
        rows = self.relocs.get(section, ())
        return rows[bisect_left(rows, (start,)):bisect_left(rows, (end,))]

    def symbols_in(self, section: int) -> list[Symbol]:
        """Return the named symbols of a section, in the table's order, without files and section symbols."""
        return [s for s in self._symbols_of.get(section, ()) if s.name and s.type not in ("SECTION", "FILE")]


def read_elf(data: bytes) -> Elf:
    """Read an eBPF object file.

    Args:
        data: the whole file.

    Raises:
        LoadError: it is damaged, or not a little-endian 64-bit eBPF object; the message says where, and what to do.
    """
    notes, sections = _check_header(data)
    return _read(sections, notes)


def _check_header(data: bytes) -> tuple[list[str], tuple[Section, ...]]:
    """Raise LoadError if this is not an eBPF object, or its tables do not fit the file; return notes and sections."""
    _check_ident(data)
    header = elf_header.read_header(data)
    notes = _check_kind(header)
    _check_tables(header, len(data))
    shoff, shnum = header.shoff, header.shnum
    rows = elf_header.read_section_headers(data[shoff:shoff + shnum * SECTION_HEADER_SIZE])
    for index, row in enumerate(rows):
        _check_section(data, index, row, shoff, shnum)
    held = sum(row.size for row in rows if row.type not in (SHT_NULL, SHT_NOBITS))
    if held > len(data):
        raise LoadError(f"sections of {held} bytes together in a file of {len(data)} overlap: damaged", offset=shoff)
    names = _contents(data, rows[header.shstrndx])
    sections = tuple(_section(index, row, names, data) for index, row in enumerate(rows))
    for section in sections:
        if section.type == SHT_SYMTAB:
            for (offset,) in struct.iter_unpack("<I20x", section.data):
                _name(sections[section.link].data, offset, section.name)
    return notes, sections


def _check_ident(data: bytes) -> None:
    if not data:
        raise LoadError("the file is empty")
    if data[:4] != elf_header.MAGIC:
        kind = "LLVM bitcode" if data[:2] == b"BC" else "an archive" if data[:8] == b"!<arch>\n" else "not an ELF file"
        raise LoadError(f"{kind}; an eBPF object is needed: {_RECOMPILE}", offset=0)
    if len(data) < HEADER_SIZE:
        raise LoadError(f"cut short: {len(data)} bytes are less than an ELF header of {HEADER_SIZE}")
    if data[4] != elf_header.ELFCLASS64:
        raise LoadError(f"not a 64-bit ELF file (class {data[4]}); {_RECOMPILE}", offset=elf_header.AT_CLASS)
    if data[5] != elf_header.ELFDATA2LSB:
        kind = "a big-endian object" if data[5] == elf_header.ELFDATA2MSB else f"of unknown byte order {data[5]}"
        raise LoadError(f"{kind}; compile with -target bpfel (or bpf on a little-endian host)",
                        offset=elf_header.AT_DATA)


def _check_kind(header: ElfHeader) -> list[str]:
    """Raise LoadError if this is no object for eBPF; return notes."""
    notes = []
    if header.machine == EM_NONE:
        notes.append("e_machine is 0 (none): taken as eBPF, as compilers before LLVM 3.9 wrote it")
    elif header.machine != EM_BPF:
        machine = _MACHINES.get(header.machine, header.machine)
        raise LoadError(f"machine {machine} is not eBPF ({EM_BPF}); {_RECOMPILE}", offset=elf_header.AT_MACHINE)
    if header.type != ET_REL:
        raise LoadError(f"ELF type {header.type} is not a relocatable object ({ET_REL}); compile with -c",
                        offset=elf_header.AT_TYPE)
    return notes


def _check_tables(header: ElfHeader, length: int) -> None:
    """Raise LoadError if the section headers are not within the file's `length`."""
    shoff, shnum = header.shoff, header.shnum
    end = shoff + shnum * header.shentsize
    if shoff == 0 or shnum == 0:
        raise LoadError("the file has no sections (stripped of its section headers, or cut short)")
    if header.shentsize != SECTION_HEADER_SIZE or shnum > MAX_SECTIONS:
        raise LoadError(f"{shnum} section headers of {header.shentsize} bytes make no sense; they have "
                        f"{SECTION_HEADER_SIZE}", offset=elf_header.AT_SHENTSIZE)
    if end > length:
        raise LoadError(f"cut short: section headers end at {end:#x}, the file at {length:#x}", offset=shoff)
    if header.shstrndx >= shnum:
        raise LoadError(f"section names are said to be in section {header.shstrndx} of {shnum}",
                        offset=elf_header.AT_SHSTRNDX)


def _check_section(data: bytes, index: int, row: SectionHeader, shoff: int, shnum: int) -> None:
    type_, off, size, link, entsize = row.type, row.offset, row.size, row.link, row.entsize
    where = shoff + index * SECTION_HEADER_SIZE
    if type_ not in (SHT_NULL, SHT_NOBITS) and off + size > len(data):
        raise LoadError(f"section {index} claims bytes {off:#x} to {off + size:#x}, but the file ends at "
                        f"{len(data):#x}: cut short or damaged", offset=where)
    wanted = {SHT_SYMTAB: 24, SHT_REL: 16, SHT_RELA: 24}.get(type_)
    if wanted and (entsize != wanted or size % wanted):
        raise LoadError(f"section {index} of type {type_} has {size} bytes in entries of {entsize}; "
                        f"entries have {wanted}", offset=where)
    if wanted and link >= shnum:
        raise LoadError(f"section {index} refers to section {link} of {shnum}", offset=where)


def _contents(data: bytes, row: SectionHeader) -> bytes:
    return b"" if row.type in (SHT_NULL, SHT_NOBITS) else data[row.offset:row.offset + row.size]


def _name(strings: bytes, offset: int, section: str) -> str:
    """Return a string of a string table, or "" for an offset outside of it, as ELF tools do."""
    end = strings.find(b"\0", offset, offset + MAX_NAME + 1)
    if end < 0:
        if len(strings) - offset > MAX_NAME:
            raise LoadError(f"a name is longer than {MAX_NAME} characters: damaged", section=section, offset=offset)
        end = len(strings)
    return decoded(strings[offset:end])


def _section(index: int, row: SectionHeader, names: bytes, data: bytes) -> Section:
    name_off, type_, flags, _, _, size, link, info, _, entsize = row
    name = _name(names, name_off, "of section names")
    if flags & SHF_COMPRESSED and not name.startswith(".debug"):
        raise LoadError("the section is compressed; decompress it with `objcopy --decompress-debug-sections`",
                        section=name)
    return Section(index, name, type_, flags, size, link, info, entsize, _contents(data, row))


def _read(sections: tuple[Section, ...], notes: list[str]) -> Elf:
    """Read symbols and relocations."""
    tables = [section for section in sections if section.type == SHT_SYMTAB]
    if len(tables) != 1:
        raise LoadError("the file has no symbol table (.symtab), so its programs cannot be told apart; it was "
                        "stripped: use the unstripped object, or strip with `llvm-strip -g`" if not tables else
                        "the file has more than one symbol table")
    names = _names_of(tables[0], sections)
    symbols = tuple([_symbol(entry, _name(names, entry[0], tables[0].name), len(sections))
                     for entry in _SYMBOL.iter_unpack(tables[0].data)])
    relocs: dict[int, list[Reloc]] = {}
    for table in sections:
        if table.type not in (SHT_REL, SHT_RELA):
            continue
        if not 0 < table.info < len(sections):
            raise LoadError(f"relocations apply to section {table.info} of {len(sections)}", section=table.name)
        if not _wants_relocs(sections[table.info]):
            continue
        if table.type == SHT_RELA:
            notes.append(f"section {table.name!r} holds RELA relocations; clang writes REL")
        rows = _RELA.iter_unpack(table.data) if table.type == SHT_RELA else _REL.iter_unpack(table.data)
        relocs.setdefault(table.info, []).extend(_reloc(*row, symbols=symbols, table=table) for row in rows)
    ordered = {index: tuple(sorted(rows, key=lambda row: row.offset)) for index, rows in relocs.items()}
    return Elf(sections, symbols, ordered, tuple(notes))


def _names_of(table: Section, sections: tuple[Section, ...]) -> bytes:
    """Return the string table with the names of a symbol table."""
    strings = sections[table.link]
    if strings.type != SHT_STRTAB:
        from elftools.elf.enums import ENUM_SH_TYPE_BASE as TYPES
        kind = next((name for name, number in TYPES.items() if number == strings.type), strings.type)
        raise LoadError(f"damaged ELF file: SHT_SYMTAB section points at section {table.link} of type {kind}, "
                        "expected SHT_STRTAB")
    return strings.data


def _wants_relocs(section: Section) -> bool:
    """Return whether a section needs its relocations; those of debug data and BTF are meant for linkers only."""
    return section.is_code or (bool(section.flags & SHF_ALLOC) and not section.name.startswith((".debug", ".BTF")))


def _symbol(entry: tuple[int, ...], name: str, sections: int) -> Symbol:
    """Return a symbol of an Elf64_Sym."""
    _, info, other, where, value, size = entry
    type_, bind, visibility = info & 0xF, info >> 4, other & 7
    return Symbol(name, value, size,
                  _TYPES[type_] if type_ < len(_TYPES) else _rare("TYPE", type_),
                  _BINDS[bind] if bind < len(_BINDS) else _rare("BIND", bind),
                  _VISIBILITIES[visibility] if visibility < len(_VISIBILITIES) else _rare("VISIBILITY", visibility),
                  where if where < sections else -1)


def _rare(what: str, number: int) -> str:
    """Return the name of a type, binding or visibility that eBPF objects do not have, "" if it has none."""
    from elftools.elf import enums
    table: dict[str, int] = getattr(enums, f"ENUM_ST_{what}" if what == "VISIBILITY" else f"ENUM_ST_INFO_{what}")
    return {value: name for name, value in table.items() if name != "_default_"}.get(number, "")[4:]


def _reloc(offset: int, info: int, addend: int | None = None, *, symbols: tuple[Symbol, ...], table: Section) -> Reloc:
    """Return a relocation of an Elf64_Rel or Elf64_Rela."""
    number = info >> 32
    if number >= len(symbols):
        raise LoadError(f"relocation refers to symbol {number} of {len(symbols)}", section=table.name, offset=offset)
    return Reloc(offset, info & U32_MAX, symbols[number], addend)
