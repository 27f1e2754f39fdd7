"""The page of the lints is current, and names what the table of broken qdiscs names."""

from __future__ import annotations

import re
from pathlib import Path

from ebpfvm.cli.doc_lints import BEGIN, lints
from ebpfvm.lints import LINTS

ROOT = Path(__file__).parents[3]
TABLE = (ROOT / "docs" / "howto" / "qdisc-mistakes.md").read_text(encoding="utf-8")


def test_the_page_is_what_the_command_prints() -> None:
    """If this fails: replace what is below the marker with the output of `ebpfvm doc lints`."""
    text = (ROOT / "docs" / "reference" / "lints.md").read_text(encoding="utf-8")
    assert text[text.index(BEGIN):] == lints()


def test_every_lint_is_in_the_table_of_mistakes() -> None:
    """The verifier refuses the sample of `missing-struct`; a compiler does not produce `packet-leaked` from C."""
    named = set(re.findall(r"\| `([a-z-]+)` \|", TABLE[TABLE.index("## Accepted, and wrong"):]))
    assert set(LINTS) - named == {"missing-struct", "packet-leaked"}
