"""The report: one HTML page with interactive plots (Plotly) that needs no network.

The page's data is JSON in an element of its own, `report-data`, from which the page draws.
"""

from __future__ import annotations

import json
import math
from html import escape
from typing import TYPE_CHECKING, Any, Final

from ebpfvm._version import __version__
from ebpfvm.errors import UsageError
from ebpfvm.results.page_style import SCRIPT, STYLE
from ebpfvm.results.plots import plots_of, run_names
from ebpfvm.results.summary import COLUMNS, summary_rows
from ebpfvm.sched.units import format_rate, format_time

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ebpfvm.results.plots import Plot, PlottedLine
    from ebpfvm.results.reading import RecordedRun

_FONT: Final = {"family": "system-ui, -apple-system, 'Segoe UI', Roboto, sans-serif", "size": 13, "color": "#333"}
_AXIS: Final = {"gridcolor": "#e8e8e8", "zerolinecolor": "#cccccc", "linecolor": "#999999", "ticks": "outside",
                "tickcolor": "#999999", "showline": True, "automargin": True}
_LEGEND: Final = {"orientation": "h", "yref": "container", "yanchor": "bottom", "y": 0, "xanchor": "left", "x": 0,
                  "traceorder": "normal"}


def plotly_script() -> str:
    """Return Plotly's JavaScript.

    Raises:
        UsageError: Plotly is not installed.
    """
    try:
        from plotly.offline import get_plotlyjs
    except ImportError:
        raise UsageError("a report as a web page needs Plotly: pip install 'ebpfvm[report]'") from None
    return str(get_plotlyjs())


def report_page(runs: Sequence[RecordedRun], script: str) -> str:
    """Return the page.

    Args:
        runs: what it shows, side by side.
        script: Plotly's JavaScript (`plotly_script`).
    """
    plots = plots_of(runs)
    names = run_names(runs)
    title = names[0] if len(names) == 1 else " | ".join(names)
    data = json.dumps({"schema": "ebpfvm.report/1", "runs": [dict(run.facts) for run in runs],
                       "summary": [row._asdict() for row in summary_rows(runs)],
                       "plots": [figure(plot) for plot in plots]}, separators=(",", ":"))
    return "\n".join([
        "<!DOCTYPE html>", '<html lang="en"><head><meta charset="utf-8">',
        '<meta name="viewport" content="width=device-width, initial-scale=1">',
        '<link rel="icon" href="data:,">', f"<title>{escape(title)} - ebpfvm report</title>",
        f"<style>{STYLE}</style>", "</head><body>", "<header>",
        f"<h1>{escape(title)}</h1>", *_facts(runs), "</header>", "<main>", _table(runs),
        *(_section(plot) for plot in plots), "</main>",
        f"<footer>Made by ebpfvm {escape(__version__)} from {escape(', '.join(_files(runs)))}. Drag to zoom, "
        "double-click to see everything, click names in a legend to hide lines.</footer>",
        f'<script type="application/json" id="report-data">{_inside_script(data)}</script>',
        f"<script>{script}</script>", f"<script>{SCRIPT}</script>", "</body></html>", ""])


def _inside_script(text: str) -> str:
    """Return JSON that ends no script element."""
    return text.replace("<", "\\u003c")


def _files(runs: Sequence[RecordedRun]) -> list[str]:
    import os
    return [os.path.basename(run.path) for run in runs]


