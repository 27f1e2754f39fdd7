"""Rows of tables in the documentation are whole: a row that a reflow breaks ends its table, and renders as text."""

from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]
PAGES = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md"), *ROOT.glob("samples/**/*.md")])


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_each_row_of_a_table_is_on_one_line(page: Path) -> None:
    parts = page.read_text(encoding="utf-8").split("```")
    rows = [line for text in parts[::2] for line in text.splitlines() if line.startswith("| ")]
    assert [row for row in rows if not row.rstrip().endswith("|")] == []
