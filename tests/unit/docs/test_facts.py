"""What the guide says about the product in words, where no example can show it."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from ebpfvm.dialects import linux, rfc6
from ebpfvm.loader import load
from ebpfvm.verifier import verify
from ebpfvm.verifier.explanation.message_sentences import explain
from ebpfvm.verifier.machine import properties as p
from ebpfvm.verifier.machine.properties import PROPERTIES
from tests.unit.docs.examples import ROOT

DOCS = ROOT / "docs"


def test_the_helpers_of_a_map_of_maps_are_the_other_types_too() -> None:
    types = rfc6().map_types
    assert types[33].name == "rbtree_of_maps"
    assert types[33].funcs == types[12].funcs == types[13].funcs == {"bpf_map_lookup_elem"}


def test_every_decision_has_a_row() -> None:
    rows = re.findall(r"^\| D(\d+) \|", (DOCS / "explanation" / "decisions.md").read_text(), re.MULTILINE)
    assert [int(row) for row in rows] == list(range(1, 23))


def test_every_broken_sample_is_among_the_mistakes() -> None:
    text = (DOCS / "howto" / "mistakes.md").read_text()
    for path in (ROOT / "samples" / "broken").glob("*.bpf.c"):
        assert f"samples/broken/{path.name.removesuffix('.bpf.c')}.o" in text


@pytest.mark.parametrize("path", sorted((ROOT / "samples" / "broken").glob("*.o")), ids=lambda path: path.stem)
def test_the_table_of_broken_samples_has_the_verifiers_line(path: Path) -> None:
    table = (ROOT / "samples" / "README.md").read_text()
    (row,) = re.findall(rf"^\| `{path.stem}` \|.*\| `(.*)` \|$", table, re.MULTILINE)
    (program,) = load(str(path)).programs.values()
    assert row in verify(program, rfc6()).message


def test_the_table_of_broken_qdiscs_has_the_kernels_words() -> None:
    text = (DOCS / "howto" / "qdisc-mistakes.md").read_text()
    record = json.loads((ROOT / "tests" / "data" / "qdisc_samples.json").read_text())
    for path in sorted((ROOT / "samples" / "broken_qdiscs").glob("*.o")):
        (row,) = re.findall(rf"^\| `{path.stem}` \|.*$", text, re.MULTILINE)
        said = record[f"broken_qdiscs/{path.stem}"]
        refused = [(name, errno, last) for name, (errno, last, _) in said["programs"].items() if errno]
        for name, errno, last in refused[:1]:
            verdict = verify(load(str(path)).programs[name], linux((7, 2)))
            assert verdict.why is not None
            assert f"| `{last}` ({errno}) | {verdict.why.sentence} |" in row
        if said["register"]:
            assert f"| errno {said['register']} |" in row


def test_the_context_is_what_the_guide_says() -> None:
    kind = rfc6().prog_type("qdisc")
    fields = {field.name: (field.off, field.size, field.write) for field in kind.fields}
    assert fields == {"skb": (0, 8, False), "classid": (8, 4, True), "delay": (16, 8, True)}
    assert [field.write for field in kind.attach_fields["dequeue"]] == [True]
    assert kind.kfuncs == {"bpf_skb_acquire", "bpf_skb_kptr_get", "bpf_skb_release"}


def test_messages_of_the_verifiers_page_are_known() -> None:
    """Each message in the table of categories belongs to a property of its row, and has a sentence of its own."""
    text = (DOCS / "explanation" / "verifier.md").read_text()
    section = text[text.index("## Messages"):text.index("## What is rejected because")]
    rows = [line for line in section.splitlines() if line.startswith("|")]
    for ids, messages in (line.split(" | ")[1:] for line in rows[2:]):
        named = [PROPERTIES[id] for id in re.findall(r"#([a-z-]+)\)", ids)]
        for message in re.findall(r"`([^`]+)`", messages):
            assert any(explain(item, message) != f"{item.rule} {item.help}" for item in named), message


@pytest.mark.parametrize(("violated", "message", "part"), [
    (p.FIELD_ARGUMENT, "R1 has no valid kptr", "plain bytes"),
    (p.ARGUMENT_TYPE, "R1 is scalar expected STRUCT sk_buff or socket",
     "must point to a struct sk_buff, but is a scalar"),
    (p.ARGUMENT_TYPE, "arg#0 is scalar expected STRUCT sk_buff or socket", "must point to a struct sk_buff"),
    (p.ARGUMENT_TYPE, "R1 type=map_value_or_null expected=fp, pkt, map_value", "compare it with NULL before the call"),
    (p.PACKET_WRITE, "cannot write into packet", "but not write it"),
    (p.CALL_TARGET, "call to invalid destination", "must lead to the start of a function inside the program. Correct"),
])
def test_messages_that_every_beginner_meets_are_explained(violated: p.Property, message: str, part: str) -> None:
    assert part in explain(violated, message)


def test_the_lines_of_the_two_interfaces_are_in_the_samples() -> None:
    """Code that the page quotes from both samples is in their sources, with any white space."""
    text = (DOCS / "explanation" / "two-abis.md").read_text()
    sources = ["".join(re.sub(r"\s", "", (ROOT / "samples" / name).read_text()) for name in names) for names in (
        ("rfc/pifo.h", "rfc/pfifo.bpf.c"), ("mainline/fifo.bpf.c",))]
    for row in re.findall(r"^\| [^|]*\| (`.*;`) \| (`.*;`) \|$", text, re.MULTILINE):
        for cell, source in zip(row, sources, strict=True):
            for code in re.findall(r"[^;`]+;", cell):
                assert re.sub(r"\s", "", code).replace("...", "") in source or "..." in code
