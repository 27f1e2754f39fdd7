"""Recorded runs as text: a table with a row for each run and kind of traffic, and the backlog over time."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from ebpfvm.lazy_tuples import NamedTuple
from ebpfvm.results.plots import run_names
from ebpfvm.results.reading import summed, wait_percentile
from ebpfvm.results.thinning import sparkline
from ebpfvm.sched.flow_report import PERCENTILES
from ebpfvm.sched.flows import jain
from ebpfvm.sched.text_tables import table_lines
from ebpfvm.sched.units import NSEC_PER_SEC, format_rate, format_time

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ebpfvm.results.reading import RecordedRun

COLUMNS: Final = ("run", "traffic", "flows", "out", "lost", "rate", "waited p50", "p90", "p99", "max", "marked",
                  "fairness")
_ALL: Final = "all"


class SummaryRow(NamedTuple):
    """What one run did to one kind of traffic; times are ns in the queue."""

    run: str
    traffic: str
    flows: int
    out_packets: int
    lost: float
    throughput: int
    p50: int
    p90: int
    p99: int
    max: int
    marked: int
    fairness: float

    def cells(self) -> tuple[str, ...]:
        """Return the row for people."""
        return (self.run, self.traffic, str(self.flows), str(self.out_packets), f"{self.lost:.2%}",
                format_rate(self.throughput), *map(format_time, (self.p50, self.p90, self.p99, self.max)),
                str(self.marked), f"{self.fairness:.3f}")


def summary_rows(runs: Sequence[RecordedRun]) -> list[SummaryRow]:
    """Return a row for each run and kind of traffic, and one for all traffic if there are several kinds."""
    rows = []
    for run, name in zip(runs, run_names(runs), strict=True):
        kinds = [(traffic, run.of_traffic(traffic)) for traffic in run.traffic]
        if len(kinds) > 1:
            kinds.append((_ALL, [flow.flow for flow in run.flows]))
        rows += [_row(run, name, traffic, flows) for traffic, flows in kinds]
    return rows


def _row(run: RecordedRun, name: str, traffic: str, flows: Sequence[int]) -> SummaryRow:
    counts = [summed(found.values()) for flow in flows if (found := run.rates(flow))]
    total, waits, duration = summed(counts), run.waits(flows), run.duration
    half, most, nearly_all = (min(total.longest, wait_percentile(waits, percent)) for percent in PERCENTILES)
    return SummaryRow(
        name, traffic or "-", len(flows), total.out_packets,
        total.drops / total.in_packets if total.in_packets else 0.0,
        total.out_bytes * 8 * NSEC_PER_SEC // duration if duration else 0, half, most, nearly_all, total.longest,
        total.marks, jain([each.out_bytes for each in counts]))


def summary_lines(runs: Sequence[RecordedRun], width: int = 60) -> list[str]:
    """Return the table, and a sparkline of the backlog of each queue."""
    lines = table_lines([COLUMNS, *(row.cells() for row in summary_rows(runs))], left=2)
    rows = []
    for run, name in zip(runs, run_names(runs), strict=True):
        devices = {queue: device for queue, device, _, _, _ in run.table("queues")}
        for queue, samples in run.backlog().items():
            points = [(float(time), float(most)) for time, _, _, most, _ in samples]
            rows.append((name, devices.get(queue, ""), sparkline(points, run.duration, width),
                         f"{max(most for _, most in points):.0f}p"))
    if rows:
        lines += ["", "backlog, and the most packets that waited", *table_lines(rows, left=3)]
    lines += [f"{run.path}: the run has not ended; {format_time(run.duration)} were recorded"
              for run in runs if not run.ended]
    return lines
