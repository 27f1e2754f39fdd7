"""Symbols and relocations are what pyelftools reads, whatever number is in a field of a symbol."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import pytest
from elftools.elf.elffile import ELFFile

from ebpfvm.loader.elf import read_elf

ROOT = Path(__file__).parents[3]
OBJECTS = [ROOT / name for name in (
    "samples/rfc/wfq.o", "samples/mainline/fq.o", "samples/broken/leak.o", "tests/unit/runs/programs/tunnels.o",
    "tests/unit/verifier/objects/load_balancer.o")]
GOOD = OBJECTS[0].read_bytes()


def symbols(file: ELFFile) -> list[tuple[Any, ...]]:
    """What pyelftools says of the symbols."""
    found = []
    for symbol in file.get_section_by_name(".symtab").iter_symbols():
        where, info = symbol["st_shndx"], symbol["st_info"]
        section = 0 if where == "SHN_UNDEF" else where if isinstance(where, int) and where < file.num_sections() else -1
        found.append((symbol.name if info["type"] != "STT_SECTION" else "", symbol["st_value"], symbol["st_size"],
                      str(info["type"])[4:], str(info["bind"])[4:], str(symbol["st_other"]["visibility"])[4:], section))
    return found


@pytest.mark.parametrize("path", OBJECTS, ids=lambda path: path.stem)
def test_objects(path: Path) -> None:
    data = path.read_bytes()
    file, elf = ELFFile(io.BytesIO(data)), read_elf(data)
    assert [tuple(symbol) for symbol in elf.symbols] == symbols(file)
    for number, rows in elf.relocs.items():
        table = file.get_section_by_name(f".rel{elf.sections[number].name}")
        assert [(row.offset, row.type, row.symbol, row.addend) for row in rows] == [
            (row["r_offset"], row["r_info_type"], elf.symbols[row["r_info_sym"]], None)
            for row in sorted(table.iter_relocations(), key=lambda row: row["r_offset"])]
    assert any(elf.relocs.values())


@pytest.mark.parametrize(("field", "numbers"), [(4, range(256)), (5, range(256)), (6, (0, 1, 7, 200, 255))],
                         ids=["type and binding", "visibility", "section"])
def test_every_number(field: int, numbers: range) -> None:
    table = ELFFile(io.BytesIO(GOOD)).get_section_by_name(".symtab")
    for number in numbers:
        data = bytearray(GOOD)
        data[table["sh_offset"] + 24 + field] = number
        assert [tuple(symbol)[1:] for symbol in read_elf(bytes(data)).symbols] == [
            row[1:] for row in symbols(ELFFile(io.BytesIO(data)))]
