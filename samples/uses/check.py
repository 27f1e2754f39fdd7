"""Figures that a sample promises: printed one a line, and the exit status says whether all of them hold."""

from __future__ import annotations

import sys
from pathlib import Path

SAMPLES = Path(__file__).resolve().parent.parent
CAPTURE = SAMPLES / "captures" / "mixed.pcap"


class Figures:
    """Collects what was measured.

    >>> figures = Figures("an example")
    an example
    >>> figures.within("rate", 99, 90, 110, "bit/s")
      ok    rate: 99 bit/s (expected 90 to 110)
    >>> figures.status
    0
    """

    def __init__(self, title: str) -> None:
        self.status = 0
        print(title)

    def true(self, what: str, holds: bool, shown: object = "") -> None:
        """Something that has to be so."""
        self.status |= not holds
        print(f"  {'ok   ' if holds else 'WRONG'} {what}" + (f": {shown}" if shown != "" else ""))

    def same(self, what: str, value: object, expected: object) -> None:
        """A figure that is known exactly."""
        self.true(what, value == expected, f"{value} (expected {expected})")

    def within(self, what: str, value: float, low: float, high: float, unit: str = "") -> None:
        """A figure with bounds."""
        shown = f"{value:.4g}" if isinstance(value, float) else str(value)
        self.true(what, low <= value <= high, f"{shown} {unit}".rstrip() + f" (expected {low:g} to {high:g})")

    def done(self) -> None:
        """Exit: 0 only if everything held."""
        print("the promise holds" if not self.status else "the promise does NOT hold")
        sys.exit(self.status)
