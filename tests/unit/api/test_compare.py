"""`ebpfvm compare`: the same traffic through several disciplines, in one table."""

from __future__ import annotations

import csv
import io
import json
from pathlib import Path
from typing import Any

import pytest

import ebpfvm
from ebpfvm.cli.main import main
from ebpfvm.comparing import ComparedTraffic, compare, comparison_table
from ebpfvm.errors import Fault, LoadError, UsageError
from ebpfvm.isa.asm import assemble
from ebpfvm.loader.object import Object, Program

ROOT = Path(__file__).parents[3]
PFIFO, WFQ = (str(ROOT / "samples" / "rfc" / f"{name}.o") for name in ("pfifo", "wfq"))
FLOWS = ["cbr:rate=8mbit,packets=200", "poisson:rate=1mbit,n=4,packets=30"]


def as_rows(qdiscs: list[Any], **options: Any) -> dict[tuple[str, str], ComparedTraffic]:
    return {(row.qdisc, row.traffic): row for row in compare(qdiscs, **options)}


def test_rows_are_what_single_runs_report() -> None:
    rows = as_rows([PFIFO, f"{PFIFO},limit=5", WFQ], flows=FLOWS, rate="5mbit")
    assert list(rows) == [(name, kind) for name in (PFIFO, f"{PFIFO},limit=5", WFQ)
                          for kind in ("cbr 8Mbit", "poisson 1Mbit", "all")]
    for name in (PFIFO, WFQ):
        result = ebpfvm.simulate(name, flows=FLOWS, rate="5mbit")
        everything = rows[name, "all"]
        assert (everything.in_packets, everything.out_packets) == (result.in_packets, result.out_packets)
        assert everything.fairness == result.fairness
        assert everything.max == max(flow.delay["max"] for flow in result.flows)
        steady = next(flow for flow in result.flows if flow.flow.startswith("udp 10.0.0.1"))
        row = rows[name, "cbr 8Mbit"]
        assert (row.out_packets, row.p50, row.p99, row.throughput) == (
            steady.out_packets, steady.delay["p50"], steady.delay["p99"], steady.throughput)
        assert row.lost == steady.drops / steady.in_packets
        assert rows[name, "poisson 1Mbit"].flows == 4
    assert rows[f"{PFIFO},limit=5", "all"].lost > rows[PFIFO, "all"].lost


def test_words_of_tc_scripts_and_objects_can_be_mixed(tmp_path: Path) -> None:
    script = tmp_path / "mine.tc"
    script.write_text("tc qdisc add dev eth0 root pfifo limit 7\n")
    rows = as_rows(["pfifo limit 7", str(script), ebpfvm.load(PFIFO)], flows=["cbr:rate=9mbit,packets=50"],
                   rate="1mbit")
    assert rows["pfifo limit 7", "cbr 9Mbit"][1:] == rows[str(script), "cbr 9Mbit"][1:]
    assert rows[PFIFO, "cbr 9Mbit"].lost < rows[str(script), "cbr 9Mbit"].lost


def test_captures_and_connections_are_kinds_of_traffic_too() -> None:
    rows = as_rows([PFIFO], flows=["tcp:bytes=20k,n=2"], pcap=ROOT / "samples" / "captures" / "mixed.pcap")
    assert [kind for _, kind in rows] == ["tcp cubic", "capture", "all"]
    assert rows[PFIFO, "tcp cubic"].flows == 2 and rows[PFIFO, "capture"].out_packets > 1000


def test_a_kind_of_which_nothing_arrives_has_no_delay() -> None:
    row = as_rows(["netem loss 100%"], flows=["cbr:rate=1mbit,packets=3"])["netem loss 100%", "cbr 1Mbit"]
    assert (row.out_packets, row.lost, row.p50, row.max) == (0, 1.0, 0, 0)
    assert comparison_table([row])[1].split() == ["netem", "loss", "100%", "cbr", "1Mbit", "1", "0", "100.00%", "0bit",
                                                  "-", "-", "-", "-", "1.000"]


def test_the_command_prints_a_table_json_and_csv(capsys: pytest.CaptureFixture[str]) -> None:
    words = ["compare", PFIFO, "fq_codel limit 50", "--rate", "1mbit", "--flows", "cbr:rate=4mbit,packets=90"]
    assert main(words) == 0
    table = capsys.readouterr().out.splitlines()
    assert len(table) == 3 and table[0].startswith("qdisc ")
    assert main([*words, "--json"]) == 0
    data = json.loads(capsys.readouterr().out)
    assert data["schema"] == "ebpfvm.compare/1"
    assert main([*words, "--csv"]) == 0
    read = list(csv.DictReader(io.StringIO(capsys.readouterr().out)))
    assert [{name: str(value) for name, value in row.items()} for row in data["rows"]] == read
    assert [row["qdisc"] for row in read] == [PFIFO, "fq_codel limit 50"]


@pytest.mark.parametrize(("words", "status", "message"), [
    ([PFIFO], 2, "no traffic to send"),
    ([PFIFO, "nosuch", "--flows", "cbr:rate=1mbit"], 2, "while 'nosuch' was compared"),
    ([f"{PFIFO},limt=3", "--flows", "cbr:rate=1mbit"], 2, "no global variable 'limt'"),
    ([f"{PFIFO},limit", "--flows", "cbr:rate=1mbit"], 2, "limit: expected NAME=NUMBER"),
    (["missing.o", "--flows", "cbr:rate=1mbit"], 3, "missing.o"),
    ([PFIFO, "--flows", "cbr:rate=1mbit", "--seed", "x"], 2, "--seed"),
])
def test_what_cannot_be_compared_is_named(words: list[str], status: int, message: str,
                                          capsys: pytest.CaptureFixture[str]) -> None:
    try:
        code = main(["compare", *words])
    except SystemExit as error:  # argparse
        code = int(str(error.code))
    out, err = capsys.readouterr()
    assert (code, out) == (status, "")
    assert message in err


def test_a_discipline_that_loses_packets_is_no_row_of_a_table() -> None:
    """It answers QUEUED and keeps nothing, which verifiers cannot see."""
    programs = {hook: Program(name=hook, insns=assemble("r0 = 0; exit"), type="qdisc", attach=hook, license="GPL",
                              section=f"sch_bpf/{hook}") for hook in ("enqueue", "dequeue")}
    with pytest.raises(Fault, match=r"3 packets were lost or disposed of twice: packet 1 .* is lost") as error:
        compare(["pfifo", Object("loses.o", programs, {}, "GPL", None)], flows=["cbr:rate=1mbit,packets=3"])
    assert error.value.__notes__ == ["while 'loses.o' was compared"]


def test_errors_are_those_of_a_run() -> None:
    with pytest.raises(LoadError):
        compare(["missing.o"], flows=["cbr:rate=1mbit"])
    with pytest.raises(UsageError, match="magic"):
        compare([PFIFO], flows=["cbr:rate=1mbit"], magic=1)
