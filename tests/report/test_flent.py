"""Flent's own code reads what `ebpfvm export --flent` writes: its formatters print the numbers of the run."""

from __future__ import annotations

import csv
import io
import subprocess
import sys
from pathlib import Path

import pytest

from ebpfvm.cli.main import main
from ebpfvm.results.flent import flent_data
from ebpfvm.results.reading import RecordedRun
from tests.unit.results.recorded import record


@pytest.fixture
def exported(tmp_path: Path) -> Path:
    path = tmp_path / "run.db"
    record(path, "pfifo.o", rate="2mbit", title="small queue")
    assert main(["export", str(path), "--flent", str(tmp_path / "run.flent.gz")]) == 0
    return path


def flent(exported: Path, *words: str) -> str:
    """What Flent prints of the exported file."""
    code = "import sys; from flent import run_flent; sys.exit(run_flent())"
    ran = subprocess.run([sys.executable, "-W", "ignore", "-c", code, "-i", str(exported.with_name("run.flent.gz")),
                          *words], capture_output=True, text=True, check=False, cwd=exported.parent,
                         env={"HOME": str(exported.parent), "PATH": "/usr/bin:/bin", "MPLBACKEND": "agg"})
    assert ran.returncode == 0, ran.stderr
    return ran.stdout


def test_the_csv_formatter_prints_the_series(exported: Path) -> None:
    text = "\n".join(line for line in flent(exported, "-f", "csv").splitlines() if not line.startswith("Starting"))
    lines = sorted(csv.DictReader(io.StringIO(text)), key=lambda line: float(line["tcp_nup"]))
    with RecordedRun(exported) as run:
        data = flent_data(run)
    assert [float(line["tcp_nup"]) for line in lines] == data["x_values"]
    for name, values in data["results"].items():
        assert [float(line[name]) if line[name] else None for line in lines] == [
            None if value is None else pytest.approx(value) for value in values]


def test_the_summary_and_the_statistics_have_every_series(exported: Path) -> None:
    summary = flent(exported, "-f", "summary")
    assert "tcp_nup" in summary and "small queue" in summary
    for name in ("Ping (ms) ICMP", "TCP upload avg", "TCP upload sum", "TCP upload::1", "TCP upload::2"):
        assert name in summary
    assert "Warnings" not in summary
    statistics = flent(exported, "-f", "stats")
    assert "TCP upload sum" in statistics


@pytest.mark.parametrize("plot", ["totals", "upload", "ping_cdf", "upload_box"])
def test_its_plots_can_be_drawn(exported: Path, plot: str) -> None:
    flent(exported, "-p", plot, "-o", "plot.png")
    assert exported.with_name("plot.png").stat().st_size > 10_000
