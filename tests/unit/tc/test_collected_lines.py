"""What becomes of lines in the forms of manual pages and scripts, and the page of the words that work."""

from __future__ import annotations

from pathlib import Path

import pytest

from ebpfvm.cli.doc_tc_words import counted, tc_words
from tests.unit.tc.collected_lines import outcomes, sections

PAGE = Path(__file__).parents[3] / "docs" / "reference" / "tc-words.md"
SECTIONS = dict(sections())
LINES = [line for lines in SECTIONS.values() for line in lines]


@pytest.mark.parametrize("title", SECTIONS)
def test_each_line_works_or_is_rejected_as_written(title: str) -> None:
    """If a line works now: `python -m tests.unit.tc.collected_lines` writes the messages anew."""
    assert list(outcomes(SECTIONS[title])) == SECTIONS[title]


def test_most_lines_work() -> None:
    assert len(LINES) > 300
    assert sum(not line.message for line in LINES) > len(LINES) * .65



def test_the_page_is_what_the_grammars_say() -> None:
    """If this fails: replace what is below the mark with the output of `ebpfvm doc tc-words`."""
    text = PAGE.read_text(encoding="utf-8")
    table = tc_words()
    assert text[text.index(table.partition("\n")[0]):] == table


def test_the_page_says_how_many_words_and_lines_work() -> None:
    text = " ".join(PAGE.read_text(encoding="utf-8").split())
    words, lines = counted(), (sum(not line.message for line in LINES), len(LINES))
    assert f"{words[0]} of {words[1]} words" in text
    assert f"{lines[0]} of {lines[1]} lines" in text
