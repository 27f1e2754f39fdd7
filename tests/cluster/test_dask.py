"""A sweep on a real Dask cluster: a scheduler and three worker processes of their own (`tox -e cluster`)."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from distributed import LocalCluster

from ebpfvm.cli import main

ROOT = Path(__file__).parents[2]
WORDS = [str(ROOT / "samples" / "scenarios" / "office.toml"), "--set", "duration=200ms", "--set",
         "link.rate=2mbit,10mbit", "--set", 'qdisc=["pfifo limit 20","fq_codel limit 100"]', "--repeat", "2"]


@pytest.fixture(scope="module")
def cluster() -> Iterator[LocalCluster]:
    with LocalCluster(n_workers=3, threads_per_worker=1, processes=True, dashboard_address=None,
                      host="127.0.0.1") as made:
        yield made


def contents(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_a_cluster_gives_the_same_files_as_local_processes(cluster: LocalCluster, tmp_path: Path) -> None:
    assert main.main(["sweep", *WORDS, "--out", str(tmp_path / "local")]) == 0
    assert main.main(["sweep", *WORDS, "--out", str(tmp_path / "dask"), "--scheduler", cluster.scheduler_address]) == 0
    assert contents(tmp_path / "local") == contents(tmp_path / "dask")
    assert len(contents(tmp_path / "dask")) == 8 + 3


def test_an_error_on_a_worker_is_that_of_its_point(cluster: LocalCluster, tmp_path: Path,
                                                   capsys: pytest.CaptureFixture[str]) -> None:
    words = [WORDS[0], "--set", "limits.map_memory=9,9000000", "--set", "duration=50ms"]
    assert main.main(["sweep", *words, "--out", str(tmp_path), "--scheduler", cluster.scheduler_address]) == 5
    out, err = capsys.readouterr()
    assert "error: limits.map_memory=9 duration=50ms (repeat 0): " in err
    assert "2 of 2 runs (2 now)" in out


def test_nobody_at_the_address(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main.main(["sweep", *WORDS, "--out", str(tmp_path), "--scheduler", "tcp://127.0.0.1:9"]) == 2
    assert "no Dask scheduler answers there" in capsys.readouterr().err
