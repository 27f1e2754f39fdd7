from __future__ import annotations

from pathlib import Path

from ebpfvm.cli.doc import TOPICS

PAGE = Path(__file__).parents[3] / "docs" / "reference" / "limits.md"
MARK = "<!-- made by `ebpfvm doc limits`; do not edit below -->\n"


def test_the_page_lists_the_limits_that_there_are() -> None:
    """If this fails: replace what is below the mark with the output of `ebpfvm doc limits`."""
    assert PAGE.read_text(encoding="utf-8").partition(MARK)[2] == TOPICS["limits"][1]() + "\n"
