"""Symbols and relocations of every sample are what pyelftools, an independent reader, finds."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from elftools.elf.elffile import ELFFile

from ebpfvm.loader.elf import SHT_RELA, SHT_SYMTAB, Elf, read_elf

ROOT = Path(__file__).parents[3]
OBJECTS = sorted((ROOT / "samples").rglob("*.o"))


def symbol(raw: Any) -> tuple[object, ...]:
    where = raw["st_shndx"]
    return (raw.name, raw["st_value"], raw["st_size"], raw["st_info"]["type"], raw["st_info"]["bind"],
            raw["st_other"]["visibility"], 0 if where == "SHN_UNDEF" else where if isinstance(where, int) else -1)


def symbols(found: Elf) -> list[tuple[object, ...]]:
    return [(item.name, item.value, item.size, f"STT_{item.type}", f"STB_{item.bind}", f"STV_{item.visibility}",
             item.section) for item in found.symbols]


@pytest.mark.parametrize("path", OBJECTS, ids=lambda path: path.name)
def test_symbols_and_relocations(path: Path) -> None:
    found = read_elf(path.read_bytes())
    with path.open("rb") as file:
        other = ELFFile(file)
        table = next(section for section in found.sections if section.type == SHT_SYMTAB)
        assert symbols(found) == [symbol(raw) for raw in other.get_section(table.index).iter_symbols()]
        for target, rows in found.relocs.items():
            (table,) = (item for item in found.sections if item.info == target and item.type in (SHT_RELA, 9))
            raw = other.get_section(table.index).iter_relocations()
            assert [(row.offset, row.type, row.symbol) for row in rows] == sorted(
                ((item["r_offset"], item["r_info_type"], found.symbols[item["r_info_sym"]]) for item in raw),
                key=lambda row: row[0])