def _facts(runs: Sequence[RecordedRun]) -> list[str]:
    """Return what is the same in all runs, and which of them have not ended."""
    facts = runs[0].facts
    words = [f"link {format_rate(int(facts['rate']))}" if "rate" in facts else "",
             f"delay {format_time(int(facts['delay']))}" if facts.get("delay") else "",
             f"{format_time(max(run.duration for run in runs))} simulated", f"seed {facts.get('seed', 0)}"]
    kinds = [traffic for traffic in dict.fromkeys(traffic for run in runs for traffic in run.traffic) if traffic]
    counts = {traffic: len(runs[0].of_traffic(traffic)) for traffic in kinds}
    words += [f"{count} x {traffic}" if count > 1 else traffic for traffic, count in counts.items() if count]
    lines = ["<p class=facts>" + "".join(f"<span>{escape(word)}</span>" for word in words if word) + "</p>"]
    if len(runs) == 1 and facts.get("qdisc"):
        lines.append(f"<p class=qdisc>{escape(str(facts['qdisc']))}</p>")
    lines += [f"<p class=warning>{escape(name)} has not ended: this is what was recorded until now.</p>"
              for run, name in zip(runs, run_names(runs), strict=True) if not run.ended]
    return lines


def _table(runs: Sequence[RecordedRun]) -> str:
    head = "".join(f"<th>{escape(name)}</th>" for name in COLUMNS)
    rows, before = [], ""
    for row in summary_rows(runs):
        kind = ' class="first"' if row.run != before else ""
        before = row.run
        rows.append(f"<tr{kind}>" + "".join(f"<td>{escape(cell)}</td>" for cell in row.cells()) + "</tr>")
    return (f'<section><h2>Summary</h2><div class="wide"><table><thead><tr>{head}</tr></thead>'
            f"<tbody>{''.join(rows)}</tbody></table></div></section>")


def _section(plot: Plot) -> str:
    kind = ' class="half"' if plot.half else ""
    return (f'<section{kind}><h2>{escape(plot.title)}</h2><p class="note">{escape(plot.note)}</p>'
            f'<div class="plot" id="{escape(plot.id)}"></div></section>')


def figure(plot: Plot) -> dict[str, Any]:
    """Return a plot as Plotly takes it."""
    x_axis: dict[str, Any] = {**_AXIS, "title": {"text": plot.x_label}}
    y_axis: dict[str, Any] = {**_AXIS, "title": {"text": plot.y_label}}
    if plot.log_x:
        x_axis |= {"type": "log", "dtick": 1}
    if plot.log_y:
        y_axis |= {"type": "log", "dtick": 1}
    else:
        y_axis["rangemode"] = "tozero"
    if plot.x_range is not None:
        x_axis["range"] = [math.log10(bound) for bound in plot.x_range] if plot.log_x else list(plot.x_range)
    if plot.bars:
        x_axis |= {"type": "category", "title": {"text": ""}}
    layout = {"font": _FONT, "xaxis": x_axis, "yaxis": y_axis, "paper_bgcolor": "#ffffff", "plot_bgcolor": "#ffffff",
              "margin": {"l": 64, "r": 16, "t": 24, "b": 48 + _legend_height(plot)},
              "hovermode": "closest" if plot.bars or plot.log_x else "x unified",
              "showlegend": len(plot.lines) > 1 or plot.stacked, "legend": _LEGEND,
              "barmode": "stack" if plot.stacked else "group", "bargap": 0.4 if plot.stacked else 0.2}
    return {"id": plot.id, "data": [_trace(plot, line) for line in plot.lines], "layout": layout}


def _legend_height(plot: Plot) -> int:
    """Return about how high the legend is in a wide window, in pixels."""
    if len(plot.lines) < 2 and not plot.stacked:
        return 0
    widest = max(len(line.name) for line in plot.lines) * 7 + 50
    return 12 + 20 * -(-len(plot.lines) * widest // (500 if plot.half else 1050))


def _trace(plot: Plot, line: PlottedLine) -> dict[str, Any]:
    common = {"name": line.name, "x": list(line.x), "y": list(line.y)}
    if plot.bars:
        return {**common, "type": "bar", "marker": {"color": line.colour}}
    shape = "hv" if line.steps else "linear"
    return {**common, "type": "scatter", "mode": "lines", "connectgaps": False,
            "line": {"color": line.colour, "dash": line.dash, "width": 1.8, "shape": shape}}
