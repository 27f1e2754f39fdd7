"""The page of the properties is current, and `ebpfvm doc properties` prints it or one entry of it."""

from __future__ import annotations

import pytest

from ebpfvm.cli.doc_properties import BEGIN, properties
from ebpfvm.cli.main import main
from ebpfvm.verifier.machine.properties import PROPERTIES
from tests.house.tree import ROOT


def test_the_page_is_current() -> None:
    """If this fails: replace what is below the marker with the output of `ebpfvm doc properties`."""
    text = (ROOT / "docs" / "reference" / "properties.md").read_text(encoding="utf-8")
    assert text.partition(BEGIN)[2] == properties().partition(BEGIN)[2]


def test_every_property_has_a_heading() -> None:
    headings = [line.removeprefix("### ") for line in properties().splitlines() if line.startswith("### ")]
    assert headings == list(PROPERTIES)


def test_groups_are_listed_once() -> None:
    groups = [line for line in properties().splitlines() if line.startswith("## ")]
    assert len(groups) == len(set(groups)) == len({item.group for item in PROPERTIES.values()})


def test_the_command_prints_the_page(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["doc", "properties"]) == 0
    assert capsys.readouterr().out == properties()


def test_the_command_prints_one_property(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["doc", "properties", "packet-bounds"]) == 0
    said = capsys.readouterr().out
    assert said.startswith("### packet-bounds\n") and said.strip() in properties()
    assert PROPERTIES["packet-bounds"].help in said and "`check_packet_access()`" in said


@pytest.mark.parametrize(("words", "hint"), [
    (["properties", "packet-bound"], "there is no property 'packet-bound'; did you mean 'packet-bounds'?"),
    (["properties", "?"], "there is no property '?'; `ebpfvm doc properties` lists them"),
    (["limits", "memory"], "the topic 'limits' is printed as a whole; remove 'memory'")])
def test_what_cannot_be_printed(words: list[str], hint: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["doc", *words]) == 2
    assert hint in capsys.readouterr().err
