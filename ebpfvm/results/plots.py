"""What the pictures of recorded runs show, as plain data: web page and images draw the same plots.

With one run, a colour is a kind of traffic. With several, a colour is a run, and a dash a kind of traffic.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Final

from ebpfvm.lazy_dataclasses import dataclass, field, replace
from ebpfvm.results.reading import summed
from ebpfvm.results.thinning import thinned
from ebpfvm.sched.recorded_counts import bucket_end
from ebpfvm.sched.units import NSEC_PER_SEC, format_rate

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ebpfvm.results.reading import RateCounts, RecordedRun

COLOURS: Final = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#4d4d4d", "#8c6d31")
"""Those of Okabe and Ito, which colour-blind people can tell apart, without yellow, and two more."""
DASHES: Final = ("solid", "dot", "dash", "dashdot", "longdash")

_POINTS: Final = 2000  # of a line
_TIMES: Final = 150  # intervals of a line of rates
_FEW: Final = 2.0  # percent of the packets that may be left of the plot
_LEAST_WAIT: Final = 10_000  # ns: what a packet that need not wait has waited, on an axis of logarithms


@dataclass(frozen=True, slots=True)
class PlottedLine:
    """A line, or one colour of bars.

    Attributes:
        name: in the legend.
        x, y: the numbers; x may be words for bars.
        colour, dash: how it is drawn.
        steps: whether a value holds until the next one.
    """

    name: str
    x: Sequence[float | str]
    y: Sequence[float | None]
    colour: str
    dash: str = "solid"
    steps: bool = False


@dataclass(frozen=True, slots=True)
class Plot:
    """A plot.

    Attributes:
        id: a short name.
        title, note: above it, and what it shows in a sentence.
        x_label, y_label: of the axes, with units.
        lines: what is drawn.
        log_x, log_y: whether an axis is logarithmic.
        bars: whether bars are drawn, on top of each other if `stacked`.
        x_range: bounds of the x axis.
        half: whether it may be half as wide as others.
    """

    id: str
    title: str
    note: str
    x_label: str
    y_label: str
    lines: list[PlottedLine] = field(default_factory=list)
    log_x: bool = False
    log_y: bool = False
    bars: bool = False
    stacked: bool = False
    x_range: tuple[float, float] | None = None
    half: bool = False


def plots_of(runs: Sequence[RecordedRun]) -> list[Plot]:
    """Return the plots of one run or several; those without data are left out."""
    names = run_names(runs)
    found = [_delays(runs, names), _backlog(runs, names), *_throughput(runs, names), _delay_over_time(runs, names),
             _windows(runs, names), _shares(runs, names), _reasons(runs, names)]
    return [plot for plot in found if plot.lines]


def run_names(runs: Sequence[RecordedRun]) -> list[str]:
    """Return what the runs are called, each in its own way."""
    titles = [run.title for run in runs]
    return [title if titles.count(title) == 1 else f"{title} ({index})" for index, title in enumerate(titles, 1)]


def _style(runs: Sequence[RecordedRun], run: int, traffic: int) -> tuple[str, str]:
    """Return colour and dash."""
    if len(runs) == 1:
        return COLOURS[traffic % len(COLOURS)], DASHES[traffic // len(COLOURS) % len(DASHES)]
    return COLOURS[run % len(COLOURS)], DASHES[traffic % len(DASHES)]


def _label(names: Sequence[str], run: int, traffic: str, kinds: int) -> str:
    if len(names) == 1:
        return traffic or "packets"
    return f"{names[run]}: {traffic}" if kinds > 1 else names[run]


def _kinds(runs: Sequence[RecordedRun], names: Sequence[str]) -> list[tuple[RecordedRun, list[int], str, str, str]]:
    """Return run, flows, name, colour and dash for each run and kind of traffic."""
    order = list(dict.fromkeys(traffic for run in runs for traffic in run.traffic))
    return [(run, run.of_traffic(traffic), _label(names, index, traffic, len(order)),
             *_style(runs, index, order.index(traffic)))
            for index, run in enumerate(runs) for traffic in run.traffic]


def _delays(runs: Sequence[RecordedRun], names: Sequence[str]) -> Plot:
    plot = Plot("delay", "Time in the queue", "Share of the packets that waited at most so long (CDF). Further left is "
                "better.", "time in the queue (ms)", "share of packets (%)", log_x=True)
    for run, flows, name, colour, dash in _kinds(runs, names):
        waits = run.waits(flows)
        total, seen = sum(packets for _, packets in waits), 0
        x, y = [], []
        for low, packets in waits:
            seen += packets
            x.append(max(_LEAST_WAIT, bucket_end(low) - 1) / 1e6)
            y.append(100 * seen / total)
        if x:
            plot.lines.append(PlottedLine(name, [x[0], *x], [0.0, *y], colour, dash, steps=True))
    if not plot.lines:
        return plot
    first = min(next(x for x, y in zip(line.x, line.y, strict=True) if y is not None and y >= _FEW)
                for line in plot.lines)
    return replace(plot, x_range=(10.0 ** math.floor(math.log10(float(first))),
                                  1.1 * max(float(line.x[-1]) for line in plot.lines)))


def _backlog(runs: Sequence[RecordedRun], names: Sequence[str]) -> Plot:
    plot = Plot("backlog", "Backlog", "The most packets that waited for the device in each interval.", "time (s)",
                "packets", x_range=_range(runs))
    for index, run in enumerate(runs):
        queues = run.backlog()
        devices = {queue: device for queue, device, _, _, _ in run.table("queues")}
        for position, (queue, rows) in enumerate(queues.items()):
            colour, dash = _style(runs, index, position)
            name = names[index] if len(queues) == 1 else f"{names[index]}: {devices.get(queue, queue)}"
            points = thinned([(time / NSEC_PER_SEC, most) for time, _, _, most, _ in rows], _POINTS)
            plot.lines.append(PlottedLine(name, [x for x, _ in points], [y for _, y in points], colour, dash))
    return plot


def _range(runs: Sequence[RecordedRun]) -> tuple[float, float]:
    return 0.0, max(run.duration for run in runs) / NSEC_PER_SEC


def _summed(run: RecordedRun, flows: Sequence[int]) -> list[tuple[float, float, RateCounts]]:
    """Return the end and the length in seconds, and the sums of `rates`, for intervals that are wide enough to see."""
    width = run.interval * max(1, -(-run.duration // run.interval // _TIMES))
    parts: dict[int, list[RateCounts]] = {}
    for flow in flows:
        for time, counts in run.rates(flow).items():
            parts.setdefault(-(-time // width) * width, []).append(counts)
    return [(end / NSEC_PER_SEC, width / NSEC_PER_SEC, summed(parts.get(end, ())))
            for end in range(width, max(parts, default=0) + 1, width)]


def _throughput(runs: Sequence[RecordedRun], names: Sequence[str]) -> list[Plot]:
    """Return a plot of each run, whose colours are kinds of traffic."""
    order = list(dict.fromkeys(traffic for run in runs for traffic in run.traffic))
    plots = []
    for index, run in enumerate(runs):
        rate = format_rate(int(run.facts.get("rate", 0)))
        plot = Plot(f"throughput-{index + 1}", "Throughput" + (f": {names[index]}" if len(runs) > 1 else ""),
                    f"What left the link (of {rate}) of each kind of traffic.", "time (s)", "Mbit/s",
                    x_range=_range(runs), half=len(runs) > 1)
        for traffic in run.traffic:
            sums = _summed(run, run.of_traffic(traffic))
            if sums:
                plot.lines.append(PlottedLine(
                    traffic or "packets", [end for end, _, _ in sums],
                    [counts.out_bytes * 8 / width / 1e6 for _, width, counts in sums],
                    COLOURS[order.index(traffic) % len(COLOURS)]))
        plots.append(plot)
    return plots


def _delay_over_time(runs: Sequence[RecordedRun], names: Sequence[str]) -> Plot:
    plot = Plot("delay-over-time", "Time in the queue, over time",
                "The mean of the packets that left in each interval; less than 0.01 ms is drawn as 0.01 ms.",
                "time (s)", "time in the queue (ms)", log_y=True, x_range=_range(runs))
    for run, flows, name, colour, dash in _kinds(runs, names):
        sums = _summed(run, flows)
        y = [max(_LEAST_WAIT, counts.waited / counts.taken) / 1e6 if counts.taken else None
             for _, _, counts in sums]
        if any(value is not None for value in y):
            plot.lines.append(PlottedLine(name, [end for end, _, _ in sums], y, colour, dash))
    return plot


def _windows(runs: Sequence[RecordedRun], names: Sequence[str]) -> Plot:
    most = 8 if len(runs) == 1 else 2
    plot = Plot("windows", "Congestion windows", f"Of the first {most} TCP connections"
                + (" of each run." if len(runs) > 1 else "."), "time (s)", "segments", x_range=_range(runs))
    for index, run in enumerate(runs):
        flows = {flow.flow: _short(flow.name) for flow in run.flows}
        lines: dict[int, list[tuple[float, float]]] = {}
        for time, flow, cwnd, _ in run.table("windows"):
            lines.setdefault(flow, []).append((time / NSEC_PER_SEC, cwnd))
        for position, (flow, points) in enumerate(list(lines.items())[:most]):
            colour, dash = _style(runs, index, position)
            name = flows[flow] if len(runs) == 1 else f"{names[index]}: {flows[flow]}"
            points = thinned(points, _POINTS)
            plot.lines.append(PlottedLine(name, [x for x, _ in points], [y for _, y in points], colour, dash,
                                          steps=True))
    return plot


def _shares(runs: Sequence[RecordedRun], names: Sequence[str]) -> Plot:
    plot = Plot("shares", "Throughput of each flow", "Equal bars are fair; at most 64 flows are drawn.", "flow",
                "Mbit/s", bars=True)
    for index, run in enumerate(runs):
        flows = sorted((flow for flow in run.flows if flow.throughput is not None),
                       key=lambda flow: (run.traffic.index(flow.traffic), len(flow.name), flow.name))[:64]
        if flows:
            plot.lines.append(PlottedLine(names[index], [_short(flow.name) for flow in flows],
                                          [(flow.throughput or 0) / 1e6 for flow in flows], COLOURS[index % 8]))
    return plot


def _short(flow: str) -> str:
    """Return a flow's name without its destination, which many have in common."""
    return flow.partition(" > ")[0]


def _reasons(runs: Sequence[RecordedRun], names: Sequence[str]) -> Plot:
    plot = Plot("drops", "Drops by reason", "Packets that were dropped, by whom and when.", "run", "packets", bars=True,
                stacked=True)
    drops = [run.drops() for run in runs]
    reasons = list(dict.fromkeys(reason for found in drops for reason in found))
    for position, reason in enumerate(reasons):
        plot.lines.append(PlottedLine(reason, list(names), [found.get(reason, 0) for found in drops],
                                      COLOURS[position % len(COLOURS)]))
    return plot
