"""How a user describes TCP connections: `tcp:cc=cubic,n=16,rtt=20ms`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from ebpfvm.errors import UsageError
from ebpfvm.ints import U32_MAX
from ebpfvm.lazy_dataclasses import dataclass
from ebpfvm.net import ETH_P_8021AD, ETH_P_8021Q, VLAN_HLEN
from ebpfvm.sched.traffic import FlowSpec, flow_words, frame_size, whole_number
from ebpfvm.sched.units import NSEC_PER_SEC, parse_size, parse_time

if TYPE_CHECKING:
    from collections.abc import Iterator

ECN: Final = {"off": 0, "on": 2, "l4s": 1}
"""The codepoint that the packets have (RFC 3168, RFC 9331)."""

HEADERS: Final = 54  # Ethernet, IPv4 and TCP without options
STAMP: Final = 8  # bytes of each segment that number its transmission
_KEYS: Final = ("cc", "n", "rtt", "size", "bytes", "start", "stop", "ecn", "prio", "dscp", "dport")


@dataclass(frozen=True, slots=True)
class TcpSpec:
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

    def frames(self, ecn: int) -> FlowSpec:
        """Return the flows that have the same headers."""
        return FlowSpec("cbr", 1, self.size, self.count, tos=self.tos | ecn, proto="tcp", dport=self.dport)


def parse_tcp(text: str) -> TcpSpec:
    """Return the connections that `tcp:KEY=VALUE,...` describes, as in `tcp:cc=reno,n=4,rtt=20ms,ecn=on`.

    The keys, with their defaults, are cc (cubic; reno, dctcp, prague, bbr), n connections (1), rtt (20ms), size of a
    full frame (1514b), bytes to send (no end), start (0), stop (1s after the start), ecn (off, on, l4s; on for dctcp,
    l4s for prague), prio (skb->priority), dscp (0 to 63) and dport (5001).

    Raises:
        UsageError: a word is wrong; the message names it and what is expected.
    """
    from ebpfvm.sched.senders.control_laws import law_named
    words = flow_words(text, _KEYS)
    law, ecn = words.get("cc", "cubic"), words.get("ecn")
    law_named(law)
    if ecn is not None and ecn not in ECN:
        raise UsageError(f"flows {text!r}: ecn={ecn} is none of {', '.join(ECN)}")
    size = frame_size(words.get("size", "1514b"), "tcp", HEADERS + STAMP)
    start = parse_time(words.get("start", "0"))
    return TcpSpec(
        law, parse_time(words.get("rtt", "20ms")), size, whole_number(words, "n", 1, 10_000, 1),
        _total(text, words.get("bytes")), start,
        parse_time(words["stop"]) if "stop" in words else start + NSEC_PER_SEC,
        None if ecn is None else ECN[ecn],
        whole_number(words, "prio", 0, U32_MAX) if "prio" in words else None,
        whole_number(words, "dscp", 0, 63, 0) << 2, whole_number(words, "dport", 0, 65535, 5001))


def _total(text: str, word: str | None) -> int | None:
    if word is None:
        return None
    total = parse_size(word)
    if total < 1:
        raise UsageError(f"flows {text!r}: bytes={word}: a connection has at least one byte to send")
    return total


class Segments:
    """The frames of one connection, whose sequence number and transmission number differ, with correct checksums.

    Args:
        template: a frame of the connection with a full segment.

    >>> from ebpfvm.sched.traffic import Frames
    >>> first = Frames(TcpSpec(size=100).frames(0)).frame(0)
    >>> frame = Segments(first).frame(7 * 46, 3)
    >>> len(frame), Segments.read(frame)
    (100, (322, 3, False))
    """

    def __init__(self, template: bytes) -> None:
        self._start, self._middle, self._end = template[:38], template[42:50], template[62:]
        self._rest = template[52:54]
        old = template[38:42] + template[50:52] + template[54:62]
        # What the checksum field complements (RFC 1624): the sum of everything that stays.
        whole = 0xFFFF - int.from_bytes(template[50:52], "big")
        self._sum = whole - sum(_halves(old[:4])) - sum(_halves(old[6:]))

    def frame(self, sequence: int, stamp: int) -> bytes:
        """Return the frame with a sequence number (modulo 2 ** 32) whose payload begins with `stamp`."""
        numbers, payload = sequence.to_bytes(4, "big"), stamp.to_bytes(STAMP, "big")
        check = 0xFFFF - (self._sum + sum(_halves(numbers)) + sum(_halves(payload))) % 0xFFFF
        return b"".join((self._start, numbers, self._middle, check.to_bytes(2, "big"), self._rest, payload, self._end))

    @staticmethod
    def read(frame: bytes) -> tuple[int, int, bool]:
        """Return the sequence number, the stamp, and whether the frame is marked CE; VLAN tags are passed over."""
        at = 0
        while int.from_bytes(frame[at + 12:at + 14], "big") in (ETH_P_8021Q, ETH_P_8021AD):
            at += VLAN_HLEN
        return (int.from_bytes(frame[at + 38:at + 42], "big"), int.from_bytes(frame[at + 54:at + 62], "big"),
                frame[at + 15] & 3 == 3)


def _halves(data: bytes) -> Iterator[int]:
    return (data[index] << 8 | data[index + 1] for index in range(0, len(data), 2))
