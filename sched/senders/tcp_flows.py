"""How a user describes TCP connections: `tcp:cc=cubic,n=16,rtt=20ms`."""

from __future__ import annotations

from struct import Struct
from typing import TYPE_CHECKING, Any, Final

from ebpfvm.lazy_dataclasses import dataclass
from ebpfvm.net import ETH_P_8021AD, ETH_P_8021Q, VLAN_HLEN
from ebpfvm.sched.senders.control_laws import LAWS
from ebpfvm.sched.traffic import FlowSpec
from ebpfvm.sched.traffic_words import (
    DSCP,
    PRIORITY,
    START,
    STOP,
    Traffic,
    TrafficError,
    TrafficKey,
    TrafficKind,
    check_frame,
    flow_count,
    port,
    span,
)
from ebpfvm.sched.units import NSEC_PER_SEC

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping


ECN: Final = {"off": 0, "on": 2, "l4s": 1}
"""The codepoint that the packets have (RFC 3168, RFC 9331)."""

_READ: Final = Struct(">B22xI12xQ").unpack_from  # from the second byte of the IP header on

HEADERS: Final = 54  # Ethernet, IPv4 and TCP without options
STAMP: Final = 8  # bytes of each segment that number its transmission


@dataclass(frozen=True, slots=True)
class TcpSpec(Traffic):
    """A specification of TCP connections.

    Attributes:
        law: name of the congestion control.
        rtt: ns of a round trip without queues and without the time on the wire.
        size: length of a full frame in bytes.
        count: number of such connections; they differ in their source port.
        total: bytes that each has to send, None for no end.
        start, stop: ns from the beginning; nothing new is sent at or after `stop`.
        ecn: codepoint of the packets; None for that of the law.
        priority: skb->priority; None derives it from the DSCP.
        tos: TOS byte without the codepoint.
        dport: destination port.
    """

    law: str = "cubic"
    rtt: int = 20_000_000
    size: int = 1514
    count: int = 1
    total: int | None = None
    start: int = 0
    stop: int = NSEC_PER_SEC
    ecn: int | None = None
    priority: int | None = None
    tos: int = 0
    dport: int = 5001

    @property
    def label(self) -> str:
        """What they are, in short."""
        return f"tcp {self.law}"

    @property
    def expected(self) -> int:
        """The number of packets that is known from the beginning."""
        return 0 if self.total is None else self.count * -(-self.total // (self.size - HEADERS))

    def expected_alone(self, rate: int, end: int | None) -> int:
        """Return about how many segments the connections send, if they have no end, on a link for themselves."""
        if self.total is not None:
            return 0
        spent = (self.stop if end is None else min(end, self.stop)) - self.start
        return max(0, spent) * rate // (8 * NSEC_PER_SEC * self.size)

    def add_to(self, simulation: Any, seed: int, group: int) -> None:
        """Add the connections to a simulation."""
        simulation.add_tcp(self, seed, group)

    def frames(self, ecn: int) -> FlowSpec:
        """Return the flows that have the same headers."""
        return FlowSpec("cbr", 1, self.size, self.count, tos=self.tos | ecn, proto="tcp", dport=self.dport)


KEYS: Final = (
    TrafficKey("cc", "word", "congestion control: `reno` (RFC 5681), `cubic` (RFC 9438, without HyStart++), `dctcp` "
               "(RFC 8257), `prague` (the window of DCTCP with the codepoint of L4S), `bbr` (like version 1)", "cubic",
               choices=tuple(LAWS)),
    TrafficKey("rtt", "time", "a round trip without queues and without the time on the wire; the link's delay is a "
               "part of it", "20ms"),
    TrafficKey("size", "size", "size of a full frame", "1514b"), START,
    STOP._replace(doc="when it stops to send new data"),
    TrafficKey("ecn", "word", "codepoint of the packets: `on` is ECT(0), `l4s` ECT(1)", None,
               "`off`; `on` for dctcp, `l4s` for prague", choices=tuple(ECN)), PRIORITY, DSCP, port(5001))
"""The keys that all kinds of TCP traffic have."""


def tcp_spec(values: Mapping[str, Any]) -> TcpSpec:
    """Return the connections that the values of `KEYS` describe; `n` and `bytes` may be among them."""
    start, stop = span(values)
    total = values.get("bytes")
    if total is not None and total < 1:
        raise TrafficError("bytes", "a connection has at least one byte to send")
    return TcpSpec(
        values["cc"], values["rtt"], check_frame(values["size"], "tcp", HEADERS + STAMP), values.get("n", 1), total,
        start, stop, None if values["ecn"] is None else ECN[values["ecn"]], values["prio"], values["dscp"] << 2,
        values["dport"])


TCP: Final = TrafficKind("tcp", "TCP connections, which react to losses and marks", (
    KEYS[0], flow_count("number of connections; all but the first begin at a random time within one round trip",
                        10_000), *KEYS[1:3],
    TrafficKey("bytes", "size", "what each connection has to send, rounded up to full segments", None, "no end"),
    *KEYS[3:]), tcp_spec)


class Segments:
    """The frames of one connection, whose sequence number and transmission number differ, with correct checksums.

    Args:
        template: a frame of the connection with a full segment.

    Attributes:
        start: what all begin with, up to the sequence number.
        marked: whether its frames are marked CE from the beginning.

    >>> from ebpfvm.sched.traffic import Frames
    >>> first = Frames(TcpSpec(size=100).frames(0)).frame(0)
    >>> frame = Segments(first).frame(7 * 46, 3)
    >>> len(frame), Segments.read(frame)
    (100, (322, 3, False))
    """

    __slots__ = ("_end", "_middle", "_rest", "_sum", "marked", "start")

    def __init__(self, template: bytes) -> None:
        self.start, self._middle, self._end = template[:38], template[42:50], template[62:]
        self._rest = template[52:54]
        old = template[38:42] + template[50:52] + template[54:62]
        # What the checksum field complements (RFC 1624): the sum of everything that stays.
        whole = 0xFFFF - int.from_bytes(template[50:52], "big")
        self._sum = whole - sum(_halves(old[:4])) - sum(_halves(old[6:]))
        self.marked = template[15] & 3 == 3

    def frame(self, sequence: int, stamp: int) -> bytes:
        """Return the frame with a sequence number (modulo 2 ** 32) whose payload begins with `stamp`."""
        check = 0xFFFF - (self._sum + sequence + stamp) % 0xFFFF  # a number is as much as its halves, modulo 0xffff
        return b"".join((self.start, sequence.to_bytes(4, "big"), self._middle, check.to_bytes(2, "big"), self._rest,
                         stamp.to_bytes(STAMP, "big"), self._end))

    @staticmethod
    def read(frame: bytes) -> tuple[int, int, bool]:
        """Return the sequence number, the stamp, and whether the frame is marked CE; VLAN tags are passed over."""
        at = 0
        while int.from_bytes(frame[at + 12:at + 14], "big") in (ETH_P_8021Q, ETH_P_8021AD):
            at += VLAN_HLEN
        if len(frame) >= at + HEADERS + STAMP:
            tos, sequence, stamp = _READ(frame, at + 15)
            return sequence, stamp, tos & 3 == 3
        return (int.from_bytes(frame[at + 38:at + 42], "big"), int.from_bytes(frame[at + 54:at + 62], "big"),
                frame[at + 15] & 3 == 3)


def _halves(data: bytes) -> Iterator[int]:
    return (data[index] << 8 | data[index + 1] for index in range(0, len(data), 2))
