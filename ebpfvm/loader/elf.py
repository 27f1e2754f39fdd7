"""ELF bytes to sections, symbols and relocations, as plain data.

pyelftools reads the structures. It trusts what a file claims (a NOBITS section of a terabyte is a terabyte of zero
bytes, an absurd section count a loop that never ends) and reports what it dislikes with a dozen exception types. So
the header and the section table are checked against the file's length first, section contents are slices of the file
and never `Section.data()`, and everything it raises becomes a `LoadError` in one place, `read_elf`.
"""

from __future__ import annotations

import io
import struct
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, NamedTuple

from ebpfvm.errors import LoadError

EM_NONE, EM_BPF = 0, 247
ET_REL = 1
SHT_PROGBITS, SHT_SYMTAB, SHT_STRTAB, SHT_RELA, SHT_NOBITS, SHT_REL = 1, 2, 3, 4, 8, 9
SHF_ALLOC, SHF_EXECINSTR, SHF_COMPRESSED = 2, 4, 0x800
MAX_SECTIONS = 0xFF00
_HEADER = struct.Struct("<16sHHIQQQIHHHHHH")
_SECTION = struct.Struct("<IIQQQQIIQQ")
_MACHINES = {3: "x86", 8: "MIPS", 20: "PowerPC", 21: "PowerPC64", 22: "s390", 40: "ARM", 62: "x86-64",
             183: "AArch64", 243: "RISC-V", 258: "LoongArch"}
_RECOMPILE = "compile with `clang -target bpf -g -O2 -c`"


@dataclass(frozen=True, slots=True)
class Section:
    """One section. `data` is what the file holds: empty for NOBITS, whose `size` is only a claim."""

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
        """True for sections that hold instructions."""
        return self.type == SHT_PROGBITS and bool(self.flags & SHF_EXECINSTR)


class Symbol(NamedTuple):
    """One symbol; `type`, `bind` and `visibility` without the STT_, STB_ and STV_ prefix.

    `section` is a section index, 0 for undefined, -1 for absolute and common symbols.
    """

    name: str
    value: int
    size: int
    type: str
    bind: str
    visibility: str
    section: int


class Reloc(NamedTuple):
    """One relocation: at byte `offset` of its section; `addend` is None for REL, whose addend is in place."""

    offset: int
    type: int
    symbol: Symbol
    addend: int | None


@dataclass(frozen=True)
class Elf:
    """An ELF file's contents. `relocs` is keyed by the index of the section they apply to."""

    sections: tuple[Section, ...]
    symbols: tuple[Symbol, ...]
    relocs: dict[int, tuple[Reloc, ...]] = field(default_factory=dict)
    notes: tuple[str, ...] = ()

    def section(self, name: str) -> Section | None:
        """The first section of that name, or None."""
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

    def symbols_in(self, section: int) -> list[Symbol]:
        """Named symbols defined in a section, in the table's order; files and section symbols left out."""
        return [s for s in self._symbols_of.get(section, ()) if s.name and s.type not in ("SECTION", "FILE")]


def read_elf(data: bytes) -> Elf:
    """Read an eBPF object file.

    Args:
        data: the whole file.

    Raises:
        LoadError: it is not a little-endian 64-bit eBPF object, or damaged; says where and what to do.
    """
    notes = _check_header(data)
    from elftools.elf.elffile import ELFFile  # here, because it costs as much as all other imports together

    try:
        return _read(ELFFile(io.BytesIO(data)), data, notes)
    except LoadError:
        raise
    except Exception as error:  # pyelftools has no common root for what it raises on damaged files
        raise LoadError(f"damaged ELF file: {str(error) or type(error).__name__}") from error


def _check_header(data: bytes) -> list[str]:
    """Refuse what is no eBPF object, and what would make pyelftools read or allocate without end."""
    if not data:
        raise LoadError("the file is empty")
    if data[:4] != b"\x7fELF":
        kind = "LLVM bitcode" if data[:2] == b"BC" else "an archive" if data[:8] == b"!<arch>\n" else "not an ELF file"
        raise LoadError(f"{kind}; an eBPF object is needed: {_RECOMPILE}", offset=0)
    if len(data) < _HEADER.size:
        raise LoadError(f"cut short: {len(data)} bytes are less than an ELF header of {_HEADER.size}")
    if data[4] != 2:
        raise LoadError(f"not a 64-bit ELF file (class {data[4]}); {_RECOMPILE}", offset=4)
    if data[5] != 1:
        kind = "a big-endian object" if data[5] == 2 else f"of unknown byte order {data[5]}"
        raise LoadError(f"{kind}; compile with -target bpfel (or bpf on a little-endian host)", offset=5)
    _, kind_, machine, _, _, _, shoff, _, _, _, _, shentsize, shnum, shstrndx = _HEADER.unpack_from(data)
    notes = []
    if machine == EM_NONE:
        notes.append("e_machine is 0 (none): taken as eBPF, as compilers before LLVM 3.9 wrote it")
    elif machine != EM_BPF:
        raise LoadError(f"machine {_MACHINES.get(machine, machine)} is not eBPF ({EM_BPF}); {_RECOMPILE}", offset=18)
    if kind_ != ET_REL:
        raise LoadError(f"ELF type {kind_} is not a relocatable object ({ET_REL}); compile with -c", offset=16)
    _check_sections(data, shoff, shentsize, shnum, shstrndx)
    return notes


