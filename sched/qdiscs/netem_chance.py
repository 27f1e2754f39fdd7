"""The randomness of netem: numbers, correlation, distribution tables and loss models.

Numbers come from Tausworthe's generator of 113 bits (P. L'Ecuyer, "Tables of maximally equidistributed combined LFSR
generators", 1999), as in Linux (lib/random32.c, net/sched/sch_netem.c, 7.2): the same seed loses the same packets.
"""

from __future__ import annotations

from functools import cache
from statistics import NormalDist
from typing import TYPE_CHECKING, Final, Protocol

from ebpfvm.ints import U32_MAX
from ebpfvm.lazy_dataclasses import dataclass

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

DIST_SCALE: Final = 8192  # NETEM_DIST_SCALE: an entry of that size is one jitter
MAX_TABLE: Final = 16384  # NETEM_DIST_MAX

Table = tuple[int, ...]
"""Quantiles of a distribution in units of 1/8192 of the jitter."""


class Prng:
    """The random number generator.

    Args:
        seed: 64 bits.
    """

    __slots__ = ("_state",)

    def __init__(self, seed: int) -> None:
        mixed = (seed >> 32 ^ seed << 10 ^ seed) & U32_MAX
        self._state = [mixed + least if mixed < least else mixed for least in (2, 8, 16, 128)]

    def __call__(self) -> int:
        """Return the next 32 bits."""
        a, b, c, d = self._state
        a = ((a & 0xFFFFFFFE) << 18 & U32_MAX) ^ ((a << 6 & U32_MAX ^ a) >> 13)
        b = ((b & 0xFFFFFFF8) << 2 & U32_MAX) ^ ((b << 2 & U32_MAX ^ b) >> 27)
        c = ((c & 0xFFFFFFF0) << 7 & U32_MAX) ^ ((c << 13 & U32_MAX ^ c) >> 21)
        d = ((d & 0xFFFFFF80) << 13 & U32_MAX) ^ ((d << 3 & U32_MAX ^ d) >> 12)
        self._state = [a, b, c, d]
        return a ^ b ^ c ^ d


class Correlated:
    """Numbers that depend on the previous one (get_crandom).

    Args:
        prng: source of random numbers.
        rho: correlation; 0xffffffff is complete.
        last: the number before the first.
    """

    __slots__ = ("_last", "prng", "rho")

    def __init__(self, prng: Callable[[], int], rho: int = 0, last: int = 0) -> None:
        self.prng, self.rho, self._last = prng, rho, last

    def __call__(self) -> int:
        """Return the next 32 bits."""
        value = self.prng()
        if not self.rho:
            return value
        rho = self.rho + 1
        self._last = value * ((1 << 32) - rho) + self._last * rho >> 32
        return self._last


def tabledist(mu: int, sigma: int, chance: Callable[[], int], table: Table | None) -> int:
    """Return a number distributed around `mu` as the table says, evenly within `sigma` without one."""
    if not sigma:
        return mu
    value = chance()
    if table is None:
        return value % (2 * sigma) + mu - sigma
    entry = table[value % len(table)]
    part = sigma % DIST_SCALE * entry
    rounded = (abs(part) + DIST_SCALE // 2) // DIST_SCALE
    return (rounded if part >= 0 else -rounded) + sigma // DIST_SCALE * entry + mu


# ---- tables ---------------------------------------------------------------------------------------------------

@cache
def normal_table() -> Table:
    """Return quantiles of the normal distribution: 4096, in steps of 1/20000 of the standard deviation."""
    quantile, found = NormalDist().inv_cdf, []
    for index in range(4096):
        step = int((quantile((4 * index + 0.5) / 16384) + 10) * 20000)
        found.append(round((step / 20000 - 10) * DIST_SCALE))
    return tuple(max(value, -32768) for value in found)


@cache
def pareto_table() -> Table:
    """Return quantiles of a Pareto distribution of shape 3, moved to mean 0 and scaled to deviation 1."""
    return tuple(min(32767, round(((index / 65536) ** (-1 / 3) - 1.5) * 4 / 3 * DIST_SCALE))
                 for index in range(65536, 0, -16))


@cache
def paretonormal_table() -> Table:
    """Return the mixture of one part of the normal distribution and three of Pareto's."""
    quantile, found = NormalDist().inv_cdf, []
    for index, pareto in enumerate(pareto_table()):
        step = int((quantile((4 * index + 0.5) / 16384) + 10) * 20000)
        found.append(int(0.25 * round((step / 20000 - 10) * DIST_SCALE) + 0.75 * pareto))
    return tuple(found)


DISTRIBUTIONS: Final[Mapping[str, Callable[[], Table | None]]] = {
    "uniform": lambda: None, "normal": normal_table, "pareto": pareto_table, "paretonormal": paretonormal_table}


# ---- loss -----------------------------------------------------------------------------------------------------

class LossModel(Protocol):
    """Decides which packets are lost, and says how `tc` prints it."""

    def lost(self, prng: Callable[[], int]) -> bool:
        """Return whether the next packet is lost."""

    def words(self) -> tuple[tuple[str, int], ...]:
        """Return the parameters as `tc` names them, with their probabilities (0xffffffff is 1)."""


@dataclass(slots=True)
class FourStates:
    """Loss in bursts and isolated loss, as a Markov chain of four states (loss_4state; S. Salsano et al., "GI")."""

    p13: int
    p31: int
    p32: int
    p23: int
    p14: int
    state: int = 1  # 1 sent in a gap, 2 sent in a burst, 3 lost in a burst, 4 lost in a gap

    def lost(self, prng: Callable[[], int]) -> bool:
        """Advance the state, and return whether the packet is lost.

        As in the kernel, a bound itself changes nothing.
        """
        value = prng()
        if self.state == 1:
            if value < self.p14:
                self.state = 4
            elif self.p14 < value < self.p13 + self.p14:
                self.state = 3
        elif self.state == 2:
            self.state = 3 if value < self.p23 else 2
        elif self.state == 3:
            if value < self.p32:
                self.state = 2
            elif self.p32 < value < self.p31 + self.p32:
                self.state = 1
            elif not self.p31 + self.p32 < value:
                return False
        else:
            self.state = 1
        return self.state in (3, 4)

    def words(self) -> tuple[tuple[str, int], ...]:
        """Return the parameters as tc-netem(8) names them."""
        return (("p13", self.p13), ("p31", self.p31), ("p32", self.p32), ("p23", self.p23), ("p14", self.p14))


@dataclass(slots=True)
class GilbertElliot:
    """A good and a bad state (loss_gilb_ell): `p` leads to the bad one, `r` back; `h` and `k1` are the losses in each.

    Attributes:
        h: probability of transmission in the bad state.
        k1: probability of loss in the good state.
    """

    p: int
    r: int
    h: int
    k1: int
    bad: bool = False

    def lost(self, prng: Callable[[], int]) -> bool:
        """Change the state with one random number, and return the decision of another."""
        if not self.bad:
            self.bad = prng() < self.p
            return prng() < self.k1
        self.bad = not prng() < self.r
        return prng() > self.h

    def words(self) -> tuple[tuple[str, int], ...]:
        """Return the parameters as tc-netem(8) names them."""
        return (("p", self.p), ("r", self.r), ("1-h", U32_MAX - self.h), ("1-k", self.k1))
