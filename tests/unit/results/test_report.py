"""A report shows the numbers of its runs: as text, as a page, as an image."""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from ebpfvm.cli.main import main
from ebpfvm.errors import UsageError
from ebpfvm.results.images import write_image
from ebpfvm.results.page import plotly_script, report_page
from ebpfvm.results.plots import COLOURS, plots_of, run_names
from ebpfvm.results.reading import RecordedRun
from ebpfvm.results.summary import summary_lines, summary_rows
from ebpfvm.results.thinning import sparkline, thinned
from ebpfvm.sched.run_report import Result
from tests.unit.results.recorded import RFC, record, rows


@pytest.fixture(scope="module")
def recorded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[list[RecordedRun], list[Result]]]:
    folder = tmp_path_factory.mktemp("results")
    results = [record(folder / f"{name}.db", f"{name}.o", rate="2mbit") for name in ("pfifo", "wfq")]
    runs = [RecordedRun(folder / f"{name}.db") for name in ("pfifo", "wfq")]
    yield runs, results
    for run in runs:
        run.__exit__()


def page_data(page: str) -> dict[str, Any]:
    found = re.search(r'<script type="application/json" id="report-data">(.*?)</script>', page, re.DOTALL)
    assert found is not None
    data: dict[str, Any] = json.loads(found[1])
    return data


def test_the_page_holds_the_numbers_of_the_runs(recorded: tuple[list[RecordedRun], list[Result]]) -> None:
    runs, results = recorded
    data = page_data(report_page(runs, "script"))
    plots = {plot["id"]: plot["data"] for plot in data["plots"]}
    assert [run["fairness"] for run in data["runs"]] == [result.fairness for result in results]
    for index, (run, result) in enumerate(zip(runs, results, strict=True)):
        shares = dict(zip(plots["shares"][index]["x"], plots["shares"][index]["y"], strict=True))
        assert shares == {flow.flow.partition(" > ")[0]: flow.throughput / 1e6 for flow in result.flows}
        sent = sum(sum(line["y"]) * 0.01 * 1e6 / 8 for line in plots[f"throughput-{index + 1}"])
        assert sent == pytest.approx(result.out_bytes)
        backlog = plots["backlog"][index]
        assert max(backlog["y"]) == rows(Path(run.path), "SELECT max(most_packets) FROM backlog")[0][0]
        assert sum(line["y"][index] for line in plots["drops"]) == result.dropped
    for line in plots["delay"]:
        assert line["y"][0] == 0 and line["y"][-1] == pytest.approx(100) and line["y"] == sorted(line["y"])
        assert line["x"] == sorted(line["x"])
    assert [line["name"] for line in plots["delay"]] == [
        "pfifo.o: tcp cubic", "pfifo.o: cbr 500Kbit", "wfq.o: tcp cubic", "wfq.o: cbr 500Kbit"]


def test_lines_can_be_told_apart(recorded: tuple[list[RecordedRun], list[Result]]) -> None:
    for runs in (recorded[0], recorded[0][:1]):
        for plot in plots_of(runs):
            styles = [(line.colour, line.dash) for line in plot.lines]
            assert len(set(styles)) == len(styles), plot.id
            assert {colour for colour, _ in styles} <= set(COLOURS)


def test_the_page_needs_nothing_else(recorded: tuple[list[RecordedRun], list[Result]]) -> None:
    page = report_page(recorded[0], "script")
    assert not re.search(r"""(src|href)\s*=(?!\s*"data:)""", page)
    assert page == report_page(recorded[0], "script")
    assert page.count("<script") == page.count("</script>") == 3


def test_titles_are_escaped(tmp_path: Path) -> None:
    path = tmp_path / "run.db"
    record(path, "pfifo.o", title="</script><b>&")
    with RecordedRun(path) as run:
        page = report_page([run, run], "script")
    assert "<b>" not in page and page_data(page)["runs"][0]["title"] == "</script><b>&"
    assert "&lt;/script&gt;&lt;b&gt;&amp; (1)" in page


