"""What the benchmark measures and prints: groups of contenders, and figures that are ratios between two of them.

The contenders of a group take turns. A figure is the median over the rounds of the ratio of one contender's cost to
that of its reference in the same round, so that a machine that is busy for a while disturbs both alike.
"""

from __future__ import annotations

import gc
import statistics
import textwrap
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, NamedTuple

Measure = Callable[[], float]
"""Runs a contender once and returns its cost for one unit of work (less is better)."""


class Settings(NamedTuple):
    """How much to measure: `rounds` of each contender; `quick` for small work loads that only show that all works."""

    rounds: int = 5
    quick: bool = False

    def size(self, full: int, quick: int) -> int:
        """Return the size of a work load."""
        return quick if self.quick else full


class Missing(Exception):
    """An optional contender is not there; the text says what to install."""


class Figure(NamedTuple):
    """A ratio to report.

    Attributes:
        contender, reference: names of contenders of the group.
        sense: "faster" for reference / contender (more is better), "cost" for contender / reference (less is better).
        goal: what the project wants to reach, for people.
    """

    contender: str
    reference: str
    sense: Literal["faster", "cost"] = "faster"
    goal: str = ""


@dataclass
class Group:
    """Contenders that do the same work.

    Attributes:
        name: for `--only`.
        unit: of the costs that the contenders return.
        meaning: what the figures say, in sentences.
        contenders: by name; each runs once a round.
        figures: the ratios to report. Those whose contender or reference is missing are left out.
        missing: one line for each optional contender that is not there.
        shown: how a cost is printed, if not as the number itself.
        once: one round is enough, because the costs hardly vary (memory) or take very long.
    """

    name: str
    unit: str
    meaning: str
    contenders: dict[str, Measure]
    figures: Sequence[Figure]
    missing: list[str] = field(default_factory=list)
    shown: Callable[[float], float] = float
    once: bool = False

    def offer(self, name: str, make: Callable[[], Measure]) -> None:
        """Add an optional contender, or a line that says why it is missing."""
        try:
            self.contenders[name] = make()
        except Missing as why:
            self.missing.append(f"{name}: not measured: {why}")


def race(group: Group, rounds: int) -> dict[str, list[float]]:
    """Return the costs of each contender by round; the contenders take turns.

    What others left behind is kept out of the garbage collector's sight, which would otherwise visit it on the time
    of the contender that happens to run.
    """
    costs: dict[str, list[float]] = {name: [] for name in group.contenders}
    gc.collect()
    gc.freeze()
    try:
        for _ in range(1 if group.once else rounds):
            for name, measure in group.contenders.items():
                gc.collect()
                costs[name].append(measure())
    finally:
        gc.unfreeze()
    return costs


def ratio(costs: dict[str, list[float]], figure: Figure) -> float:
    """Return the median of the ratios within rounds."""
    own, other = costs[figure.contender], costs[figure.reference]
    over, under = (other, own) if figure.sense == "faster" else (own, other)
    return statistics.median(a / b if b else float("inf") for a, b in zip(over, under, strict=True))


def measured(group: Group, rounds: int) -> dict[str, Any]:
    """Race a group and return its results, ready for JSON."""
    costs = race(group, rounds)
    return {"group": group.name, "unit": group.unit, "meaning": group.meaning, "missing": group.missing,
            "values": {name: group.shown(statistics.median(each)) for name, each in costs.items()},
            "figures": [{**figure._asdict(), "ratio": ratio(costs, figure)} for figure in group.figures
                        if figure.contender in costs and figure.reference in costs],
            "costs": costs}


_ROW = "{:<30}{:>12}  {:<14}{:>9}  {:<7}{:<22}{}"


HEAD = _ROW.format("contender", "median", "unit", "ratio", "", "reference", "goal") + "\n" + "-" * 110


def block(result: dict[str, Any]) -> str:
    """Return the part of the table that belongs to one group, with what its figures mean."""
    lines = [result["group"]]
    for name, value in result["values"].items():
        lines += _rows(name, value, result)
    lines += [f"  {line}" for line in result["missing"]]
    lines += textwrap.wrap(result["meaning"], 106, initial_indent="    ", subsequent_indent="    ")
    return "\n".join(line.rstrip() for line in lines) + "\n"


def _rows(name: str, value: float, result: dict[str, Any]) -> list[str]:
    found = [figure for figure in result["figures"] if figure["contender"] == name]
    cells = [(f"{figure['ratio']:.3g}", "x fast" if figure["sense"] == "faster" else "x cost",
              figure["reference"], figure["goal"]) for figure in found] or [("", "", "", "")]
    rows = [_ROW.format(f"  {name}", _number(value), result["unit"], *cells[0])]
    return rows + [_ROW.format("", "", "", *more) for more in cells[1:]]


def _number(value: float) -> str:
    return f"{value:,.0f}" if value >= 1000 else f"{value:.3g}"
