"""Random traffic through the disciplines of the shelf, in each engine and fused, beside models in plain Python.

`python -m tests.laws.shelf_runs [COUNT [FIRST [NAME...]]]` sends COUNT runs (default: 40) of 25 patterns through each
discipline, or through those named, from the run FIRST on. The patterns of a run follow each other, with the same values
of the variables: what one has left is there for the next, unless a reset comes in between.

It prints a row for each discipline: how many patterns and packets there were; how many packets had another fate or time
than the model gives them; and the share of the patterns in which a packet was dropped as it arrived, dropped later,
marked, overtaken by one that arrived later, sent when a timer fired, dropped by a reset, or still held at the end. Then
comes the share of the packets that arrived in the function of a fused run: those with time stamps do not.
"""

from __future__ import annotations

import sys
import time
from collections import Counter
from typing import Final

from tests.laws.models.pairs import TOGETHER, Pair, compare
from tests.laws.models.shelf_pairs import SHELF

SEEN: Final = ("dropped on arrival", "dropped later", "marked", "overtaken", "sent by a timer", "reset", "held")


def row(name: str, pair: Pair, first: int, count: int) -> tuple[str, list[str]]:
    """Return the row of a discipline, and the differences."""
    seen: Counter[str] = Counter()
    packets = fused = 0
    differences: list[str] = []
    began = time.process_time()
    for number in range(first, first + count):
        found = compare(name, pair, number)
        seen += found.patterns
        packets += found.packets
        fused += found.fused
        differences += found.differences
    patterns = count * TOGETHER
    shares = " | ".join(f"{100 * seen[what] / patterns:.0f}" for what in SEEN)
    return (f"| {name} | {patterns} | {packets} | {len(differences)} | {shares} | {100 * fused / packets:.0f} | "
            f"{time.process_time() - began:.0f} |"), differences


def main(words: list[str]) -> int:
    """Print the table, and return how many disciplines differ from their models."""
    count, first = (int(word) for word in (*words[:2], *("40", "0")[len(words[:2]):]))
    print(f"| discipline | patterns | packets | differences | {' % | '.join(SEEN)} % | fused % | seconds |")
    print("|---" * (6 + len(SEEN)) + "|", flush=True)
    wrong = 0
    for name in words[2:] or SHELF:
        text, differences = row(name, SHELF[name], first, count)
        print(text, *differences[:3], sep="\n", flush=True)
        wrong += bool(differences)
    return wrong


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