def test_the_summary_says_what_the_runs_say(recorded: tuple[list[RecordedRun], list[Result]]) -> None:
    runs, results = recorded
    found = {(row.run, row.traffic): row for row in summary_rows(runs)}
    for name, result in zip(run_names(runs), results, strict=True):
        row = found[name, "all"]
        assert (row.out_packets, row.fairness) == (result.out_packets, pytest.approx(result.fairness))
        assert row.throughput == result.out_bytes * 8_000_000_000 // result.duration
        assert row.lost == result.dropped / result.in_packets and row.p50 <= row.p90 <= row.p99 <= row.max
        slow = max(flow.delay["max"] for flow in result.flows)
        assert row.max < slow
    lines = summary_lines(runs)
    assert len(lines) == 1 + 6 + 4 and lines[-1].split()[0] == "wfq.o" and "█" in lines[-1]


def test_a_run_that_has_not_ended_can_be_shown(tmp_path: Path) -> None:
    """Its flows have no totals yet."""
    import sqlite3
    path = tmp_path / "run.db"
    record(path, "pfifo.o")
    with sqlite3.connect(path) as connection:
        connection.execute("UPDATE flows SET in_packets=NULL, out_packets=NULL, throughput=NULL, drops=NULL")
        connection.execute("DELETE FROM run WHERE name IN ('duration', 'qdisc', 'fairness', 'in_packets')")
    connection.close()
    with RecordedRun(path) as run:
        assert "has not ended" in summary_lines([run])[-1]
        page = report_page([run], "script")
        assert "has not ended" in page
        assert [plot["id"] for plot in page_data(page)["plots"]] == [
            "delay", "backlog", "throughput-1", "delay-over-time", "windows", "drops"]


def test_missing_extras_are_named(recorded: tuple[list[RecordedRun], list[Result]], tmp_path: Path,
                                  monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setitem(sys.modules, "plotly.offline", None)
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    with pytest.raises(UsageError, match=r"pip install 'ebpfvm\[report\]'"):
        plotly_script()
    with pytest.raises(UsageError, match=r"pip install 'ebpfvm\[plot\]'"):
        write_image(recorded[0], str(tmp_path / "x.png"))
    assert main(["report", recorded[0][0].path, "-o", str(tmp_path / "x.html")]) == 2
    assert main(["compare", "pfifo", "--flows", "cbr:rate=1mbit,packets=9", "--report", str(tmp_path / "x.html")]) == 2
    assert capsys.readouterr().err.count("pip install") == 2


def test_the_commands_work_together(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = str(tmp_path / "run.db")
    assert main(["run", str(RFC / "pfifo.o"), "--flows", "cbr:rate=2mbit,packets=50", "--results", path, "--events",
                 "--sample", "1ms", "--title", "mine", "-v"]) == 0
    assert "not fused" in capsys.readouterr().err
    assert main(["report", path]) == 0
    out = capsys.readouterr().out
    assert out.splitlines()[1].split()[0] == "mine"
    assert main(["export", path, "--csv", str(tmp_path / "t"), "--jsonl", "-", "--flent", str(tmp_path / "f.flent"),
                 "--perfetto", str(tmp_path / "p.json")]) == 0
    assert all(json.loads(line)["table"] for line in capsys.readouterr().out.splitlines())
    assert json.loads((tmp_path / "p.json").read_text())["traceEvents"]
    assert json.loads((tmp_path / "f.flent").read_text())["version"] == 4
    assert main(["export", path]) == 2
    assert main(["export", path, "--flent", str(tmp_path / "missing" / "f")]) == 2
    assert main(["report", str(tmp_path / "other.db")]) == 3
    folder = tmp_path / "runs"
    assert main(["compare", "pfifo limit 3", "fq_codel", "--flows", "cbr:rate=20mbit,packets=99", "--results",
                 str(folder)]) == 0
    assert sorted(item.name for item in folder.iterdir()) == ["1.db", "2.db"]
    assert rows(folder / "1.db", "SELECT value FROM run WHERE name = 'title'") == [("pfifo limit 3",)]


def test_a_large_run_is_thinned_without_losing_its_peaks() -> None:
    points = [(float(x), float(x % 97)) for x in range(10_000)]
    points[7777] = (7777.0, 500.0)
    found = thinned(points, 200)
    assert len(found) <= 200 and (7777.0, 500.0) in found and found == sorted(found)
    assert thinned(points[:50], 200) == points[:50]


def test_a_sparkline_fills_what_was_left_out() -> None:
    """Rows are left out while nothing changes."""
    assert sparkline([(1, 8), (2, 8), (7, 8), (8, 0)], 8, 8) == "███████▁"
    assert sparkline([], 8, 8) == "" and sparkline([(1, 0), (8, 0)], 8, 4) == "▁▁▁▁"
