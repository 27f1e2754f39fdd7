"""The manual's tables are those of the instruction table."""

from __future__ import annotations

from ebpfvm.isa.manual import BEGIN, isa_tables
from ebpfvm.isa.syntax import SYNTAX
from ebpfvm.isa.table import ROWS
from tests.house.tree import ROOT


def test_the_assembler_manual_is_current() -> None:
    """If this fails: replace what follows the marker in the page with the output of `ebpfvm doc isa`."""
    text = (ROOT / "docs" / "reference" / "assembler.md").read_text(encoding="utf-8")
    assert text.partition(BEGIN)[2] == isa_tables().partition(BEGIN)[2]


def test_every_instruction_is_in_the_manual() -> None:
    tables = isa_tables()
    assert all(f"| {row.name} |" in tables for row in ROWS)
    assert SYNTAX.keys() == {row.name for row in ROWS}
