"""`ebpfvm sweep`, as it is used: in processes that may be killed at any moment."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from ebpfvm.cli import main

ROOT = Path(__file__).parents[3]
KILLS = int(os.environ.get("EBPFVM_SWEEP_KILLS", "1"))
SCENARIO = """duration = "20ms"
[qdisc]
tc = "pfifo limit 10"
[[traffic]]
kind = "poisson"
rate = "9mbit"
size = "200b"
"""
VALUES = ("--set", "link.rate=4mbit,8mbit", "--repeat", "2")


@pytest.fixture
def scenario(tmp_path: Path) -> Path:
    path = tmp_path / "small.toml"
    path.write_text(SCENARIO, encoding="utf-8")
    return path


def start(scenario: Path, out: Path, *words: str) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "ebpfvm", "sweep", str(scenario), "--out", str(out), *(words or VALUES)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
                            env={**os.environ, "PYTHONPATH": str(ROOT)}, start_new_session=True)


def contents(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in sorted(folder.rglob("*"))
            if path.is_file() and path.suffix != ".part"}


def finished(out: Path) -> dict[str, bytes]:
    return {name: data for name, data in contents(out).items() if name.startswith("points/")} if out.exists() else {}


def test_a_sweep_killed_at_random_moments_loses_nothing_and_ends_with_the_same_files(scenario: Path,
                                                                                     tmp_path: Path) -> None:
    began = time.monotonic()
    whole = start(scenario, tmp_path / "whole", *VALUES, "--jobs", "1")
    out, err = whole.communicate(timeout=120)
    took = time.monotonic() - began
    assert (whole.returncode, err) == (0, "")
    assert "link.rate" in out and "±" in out and "4 of 4 runs (4 now)" in out
    rng = random.Random(20261127)
    kept: dict[str, bytes] = {}
    for _ in range(KILLS):
        run = start(scenario, tmp_path / "killed", *VALUES, "--jobs", "2")
        try:
            run.communicate(timeout=rng.uniform(0.3, 1.1) * took)
        except subprocess.TimeoutExpired:
            run.kill()
            run.communicate()
        assert kept.items() <= finished(tmp_path / "killed").items()
        kept = finished(tmp_path / "killed")
        for data in kept.values():
            json.loads(data)
    last = start(scenario, tmp_path / "killed", *VALUES, "--jobs", "1")
    assert last.communicate(timeout=120)[1] == "" and last.returncode == 0
    assert contents(tmp_path / "killed") == contents(tmp_path / "whole")


def test_workers_end_with_a_sweep_that_is_killed(scenario: Path, tmp_path: Path) -> None:
    run = start(scenario, tmp_path / "out", "--set", "duration=60s,61s,62s", "--jobs", "2")
    workers: list[str] = []
    for _ in range(600):
        workers = Path(f"/proc/{run.pid}/task/{run.pid}/children").read_text().split()
        if len(workers) >= 3:  # two, and multiprocessing's resource tracker
            break
        time.sleep(0.05)
    time.sleep(1)
    run.kill()
    run.communicate()
    for _ in range(200):
        left = [pid for pid in workers if Path(f"/proc/{pid}").exists()]
        if not left:
            break
        time.sleep(0.05)
    assert left == []


def test_ctrl_c_keeps_what_is_finished_and_leaves_no_traceback(scenario: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    run = start(scenario, out, "--set", "duration=20ms", "--repeat", "500", "--jobs", "2")
    for _ in range(1200):
        if finished(out):
            break
        time.sleep(0.05)
    os.killpg(run.pid, signal.SIGINT)
    text, err = run.communicate(timeout=60)
    assert run.returncode == 130
    assert "interrupted: waiting for the runs that have begun" in err and "the same command continues" in err
    assert "Traceback" not in err + text
    count = len(finished(out))
    assert 0 < count < 500 and f"{count} of 500 runs" in text
    assert len((out / "points.jsonl").read_text().splitlines()) == count


def test_a_second_ctrl_c_gives_up_the_runs(scenario: Path, tmp_path: Path) -> None:
    run = start(scenario, tmp_path / "out", "--set", "duration=600s,601s,602s", "--jobs", "2")
    time.sleep(2)
    os.killpg(run.pid, signal.SIGINT)
    time.sleep(0.5)
    os.killpg(run.pid, signal.SIGINT)
    text, err = run.communicate(timeout=60)
    assert run.returncode == 130, err
    assert "Traceback" not in err + text


def test_an_error_in_one_point_names_it_and_the_others_finish(scenario: Path, tmp_path: Path,
                                                              capsys: pytest.CaptureFixture[str]) -> None:
    objects = [str(ROOT / "samples" / name) for name in ("broken/leak.o", "rfc/pfifo.o")]
    words = ["sweep", str(scenario), "--out", str(tmp_path / "out"), "--jobs", "1", "--set",
             f"qdisc={','.join(objects)}"]
    assert main.main(words) == 2
    out, err = capsys.readouterr()
    assert f"error: qdisc={objects[0]} (repeat 0): " in err and "no program in a section sch_bpf/dequeue" in err
    assert "2 of 2 runs (2 now)" in out
    rows = [json.loads(line) for line in (tmp_path / "out" / "points.jsonl").read_text().splitlines()]
    assert [("error" in row, row["settings"]["qdisc"]) for row in rows] == [(True, objects[0]), (False, objects[1])]
    assert main.main([*words, "--json"]) == 2
    out, _ = capsys.readouterr()
    found = json.loads(out)
    assert (found["schema"], found["ok"], len(found["summary"])) == ("ebpfvm.sweep/1", False, 1)
    assert (found["failed"][0]["settings"], found["failed"][0]["kind"]) == ({"qdisc": objects[0]}, "usage")


def test_csv_is_the_summary(scenario: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "out"
    assert main.main(["sweep", str(scenario), "--out", str(out), "--jobs", "1", "--csv"]) == 0
    assert capsys.readouterr().out == (out / "summary.csv").read_text()
    names = (out / "points.csv").read_text().splitlines()[0].split(",")
    assert names[:5] == ["repeat", "seed", "traffic", "flows", "in_packets"]


@pytest.mark.parametrize("words", [["--repeat", "0"], ["--jobs", "0"], ["--set", "link.rate=none"]])
def test_a_wrong_command_line_runs_nothing(words: list[str], scenario: Path, tmp_path: Path) -> None:
    assert main.main(["sweep", str(scenario), "--out", str(tmp_path / "out"), *words]) == 2
    assert not (tmp_path / "out").exists()


def test_the_time_that_is_left(monkeypatch: pytest.MonkeyPatch) -> None:
    from ebpfvm.cli.sweep import _time_left
    now = [0.0]
    monkeypatch.setattr("time.monotonic", lambda: now[0])
    words = _time_left(10)
    assert words(0, 0) == "0 of 10 runs"
    now[0] = 40
    assert [words(done, 0) for done in (1, 4, 10)] == ["1 of 10 runs, 6m 0s left", "4 of 10 runs, 1m 0s left",
                                                       "10 of 10 runs, 0s left"]
    now[0] = 4000
    assert words(1, 0) == "1 of 10 runs, 10h 0m left"
