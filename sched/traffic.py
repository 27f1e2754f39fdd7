"""Traffic: captures replayed by their timestamps, flows at a constant rate, with breaks and Poisson flows, and any mix.

A source is an iterable of arrivals in order of time; the simulation merges them. All randomness comes from the seed of
the run.
"""

from __future__ import annotations

import itertools
import math
import random
from ipaddress import IPv4Address
from typing import TYPE_CHECKING, Any

from ebpfvm.errors import UsageError
from ebpfvm.lazy_dataclasses import dataclass
from ebpfvm.net import ETH_HLEN, IPV4_HLEN
from ebpfvm.sched.packet import build
from ebpfvm.sched.traffic_words import (
    DSCP,
    PRIORITY,
    START,
    STOP,
    Traffic,
    TrafficKey,
    TrafficKind,
    check_frame,
    flow_count,
    port,
    span,
)
from ebpfvm.sched.units import NSEC_PER_SEC, format_rate

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from ebpfvm.sched.pcap import Capture

_BIT_NS = 8 * NSEC_PER_SEC


Arrival = tuple[int, int, bytes, int | None]
"""One packet: when it arrives (ns from the beginning), its length on the wire, its bytes, and its skb->priority where
the source decides it (None: by its DSCP). A plain tuple, because one is made for each packet."""


def replay(capture: Capture) -> Iterator[Arrival]:
    """Yield the packets of a capture.

    The first arrives at 0, and one stamped before its predecessor arrives with it.
    """
    first, time = capture.first, 0
    for stamp, length, data in capture:
        if stamp - first > time:  # faster than `max`
            time = stamp - first
        yield time, length, data, None


@dataclass(frozen=True, slots=True)
class FlowSpec(Traffic):
    """A specification of generated flows.

    Attributes:
        kind: "cbr" (evenly spaced), "poisson" (exponentially spaced) or "onoff" (evenly spaced, with breaks).
        rate: bits per second of each flow, counting whole frames; with breaks, of the time between them.
        size: length of each frame in bytes.
        count: number of such flows; they differ in their source port.
        start, stop: ns from the beginning; nothing arrives at or after `stop`.
        packets: maximum number of packets of each flow, None for no limit.
        priority: skb->priority; None derives it from the DSCP.
        tos: TOS byte.
        proto: "udp" or "tcp".
        dport: destination port.
        on, off: mean ns of the exponentially distributed times for which an "onoff" flow sends, and for which it does
            not.
        name: what it is, in short; None for kind and rate.
    """

    kind: str
    rate: int
    size: int = 1000
    count: int = 1
    start: int = 0
    stop: int = NSEC_PER_SEC
    packets: int | None = None
    priority: int | None = None
    tos: int = 0
    proto: str = "udp"
    dport: int = 9
    on: int | None = None
    off: int | None = None
    name: str | None = None

    @property
    def label(self) -> str:
        """What they are, in short."""
        return self.name or f"{self.kind} {format_rate(self.rate)}"

    @property
    def expected(self) -> int:
        """The approximate number of packets of all flows together."""
        by_time = max(0, self.stop - self.start) * self.rate // (self.size * _BIT_NS) + 1
        if self.on and self.off:
            by_time = by_time * self.on // (self.on + self.off) + 1
        return self.count * (by_time if self.packets is None else min(by_time, self.packets))

    def add_to(self, simulation: Any, seed: int, group: int) -> None:
        """Add the flows to a simulation."""
        simulation.add_flows(self, seed, group)


FIRST_PORT = 10000
DESTINATION = "10.255.0.1"
MOST_FLOWS = 65535 - FIRST_PORT
"""How many flows a specification can have, because they differ in their source port."""
_PORT_AT = ETH_HLEN + IPV4_HLEN
_LEAST = {"udp": 42, "tcp": 54}  # bytes of the headers of a frame
_COMMON = (
    flow_count("number of such flows", MOST_FLOWS),
    TrafficKey("size", "size", "size of each frame", "1000b"), START, STOP,
    TrafficKey("packets", "number", "maximum number of packets of each flow", None, "no limit", (1, 1 << 40)),
    PRIORITY, DSCP,
    TrafficKey("ecn", "number", "ECN bits: 1 or 2 for packets that may be marked, 3 marked", "0", range=(0, 3)),
    TrafficKey("proto", "word", "protocol", "udp", choices=("udp", "tcp")), port(9))
_RATE = TrafficKey("rate", "rate", "rate of each flow, counting whole frames", required=True)


def _made(kind: str) -> Callable[[Mapping[str, Any]], FlowSpec]:
    def make(values: Mapping[str, Any]) -> FlowSpec:
        start, stop = span(values)
        proto = values["proto"]
        return FlowSpec(kind, values["rate"], check_frame(values["size"], proto, _LEAST[proto]), values["n"], start,
                        stop, values["packets"], values["prio"], values["dscp"] << 2 | values["ecn"], proto,
                        values["dport"], values.get("on"), values.get("off"))
    return make


