"""Verdicts for other programs: SARIF, annotations, states, and graphs."""

from __future__ import annotations

import json
import os
import stat
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest

from ebpfvm.cli.graph_texts import Arrow, Box, Drawing, dot_text
from ebpfvm.cli.main import main
from ebpfvm.cli.svg_layout import in_rows
from ebpfvm.cli.verify_forms import file_of
from ebpfvm.lazy_dataclasses import replace
from ebpfvm.loader.object import LineInfo
from ebpfvm.testing import campaign
from ebpfvm.verifier import verify
from ebpfvm.verifier.check import walk_tree
from tests.house.tree import ROOT

BROKEN = "samples/broken/leak.o"
HEADER = "samples/expect/checks.o:header"


@pytest.fixture(autouse=True)
def _at_the_root(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)


def said(capsys: pytest.CaptureFixture[str], *words: str, status: int = 0) -> str:
    assert main(["verify", *words]) == status
    return capsys.readouterr().out


def test_sarif_has_rule_place_and_path_of_each_rejection(capsys: pytest.CaptureFixture[str]) -> None:
    log = json.loads(said(capsys, BROKEN, "--sarif", status=1))
    assert log["version"] == "2.1.0"
    (run,) = log["runs"]
    assert [rule["id"] for rule in run["tool"]["driver"]["rules"]] == ["reference-leak"]
    assert run["tool"]["driver"]["rules"][0]["help"]["text"].endswith("ebpfvm explain reference-leak")
    (result,) = run["results"]
    assert (result["ruleId"], result["level"]) == ("reference-leak", "error")
    assert "Unreleased reference" in result["message"]["text"]
    place = result["locations"][0]["physicalLocation"]
    assert place["artifactLocation"]["uri"] == "samples/broken/leak.bpf.c"
    assert "refused here" in (ROOT / "samples/broken/leak.bpf.c").read_text().splitlines()[
        place["region"]["startLine"] - 1]
    steps = result["codeFlows"][0]["threadFlows"][0]["locations"]
    assert "acquires" in steps[0]["location"]["message"]["text"]


def test_sarif_of_good_programs_is_empty_and_lints_are_warnings(capsys: pytest.CaptureFixture[str]) -> None:
    assert json.loads(said(capsys, "samples/rfc/pfifo.o", "--sarif"))["runs"][0]["results"] == []
    log = json.loads(said(capsys, "samples/broken_qdiscs/no_bstats.o", "--sarif"))
    assert {result["level"] for result in log["runs"][0]["results"]} == {"warning"}


def test_files_below_the_current_folder_are_named_from_there() -> None:
    line = LineInfo(0, str(ROOT / "samples/broken/leak.bpf.c"), "}", 24, 1)
    assert file_of("/elsewhere/leak.o", line) == "samples/broken/leak.bpf.c"
    assert file_of("x.o", replace(line, file="/none/at/all.c")) == "/none/at/all.c"
    assert file_of("x.o", None) == "x.o"


def test_annotations_are_one_escaped_line_each(capsys: pytest.CaptureFixture[str]) -> None:
    (line,) = said(capsys, BROKEN, "--github", status=1).splitlines()
    assert line.startswith("::error file=samples/broken/leak.bpf.c,line=")
    assert ",title=leak%3A reference-leak::Unreleased reference" in line
    assert "%0A" in line
    assert said(capsys, "samples/rfc/pfifo.o", "--github") == ""
    assert said(capsys, "samples/broken_qdiscs/no_bstats.o", "--github").startswith("::warning file=")


def walk_of(capsys: pytest.CaptureFixture[str], *words: str) -> dict[str, Any]:
    walk: dict[str, Any] = json.loads(said(capsys, *words, "--json", "--states"))["programs"][0]["walk"]
    return walk


def test_states_of_every_instruction_are_given_on_request(capsys: pytest.CaptureFixture[str]) -> None:
    walk = walk_of(capsys, HEADER)
    assert walk["complete"]
    first = walk["instructions"][0]
    assert (first["pc"], first["states"]) == (0, [{"path": 0, "step": 0, "state": "R1=ctx() R10=fp0"}])
    source = (ROOT / "samples/expect/checks.bpf.c").read_text().splitlines()
    assert "int header(" in source[first["line"] - 1]
    assert [(path["parent"], path["end"], path["stop"]) for path in walk["paths"]] == [
        (None, "exit", None), (0, "pruned", 10), (0, "pruned", 10)]
    assert "walk" not in json.loads(said(capsys, HEADER, "--json"))["programs"][0]


def test_the_tree_has_every_step_of_the_walk() -> None:
    for number in range(40):
        case = campaign.case(number) if number % 4 else campaign.ops_case(number)
        tree, verdict = walk_tree(case.program, case.dialect), verify(case.program, case.dialect, log_level=0)
        if verdict.ok:
            steps = sum(len(path.slots) + (path.end == "pruned") for path in tree.paths)
            assert steps == verdict.processed
            assert {path.end for path in tree.paths} <= {"exit", "pruned"}
        elif tree.paths:
            assert tree.paths[-1].end in ("rejected", "exit", "pruned")


