"""A results file holds what the run's own report says, is the same with every engine, and survives kill -9."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from ebpfvm import UsageError, simulate
from ebpfvm.results.reading import FlowRow, RateCounts
from ebpfvm.results.results_file import write_results
from ebpfvm.results.schema import SCHEMA, TABLES
from ebpfvm.sched.flows import percentile
from ebpfvm.sched.recorded_counts import bucket_end, bucket_of
from ebpfvm.sched.run_recorder import AT_DEQUEUE, PUSHED_OUT, REASONS, REFUSED, TOO_BIG
from tests.unit.results.recorded import FLOWS, RFC, ROOT, record, rows, run_facts, tc


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "run.db"


def test_the_file_holds_what_the_report_says(path: Path) -> None:
    result = record(path, "pfifo.o", title="small", seed=3)
    facts = run_facts(path)
    assert facts["schema"] == SCHEMA and facts["state"] == "ended" and facts["title"] == "small"
    assert (facts["seed"], facts["rate"], facts["duration"]) == (3, 5_000_000, result.duration)
    assert facts["in_packets"] == result.in_packets and facts["fairness"] == result.fairness
    columns = "name, in_packets, in_bytes, out_packets, out_bytes, drops, throughput, p50, max"
    assert rows(path, f"SELECT {columns} FROM flows") == [
        (*flow[:7], flow.delay["p50"], flow.delay["max"]) for flow in result.flows]
    assert rows(path, "SELECT DISTINCT traffic FROM flows ORDER BY 1") == [("cbr 500Kbit",), ("tcp cubic",)]
    assert rows(path, "SELECT law, goodput, segments, cwnd FROM connections ORDER BY flow") == [
        (each.law, each.goodput, each.segments, each.cwnd) for each in result.senders]
    assert dict(rows(path, "SELECT * FROM holders")) == result.holders
    assert dict(rows(path, "SELECT * FROM variables")) == result.variables


def test_what_is_recorded_over_time_adds_up_to_the_report(path: Path) -> None:
    result = record(path, "pfifo.o", rate="1mbit")
    assert result.dropped > 0
    sums = rows(path, "SELECT flow, sum(in_packets), sum(in_bytes), sum(out_packets), sum(out_bytes), sum(drops) "
                      "FROM rates GROUP BY flow")
    assert sums == [(index, *flow[1:6]) for index, flow in enumerate(result.flows, 1)]
    assert rows(path, "SELECT sum(packets) FROM sojourn") == [(result.out_packets,)]
    assert rows(path, "SELECT sum(taken) FROM rates") == [(result.out_packets,)]
    [(longest, low)] = rows(path, "SELECT (SELECT max(longest) FROM rates), (SELECT max(low) FROM sojourn)")
    assert low <= longest < bucket_end(low)
    assert rows(path, "SELECT reason, sum(packets) FROM drops") == [(REFUSED, result.dropped)]
    times = [time for time, in rows(path, "SELECT time FROM backlog ORDER BY rowid")]
    assert times == sorted(times) and all(time % 10_000_000 == 0 for time in times)
    assert rows(path, "SELECT packets, bytes FROM backlog ORDER BY time DESC LIMIT 1") == [(0, 0)]
    assert rows(path, "SELECT max(most_packets) FROM backlog")[0][0] == 101  # the limit, and the one being refused
    assert rows(path, "SELECT count(*) FROM backlog WHERE most_packets < packets OR most_bytes < bytes") == [(0,)]


def test_packets_that_a_run_leaves_in_its_queue_are_in_the_last_sample(path: Path) -> None:
    result = record(path, "pfifo.o", rate="1mbit", duration="200ms")
    held = sum(count for holder, count in result.holders.items() if not holder.startswith("link"))
    assert held > 0
    assert rows(path, "SELECT packets FROM backlog ORDER BY time DESC, rowid DESC LIMIT 1") == [(held,)]


def test_sojourn_times_are_those_of_the_packets(path: Path) -> None:
    """With no propagation delay, a delay is the time in the queue and on the wire."""
    result = record(path, "pfifo.o", flows=["cbr:rate=2mbit,size=1000b,stop=200ms"], rate="1mbit")
    wire = 1000 * 8 * 1_000_000_000 // 1_000_000
    low = [low for low, count in rows(path, "SELECT low, packets FROM sojourn ORDER BY low") for _ in range(count)]
    for name, percent in (("p50", 50), ("p90", 90), ("max", 100)):
        found = percentile(low, percent)
        assert found <= result.flows[0].delay[name] - wire < bucket_end(found)


@pytest.mark.parametrize("source", ["pfifo.o", "wfq.o", "pie.o"])
def test_the_file_is_the_same_on_all_engines_and_each_time(source: str, tmp_path: Path) -> None:
    contents = []
    for index, engine in enumerate(("interp", "translate", "fused", None, None)):
        path = tmp_path / f"{index}.db"
        record(path, source, engine=engine, events=True, flows=[*FLOWS, "cbr:rate=8mbit,n=4,stop=300ms"])
        contents.append(path.read_bytes())
    assert len(set(contents)) == 1
    assert sorted(item.name for item in tmp_path.iterdir()) == [f"{index}.db" for index in range(5)]


def test_a_recorded_run_is_the_same_run(path: Path) -> None:
    flows = [*FLOWS, "poisson:rate=9mbit,n=3,stop=300ms"]
    assert record(path, "wfq.o", flows=flows, events=True) == simulate(
        str(RFC / "wfq.o"), flows=flows, rate="5mbit")


def test_reasons_tell_who_dropped_a_packet_and_when(path: Path, tmp_path: Path) -> None:
    flows = ["tcp:n=4,rtt=10ms,stop=400ms", "cbr:rate=9mbit,stop=400ms"]
    found = {}
    for qdisc in ("codel limit 50", "fq_codel limit 60", "pfifo_head_drop limit 10"):
        result = record(path, tc=tc(tmp_path, f"qdisc add dev eth0 root {qdisc}"), flows=flows)
        found[qdisc] = dict(rows(path, "SELECT reason, sum(packets) FROM drops GROUP BY reason"))
        assert sum(found[qdisc].values()) == result.dropped > 0
        assert set(found[qdisc]) <= set(REASONS)
    assert AT_DEQUEUE in found["codel limit 50"] and PUSHED_OUT in found["fq_codel limit 60"]
    assert list(found["pfifo_head_drop limit 10"]) == [PUSHED_OUT]
    record(path, "pfifo.o", mtu=600, flows=["cbr:rate=1mbit,size=1000b,packets=7"])
    assert rows(path, "SELECT reason, packets FROM drops") == [(TOO_BIG, 7)]


def test_copies_that_netem_makes_wait_too(path: Path, tmp_path: Path) -> None:
    result = record(path, tc=tc(tmp_path, "qdisc add dev eth0 root netem duplicate 50% delay 5ms limit 20"))
    assert result.in_packets > sum(flow.out_packets for flow in result.flows) > 0
    assert rows(path, "SELECT sum(packets) FROM sojourn") == [(result.out_packets,)]
    assert rows(path, "SELECT packets, bytes FROM backlog ORDER BY time DESC, rowid DESC LIMIT 1") == [(0, 0)]


def test_marks_of_the_queue_are_counted(path: Path, tmp_path: Path) -> None:
    result = record(path, tc=tc(tmp_path, "qdisc add dev eth0 root codel ecn"), flows=["tcp:ecn=on,n=2,stop=2s"])
    assert rows(path, "SELECT sum(marks) FROM rates") == [(sum(each.marks for each in result.senders),)]
    assert sum(each.marks for each in result.senders) > 0
    record(path, "pfifo.o", flows=["cbr:rate=1mbit,ecn=3,packets=9"])  # marked before
    assert rows(path, "SELECT sum(marks) FROM rates") == [(0,)]


def test_events_tell_the_way_of_each_packet(path: Path) -> None:
    result = record(path, "pfifo.o", events=True, record=True, rate="1mbit")
    sent = rows(path, "SELECT packet, time FROM events WHERE event = 'sent' ORDER BY packet")
    assert sent == [(item.number, item.departure) for item in result.packets or () if item.fate == "sent"]
    entered = rows(path, "SELECT packet, time FROM events WHERE event = 'enqueue' ORDER BY packet")
    assert entered == [(item.number, item.arrival) for item in result.packets or ()]
    dropped = rows(path, "SELECT packet FROM events WHERE event = 'drop' ORDER BY packet")
    assert dropped == [(item.number,) for item in result.packets or () if item.fate == "dropped"]
    runs = dict(rows(path, "SELECT note, count(*) FROM events WHERE event = 'program' GROUP BY note"))
    assert runs["enqueue DROP"] == len(dropped) and runs["enqueue QUEUED"] == result.out_packets
    assert runs["dequeue DEQUEUED"] == result.out_packets
    times = [time for time, in rows(path, "SELECT time FROM events ORDER BY rowid")]
    assert times == sorted(times)


def test_runs_of_filters_are_recorded_too(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)
    result = simulate(tc="samples/tc/classes.tc", pcap="samples/captures/mixed.pcap", rate="4mbit", results=path,
                      events=True)
    runs = rows(path, "SELECT note, count(*), count(DISTINCT packet) FROM events WHERE event = 'program' "
                      "AND note LIKE 'cls %' GROUP BY substr(note, 1, 8)")
    assert runs and all(packets <= times for _, times, packets in runs)
    assert 1000 < sum(packets for _, _, packets in runs) <= result.in_packets  # the script asks for IPv4 only


def test_a_finished_run_can_be_written_afterwards(path: Path) -> None:
    result = simulate(str(RFC / "pfifo.o"), flows=FLOWS, rate="1mbit", record=True)
    write_results(path, result, {"title": "later"})
    assert run_facts(path)["title"] == "later" and run_facts(path)["state"] == "ended"
    assert rows(path, "SELECT count(*) FROM events WHERE event = 'sent'") == [(result.out_packets,)]
    assert rows(path, "SELECT sum(drops) FROM flows") == [(result.dropped,)]


def test_a_file_that_holds_no_results_is_not_replaced(path: Path) -> None:
    path.write_text("my thesis")
    with pytest.raises(UsageError, match="holds no results; choose another name"):
        record(path, "pfifo.o")
    assert path.read_text() == "my thesis"
    with pytest.raises(UsageError, match="cannot be written"):
        record(path.parent / "missing" / "run.db", "pfifo.o")


def test_results_of_an_earlier_run_are_replaced(path: Path) -> None:
    record(path, "pfifo.o", seed=1)
    first = path.read_bytes()
    record(path, "wfq.o", seed=2)
    record(path, "pfifo.o", seed=1)
    assert path.read_bytes() == first


def test_buckets_are_narrow_and_leave_no_gap() -> None:
    low = 0
    while low < 1 << 40:
        assert bucket_of(low) == low == bucket_of(bucket_end(low) - 1)
        assert bucket_end(low) - low <= max(1, low // 32)
        low = bucket_end(low)


KILLS = int(os.environ.get("EBPFVM_KILLS", "1"))


@pytest.mark.parametrize("seed", range(KILLS))
def test_a_killed_run_leaves_what_was_recorded(seed: int, path: Path) -> None:
    """The part of a killed run is a beginning of the whole one."""
    chance = random.Random(seed)
    code = ("from ebpfvm import simulate; simulate('samples/rfc/pfifo.o', flows=['tcp:n=4,stop=600s', "
            f"'cbr:rate=500kbit,stop=600s'], rate='5mbit', results={str(path)!r}, events=True)")
    child = subprocess.Popen([sys.executable, "-c", code], cwd=ROOT)
    try:
        deadline = time.monotonic() + 30
        while not (path.exists() and _recorded(path) > 0):
            assert child.poll() is None and time.monotonic() < deadline
            time.sleep(0.02)
        time.sleep(chance.uniform(0, 0.3))
    finally:
        child.send_signal(signal.SIGKILL)
        child.wait()
    assert rows(path, "PRAGMA integrity_check") == [("ok",)]
    facts = run_facts(path)
    assert facts["state"] == "running" and facts["recorded"] > 0
    # What was handed over together is there together: each packet that left the queue has its time in a bucket.
    counted = rows(path, "SELECT count(*) FROM events WHERE event = 'dequeue'")
    assert counted == rows(path, "SELECT sum(packets) FROM sojourn")
    again = path.with_name("again.db")
    simulate("samples/rfc/pfifo.o" if Path.cwd() == ROOT else str(RFC / "pfifo.o"), rate="5mbit", events=True,
             flows=["tcp:n=4,stop=600s", "cbr:rate=500kbit,stop=600s"], results=again, duration=facts["recorded"] + 1)
    events = rows(path, "SELECT * FROM events ORDER BY rowid")
    assert rows(again, f"SELECT * FROM events ORDER BY rowid LIMIT {len(events)}") == events


def _recorded(path: Path) -> int:
    try:
        return int(run_facts(path).get("recorded", 0))
    except Exception:  # the file has no tables yet
        return 0


def test_every_table_and_column_is_described() -> None:
    page = (ROOT / "docs/reference/results.md").read_text(encoding="utf-8")
    for name, table in TABLES.items():
        assert f"### {name}\n" in page
        for column in table.columns:
            assert f"| `{column.name}` | {column.doc} |" in page, (name, column.name)


def test_rows_are_read_by_the_names_of_their_columns() -> None:
    assert list(FlowRow._fields) == TABLES["flows"].names
    assert list(RateCounts._fields) == TABLES["rates"].names[2:]