CBR = TrafficKind("cbr", "evenly spaced packets (constant bit rate)", (_RATE, *_COMMON), _made("cbr"))
POISSON = TrafficKind("poisson", "packets at random, exponentially distributed intervals", (_RATE, *_COMMON),
                      _made("poisson"))
ONOFF = TrafficKind(
    "onoff", "evenly spaced packets with breaks, both for random, exponentially distributed times",
    (_RATE._replace(doc="rate of each flow while it sends, counting whole frames"),
     TrafficKey("on", "time", "mean time for which it sends", "1s"),
     TrafficKey("off", "time", "mean time of a break", "1s"), *_COMMON), _made("onoff"))


def group_source(group: int) -> str:
    """Return the source address of the flows of the specification with this number."""
    return str(IPv4Address(0x0A000001 + (group << 8)))


def generate(spec: FlowSpec, seed: int = 0, group: int = 0) -> list[Iterator[Arrival]]:
    """Return one source for each flow of `spec`.

    Args:
        seed: random seed of the run.
        group: number of the specification in the run. Flows of different groups have different addresses and
            independent random numbers, so that adding a group changes none of the others.
    """
    frames = Frames(spec, group)
    return [_cbr(spec, frames.frame(index)) if spec.kind == "cbr" else
            _random(spec, frames.frame(index), f"{seed}/{group}/{index}") for index in range(spec.count)]


class Frames:
    """The frames of the flows of a specification.

    They differ in their source port, so that the checksum of each follows from that of the first: what is summed up
    grows by one (RFC 1624), and a sum, which is never 0, is known by its remainder. UDP writes 0 as 0xffff.

    Args:
        spec, group: as for `generate`.

    Raises:
        UsageError: there are more flows than source ports.
    """

    __slots__ = ("_end", "_first", "_middle", "_start", "_total", "_zero")

    def __init__(self, spec: FlowSpec, group: int = 0) -> None:
        if not 1 <= spec.count <= MOST_FLOWS:
            raise UsageError(f"{spec.count} flows: expected 1 to {MOST_FLOWS}, which differ in their source port")
        self._first = first = build(spec.proto, group_source(group), DESTINATION, FIRST_PORT, spec.dport,
                                    length=spec.size, tos=spec.tos)
        at = _PORT_AT + (16 if spec.proto == "tcp" else 6)
        self._start, self._middle, self._end = first[:_PORT_AT], first[_PORT_AT + 2:at], first[at + 2:]
        self._total = 0xFFFF - int.from_bytes(first[at:at + 2], "big")
        self._zero = 0 if spec.proto == "tcp" else 0xFFFF

    def frame(self, index: int) -> bytes:
        """Return the frame of a flow."""
        if not index:
            return self._first
        check = 0xFFFE - (self._total + index - 1) % 0xFFFF or self._zero
        return b"".join((self._start, (FIRST_PORT + index).to_bytes(2, "big"), self._middle,
                         check.to_bytes(2, "big"), self._end))


def _cbr(spec: FlowSpec, data: bytes) -> Iterator[Arrival]:
    for time in cbr_times(spec):
        yield time, len(data), data, spec.priority


def cbr_times(spec: FlowSpec) -> Iterator[int]:
    """Yield the times of one flow's packets.

    Packet n arrives at floor(start + n * gap), whose exact value is carried on as a quotient and a remainder.
    """
    rate, stop = spec.rate, spec.stop
    gap, more = divmod(spec.size * _BIT_NS, rate)
    time, rest = spec.start, 0
    for _ in itertools.count() if spec.packets is None else range(spec.packets):
        if time >= stop:
            return
        yield time
        time += gap
        rest += more
        if rest >= rate:
            rest -= rate
            time += 1


def _random(spec: FlowSpec, data: bytes, seed: str) -> Iterator[Arrival]:
    for time in random_times(spec, random.Random(seed)):
        yield time, len(data), data, spec.priority


def random_times(spec: FlowSpec, draw: random.Random) -> Iterator[int]:
    """Yield the times of one flow's packets, which `draw` decides."""
    return _poisson_times(spec, draw) if spec.kind == "poisson" else _onoff_times(spec, draw)


def _onoff_times(spec: FlowSpec, draw: random.Random) -> Iterator[int]:
    """Yield the times of the packets of a flow that begins to send at its start."""
    gap, left = spec.size * _BIT_NS / spec.rate, spec.packets
    begin = float(spec.start)
    while begin < spec.stop:
        end = begin - (spec.on or 0) * math.log(1.0 - draw.random())
        for number in itertools.count():
            time = begin + number * gap
            if time >= min(end, spec.stop):
                break
            if left is not None:
                if not left:
                    return
                left -= 1
            yield int(time)
        begin = max(end, begin + gap) - (spec.off or 0) * math.log(1.0 - draw.random())


def _poisson_times(spec: FlowSpec, draw: random.Random) -> Iterator[int]:
    number, mean, exact = 0, spec.size * _BIT_NS / spec.rate, float(spec.start)
    while True:
        exact -= mean * math.log(1.0 - draw.random())
        if exact >= spec.stop or (spec.packets is not None and number >= spec.packets):
            return
        yield int(exact)
        number += 1
