"""The samples on the capture, packet by packet, against models of the same disciplines (tests/laws/models).

The models share nothing with ebpfvm, and the capture is read here by hand.
"""

from __future__ import annotations

import struct
from pathlib import Path

import pytest

from ebpfvm.api import load, simulate
from ebpfvm.loader.variables import set_variables
from ebpfvm.sched.pcap import read_capture
from tests.laws.models.bottleneck import Arrival, Model, Traffic, expected
from tests.laws.models.one_queue import Fifo
from tests.laws.models.ranked import Priority, Shaper

ROOT = Path(__file__).parents[3]
CAPTURE = ROOT / "samples" / "captures" / "mixed.pcap"
OVERLOAD = 4_000_000  # the capture offers 6.4 Mbit/s


def read_packets() -> tuple[Arrival, ...]:
    """The capture, read by hand: classic, little-endian, microseconds."""
    data, at = CAPTURE.read_bytes(), 24
    found: list[Arrival] = []
    assert data[:4] == b"\xd4\xc3\xb2\xa1"
    while at < len(data):
        seconds, micros, captured, size = struct.unpack_from("<IIII", data, at)
        frame = data[at + 16:at + 16 + captured]
        # Linux: the TOS bits 1-4 pick best effort, bulk, interactive or interactive bulk; IPv6 has no say.
        priority = (0, 2, 6, 4)[(frame[15] >> 3) & 3] if frame[12:14] == b"\x08\x00" else 0
        found.append(Arrival(seconds * 10 ** 9 + micros * 1000, size, priority=priority))
        at += 16 + captured
    return tuple(packet._replace(time=packet.time - found[0].time) for packet in found)


def departures(model: Model, rate: int = OVERLOAD) -> list[int | None]:
    """When each packet's last bit leaves a link of `rate` bit/s; None for those that are dropped."""
    return [departure for _, departure in expected(lambda: model, Traffic(rate, (read_packets(),)), [0]).fates]


CASES: list[tuple[str, type[Model], dict[str, int]]] = [
    ("pfifo", Fifo, {"limit": 100}), ("pfifo", Fifo, {"limit": 7}), ("pifo_prio", Priority, {"limit": 100}),
    ("pifo_prio", Priority, {"limit": 20}), ("shaper", Shaper, {"limit": 1000}), ("shaper", Shaper, {"limit": 40})]


@pytest.mark.parametrize(("engine", "rate"), [("interp", OVERLOAD), ("translate", OVERLOAD), ("translate", 3_999_971)])
@pytest.mark.parametrize(("sample", "model", "options"), CASES)
def test_order_drops_and_delays_agree_with_the_model(sample: str, model: type[Model], options: dict[str, int],
                                                     engine: str, rate: int, tmp_path: Path) -> None:
    packets, left = read_packets(), departures(model(**options), rate)
    out = tmp_path / "out.pcap"
    found = set_variables(load(ROOT / "samples" / "rfc" / f"{sample}.o"), options)
    result = simulate(found, pcap=CAPTURE, rate=rate, delay="3ms", out=out, record=True, engine=engine)
    assert result.ok
    assert [(record.number, record.departure) for record in result.packets or ()] == list(enumerate(left, 1))
    assert [record.arrival for record in result.packets or ()] == [packet.time for packet in packets]
    longest = max(time - packet.time for packet, time in zip(packets, left, strict=True) if time is not None)
    assert max(flow.delay["max"] for flow in result.flows if flow.delay) == longest + 3_000_000
    assert result.dropped == left.count(None)
    if options["limit"] < 1000:
        assert result.dropped > 0
    in_order = sorted((time, number) for number, time in enumerate(left) if time is not None)
    first = read_capture(str(CAPTURE)).first
    assert [(stamp - first, size) for stamp, size, _ in read_capture(str(out))] == [
        (time, packets[number].size) for time, number in in_order]


def test_greater_first_turns_the_order_round() -> None:
    found = set_variables(load(ROOT / "samples" / "rfc" / "pifo_prio.o"), {"greater_first": 1})
    result = simulate(found, pcap=CAPTURE, rate=OVERLOAD, record=True)
    assert [record.departure for record in result.packets or ()] == departures(Priority(100, greater_first=1))
