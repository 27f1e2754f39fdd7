"""All there is at a small width: every number, every state, every operation on sets of numbers.

A set of numbers is an int with one bit per number, so that "the result holds every possible number" is one comparison.
"""

from __future__ import annotations

import functools
from itertools import product
from typing import Any

from tests.unit.verifier.domain.meaning import function
from tests.unit.verifier.domain.small import load

Pairs = list[tuple[Any, Any]]
VERSIONS = ("6.18", "7.2")


class World:
    """The domain with registers of `bits` and sub-registers of `sub` bits."""

    def __init__(self, bits: int, sub: int) -> None:
        self.bits, self.sub = bits, sub
        self.size, self.top = 1 << bits, (1 << bits) - 1
        self.low = (1 << sub) - 1
        self.numbers = range(self.size)
        self.domain = load(bits, sub)
        self.rules = {version: self.domain.arithmetic.arithmetic_of(version != "6.18") for version in VERSIONS}
        self.constants = [self.domain.num.const(value) for value in self.numbers]
        self.members = functools.cache(self._members)
        self.states = functools.cache(self._states)
        self.image = functools.cache(self._image)
        self._row = functools.cache(self._row_of)

    def __repr__(self) -> str:
        return f"{self.bits}/{self.sub} bits"

    def width(self, width: int) -> int:
        """The real width of an operation of the table's `width`."""
        return self.bits if width == 64 else self.sub

    def _members(self, num: Any) -> int:
        """The set of numbers that `num` stands for."""
        return sum(1 << value for value in self.numbers if self.domain.num.contains(num, value))

    def tnums(self) -> list[tuple[int, int]]:
        """Every tnum."""
        return [(value, mask) for value, mask in product(self.numbers, self.numbers) if not value & mask]

    def _states(self, version: str) -> list[Any]:
        """Every Num that stands for some number and that the rules produce from known bits and ranges: any circular
        ranges for 7.2, one range of each width for 6.18."""
        found: set[Any] = set()
        if version == "7.2":
            for var_off, r64, r32 in product(self.tnums(), arcs(self.bits), arcs(self.sub)):
                found.add(self.domain.circular.sync(var_off, r64, r32))
        else:
            any64, any32 = self.domain.intervals.ANY64, self.domain.intervals.ANY32
            whole, half = bounds(self.bits, any64), bounds(self.sub, any32)
            for var_off, b64 in product(self.tnums(), whole):
                found.add(self.domain.intervals.sync(var_off, b64, any32))
            for var_off, b64, b32 in product(self.tnums()[::self.bits], whole, half):
                found.add(self.domain.intervals.sync(var_off, b64, b32))
        return sorted(num for num in found if self.members(num))

    def some(self, version: str, count: int) -> list[Any]:
        """`count` states, spread over all of them; all, if there are no more."""
        everything = self.states(version)
        return [everything[len(everything) * i // count] for i in range(count)] if count < len(everything) \
            else everything

    def pairs(self, version: str, count: int) -> Pairs:
        """`count` states with each other and with all constants, both ways round."""
        spread, constants = self.some(version, count), self.some(version, count * 2)
        return [*product(spread, spread), *product(constants, self.constants),
                *product(self.constants, constants[::4])]

    def _image(self, op: str, width: int, a: int, b: int) -> int:
        """The set of results for the sets `a` and `b`."""
        return functools.reduce(int.__or__, (self._row(op, width, x, b) for x in self.numbers if a >> x & 1), 0)

    def _row_of(self, op: str, width: int, x: int, b: int) -> int:
        """The set of results for the number `x` and the set `b`."""
        run = function(op, width, self.width(width))
        return functools.reduce(int.__or__, (1 << run(x, y) for y in self.numbers if b >> y & 1), 0)


def arcs(bits: int) -> list[tuple[int, int]]:
    """Every circular range."""
    top = (1 << bits) - 1
    return [(base, size) for base in range(top + 1) for size in range(top)] + [(0, top)]


def ranges(low: int, high: int) -> list[tuple[int, int]]:
    """Every range of numbers from `low` to below `high`."""
    return [(a, b) for a in range(low, high) for b in range(a, high)]


def bounds(bits: int, anything: tuple[int, ...]) -> list[tuple[int, ...]]:
    """Every unsigned range, and every signed one."""
    half = 1 << bits - 1
    return [(*u, *anything[2:]) for u in ranges(0, 2 * half)] + [(*anything[:2], *s) for s in ranges(-half, half)]
