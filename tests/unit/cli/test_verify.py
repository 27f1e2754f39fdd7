from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from ebpfvm.cli.main import main

ROOT = Path(__file__).parents[3]
RFC = ROOT / "samples" / "rfc"
BROKEN = ROOT / "samples" / "broken"


@pytest.mark.parametrize("name", ["pfifo", "pifo_prio", "shaper"])
def test_good_samples_are_accepted(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["verify", str(RFC / f"{name}.o")]) == 0
    out = capsys.readouterr().out
    assert re.search(rf"{name}_enqueue: accepted, \d+ instructions processed", out)
    assert f"{name}_dequeue: accepted" in out


def test_one_program_can_be_named(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["verify", f"{RFC / 'pfifo.o'}:pfifo_dequeue"]) == 0
    assert "enqueue" not in capsys.readouterr().out
    assert main(["verify", f"{RFC / 'pfifo.o'}:other"]) == 2
    assert "it has: pfifo_enqueue, pfifo_dequeue" in capsys.readouterr().err


@pytest.mark.parametrize("path", sorted(BROKEN.glob("*.o")), ids=lambda path: path.stem)
def test_broken_samples_are_rejected_at_their_line(path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    source = path.with_suffix(".bpf.c").read_text().splitlines()
    line = next(number for number, text in enumerate(source, 1) if "<-- refused here" in text)
    assert main(["verify", str(path)]) == 1
    out = capsys.readouterr().out
    assert re.search(rf"{path.stem}\.bpf\.c:{line}: ", out)
    assert "rejected (errno" in out


def test_verbose_shows_the_log(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["verify", str(BROKEN / "null_check.o"), "-v"]) == 1
    out = capsys.readouterr().out
    assert "R0 invalid mem access 'map_value_or_null'" in out
    assert "processed" in out


def test_json_has_every_verdict(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["verify", str(BROKEN / "null_check.o"), "--json"]) == 1
    data = json.loads(capsys.readouterr().out)
    assert (data["schema"], data["ok"]) == ("ebpfvm.verify/1", False)
    program = data["programs"][0]
    assert program["errno"] == 13
    assert program["file"].endswith("null_check.bpf.c")
    assert main(["verify", str(RFC / "pfifo.o"), "--json", "--kernel", "6.18"]) == 0
    assert json.loads(capsys.readouterr().out)["ok"]


def test_what_cannot_be_read_is_status_3(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["verify", str(tmp_path / "none.o")]) == 3
    assert "none.o: " in capsys.readouterr().err


@pytest.mark.parametrize(("name", "ok", "errno", "message"), [
    ("mainline/fifo.o", True, 0, ""),
    ("broken_qdiscs/missing_op.o", False, 22, "broken: the member reset is missing"),
    ("broken_qdiscs/leak.o", None, None, "not tried, because enqueue cannot be loaded")])
def test_json_keeps_registration_apart_from_verdicts(
        name: str, ok: bool | None, errno: int | None, message: str, capsys: pytest.CaptureFixture[str]) -> None:
    main(["verify", str(RFC.parent / name), "--json"])
    data = json.loads(capsys.readouterr().out)
    row = data["struct_ops"][0]
    assert (row["ok"], row["errno"], row["message"]) == (ok, errno, message)
    assert row["struct"] == "Qdisc_ops"
    assert row["members"]["enqueue"] in {program["name"] for program in data["programs"]}
    assert data["ok"] == all(program["ok"] for program in data["programs"])


def test_json_has_no_registration_without_a_struct_or_of_one_program(capsys: pytest.CaptureFixture[str]) -> None:
    for name in ("rfc/pfifo.o", "mainline/fifo.o:fifo_init"):
        assert main(["verify", str(RFC.parent / name), "--json"]) == 0
        assert json.loads(capsys.readouterr().out)["struct_ops"] == []


def test_a_colon_in_a_file_name_names_no_program(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "a:b.o"
    path.write_bytes((RFC.parent / "mainline" / "fifo.o").read_bytes())
    assert main(["verify", str(path), "--json"]) == 0
    assert [row["id"] for row in json.loads(capsys.readouterr().out)["struct_ops"]] == ["bpf_fifo"]
