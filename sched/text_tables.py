"""Tables for people: columns are as wide as their widest cell."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence


def table_lines(rows: Sequence[Sequence[str]], left: int) -> list[str]:
    """Return the lines of a table, whose first `left` columns are aligned to the left, and all others to the right."""
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    return ["  ".join(cell.ljust(width) if at < left else cell.rjust(width)
                      for at, (cell, width) in enumerate(zip(row, widths, strict=True))) for row in rows]
