"""Objects that are left at the end of a run, and packets that reset keeps, with the line that allocates them."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

import ebpfvm
from ebpfvm.cli.main import main
from ebpfvm.scenario import Scene
from ebpfvm.sched.run_report import Result
from ebpfvm.sched.simulation import BOOT_NS

SAMPLES = Path(__file__).parents[3] / "samples"
ENGINES = pytest.mark.parametrize("engine", ["interp", "translate"])
FULL = ["cbr:rate=19mbit,n=2,packets=20"]


def run(name: str, engine: str, **options: object) -> Result:
    return ebpfvm.simulate(str(SAMPLES / f"{name}.o"), flows=FULL, engine=engine, **options)


@ENGINES
def test_objects_in_a_list_are_named_with_their_line(engine: str) -> None:
    result = run("mainline/fifo", engine, duration="10ms")
    assert result.objects is not None
    (row,) = result.objects
    assert (row.struct, row.holder, row.lost, row.packets) == ("node", "map .data.A", False, row.count)
    (site,) = row.allocated
    assert (site.program, site.file) == ("fifo_enqueue", "./mainline/fifo.bpf.c")
    source = (SAMPLES / "mainline" / "fifo.bpf.c").read_text().splitlines()
    assert site.line is not None
    assert "bpf_obj_new(struct node)" in source[site.line - 1]
    assert f" {row}" in result.text()


@ENGINES
@pytest.mark.parametrize("name", ["fifo", "prio", "codel", "drr"])
def test_nothing_is_left_of_a_qdisc_that_is_empty(name: str, engine: str) -> None:
    assert run(f"mainline/{name}", engine).objects == ()


@ENGINES
def test_objects_inside_of_objects_are_reachable(engine: str) -> None:
    result = run("mainline/fq", engine, duration="10ms")
    assert result.objects is not None
    assert {(row.struct, row.lost) for row in result.objects} == {("flow", False), ("timed", False)}


@ENGINES
def test_an_object_that_owns_itself_is_lost(engine: str) -> None:
    path = Path(__file__).parent / "objects" / "owns_itself.o"
    with pytest.raises(ebpfvm.LoadError, match="struct ring could own itself"):
        ebpfvm.simulate(str(path), flows=FULL)
    result = ebpfvm.simulate(str(path), flows=FULL, engine=engine, kernel="6.18")
    assert result.objects is not None
    (row,) = result.objects
    assert (row.struct, row.count, row.lost) == ("ring", result.in_packets, True)
    text = "lost, since nothing leads to them; allocated by enqueue (./tests/unit/sched/objects/owns_itself.bpf.c:"
    assert text in str(row)


def test_json_has_the_objects_of_programs_that_allocate(capsys: pytest.CaptureFixture[str]) -> None:
    for name, found in (("mainline/fifo", True), ("rfc/pfifo", False)):
        assert main(["run", str(SAMPLES / f"{name}.o"), "--flows", FULL[0], "--duration", "10ms", "--json"]) == 0
        data = json.loads(capsys.readouterr().out)
        assert ("objects" in data) == found
    assert main(["run", str(SAMPLES / "mainline/fifo.o"), "--flows", FULL[0], "--duration", "10ms", "--json"]) == 0
    (row,) = json.loads(capsys.readouterr().out)["objects"]
    assert row["allocated"][0]["program"] == "fifo_enqueue"


def _deleted(name: str, kind: str, engine: str, folder: Path) -> Result:
    """A run in which the qdisc is deleted while packets wait."""
    script = folder / "x.tc"
    script.write_text(f"bpftool struct_ops register {SAMPLES / name}.o\ntc qdisc add dev eth0 root {kind}\n")

    def prepare(scene: Scene) -> None:
        scene.simulation.loop.at(BOOT_NS + 10_000_000, lambda _: scene.tc("tc qdisc del dev eth0 root"), None)
    return ebpfvm.simulate(tc=str(script), flows=FULL, prepare=prepare, engine=engine)


@ENGINES
def test_packets_that_reset_keeps_are_noted(engine: str, tmp_path: Path) -> None:
    result = _deleted("broken_qdiscs/reset_keeps", "bpf_broken", engine, tmp_path)
    (note,) = result.notes
    assert note.startswith("reset of qdisc bpf_broken 8001: keeps ")
    assert "objects of struct packet" in note
    assert "allocated by enqueue" in note


@ENGINES
def test_a_reset_that_empties_has_no_note(engine: str, tmp_path: Path) -> None:
    result = _deleted("mainline/fifo", "bpf_fifo", engine, tmp_path)
    assert result.notes == ()
    assert result.objects == ()
