"""The samples for mainline on the capture and on generated flows, packet by packet, against models in plain Python."""

from __future__ import annotations

from itertools import pairwise
from math import isqrt
from pathlib import Path

import pytest

from ebpfvm.api import load, simulate
from ebpfvm.loader.variables import set_variables
from tests.unit.sched.test_samples_against_models import CAPTURE, OVERLOAD, Fifo, Packet, model, read_packets

SAMPLES = Path(__file__).parents[3] / "samples" / "mainline"
PRIOMAP = (1, 2, 2, 2, 1, 2, 0, 0, 1, 1, 1, 1, 1, 1, 1, 1)
MS = 1_000_000


class Bands(Fifo):
    """Strict order of three bands, each with a limit."""

    def rank(self, packet: Packet) -> int:
        return PRIOMAP[packet.priority]

    def put(self, packet: Packet) -> bool:
        held = sum(rank == self.rank(packet) for (rank, _), _ in self.waiting)
        self.limit = len(self.waiting) + 1 if held < self.each else 0
        return super().put(packet)

    def __init__(self, limit: int) -> None:
        super().__init__(limit)
        self.each = limit


class Pacer(Fifo):
    """One rate: a packet keeps the link for its size divided by the rate."""

    def __init__(self, limit: int, rate: int) -> None:
        super().__init__(limit)
        self.rate_, self.next = rate, 0

    def take(self, now: int) -> Packet | int | None:
        if not self.waiting:
            return None
        if now < self.next:
            return self.next
        found = super().take(now)
        assert isinstance(found, Packet)
        self.next = now + found.size * 10 ** 9 // self.rate_
        return found


class Codel(Fifo):
    """Section 5 of RFC 8289; `dropped` are the packets that dequeue drops."""

    def __init__(self, limit: int, target: int = 5 * MS, interval: int = 100 * MS, mtu: int = 1514) -> None:
        super().__init__(limit)
        self.target, self.interval, self.mtu = target, interval, mtu
        self.first_above = self.drop_next = self.count = self.last_count = 0
        self.dropping = False
        self.dropped: list[int] = []

    def law(self, time: int) -> int:
        return time + (self.interval << 8) // isqrt(self.count << 16 | 1)

    def one(self, now: int) -> tuple[Packet | None, bool]:
        if not self.waiting:
            self.first_above = 0
            return None, False
        packet = self.waiting.pop(0)[1]
        if now - packet.time < self.target or sum(held.size for _, held in self.waiting) <= self.mtu:
            self.first_above = 0
        elif not self.first_above:
            self.first_above = now + self.interval
        else:
            return packet, now >= self.first_above
        return packet, False

    def drop(self, packet: Packet | None) -> None:
        if packet is not None:
            self.dropped.append(packet.number)

    def take(self, now: int) -> Packet | int | None:
        packet, ok = self.one(now)
        if packet is None or (self.dropping and not ok):
            self.dropping = False
        elif self.dropping:
            while self.dropping and now >= self.drop_next:
                self.drop(packet)
                self.count += 1
                packet, ok = self.one(now)
                if ok:
                    self.drop_next = self.law(self.drop_next)
                self.dropping = ok
        elif ok:
            self.drop(packet)
            packet, _ = self.one(now)
            self.dropping = True
            since = self.count - self.last_count
            self.count = since if since > 1 and now - self.drop_next < 16 * self.interval else 1
            self.drop_next = self.law(now)
            self.last_count = self.count
        return packet


CASES = [("fifo", lambda: Fifo(100), {"limit": 100}), ("fifo", lambda: Fifo(7), {"limit": 7}),
         ("prio", lambda: Bands(1000), {"limit": 1000}), ("prio", lambda: Bands(9), {"limit": 9}),
         ("pacer", lambda: Pacer(1000, 250_000), {}),
         ("pacer", lambda: Pacer(30, 400_000), {"limit": 30, "rate": 400_000}),
         ("codel", lambda: Codel(1000), {}),
         ("codel", lambda: Codel(60, 2 * MS, 20 * MS), {"limit": 60, "target": 2 * MS, "interval": 20 * MS})]


@pytest.mark.parametrize("engine", ["interp", "translate"])
@pytest.mark.parametrize("case", range(len(CASES)), ids=lambda number: f"{CASES[number][0]}-{number}")
def test_order_drops_and_delays_agree_with_the_model(case: int, engine: str) -> None:
    sample, make, options = CASES[case]
    discipline = make()
    packets = read_packets()
    expected = model(packets, discipline, OVERLOAD)
    if isinstance(discipline, Codel):
        assert discipline.dropped
        expected |= dict.fromkeys(discipline.dropped)
    found = set_variables(load(SAMPLES / f"{sample}.o"), options)
    result = simulate(found, pcap=CAPTURE, rate=OVERLOAD, record=True, engine=engine)
    assert {record.number: record.departure for record in result.packets or ()} == expected


@pytest.mark.parametrize("quantum", [300, 1514, 9000])
def test_deficit_round_robin_is_fair_in_bytes(quantum: int) -> None:
    """While flows have packets all the time, what they have sent differs by less than a quantum and two packets."""
    sizes = (100, 700, 1400)
    found = set_variables(load(SAMPLES / "drr.o"), {"quantum": quantum})
    result = simulate(found, flows=[f"cbr:rate=4mbit,size={size}b" for size in sizes], rate=3_000_000,
                      duration="400ms", record=True)
    sent = [flow.out_bytes for flow in result.flows]
    assert len(sent) == 3
    assert min(sent) > 30_000
    assert max(sent) - min(sent) <= quantum + 2 * max(sizes)


def test_the_pacers_gaps_are_even() -> None:
    found = set_variables(load(SAMPLES / "pacer.o"), {"rate": 125_000})
    result = simulate(found, flows=["poisson:rate=4mbit,size=500b"], rate=100_000_000, duration="300ms", record=True)
    left = sorted(record.departure for record in result.packets or () if record.departure is not None)
    assert len(left) > 70
    assert {after - before for before, after in pairwise(left)} == {4 * MS}


def test_codel_keeps_the_wait_near_its_target() -> None:
    """A load of 2 % too much: first in, first out lets the queue grow for ever, codel holds it near 5 ms."""
    waits = {}
    for name in ("fifo", "codel"):
        result = simulate(SAMPLES / f"{name}.o", flows=["cbr:rate=4080kbit,size=500b,stop=4s"], rate=OVERLOAD,
                          record=True)
        late = sorted(record.departure - record.arrival for record in result.packets or ()
                      if record.departure is not None and record.arrival > 2_000 * MS)
        waits[name] = late[len(late) // 2]
    assert waits["fifo"] > 40 * MS
    assert 1 * MS < waits["codel"] < 12 * MS
