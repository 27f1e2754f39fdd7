"""Random traffic for models: bursts, even gaps, gaps that end as a packet leaves, and packets of several sources."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tests.laws.models.bottleneck import Arrival, Traffic

if TYPE_CHECKING:
    from random import Random

SIZES = (64, 100, 125, 1000, 1250, 1514)


def traffic(draw: Random, packets: int = 60, stamped: float = 0) -> Traffic:
    """Return random traffic, of about `packets` packets.

    Args:
        stamped: how many of the packets have a time stamp.
    """
    rate = draw.choice((400_000, 1_000_000, 8_000_000, 10_000_000))
    count = draw.choice((1, 1, 2, 3))
    return Traffic(rate, tuple(_source(draw, rate, packets // count, stamped) for _ in range(count)))


def _source(draw: Random, rate: int, packets: int, stamped: float) -> tuple[Arrival, ...]:
    """Return the packets of one source, whose times have one pattern for a while, then another."""
    found: list[Arrival] = []
    time, left = draw.choice((0, 0, draw.randrange(20_000_000))), 0
    flows, sizes = draw.choice((1, 2, 5, 16)), draw.sample(SIZES, draw.choice((1, 2, 6)))
    while len(found) < packets:
        if not left:
            left, pattern = draw.randrange(1, 30), draw.choice(("burst", "even", "random", "idle"))
            # As long as a packet is on the wire, so that some arrive in the nanosecond in which others leave.
            gap = draw.choice(sizes) * 8_000_000_000 // rate
            gap = draw.choice((gap, gap // 2, gap * 3 // 2, gap // 7))
        size, left = draw.choice(sizes), left - 1
        stamp = time + draw.choice((0, 1, gap, draw.randrange(50_000_000))) if draw.random() < stamped else None
        found.append(Arrival(time, size, draw.randrange(flows), draw.choice((0, 0, 2, draw.randrange(16))), stamp))
        if pattern == "even":
            time += gap
        elif pattern == "random":
            time += int(draw.expovariate(1 / (gap + 1)))
        elif pattern == "idle" and draw.random() < .2:
            time += draw.randrange(300_000_000)
    return tuple(found)
