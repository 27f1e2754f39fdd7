"""Random traffic for models: bursts, even gaps, gaps that end as a packet leaves, and packets of several sources."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tests.laws.models.bottleneck import Arrival, Traffic

if TYPE_CHECKING:
    from random import Random

SIZES = (64, 100, 125, 1000, 1250, 1514)
RATES = (400_000, 1_000_000, 8_000_000, 10_000_000)
FLOWS = 16
PACKETS = 60
"""How many packets a pattern has."""


def traffic(draw: Random, patterns: int = 1, stamped: float = 0, resets: bool = False) -> Traffic:
    """Return random traffic: patterns of `PACKETS` packets each, one after the other.

    A pattern begins when the packets of the one before have arrived. What it left may still be queued.

    Args:
        stamped: how many of the packets have a time stamp.
        resets: whether the qdisc may be reset, in or between patterns.
    """
    rate, count = draw.choice(RATES), draw.choice((1, 1, 2, 3))
    hosts = [draw.randrange(4) for _ in range(FLOWS)]
    sources: list[list[Arrival]] = [[] for _ in range(count)]
    begin, times = draw.choice((0, 0, draw.randrange(20_000_000))), []
    for _ in range(patterns):
        for source in sources:
            share = stamped * draw.choice((1, draw.random()))
            source += _coloured(draw, hosts, _source(draw, rate, begin, PACKETS // count, share))
        end = max(source[-1].time for source in sources)
        if resets and draw.random() < .3:
            times.append(draw.randrange(begin, end + 2))
        begin = end + 1 + draw.choice((0, draw.randrange(50_000_000), 10_000_000_000))
    return Traffic(rate, tuple(map(tuple, sources)), tuple(times))


def _coloured(draw: Random, hosts: list[int], packets: list[Arrival]) -> list[Arrival]:
    """Return packets with senders and ECN bits, which a flow seldom changes."""
    ecn, mixed = [draw.randrange(4) for _ in range(FLOWS)], draw.choice((0, 0, 0, .2))
    return [packet._replace(ecn=draw.randrange(4) if draw.random() < mixed else ecn[packet.flow],
                            host=hosts[packet.flow]) for packet in packets]


def _source(draw: Random, rate: int, begin: int, packets: int, stamped: float) -> list[Arrival]:
    """Return the packets of one source, whose times have one pattern for a while, then another."""
    found: list[Arrival] = []
    time, left = begin + draw.choice((0, 0, draw.randrange(20_000_000))), 0
    flows, sizes = draw.choice((1, 2, 5, FLOWS)), draw.sample(SIZES, draw.choice((1, 2, 6)))
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
    return found
