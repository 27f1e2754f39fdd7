"""The samples on the capture, packet by packet, against models of the same disciplines.

The models share nothing with ebpfvm: they read the capture themselves, and keep exact times as fractions and events
in a plain list. What they agree on is the convention that events of one time happen in the order they were asked for.
"""

from __future__ import annotations

import struct
from bisect import insort
from fractions import Fraction
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from ebpfvm.api import load, simulate
from ebpfvm.loader.variables import set_variables
from ebpfvm.sched.pcap import read_capture

ROOT = Path(__file__).parents[3]
CAPTURE = ROOT / "samples" / "captures" / "mixed.pcap"
OVERLOAD = 4_000_000  # the capture offers 6.4 Mbit/s


class Packet(NamedTuple):
    number: int
    time: int
    size: int
    priority: int


def read_packets() -> list[Packet]:
    """The capture, read by hand: classic, little-endian, microseconds."""
    data, at, found = CAPTURE.read_bytes(), 24, []
    assert data[:4] == b"\xd4\xc3\xb2\xa1"
    while at < len(data):
        seconds, micros, captured, size = struct.unpack_from("<IIII", data, at)
        frame = data[at + 16:at + 16 + captured]
        # Linux: the TOS bits 1-4 pick best effort, bulk, interactive or interactive bulk; IPv6 has no say.
        rank = (0, 2, 6, 4)[(frame[15] >> 3) & 3] if frame[12:14] == b"\x08\x00" else 0
        found.append(Packet(len(found) + 1, seconds * 10 ** 9 + micros * 1000, size, rank))
        at += 16 + captured
    first = found[0].time
    return [packet._replace(time=packet.time - first) for packet in found]


class Fifo:
    def __init__(self, limit: int) -> None:
        self.limit = limit
        self.waiting: list[tuple[Any, Packet]] = []

    def rank(self, packet: Packet) -> int:
        return 0

    def put(self, packet: Packet) -> bool:
        if len(self.waiting) >= self.limit:
            return False
        insort(self.waiting, ((self.rank(packet), packet.number), packet))
        return True

    def take(self, now: int) -> Packet | int | None:
        """A packet, when to ask again, or None."""
        return self.waiting.pop(0)[1] if self.waiting else None


class Priority(Fifo):
    def rank(self, packet: Packet) -> int:
        return packet.priority


class Shaper(Fifo):
    def __init__(self, limit: int = 1000, rate: int = 250_000, burst: int = 10_000) -> None:
        super().__init__(limit)
        self.rate_, self.saved = rate, burst * 10 ** 9 // rate
        self.full_at = -10 ** 18

    def rank(self, packet: Packet) -> int:
        self.full_at = max(self.full_at, packet.time) + packet.size * 10 ** 9 // self.rate_
        return self.full_at - self.saved

    def take(self, now: int) -> Packet | int | None:
        if self.waiting and self.waiting[0][0][0] > now:
            return int(self.waiting[0][0][0])
        return super().take(now)


def model(packets: list[Packet], discipline: Fifo, rate: int) -> dict[int, int | None]:
    """When each packet's last bit leaves a link of `rate` bit/s; None for those that are dropped."""
    left: dict[int, int | None] = {}
    events: list[tuple[int, int, str, Any]] = []
    asked = 0
    busy, wire, timer = False, Fraction(0), None

    def ask(time: int, what: str, argument: Any) -> None:
        nonlocal asked
        asked += 1
        insort(events, (time, asked, what, argument))

    ask(packets[0].time, "arrive", 0)
    while events:
        now, _, what, argument = events.pop(0)
        if what == "arrive":
            if argument + 1 < len(packets):
                ask(packets[argument + 1].time, "arrive", argument + 1)
            if not discipline.put(packets[argument]):
                left[packets[argument].number] = None
        elif what == "left":
            left[argument] = now
            busy = False
        elif timer != argument:
            continue
        else:
            timer = None
        if busy:
            continue
        found = discipline.take(now)
        if isinstance(found, Packet):
            busy = True
            wire = (wire if now <= int(wire) else Fraction(now)) + Fraction(found.size * 8 * 10 ** 9, rate)
            ask(int(wire), "left", found.number)
        elif found is not None and found != timer:
            timer = found
            ask(found, "wake", found)
    return left


CASES = [("pfifo", Fifo, {"limit": 100}), ("pfifo", Fifo, {"limit": 7}), ("pifo_prio", Priority, {"limit": 100}),
         ("pifo_prio", Priority, {"limit": 20}), ("shaper", Shaper, {"limit": 1000}), ("shaper", Shaper, {"limit": 40})]


@pytest.mark.parametrize(("engine", "rate"), [("interp", OVERLOAD), ("translate", OVERLOAD), ("translate", 3_999_971)])
@pytest.mark.parametrize(("sample", "discipline", "options"), CASES)
def test_order_drops_and_delays_agree_with_the_model(sample: str, discipline: type[Fifo], options: dict[str, int],
                                                     engine: str, rate: int, tmp_path: Path) -> None:
    packets = read_packets()
    expected = model(packets, discipline(**options), rate)
    assert sorted(expected) == [packet.number for packet in packets]
    out = tmp_path / "out.pcap"
    found = set_variables(load(ROOT / "samples" / "rfc" / f"{sample}.o"), options)
    result = simulate(found, pcap=CAPTURE, rate=rate, delay="3ms", out=out, record=True, engine=engine)
    assert result.ok
    assert {record.number: record.departure for record in result.packets or ()} == expected
    assert [record.arrival for record in result.packets or ()] == [packet.time for packet in packets]
    longest = max(time - packets[number - 1].time for number, time in expected.items() if time is not None)
    assert max(flow.delay["max"] for flow in result.flows if flow.delay) == longest + 3_000_000
    assert result.dropped == list(expected.values()).count(None)
    if options["limit"] < 1000:
        assert result.dropped > 0
    in_order = sorted((time, number) for number, time in expected.items() if time is not None)
    first = read_capture(str(CAPTURE)).first
    assert [(stamp - first, size) for stamp, size, _ in read_capture(str(out))] == [
        (time, packets[number - 1].size) for time, number in in_order]


def test_greater_first_turns_the_order_round() -> None:
    class Greater(Priority):
        def rank(self, packet: Packet) -> int:
            return -packet.priority

    found = set_variables(load(ROOT / "samples" / "rfc" / "pifo_prio.o"), {"greater_first": 1})
    result = simulate(found, pcap=CAPTURE, rate=OVERLOAD, record=True)
    assert {record.number: record.departure for record in result.packets or ()} == model(
        read_packets(), Greater(100), OVERLOAD)
