"""Exports hold what the results file holds."""

from __future__ import annotations

import csv
import gzip
import io
import json
from itertools import pairwise
from math import fsum
from pathlib import Path

import pytest

from ebpfvm.errors import LoadError, UsageError
from ebpfvm.results.exporting import write_csv, write_jsonl
from ebpfvm.results.flent import flent_bytes, flent_data
from ebpfvm.results.perfetto import perfetto_text, trace_events
from ebpfvm.results.reading import RecordedRun, wait_percentile
from ebpfvm.results.schema import TABLES
from ebpfvm.sched.run_report import Result
from tests.unit.results.recorded import record, rows


@pytest.fixture(scope="module")
def recorded(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Result]:
    path = tmp_path_factory.mktemp("results") / "run.db"
    return path, record(path, "pfifo.o", rate="2mbit", events=True)


def test_csv_files_are_the_tables(recorded: tuple[Path, Result], tmp_path: Path) -> None:
    with RecordedRun(recorded[0]) as run:
        paths = write_csv(run, str(tmp_path / "tables"))
        for path in map(Path, paths):
            with path.open(newline="") as file:
                names, *found = csv.reader(file)
            assert names == TABLES[path.stem].names
            assert found == [["" if value is None else str(value) for value in row] for row in run.table(path.stem)]
    assert {Path(path).stem for path in paths} >= {"run", "flows", "backlog", "sojourn", "drops", "events"}


def test_json_lines_are_the_rows(recorded: tuple[Path, Result]) -> None:
    out = io.StringIO()
    with RecordedRun(recorded[0]) as run:
        write_jsonl(run, out)
        expected = [{"table": name, **dict(zip(TABLES[name].names, row, strict=True))}
                    for name in TABLES for row in run.table(name)]
    assert [json.loads(line) for line in out.getvalue().splitlines()] == expected


def test_flent_series_are_the_flows(recorded: tuple[Path, Result]) -> None:
    path, result = recorded
    with RecordedRun(path) as run:
        data = flent_data(run)
        assert json.loads(gzip.decompress(flent_bytes(run, True))) == json.loads(flent_bytes(run, False)) == data
        assert flent_bytes(run, True)[:10] == bytes.fromhex("1f8b0800000000000003")  # no time, nothing of Python's
    streams = {name: series for name, series in data["results"].items() if "::" in name}
    assert {len(series) for series in data["results"].values()} == {len(data["x_values"])}
    assert data["x_values"][:3] == [0.01, 0.02, 0.03] and data["x_values"][-1] >= result.duration / 1e9
    assert data["metadata"]["NAME"] == "tcp_nup" and data["metadata"]["TEST_PARAMETERS"] == {"upload_streams": "2"}
    for name, series in streams.items():
        flow = next(flow for flow in result.flows if flow.flow == data["metadata"]["SERIES_META"][name]["FLOW"])
        assert sum(series) * 1e6 * 0.01 / 8 == pytest.approx(flow.out_bytes)
    assert data["results"]["TCP upload sum"] == [fsum(each) for each in zip(*streams.values(), strict=True)]
    [(taken, waited)] = rows(path, "SELECT sum(taken), sum(waited) FROM rates WHERE flow IN "
                                   "(SELECT flow FROM flows WHERE traffic LIKE 'cbr%')")
    delays = [value for value in data["results"]["Ping (ms) ICMP"] if value is not None]
    assert min(delays) < waited / taken / 1e6 < max(delays)


def test_a_trace_has_each_packet_and_program_run(recorded: tuple[Path, Result]) -> None:
    path, result = recorded
    with RecordedRun(path) as run:
        data = json.loads("".join(perfetto_text(run)))
    events = data["traceEvents"]
    kinds = {kind: [event for event in events if event["ph"] == kind] for kind in "MXibeC"}
    assert len(kinds["X"]) == result.out_packets and len(kinds["b"]) == len(kinds["e"]) == result.in_packets
    assert {event["id"] for event in kinds["b"]} == {event["id"] for event in kinds["e"]}
    assert len([event for event in kinds["i"] if event["name"].startswith("drop: ")]) == result.dropped
    programs = [event for event in kinds["i"] if event["tid"] == 3]
    assert len(programs) == rows(path, "SELECT count(*) FROM events WHERE event = 'program'")[0][0]
    assert kinds["C"][-2]["args"] == {"packets": 0} and kinds["C"][-1]["args"] == {"bytes": 0}
    sent = sorted((event["ts"], event["dur"]) for event in kinds["X"])
    assert all(begin + took <= after + 0.0005 for (begin, took), (after, _) in pairwise(sent))
    assert {"packet", "flow", "bytes"} == set(kinds["X"][0]["args"])


def test_what_was_not_recorded_is_not_exported(tmp_path: Path) -> None:
    path = tmp_path / "run.db"
    record(path, "pfifo.o")
    with RecordedRun(path) as run, pytest.raises(UsageError, match="record the run with --results FILE --events"):
        next(trace_events(run))


def test_other_files_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "run.db"
    for data in (b"", b"SQLite format 3\0" + bytes(100), b"hello"):
        path.write_bytes(data)
        with pytest.raises(LoadError, match="is no results file"):
            RecordedRun(path)
    path.unlink()
    with pytest.raises(LoadError, match="No such file"):
        RecordedRun(tmp_path / "missing.db")
    record(path, "pfifo.o")
    path.write_bytes(path.read_bytes().replace(b"ebpfvm.results/1", b"ebpfvm.results/9"))
    with pytest.raises(LoadError, match=r"has the schema 'ebpfvm.results/9'"):
        RecordedRun(path)
    record(path, "pfifo.o")
    path.write_bytes(path.read_bytes()[:8192])
    with pytest.raises(LoadError, match="cannot be read"):
        list(RecordedRun(path).table("sojourn"))


def test_percentiles_of_waits_are_within_a_bucket() -> None:
    assert wait_percentile([], 50) == 0
    assert wait_percentile([(0, 10)], 99) == 0
    assert 992 <= wait_percentile([(992, 99), (4096, 1)], 99) < 1008 < 4096 <= wait_percentile(
        [(992, 98), (4096, 2)], 99)
