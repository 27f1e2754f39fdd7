"""The repeats of a point put together: means with their 95 % confidence intervals.

With n repeats of mean m and standard deviation s (over n - 1), the interval is m +- t * s / sqrt(n), where t is the
0.975 quantile of Student's t distribution with n - 1 degrees of freedom. It takes the repeats for independent and their
mean for normally distributed.
"""

from __future__ import annotations

import math
import statistics
from itertools import groupby
from typing import TYPE_CHECKING, Any, Final

from ebpfvm.lazy_tuples import NamedTuple
from ebpfvm.sched.text_tables import table_lines
from ebpfvm.sched.units import format_rate, format_time

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from ebpfvm.sweeps.sweep_points import SweepPoint

CONFIDENCE: Final = 0.95
MEASURES: Final = ("out_packets", "lost", "throughput", "p50", "p90", "p99", "max", "fairness")
_DELAYS: Final = ("p50", "p99")
_SHOWN: Final[dict[str, tuple[str, Callable[[float], str]]]] = {
    "throughput": ("rate", lambda value: format_rate(round(value))),
    "lost": ("lost", lambda value: f"{value:.2%}"),
    "p50": ("p50", lambda value: format_time(round(value))),
    "p99": ("p99", lambda value: format_time(round(value))),
    "fairness": ("fairness", lambda value: f"{value:.3f}")}


class SweptTraffic(NamedTuple):
    """What one combination of settings did to one kind of traffic.

    Attributes:
        settings: key -> value.
        traffic: the kind of traffic, as in `ebpfvm.comparing.ComparedTraffic`.
        repeats: number of runs.
        measures: name -> mean, and half the width of the interval, which is None for a single run.
    """

    settings: Mapping[str, str]
    traffic: str
    repeats: int
    measures: Mapping[str, tuple[float, float | None]]

    def flat(self) -> dict[str, Any]:
        """Return it as one row: `NAME` is a mean and `NAME_ci` half the width of its interval."""
        row: dict[str, Any] = {**self.settings, "traffic": self.traffic, "repeats": self.repeats}
        for name, (mean, half) in self.measures.items():
            row[name], row[f"{name}_ci"] = mean, half
        return row


def t_quantile(freedom: int, confidence: float = CONFIDENCE) -> float:
    """Return t with P(|T| <= t) = confidence, for Student's T with an integer number of degrees of freedom."""
    low, high = 0.0, 1.0
    while _within(high, freedom) < confidence:
        high *= 2
    for _ in range(100):
        middle = (low + high) / 2
        low, high = (middle, high) if _within(middle, freedom) < confidence else (low, middle)
    return high


def _within(t: float, freedom: int) -> float:
    """Return P(|T| <= t), by the finite sums that there are for integers (Abramowitz and Stegun, 26.7.3 and 26.7.4)."""
    angle = math.atan(t / math.sqrt(freedom))
    cosine = math.cos(angle)
    odd = freedom % 2
    term, total = (cosine, cosine) if odd else (1.0, 1.0)
    for step in range(2 + odd, freedom - 1, 2):
        term *= cosine * cosine * (step - 1) / step
        total += term
    if odd:
        return 2 / math.pi * (angle + (math.sin(angle) * total if freedom > 1 else 0.0))
    return math.sin(angle) * total


def confidence_interval(values: Sequence[float]) -> tuple[float, float | None]:
    """Return the mean, and half the width of its confidence interval: None for a single value."""
    mean = math.fsum(values) / len(values)
    if len(values) < 2:
        return mean, None
    return mean, t_quantile(len(values) - 1) * statistics.stdev(values) / math.sqrt(len(values))


def summarise(points: Sequence[SweepPoint], results: Mapping[str, Mapping[str, Any]]) -> list[SweptTraffic]:
    """Return one row for each combination of settings and kind of traffic; failed and missing runs do not count."""
    found = []
    for settings, group in groupby(points, lambda point: point.settings):
        runs = [results[point.key]["traffic"] for point in group if "traffic" in results.get(point.key, {})]
        kinds = [row["traffic"] for row in runs[0]] if runs else []
        for index, kind in enumerate(kinds):
            rows = [run[index] for run in runs]
            measures = {name: confidence_interval([row[name] for row in rows]) for name in MEASURES}
            found.append(SweptTraffic(dict(settings), kind, len(rows), measures))
    return found


def summary_table(rows: Sequence[SweptTraffic]) -> list[str]:
    """Return the lines of a table for people, without the keys that had one value only."""
    if not rows:
        return []
    keys = [key for key in rows[0].settings if len({row.settings[key] for row in rows}) > 1]
    head = (*keys, "traffic", "runs", *(title for title, _ in _SHOWN.values()))
    return table_lines([head, *((*(row.settings[key] for key in keys), row.traffic, str(row.repeats), *_cells(row))
                                for row in rows)], left=len(keys) + 1)


def _cells(row: SweptTraffic) -> Iterator[str]:
    for name, (_, text) in _SHOWN.items():
        mean, half = row.measures[name]
        if name in _DELAYS and not row.measures["out_packets"][0]:
            yield "-"
        else:
            yield f"{text(mean)} ± {text(half)}" if half is not None else text(mean)
