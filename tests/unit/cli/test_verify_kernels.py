from __future__ import annotations

import json
from pathlib import Path

import pytest

from ebpfvm.cli.main import main
from ebpfvm.contract.rules import VERSION_NAMES

ROOT = Path(__file__).parents[3]
SAMPLES = ROOT / "samples"
OBJECTS = ROOT / "tests" / "unit" / "verifier" / "objects"


def test_a_row_for_each_program_and_a_column_for_each_kernel(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["verify", "--kernel", "all", str(SAMPLES / "rfc" / "pfifo.o")]) == 0
    head, *rows = capsys.readouterr().out.splitlines()
    assert head.split() == ["program", *VERSION_NAMES]
    assert [row.split() for row in rows] == [[name, *["accepted"] * len(VERSION_NAMES)]
                                             for name in ("pfifo_enqueue", "pfifo_dequeue")]


def test_the_first_difference_has_its_message_and_what_decides_it(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["verify", "--kernel", "all", f"{OBJECTS / 'map_pointers.o'}:null_register"]) == 1
    out = capsys.readouterr().out
    assert "null_register: rejected in 6.18, accepted in 7.2\n" in out
    assert "map_pointers.bpf.c:" in out and ": R0 invalid mem access 'map_value_or_null'\n" in out
    assert "    decided by null_by_register: Comparing with a register that is known to be 0 tests" in out


def test_functions_that_one_kernel_lacks_are_named(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["verify", "--kernel", "all", f"{OBJECTS / 'wq72.o'}:started"]) == 1
    out = capsys.readouterr().out
    assert "started: rejected in 6.18, accepted in 7.2\n" in out
    assert "    decided by kernel functions: Linux 6.18 has no bpf_wq_set_callback.\n" in out


def test_messages_alone_are_told_on_request(capsys: pytest.CaptureFixture[str]) -> None:
    program = f"{OBJECTS / 'sockops.o'}:returns_two"
    assert main(["verify", "--kernel", "all", program]) == 1
    assert "decided" not in capsys.readouterr().out
    main(["verify", "--kernel", "all", program, "-v"])
    out = capsys.readouterr().out
    assert "returns_two: different messages\n    6.1: " in out
    assert "decided by names_ranges: " in out


def test_json(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["verify", "--kernel", "all", str(OBJECTS / "map_pointers.o"), "--json"]) == 1
    data = json.loads(capsys.readouterr().out)
    assert (data["schema"], data["ok"], data["kernels"]) == ("ebpfvm.verify-kernels/1", False, list(VERSION_NAMES))
    rows = {row["name"]: row for row in data["programs"]}
    found = rows["null_register"]
    assert {version: item["ok"] for version, item in found["verdicts"].items()}["7.2"]
    assert found["verdicts"]["6.18"]["message"] == "R0 invalid mem access 'map_value_or_null'"
    assert found["verdicts"]["6.18"]["verdict"] == "rejected"
    assert found["difference"]["kernels"] == ["6.18", "7.2"]
    assert [item["name"] for item in found["difference"]["decided_by"]] == ["null_by_register"]
    assert rows["array_max"]["difference"] is None and rows["array_max"]["ok"]


def test_what_cannot_be_verified_is_a_row(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["verify", "--kernel", "all", "--btf", "x", str(SAMPLES / "rfc" / "pfifo.o")]) == 2
    assert "--btf describes one kernel" in capsys.readouterr().err
    assert main(["verify", "--kernel", "all", str(ROOT / "nothing.o")]) == 3
