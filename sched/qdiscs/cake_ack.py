"""cake's filter of acknowledgments: which one of a flow may go because a later one says more.

Source: cake_ack_filter, net/sched/sch_cake.c, Linux 7.2. Packets in 6in4 tunnels are left alone, where a kernel looks
inside.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from ebpfvm.lazy_tuples import NamedTuple
from ebpfvm.net import ETH_P_IP, ETH_P_IPV6, IPPROTO_TCP, IPV6_HLEN, TCP_HLEN
from ebpfvm.sched.tc.dissect import dissect

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ebpfvm.sched.account import Packet

OFF: Final = "no-ack-filter"
AGGRESSIVE: Final = "ack-filter-aggressive"
MODES: Final = {OFF: "disabled", "ack-filter": "enabled", AGGRESSIVE: "aggressive"}
"""The words of `tc`, and what its JSON says."""

_ACK, _SYN = 0x10, 0x02
_ECN: Final = 0xC0  # ECE and CWR
_FIXED: Final = 0xF3F  # the flags that decide what a pure acknowledgment is: all but ECE and CWR
_END, _NOP, _SACK, _TIMESTAMP, _MD5 = 0, 1, 5, 8, 19
_TIMESTAMP_VALUE: Final = 8  # bytes: two numbers of four
_BROKEN: Final = (-1, b"")
_HALF: Final = 1 << 31


class TcpAck(NamedTuple):
    """What the filter compares of a TCP packet.

    Attributes:
        key: IP version, addresses and ports.
        flags: 12 bits.
        ack: acknowledgment number.
        data: bytes after the header.
        options: (kind, value) of each option; the last one is `_BROKEN` if it is cut short.
    """

    key: tuple[int, int | None, int | None, int, int]
    flags: int
    ack: int
    data: int
    options: Sequence[tuple[int, bytes]]


def superseded(queue: Sequence[Packet], aggressive: bool) -> int | None:
    """Return the place of the acknowledgment in a flow's queue that the last packet makes superfluous, or None."""
    new = parse_ack(queue[-1]) if len(queue) > 1 else None
    if new is None or new.flags & (_ACK | _SYN) != _ACK:
        return None
    found: int | None = None
    flags = count = 0
    for place, packet in enumerate(queue[:-1]):
        old = parse_ack(packet)
        if old is None or old.key != new.key:
            continue
        if found is not None and old.flags & _ECN != flags:
            found, count = None, count - 1  # dropping it would lose what its flags say
        if not _may_go(old, new):
            continue
        if found is None:
            found, flags = place, old.flags & _ECN
        count += 1
        if count > 1:
            return found
    if found == len(queue) - 2 and aggressive and flags == new.flags & _ECN:
        return found
    return None


def parse_ack(skb: Packet) -> TcpAck | None:
    """Return the TCP header of a packet; None if it is no TCP over IPv4 or IPv6, or cut short."""
    headers, data = dissect(skb), skb.payload()
    at, start = headers.network, headers.transport
    if headers.ip_proto != IPPROTO_TCP or start is None or len(data) < start + TCP_HLEN:
        return None
    size = 4 * (data[start + 12] >> 4)
    if headers.n_proto == ETH_P_IP:
        length = (data[at + 2] << 8 | data[at + 3]) - (start - at)
    elif headers.n_proto == ETH_P_IPV6 and start == at + IPV6_HLEN:
        length = data[at + 4] << 8 | data[at + 5]
    else:
        return None
    key = headers.n_proto, headers.src, headers.dst, int.from_bytes(data[start:start + 2], "big"), int.from_bytes(
        data[start + 2:start + 4], "big")
    return TcpAck(key, (data[start + 12] << 8 | data[start + 13]) & 0xFFF,
                  int.from_bytes(data[start + 8:start + 12], "big"), length - size,
                  _options(data[start + TCP_HLEN:start + size]))


def _options(data: bytes) -> list[tuple[int, bytes]]:
    found: list[tuple[int, bytes]] = []
    while data and data[0] != _END:
        if data[0] == _NOP:
            data = data[1:]
            continue
        if len(data) < 2 or not 2 <= data[1] <= len(data):
            found.append(_BROKEN)
            break
        found.append((data[0], data[2:data[1]]))
        data = data[data[1]:]
    return found


def _after(left: int, right: int) -> bool:
    """Return whether a number of 32 bits that wraps comes after another one."""
    return 0 < (left - right) % (1 << 32) < _HALF


def _may_go(old: TcpAck, new: TcpAck) -> bool:
    """Return whether `new` says all that the pure acknowledgment `old` says."""
    if old.flags & _FIXED != _ACK or old.data or _after(old.ack, new.ack) or not _plain(old, new):
        return False
    more = _compare_sacks(old, new)
    return more > 0 or (more == 0 and old.ack != new.ack)


def _plain(old: TcpAck, new: TcpAck) -> bool:
    """Return whether an acknowledgment has no options that must not be lost, or are broken (cake_tcph_may_drop)."""
    stamps = next((value for kind, value in new.options if kind == _TIMESTAMP and len(value) == _TIMESTAMP_VALUE),
                  bytes(_TIMESTAMP_VALUE))
    for kind, value in old.options:
        if kind == _TIMESTAMP:
            if len(value) != _TIMESTAMP_VALUE or any(
                    _after(int.from_bytes(value[at:at + 4], "big"), int.from_bytes(stamps[at:at + 4], "big"))
                    for at in (0, 4)):
                return False
        elif kind == _SACK:
            if len(value) % 8:
                return False
        elif kind != _MD5:
            return False
    return True


def _sacks(header: TcpAck) -> list[tuple[int, int]]:
    value = next((value for kind, value in header.options if kind == _SACK), b"")
    return [(int.from_bytes(value[at:at + 4], "big"), int.from_bytes(value[at + 4:at + 8], "big"))
            for at in range(0, len(value) - 7, 8)]


def _compare_sacks(old: TcpAck, new: TcpAck) -> int:
    """Return 1 if `new` has more selective acknowledgments than `old`, 0 if it has the same, -1 if it lacks some."""
    before, now = _sacks(old), _sacks(new)
    if not before or not now:
        return bool(now) - bool(before)
    for start, end in before:
        if _after(old.ack, start):
            return -1  # a duplicate: it must not be lost
        if not any(not _after(left, start) and not _after(end, right) for left, right in now):
            return -1
    size, more = (sum((end - start) % (1 << 32) for start, end in blocks) for blocks in (before, now))
    return int(more > size)
