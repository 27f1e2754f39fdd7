"""Traffic: captures replayed by their timestamps, constant bit rate and Poisson flows, and any mix of them.

A source is an iterable of arrivals in order of time; the simulation merges them. All randomness comes from the seed of
the run.
"""

from __future__ import annotations

import itertools
import math
import random
from ipaddress import IPv4Address
from typing import TYPE_CHECKING

from ebpfvm.errors import UsageError
from ebpfvm.ints import U32_MAX
from ebpfvm.lazy_dataclasses import dataclass
from ebpfvm.net import ETH_HLEN, IPV4_HLEN
from ebpfvm.sched.packet import build
from ebpfvm.sched.units import NSEC_PER_SEC, format_rate, parse_rate, parse_size, parse_time

if TYPE_CHECKING:
    from collections.abc import Iterator

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
class FlowSpec:
    """A specification of generated flows.

    Attributes:
        kind: "cbr" (evenly spaced) or "poisson" (exponentially spaced).
        rate: bits per second of each flow, counting whole frames.
        size: length of each frame in bytes.
        count: number of such flows; they differ in their source port.
        start, stop: ns from the beginning; nothing arrives at or after `stop`.
        packets: maximum number of packets of each flow, None for no limit.
        priority: skb->priority; None derives it from the DSCP.
        tos: TOS byte.
        proto: "udp" or "tcp".
        dport: destination port.
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

    @property
    def label(self) -> str:
        """What they are, in short."""
        return f"{self.kind} {format_rate(self.rate)}"

    @property
    def expected(self) -> int:
        """The approximate number of packets of all flows together."""
        by_time = max(0, self.stop - self.start) * self.rate // (self.size * _BIT_NS) + 1
        return self.count * (by_time if self.packets is None else min(by_time, self.packets))


_KEYS = ("rate", "size", "n", "start", "stop", "packets", "prio", "dscp", "ecn", "proto", "dport")
FIRST_PORT = 10000
DESTINATION = "10.255.0.1"
_PORT_AT = ETH_HLEN + IPV4_HLEN
_MAX_FLOWS = 65535 - FIRST_PORT


def parse_flows(text: str) -> FlowSpec:
    """Return the flows that `KIND:KEY=VALUE,...` describes, as in `cbr:rate=1mbit,size=500b,n=4,prio=2`.

    The kinds are cbr and poisson. The keys, with their defaults, are rate (required), size of a frame (1000b), n flows
    (1), start (0), stop (1s after the start), packets of each flow, prio (skb->priority), dscp (0 to 63), ecn (0 to
    3), proto (udp, tcp) and dport (9). Units are those of `ebpfvm.sched.units`.

    Raises:
        UsageError: a word is wrong; the message names it and what is expected.
    """
    kind = text.partition(":")[0]
    if kind not in ("cbr", "poisson"):
        raise UsageError(f"flows {text!r}: expected cbr:..., poisson:... or tcp:..., as in cbr:rate=1mbit,size=500b")
    words = flow_words(text, _KEYS)
    if "rate" not in words:
        raise UsageError(f"flows {text!r}: rate= is missing, as in cbr:rate=1mbit")
    start = parse_time(words.get("start", "0"))
    proto = words.get("proto", "udp")
    if proto not in ("udp", "tcp"):
        raise UsageError(f"flows {text!r}: proto={proto} is neither udp nor tcp")
    return FlowSpec(
        kind, parse_rate(words["rate"]), frame_size(words.get("size", "1000b"), proto),
        whole_number(words, "n", 1, _MAX_FLOWS, 1), start,
        parse_time(words["stop"]) if "stop" in words else start + NSEC_PER_SEC,
        whole_number(words, "packets", 1, 1 << 40) if "packets" in words else None,
        whole_number(words, "prio", 0, U32_MAX) if "prio" in words else None,
        whole_number(words, "dscp", 0, 63, 0) << 2 | whole_number(words, "ecn", 0, 3, 0), proto,
        whole_number(words, "dport", 0, 65535, 9))


def flow_words(text: str, keys: tuple[str, ...]) -> dict[str, str]:
    """Return the words of `KIND:KEY=VALUE,...` by their keys.

    Raises:
        UsageError: a word has no value, or none of these keys.
    """
    words = {}
    for word in filter(None, text.partition(":")[2].split(",")):
        key, equals, value = word.partition("=")
        if key not in keys or not equals or not value:
            raise UsageError(f"flows {text!r}: {word!r} is none of {', '.join(name + '=' for name in keys)}")
        words[key] = value
    return words


def frame_size(word: str, proto: str, least: int = 0) -> int:
    """Return the length of a frame, which holds at least its headers.

    Raises:
        UsageError: it is none, or too short or long.
    """
    size, least = parse_size(word), least or (54 if proto == "tcp" else 42)
    if not least <= size <= 65535:
        raise UsageError(f"size {word!r}: a {proto} frame has {least} to 65535 bytes")
    return size


def whole_number(words: dict[str, str], key: str, low: int, high: int, default: int = 0) -> int:
    """Return the number that a key has, or the default.

    Raises:
        UsageError: it is no number in this range.
    """
    word = words.get(key)
    if word is None:
        return default
    if not word.isascii() or not word.isdigit() or len(word) > 20 or not low <= int(word) <= high:
        raise UsageError(f"{key}={word}: expected a number from {low} to {high}")
    return int(word)


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
            _poisson(spec, frames.frame(index), f"{seed}/{group}/{index}") for index in range(spec.count)]


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
        if not 1 <= spec.count <= _MAX_FLOWS:
            raise UsageError(f"{spec.count} flows: expected 1 to {_MAX_FLOWS}, which differ in their source port")
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


def _poisson(spec: FlowSpec, data: bytes, seed: str) -> Iterator[Arrival]:
    for time in poisson_times(spec, random.Random(seed)):
        yield time, len(data), data, spec.priority


def poisson_times(spec: FlowSpec, draw: random.Random) -> Iterator[int]:
    """Yield the times of one flow's packets."""
    number, mean, exact = 0, spec.size * _BIT_NS / spec.rate, float(spec.start)
    while True:
        exact -= mean * math.log(1.0 - draw.random())
        if exact >= spec.stop or (spec.packets is not None and number >= spec.packets):
            return
        yield int(exact)
        number += 1
