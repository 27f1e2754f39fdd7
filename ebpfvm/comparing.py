"""Run several queueing disciplines on the same traffic, and put what each does to each kind of traffic side by side."""

from __future__ import annotations

import os
from array import array
from typing import TYPE_CHECKING, Any, Final, cast

from ebpfvm.errors import EbpfvmError, Fault, UsageError
from ebpfvm.lazy_dataclasses import replace
from ebpfvm.lazy_tuples import NamedTuple
from ebpfvm.scenario import Scenario
from ebpfvm.sched.flow_report import PERCENTILES
from ebpfvm.sched.flows import jain, percentile
from ebpfvm.sched.text_tables import table_lines
from ebpfvm.sched.traffic_names import CAPTURE, TrafficNames
from ebpfvm.sched.units import NSEC_PER_SEC, format_rate, format_time

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from ebpfvm.loader.object import Object
    from ebpfvm.sched.flows import Flow
    from ebpfvm.sched.run_report import Result
    from ebpfvm.sched.simulation import Simulation
    from ebpfvm.sched.traffic_words import Traffic

SCHEMA: Final = "ebpfvm.compare/1"
_ALL: Final = "all"


class ComparedTraffic(NamedTuple):
    """What one discipline did to one kind of traffic.

    Attributes:
        qdisc: the discipline, as it was named.
        traffic: the flows in short, as in "cbr 1Mbit"; "capture" for those of a capture, "all" for all of
            them together.
        flows: number of flows.
        in_packets, out_packets: packets offered, and those that left the link.
        lost: share of the packets offered that were dropped or freed.
        throughput: bits per second that left the link, over the whole run.
        p50, p90, p99, max: ns from arrival at the device to arrival at the other end; 0 if nothing arrived.
        fairness: Jain's index of the bytes that left.
    """

    qdisc: str
    traffic: str
    flows: int
    in_packets: int
    out_packets: int
    lost: float
    throughput: int
    p50: int
    p90: int
    p99: int
    max: int
    fairness: float


def compare(qdiscs: Sequence[str | Object], results: str | None = None, **options: Any) -> list[ComparedTraffic]:
    """Return one row for each discipline and kind of traffic, and one for all traffic if there are several kinds.

    Args:
        qdiscs: for each discipline the path of an object with values of its variables, as in `pfifo.o,limit=50`; the
            path of a script that ends in `.tc`; words of `tc qdisc add dev eth0 root ...`; or an object.
        results: folder for a results file of each run, 1.db and so on (see `ebpfvm.results`); None to record none.
        options: traffic, link and so on: the fields of `ebpfvm.scenario.Scenario` except `source` and `tc`.

    Raises:
        UsageError: an option is wrong, or a discipline cannot be used.
        Fault: as for `ebpfvm.simulate`, or packets were lost or disposed of twice.
        EbpfvmError: a run fails, as for `ebpfvm.simulate`. A note of the error names the discipline.
    """
    if not options.get("flows") and options.get("pcap") is None:
        raise UsageError("no traffic to send; add flows, a capture, or both")
    rows = []
    for index, qdisc in enumerate(qdiscs, 1):
        name = qdisc if isinstance(qdisc, str) else qdisc.path
        more = {} if results is None else {"results": os.path.join(results, f"{index}.db"),
                                           "title": os.path.basename(name)}
        rows += _one(qdisc, name, {**options, **more})
    return rows


def _one(qdisc: str | Object, name: str, options: Mapping[str, Any]) -> list[ComparedTraffic]:
    try:
        return measure(name, Scenario.of(None, {**options, **_source(qdisc, options)}))
    except EbpfvmError as error:
        error.add_note(f"while {name!r} was compared")
        raise


def measure(name: str, scenario: Scenario) -> list[ComparedTraffic]:
    """Run a scenario and return one row for each kind of traffic, and one for all traffic if there are several kinds.

    Args:
        name: what the rows call the discipline.
        scenario: what to run.

    Raises:
        Fault: as for `ebpfvm.simulate`, or packets were lost or disposed of twice.
        EbpfvmError: the run fails, as for `ebpfvm.simulate`.
    """
    from ebpfvm.experiments import run_scenario
    scenes: list[Simulation] = []
    result = run_scenario(replace(scenario, prepare=lambda scene: scenes.append(scene.simulation)))
    if not result.ok:
        raise Fault("account", f"{result.problem_count} packets were lost or disposed of twice: "
                               f"{result.problems[0].message}")
    return _rows(name, scenario, scenes[0].flows.flows(), result)


def _source(qdisc: str | Object, options: Mapping[str, Any]) -> dict[str, Any]:
    """Return the options that choose a discipline."""
    from ebpfvm.qdisc_words import split_qdisc
    return split_qdisc(qdisc).options(options.get("config")) if isinstance(qdisc, str) else {"source": qdisc}


def _rows(name: str, scenario: Scenario, flows: Sequence[Flow], result: Result) -> list[ComparedTraffic]:
    names = TrafficNames(cast("Sequence[Traffic]", scenario.flows))
    kinds: list[tuple[str, list[Flow]]] = [(label, []) for label in names.labels]
    captured: list[Flow] = []
    flows = [flow for flow in flows if not names.comes_back(flow.key)]
    for flow in flows:
        group = names.group(flow.key)
        (captured if group is None else kinds[group][1]).append(flow)
    if captured:
        kinds.append((CAPTURE, captured))
    rows = [_row(name, kind, members, result.duration) for kind, members in kinds]
    return rows if len(rows) == 1 else [*rows, _row(name, _ALL, flows, result.duration)]


def _row(name: str, kind: str, flows: Sequence[Flow], duration: int) -> ComparedTraffic:
    delays = array("q")
    for flow in flows:
        delays.extend(flow.delays)
    ordered = sorted(delays)
    offered, dropped = sum(flow.in_packets for flow in flows), sum(flow.drops for flow in flows)
    sent = [flow.out_bytes for flow in flows]
    half, most, nearly_all = (percentile(ordered, percent) for percent in PERCENTILES)
    return ComparedTraffic(
        name, kind, len(flows), offered, len(ordered), dropped / offered if offered else 0.0,
        sum(sent) * 8 * NSEC_PER_SEC // duration if duration > 0 else 0,
        half, most, nearly_all, ordered[-1] if ordered else 0, jain(sent))


_COLUMNS: Final = ("qdisc", "traffic", "flows", "out", "lost", "rate", "p50", "p90", "p99", "max", "fairness")


def comparison_table(rows: Iterable[ComparedTraffic]) -> list[str]:
    """Return a table of the rows for people."""
    return table_lines([_COLUMNS, *(
        (row.qdisc, row.traffic, str(row.flows), str(row.out_packets), f"{row.lost:.2%}", format_rate(row.throughput),
         *(format_time(value) if row.out_packets else "-" for value in (row.p50, row.p90, row.p99, row.max)),
         f"{row.fairness:.3f}") for row in rows)], left=2)
