"""Packets that a device will cut into segments: what qdiscs count as their length.

Source: qdisc_pkt_len_segs_init, net/core/dev.c, Linux 7.2.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from ebpfvm.kernel.skb import network_offset

if TYPE_CHECKING:
    from ebpfvm.kernel.skb import SkBuff

_TCP: Final = 6
_UDP: Final = 17
_UDP_HEADER: Final = 8
_IP6_HEADER: Final = 40


def count_segments(skb: SkBuff) -> None:
    """Set the number of segments of a packet with `gso_size`, and its length on the wire, with headers for each."""
    headers = _headers(skb)
    payload = skb.len - headers
    if not headers or payload <= 0:
        return
    skb.gso_segs = -(-payload // skb.gso_size)
    skb.wire_len = skb.len + (skb.gso_segs - 1) * headers


def _headers(skb: SkBuff) -> int:
    """Return the length of the headers up to the payload; 0 for packets other than TCP and UDP over IP."""
    data, start = skb.payload(), network_offset(skb)
    if len(data) < start + _IP6_HEADER:
        return 0
    if data[start] >> 4 == 4:
        protocol, end = data[start + 9], start + 4 * (data[start] & 15)
    else:
        protocol, end = data[start + 6], start + _IP6_HEADER
    if protocol == _UDP:
        return end + _UDP_HEADER
    return end + 4 * (data[end + 12] >> 4) if protocol == _TCP and len(data) > end + 12 else 0
