"""The plots of a report as PNG or SVG, through matplotlib."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, Final

from ebpfvm.errors import UsageError
from ebpfvm.results.plots import plots_of, run_names

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ebpfvm.results.plots import Plot
    from ebpfvm.results.reading import RecordedRun

_DASHES: Final = {"solid": "-", "dot": ":", "dash": "--", "dashdot": "-.", "longdash": (0, (8, 3))}
_STYLE: Final[Any] = {"font.size": 9, "axes.spines.top": False, "axes.spines.right": False, "axes.grid": True,
                 "grid.color": "#e8e8e8", "axes.edgecolor": "#999999", "axes.titlelocation": "left",
                 "axes.titleweight": "bold", "legend.frameon": False, "legend.fontsize": 8, "axes.axisbelow": True,
                 "svg.hashsalt": "ebpfvm"}  # so that the same runs give the same file


def write_image(runs: Sequence[RecordedRun], path: str) -> None:
    """Write all plots to one image, whose form the end of its name tells (.png, .svg).

    Raises:
        UsageError: matplotlib is not installed, or the file cannot be written.
    """
    try:
        import matplotlib as mpl
        from matplotlib.figure import Figure
    except ImportError:
        raise UsageError("images need matplotlib: pip install 'ebpfvm[plot]'") from None
    plots = plots_of(runs)
    rows = max(1, math.ceil(len(plots) / 2))
    with mpl.rc_context(_STYLE):
        drawn = Figure(figsize=(13, 3.4 * rows + 0.4), dpi=120, layout="constrained")
        drawn.suptitle(" | ".join(run_names(runs)), fontweight="bold", x=0.01, ha="left")
        for position, plot in enumerate(plots, 1):
            _draw(drawn.add_subplot(rows, 2, position), plot)
        try:
            drawn.savefig(path, metadata={"Date": None} if path.endswith(".svg") else None)
        except OSError as error:
            raise UsageError(f"{path}: cannot be written: {error.strerror or error}") from None


def _draw(axes: Any, plot: Plot) -> None:
    axes.set_title(plot.title)
    axes.set_ylabel(plot.y_label)
    if plot.bars:
        _draw_bars(axes, plot)
    else:
        axes.set_xlabel(plot.x_label)
        for line in plot.lines:
            values = [math.nan if value is None else value for value in line.y]
            axes.plot(line.x, values, label=line.name, color=line.colour, linestyle=_DASHES[line.dash], linewidth=1.2,
                      drawstyle="steps-post" if line.steps else "default")
        if plot.x_range is not None:
            axes.set_xlim(*plot.x_range)
        if plot.log_x:
            axes.set_xscale("log")
        if plot.log_y:
            axes.set_yscale("log")
        else:
            axes.set_ylim(bottom=0)
    if len(plot.lines) > 1 or plot.stacked:
        axes.legend(loc="best", ncols=1 + (len(plot.lines) > 6))


def _draw_bars(axes: Any, plot: Plot) -> None:
    words = list(dict.fromkeys(word for line in plot.lines for word in line.x))
    width = 0.5 if plot.stacked else 0.8 / len(plot.lines)
    below = [0.0] * len(words)
    for position, line in enumerate(plot.lines):
        found = dict(zip(line.x, line.y, strict=True))
        values = [found.get(word) or 0.0 for word in words]
        shift = 0.0 if plot.stacked else (position - (len(plot.lines) - 1) / 2) * width
        axes.bar([index + shift for index in range(len(words))], values, width, label=line.name, color=line.colour,
                 bottom=below if plot.stacked else None)
        below = [a + b for a, b in zip(below, values, strict=True)]
    axes.set_xticks(range(len(words)), words, rotation=30 if len(words) > 4 else 0,
                    ha="right" if len(words) > 4 else "center", fontsize=7)
