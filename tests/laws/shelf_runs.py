"""Random traffic through the disciplines of the shelf, in each engine and fused, beside models in plain Python.

`python -m tests.laws.shelf_runs [COUNT [FIRST [NAME...]]]` sends COUNT runs (default: 40) of 25 patterns through each
discipline, or through those named, from the run FIRST on. The patterns of a run follow each other, with the same values
of the variables: what one has left is there for the next, unless a reset comes in between.

It prints a row for each discipline: how many patterns and packets there were; how many packets had another fate or time
than the model gives them; and the share of the patterns in which a packet was dropped as it arrived, dropped later,
marked, overtaken by one that arrived later, sent when a timer fired, dropped by a reset, or still held at the end. Then
comes the share of the packets that arrived in the function of a fused run (those with time stamps do not), and the
share of the runs that were interpreted, too.
"""

from __future__ import annotations

import sys
import time
from argparse import ArgumentParser
from collections import Counter
from typing import Final

from tests.laws.models.bottleneck import WAYS
from tests.laws.models.pairs import TOGETHER, Pair, compare
from tests.laws.models.shelf_pairs import SHELF

SELDOM: Final = {"cake": 4, "fq_codel": 4, "rfc fq_codel": 4}
"""Disciplines of which only every n-th run is interpreted: they look for the longest of 1024 flows."""

SEEN: Final = ("dropped on arrival", "dropped later", "marked", "overtaken", "sent by a timer", "reset", "held")


def row(name: str, pair: Pair, first: int, count: int) -> tuple[str, list[str]]:
    """Return the row of a discipline, and the differences."""
    seen: Counter[str] = Counter()
    packets = fused = both = 0
    differences: list[str] = []
    began = time.process_time()
    for number in range(first, first + count):
        interpreted = number % SELDOM.get(name, 1) == 0
        found = compare(name, pair, number, ways=WAYS if interpreted else WAYS[1:])
        both += interpreted
        seen += found.patterns
        packets += found.packets
        fused += found.fused
        differences += found.differences
    patterns = count * TOGETHER
    shares = " | ".join(f"{100 * seen[what] / patterns:.0f}" for what in SEEN)
    return (f"| {name} | {patterns} | {packets} | {len(differences)} | {shares} | {100 * fused / packets:.0f} | "
            f"{100 * both / count:.0f} | {time.process_time() - began:.0f} |"), differences


def main() -> int:
    """Print the table, and return how many disciplines differ from their models."""
    parser = ArgumentParser()
    parser.add_argument("count", type=int, nargs="?", default=40)
    parser.add_argument("first", type=int, nargs="?", default=0)
    parser.add_argument("names", nargs="*", metavar="NAME", help=", ".join(SHELF))
    asked = parser.parse_args()
    if asked.count < 1:
        parser.error(f"count {asked.count}: at least 1")
    unknown = next((name for name in asked.names if name not in SHELF), None)
    if unknown is not None:
        parser.error(f"unknown discipline {unknown!r}: expected {', '.join(SHELF)}")
    head = ["discipline", "patterns", "packets", "differences", *(f"{what} %" for what in SEEN), "fused %",
            "interpreted %", "seconds"]
    print(f"| {' | '.join(head)} |\n{'|---' * len(head)}|", flush=True)
    wrong = 0
    for name in asked.names or SHELF:
        text, differences = row(name, SHELF[name], asked.first, asked.count)
        print(text, *differences[:3], sep="\n", flush=True)
        wrong += bool(differences)
    return wrong


if __name__ == "__main__":
    sys.exit(main())