def test_a_rejected_path_says_where(capsys: pytest.CaptureFixture[str]) -> None:
    text = said(capsys, "samples/broken/null_check.o", "--dot", "paths", status=1)
    assert "rejected at " in text
    assert 'fillcolor="#f9dede"' in text


def test_a_walk_that_is_too_long_is_cut() -> None:
    case = campaign.case(1)
    tree = walk_tree(case.program, case.dialect, states=True, most=3)
    assert not tree.whole
    assert sum(len(path.slots) for path in tree.paths) == 3


def test_a_flow_graph_has_blocks_and_their_order(capsys: pytest.CaptureFixture[str]) -> None:
    text = said(capsys, HEADER, "--dot", "flow")
    assert text.startswith("digraph program {\n")
    assert text.rstrip().endswith("}")
    assert 'b0 -> b10 [label="yes"];' in text
    assert "b9 -> b10;" in text


@pytest.mark.parametrize("words", [("--dot", "flow"), ("--json", "--states")])
def test_helpers_and_kernel_functions_have_their_names(words: tuple[str, ...],
                                                       capsys: pytest.CaptureFixture[str]) -> None:
    assert "call bpf_skb_load_bytes#26" in said(capsys, "samples/tc/dscp.o", *words)
    assert "call unknown" not in said(capsys, "samples/mainline/fifo.o:fifo_enqueue", *words)


def test_calls_are_dashed(capsys: pytest.CaptureFixture[str]) -> None:
    text = said(capsys, "samples/rfc/wfq.o:wfq_enqueue", "--dot", "flow")
    assert text.count("style=dashed") == text.count('label="call"')


@pytest.mark.parametrize("graph", ["flow", "paths"])
def test_svg_needs_nothing(graph: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/nowhere")
    root = ElementTree.fromstring(said(capsys, HEADER, "--svg", graph))
    assert root.tag == "{http://www.w3.org/2000/svg}svg"
    assert len(root.findall("{http://www.w3.org/2000/svg}rect")) == {"flow": 4, "paths": 3}[graph]


def test_svg_is_made_by_graphviz_if_it_is_there(tmp_path: Path, capsys: pytest.CaptureFixture[str],
                                                monkeypatch: pytest.MonkeyPatch) -> None:
    dot = tmp_path / "dot"
    dot.write_text("#!/bin/sh\necho \"<svg>$1 $(head -c 7)</svg>\"\n")
    dot.chmod(dot.stat().st_mode | stat.S_IXUSR)
    monkeypatch.setenv("PATH", f"{tmp_path}{os.pathsep}{os.environ['PATH']}")
    assert said(capsys, HEADER, "--svg", "flow") == "<svg>-Tsvg digraph</svg>\n"
    dot.write_text("#!/bin/sh\nexit 1\n")
    assert "<rect" in said(capsys, HEADER, "--svg", "flow")


def test_texts_are_escaped_and_loops_are_drawn() -> None:
    graph = Drawing('a "title"', [Box("a", ('x < "y" \\',)), Box("b", ("z",))],
                  [Arrow("a", "b"), Arrow("b", "a", "back"), Arrow("b", "b")])
    assert 'label="x < \\"y\\" \\\\\\l"' in dot_text(graph)
    root = ElementTree.fromstring(in_rows(graph))
    assert len(root.findall("{http://www.w3.org/2000/svg}path")) == 3


@pytest.mark.parametrize(("words", "text"), [
    (["samples/rfc/pfifo.o", "--dot", "flow"], "a graph shows one"), ([BROKEN, "--states"], "adds to --json"),
    ([BROKEN, "--kernel", "all", "--sarif"], "prints a table"),
    ([BROKEN, "--json", "--github"], "not allowed with")])
def test_forms_that_do_not_go_together_are_named(words: list[str], text: str,
                                                 capsys: pytest.CaptureFixture[str]) -> None:
    try:
        assert main(["verify", *words]) == 2
    except SystemExit as error:
        assert error.code == 2
    assert text in capsys.readouterr().err


def test_arrows_lie_behind_boxes_and_labels_before_them() -> None:
    graph = Drawing("g", [Box("a", ("x" * 30,)), Box("b", ("z",))], [Arrow("a", "b", "yes"), Arrow("b", "a", "back")])
    drawn = [item.tag.rpartition("}")[2] for item in ElementTree.fromstring(in_rows(graph))]
    assert drawn[3:] == ["path", "path", "rect", "text", "rect", "text", "text", "text"]
    (box, *_), (*_, label) = (ElementTree.fromstring(in_rows(graph)).findall(f"{{http://www.w3.org/2000/svg}}{name}")
                              for name in ("rect", "text"))
    assert label.text == "back" and "stroke:white" in label.attrib["style"]
    assert int(label.attrib["y"]) > int(box.attrib["y"]) + int(box.attrib["height"])
