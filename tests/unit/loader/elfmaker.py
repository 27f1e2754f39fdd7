"""Writes small ELF objects, so that tests can say what no compiler would."""

from __future__ import annotations

import struct
from dataclasses import dataclass, field

from ebpfvm.isa.insn import Insn, encode

PROGBITS, SYMTAB, STRTAB, RELA, NOBITS, REL = 1, 2, 3, 4, 8, 9
WRITE, ALLOC, EXEC = 1, 2, 4
NOTYPE, OBJECT, FUNC, SECTION = 0, 1, 2, 3
LOCAL, GLOBAL, WEAK = 0, 1, 2

EXIT = Insn(0x95)
MOV0 = Insn(0xB7, 0, 0, 0, 0)
RETURN = encode([MOV0, EXIT])


@dataclass
class Maker:
    """An ELF file under construction. Sections are numbered from 1 on as they are added."""

    machine: int = 247
    sections: list[tuple[str, int, int, bytes, int, int, int, int]] = field(default_factory=list)
    symbols: list[tuple[str, int, int, int, int, int]] = field(default_factory=list)
    header: dict[str, int] = field(default_factory=dict)
    symtab: bool = True

    def section(self, name: str, data: bytes = b"", kind: int = PROGBITS, flags: int = ALLOC, *, link: int = 0,
                info: int = 0, entsize: int = 0, size: int | None = None) -> int:
        """Add a section; `size` overrides what the header says."""
        self.sections.append((name, kind, flags, data, link, info, entsize, len(data) if size is None else size))
        return len(self.sections)

    def code(self, name: str, data: bytes = RETURN) -> int:
        """Add a section of instructions."""
        return self.section(name, data, flags=ALLOC | EXEC)

    def symbol(self, name: str, section: int, value: int = 0, size: int = 0, kind: int = FUNC,
               bind: int = GLOBAL) -> int:
        """Add a symbol; its number."""
        self.symbols.append((name, bind << 4 | kind, section, value, size, 0))
        return len(self.symbols)

    def relocs(self, target: int, rows: list[tuple[int, int, int]], addends: list[int] | None = None) -> None:
        """Relocations (offset, type, symbol) of a section; with addends as RELA."""
        form = "<QQ" if addends is None else "<QQq"
        extra = [()] * len(rows) if addends is None else [(a,) for a in addends]
        data = b"".join(struct.pack(form, off, symbol << 32 | kind, *more)
                        for (off, kind, symbol), more in zip(rows, extra, strict=True))
        self.section(".rel" + self.sections[target - 1][0], data, REL if addends is None else RELA, 0,
                     link=0xFFFF, info=target, entsize=16 if addends is None else 24)

    def build(self) -> bytes:
        """The file."""
        names = bytearray(b"\0")
        strings = bytearray(b"\0")
        table = bytearray(24)
        for name, info, section, value, size, other in self.symbols:
            table += struct.pack("<IBBHQQ", len(strings), info, other, section, value, size)
            strings += name.encode() + b"\0"
        rows = list(self.sections)
        strtab = len(rows) + 1
        rows.append((".strtab", STRTAB, 0, bytes(strings), 0, 0, 0, len(strings)))
        symtab = len(rows) + 1
        if self.symtab:
            rows.append((".symtab", SYMTAB, 0, bytes(table), strtab, 1, 24, len(table)))
        rows.append((".shstrtab", STRTAB, 0, b"", 0, 0, 0, 0))
        offsets = []
        for row in rows:
            offsets.append(len(names))
            names += row[0].encode() + b"\0"
        rows[-1] = (".shstrtab", STRTAB, 0, bytes(names), 0, 0, 0, len(names))
        body = bytearray(64)
        table = bytearray(64)
        for name, (_, kind, flags, data, link, info, entsize, size) in zip(offsets, rows, strict=True):
            table += struct.pack("<IIQQQQIIQQ", name, kind, flags, 0, len(body), size,
                                 symtab if link == 0xFFFF else link, info, 8, entsize)
            body += data + bytes(-len(data) % 8)
        values = {"type": 1, "machine": self.machine, "shoff": len(body), "shentsize": 64, "shnum": len(rows) + 1,
                  "shstrndx": len(rows), "class": 2, "data": 1} | self.header
        ident = b"\x7fELF" + bytes((values["class"], values["data"], 1)) + bytes(9)
        body[:64] = struct.pack("<16sHHIQQQIHHHHHH", ident, values["type"], values["machine"], 1, 0, 0,
                                values["shoff"], 0, 64, 0, 0, values["shentsize"], values["shnum"],
                                values["shstrndx"])
        return bytes(body + table)


def simple(section: str = "tc", code: bytes = RETURN) -> Maker:
    """One program `prog` in one section, with a license."""
    maker = Maker()
    maker.symbol("prog", maker.code(section, code), 0, len(code))
    maker.section("license", b"GPL\0", flags=ALLOC | WRITE)
    return maker