def _check_sections(data: bytes, shoff: int, shentsize: int, shnum: int, shstrndx: int) -> None:
    if shoff == 0 or shnum == 0:
        raise LoadError("the file has no sections (stripped of its section headers, or cut short)")
    if shentsize != _SECTION.size or shnum > MAX_SECTIONS:
        raise LoadError(f"{shnum} section headers of {shentsize} bytes make no sense; they have {_SECTION.size}",
                        offset=58)
    if shoff + shnum * shentsize > len(data):
        raise LoadError(f"cut short: section headers end at {shoff + shnum * shentsize:#x}, "
                        f"the file at {len(data):#x}", offset=shoff)
    if shstrndx >= shnum:
        raise LoadError(f"section names are said to be in section {shstrndx} of {shnum}", offset=62)
    for index in range(shnum):
        _, type_, _, _, off, size, link, _, _, entsize = _SECTION.unpack_from(data, shoff + index * shentsize)
        where = shoff + index * shentsize
        if type_ not in (0, SHT_NOBITS) and off + size > len(data):
            raise LoadError(f"section {index} claims bytes {off:#x} to {off + size:#x}, but the file ends at "
                            f"{len(data):#x}: cut short or damaged", offset=where)
        wanted = {SHT_SYMTAB: 24, SHT_REL: 16, SHT_RELA: 24}.get(type_)
        if wanted and (entsize != wanted or size % wanted):
            raise LoadError(f"section {index} of type {type_} has {size} bytes in entries of {entsize}; "
                            f"entries have {wanted}", offset=where)
        if wanted and link >= shnum:
            raise LoadError(f"section {index} refers to section {link} of {shnum}", offset=where)


def _read(elf: Any, data: bytes, notes: list[str]) -> Elf:
    """What pyelftools' ELFFile holds; Any, because its releases differ in what they declare."""
    raw = [elf.get_section(index) for index in range(elf.num_sections())]
    sections = tuple(_section(index, item, data) for index, item in enumerate(raw))
    tables = [section for section in sections if section.type == SHT_SYMTAB]
    if len(tables) != 1:
        raise LoadError("the file has no symbol table (.symtab), so its programs cannot be told apart; it was "
                        "stripped: use the unstripped object, or strip with `llvm-strip -g`" if not tables else
                        "the file has more than one symbol table")
    symbols = tuple(_symbol(item, len(sections)) for item in raw[tables[0].index].iter_symbols())
    relocs: dict[int, tuple[Reloc, ...]] = {}
    for table in sections:
        if table.type not in (SHT_REL, SHT_RELA):
            continue
        if not 0 < table.info < len(sections):
            raise LoadError(f"relocations apply to section {table.info} of {len(sections)}", section=table.name)
        if not _wants_relocs(sections[table.info]):
            continue
        if table.type == SHT_RELA:
            notes.append(f"section {table.name!r} holds RELA relocations; clang writes REL")
        found = tuple(_reloc(item, symbols, table) for item in raw[table.index].iter_relocations())
        relocs[table.info] = relocs.get(table.info, ()) + found
    return Elf(sections, symbols, relocs, tuple(notes))


def _wants_relocs(section: Section) -> bool:
    """False for debug data and BTF: its relocations exist for linkers, the contents are usable as they are."""
    return section.is_code or (bool(section.flags & SHF_ALLOC) and not section.name.startswith((".debug", ".BTF")))


_TYPES = {"SHT_NULL": 0, "SHT_PROGBITS": SHT_PROGBITS, "SHT_SYMTAB": SHT_SYMTAB, "SHT_STRTAB": SHT_STRTAB,
          "SHT_RELA": SHT_RELA, "SHT_NOBITS": SHT_NOBITS, "SHT_REL": SHT_REL}


def _section(index: int, raw: Any, data: bytes) -> Section:
    header = raw.header
    kind = header["sh_type"]  # a name for the numbers pyelftools knows, the number for others
    number = kind if isinstance(kind, int) else _TYPES.get(str(kind), -1)
    size, offset, flags = header["sh_size"], header["sh_offset"], header["sh_flags"]
    if flags & SHF_COMPRESSED and not raw.name.startswith(".debug"):
        raise LoadError("the section is compressed; decompress it with `objcopy --decompress-debug-sections`",
                        section=raw.name)
    held = b"" if number in (0, SHT_NOBITS) else data[offset:offset + size]
    return Section(index, raw.name, number, flags, size, header["sh_link"], header["sh_info"], header["sh_entsize"],
                   held)


def _symbol(raw: Any, sections: int) -> Symbol:
    entry = raw.entry
    where = entry["st_shndx"]
    section = 0 if where == "SHN_UNDEF" else where if isinstance(where, int) and where < sections else -1
    info = entry["st_info"]
    return Symbol(raw.name, entry["st_value"], entry["st_size"], str(info["type"])[4:], str(info["bind"])[4:],
                  str(entry["st_other"]["visibility"])[4:], section)


def _reloc(raw: Any, symbols: tuple[Symbol, ...], table: Section) -> Reloc:
    entry = raw.entry
    number = entry["r_info_sym"]
    if number >= len(symbols):
        raise LoadError(f"relocation refers to symbol {number} of {len(symbols)}", section=table.name,
                        offset=entry["r_offset"])
    return Reloc(entry["r_offset"], entry["r_info_type"], symbols[number],
                 entry["r_addend"] if table.type == SHT_RELA else None)
