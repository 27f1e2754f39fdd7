"""The page of what is judged and what runs is current, and says what happens."""

from __future__ import annotations

import pytest

from ebpfvm.cli.doc_functions import BEGIN, functions
from ebpfvm.cli.main import main
from ebpfvm.dialects import linux
from ebpfvm.loader.object import MapSpec, Program
from ebpfvm.verifier import verify
from tests.house.tree import ROOT


def test_the_page_is_current() -> None:
    """If this fails: replace what is below the marker with the output of `ebpfvm doc functions`."""
    text = (ROOT / "docs" / "reference" / "functions.md").read_text(encoding="utf-8")
    assert text.partition(BEGIN)[2] == functions().partition(BEGIN)[2]


def test_the_command_prints_it(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["doc", "functions"]) == 0
    assert capsys.readouterr().out == functions()


def row(name: str) -> list[str]:
    line = next(line for line in functions().splitlines() if line.startswith(f"| `{name}` |"))
    return [cell.strip() for cell in line.split("|")[2:7]]


def test_some_rows() -> None:
    assert row("hash") == row("bpf_map_lookup_elem") == row("bpf_tail_call") == ["runs"] * 5
    assert row("rbtree") == ["", "", "", "", "runs"]
    assert row("arena") == ["unsupported", "unsupported", "unsupported", "", ""]
    assert row("bpf_sys_bpf") == ["unsupported"] * 5
    assert row("bpf_obj_new") == ["runs", "", "", "", ""]
    assert row("bpf_skb_ct_lookup")[0] in ("judged", "runs")
    assert row("bpf_cpumask_create") == ["unsupported", "unsupported", "unsupported", "", ""]


def test_what_is_unsupported_is_refused_so() -> None:
    code = bytes.fromhex("18110000000000000000000000000000b7000000000000009500000000000000")
    verdict = verify(Program.from_bytes(code, "sched_cls", [MapSpec("arena", 0, 0, 1, 0x400, "pages")]), linux())
    assert not verdict.ok and verdict.message == "map type arena not supported by ebpfvm"
