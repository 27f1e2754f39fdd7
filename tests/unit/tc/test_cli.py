"""`ebpfvm run --tc`: a script before the run, its show commands after it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from ebpfvm.cli.main import main

ROOT = Path(__file__).parents[3]
PFIFO = str(ROOT / "samples" / "rfc" / "pfifo.o")
FLOWS = "cbr:rate=1mbit,size=500b,packets=20"


def script(tmp_path: Path, text: str) -> str:
    path = tmp_path / "setup.tc"
    path.write_text(text)
    return str(path)


def test_a_script_sets_the_device_up_and_shows_it_after_the_run(tmp_path: Path,
                                                                capsys: pytest.CaptureFixture[str]) -> None:
    setup = script(tmp_path, "tc qdisc add dev eth0 root handle 1: prio\ntc -s qdisc show dev eth0\n")
    assert main(["run", "--tc", setup, "--flows", FLOWS]) == 0
    out = capsys.readouterr().out
    assert out.startswith("qdisc prio 1: dev eth0 root refcnt 2 bands 3")
    assert out.rstrip().splitlines()[-2].startswith(" Sent 10000 bytes 20 pkt (dropped 0,")


def test_an_object_is_the_root_qdisc_when_the_script_begins(tmp_path: Path,
                                                            capsys: pytest.CaptureFixture[str]) -> None:
    setup = script(tmp_path, "tc class add dev eth0 parent 8001: classid 8001:1 bpf\ntc class show dev eth0\n"
                             "tc qdisc show dev eth0\n")
    assert main(["run", PFIFO, "--tc", setup, "--flows", FLOWS, "--json"]) == 0
    shown = json.loads(capsys.readouterr().out)["shown"]
    assert shown[0] == "class bpf 8001:1 parent 8001: "
    assert shown[1].startswith("qdisc bpf 8001: root refcnt 2 enqueue pfifo_enqueue id ")


def test_objects_are_found_beside_the_script(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "mine.o").write_bytes(Path(PFIFO).read_bytes())
    setup = script(tmp_path, "tc qdisc add dev eth0 root handle 1: bpf obj mine.o enqueue sch_bpf/enqueue")
    assert main(["run", "--tc", setup, "--flows", FLOWS]) == 0
    assert "bpf 1: dev eth0" in capsys.readouterr().out


@pytest.mark.parametrize(("text", "status", "message"), [
    ("tc qdisc add dev eth0 root pfiffo", 2, ":1:28: unknown word 'pfiffo'"),
    ("\ntc qdisc add dev eth0 root bpf obj none.o", 3, ":2:1: "),
    (f"tc qdisc add dev eth0 root bpf obj {ROOT}/samples/broken/leak.o", 1, "reference leak"),
    (f"tc qdisc add dev eth0 root bpf obj {ROOT}/samples/tc/dscp.o", 2, "no program in a section"),
    (f"tc qdisc add dev eth0 clsact\ntc filter add dev eth0 egress bpf obj {ROOT}/samples/tc/dscp.o section x", 2,
     "no section 'x'"),
])
def test_what_is_wrong_with_a_script(tmp_path: Path, capsys: pytest.CaptureFixture[str], text: str, status: int,
                                     message: str) -> None:
    assert main(["run", "--tc", script(tmp_path, text), "--flows", FLOWS]) == status
    error = capsys.readouterr().err
    assert message in error and "setup.tc" in error


def test_neither_object_nor_script(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["run", "--flows", FLOWS]) == 2
    assert "OBJECT" in capsys.readouterr().err
    assert main(["run", "--flows", FLOWS, "--tc", "/nonexistent.tc"]) == 2
