from __future__ import annotations

import struct

from ebpfvm.loader import elf_header


def test_fields_are_in_the_order_of_the_standard() -> None:
    data = b"\x7fELF\2\1\1" + bytes(9) + struct.pack("<HHIQQQIHHHHHH", *range(1, 14))
    found = elf_header.read_header(data + b"more")
    assert len(data) == elf_header.HEADER_SIZE == 64
    assert found.ident[:4] == elf_header.MAGIC
    assert (found.type, found.machine, found.shoff) == (1, 2, 6)
    assert (found.shentsize, found.shnum, found.shstrndx) == (11, 12, 13)


def test_offsets_for_messages_are_those_of_the_fields() -> None:
    for at, field in ((elf_header.AT_TYPE, "type"), (elf_header.AT_MACHINE, "machine"),
                      (elf_header.AT_SHENTSIZE, "shentsize"), (elf_header.AT_SHSTRNDX, "shstrndx")):
        data = bytearray(elf_header.HEADER_SIZE)
        data[at] = 7
        assert [name for name, value in elf_header.read_header(data)._asdict().items() if value == 7] == [field]


def test_section_headers() -> None:
    rows = elf_header.read_section_headers(struct.pack("<IIQQQQIIQQ", *range(10)) * 2)
    assert elf_header.SECTION_HEADER_SIZE == 64
    assert rows == [elf_header.SectionHeader(*range(10))] * 2
    assert (rows[0].name, rows[0].type, rows[0].offset, rows[0].size, rows[0].entsize) == (0, 1, 4, 5, 9)
