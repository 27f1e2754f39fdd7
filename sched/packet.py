"""Building packets: the bytes of headers, one around the other, and of whole frames.

All packets are built here: for generated traffic, the TCP sender, test runs without a packet of their own, captures of
other link layers, and tests. `ebpfvm.sched.flow_key` and `ebpfvm.sched.tc.dissect` read packets.

>>> from ebpfvm.net import ETH_P_IP, IPPROTO_UDP
>>> frame = ether(ETH_P_IP, ipv4(udp(1000, 53, b"hello"), IPPROTO_UDP, "10.0.0.1", "10.0.0.2"))
>>> len(frame), checksum(frame[14:34])
(47, 0)
"""

from __future__ import annotations

import struct
from ipaddress import ip_address
from typing import Final, TypedDict, Unpack

from ebpfvm.checked import known
from ebpfvm.errors import UsageError
from ebpfvm.net import (
    ETH_HLEN,
    ETH_P_8021Q,
    ETH_P_IP,
    ETH_P_IPV6,
    IPPROTO_TCP,
    IPPROTO_UDP,
    IPV4_HLEN,
    IPV6_HLEN,
    TCP_HLEN,
    UDP_HLEN,
    VLAN_HLEN,
)

TCP_ACK: Final = 0x10
SRC, DST = b"\x02\0\0\0\0\x01", b"\x02\0\0\0\0\x02"
"""The addresses of frames for which nobody says others."""

_NUMBERS: Final = {"tcp": IPPROTO_TCP, "udp": IPPROTO_UDP}
_DONT_FRAGMENT: Final = 0x4000


def checksum(data: bytes) -> int:
    """Return the Internet checksum (RFC 1071) of `data`, for a header that has 0 in its place."""
    if len(data) & 1:
        data += b"\0"
    # Sums of 16-bit words are the same modulo 0xffff as the whole read as one number.
    total = int.from_bytes(data, "big")
    folded = total % 0xFFFF if total else 0
    return ~(folded or (0xFFFF if total else 0)) & 0xFFFF


# ---- headers around a payload -----------------------------------------------------------------------------------

def ether(kind: int, payload: bytes, *, dst: bytes = DST, src: bytes = SRC, vlan: int | None = None) -> bytes:
    """Return an Ethernet frame, with an 802.1Q tag if `vlan` is a tag's control information."""
    tag = b"" if vlan is None else struct.pack("!HH", ETH_P_8021Q, vlan)
    return dst + src + tag + struct.pack("!H", kind) + payload


class Ipv4Fields(TypedDict, total=False):
    """Fields of an IPv4 header: TOS byte, identification, flags and fragment offset, TTL.

    By default, the packet must not be fragmented.
    """

    tos: int
    ident: int
    frag: int
    ttl: int


def ipv4(payload: bytes, proto: int, src: str | bytes, dst: str | bytes, **fields: Unpack[Ipv4Fields]) -> bytes:
    """Return an IPv4 packet without options; its header's checksum is right."""
    known("ipv4", fields, Ipv4Fields.__annotations__)
    start = struct.pack("!BBHHHBB", 0x45, fields.get("tos", 0), IPV4_HLEN + len(payload), fields.get("ident", 0),
                        fields.get("frag", _DONT_FRAGMENT), fields.get("ttl", 64), proto)
    ends = _packed(src) + _packed(dst)
    return start + struct.pack("!H", checksum(start + b"\0\0" + ends)) + ends + payload


def ipv6(payload: bytes, proto: int, src: str | bytes, dst: str | bytes, tos: int = 0) -> bytes:
    """Return an IPv6 packet with the traffic class `tos`."""
    return struct.pack("!IHBB", 6 << 28 | tos << 20, len(payload), proto, 64) + _packed(src) + _packed(dst) + payload


class TcpFields(TypedDict, total=False):
    """Fields of a TCP header: sequence numbers, flags (by default ACK), window, checksum, options (of whole words)."""

    seq: int
    ack: int
    flags: int
    window: int
    check: int
    options: bytes


def tcp(sport: int, dport: int, payload: bytes = b"", **fields: Unpack[TcpFields]) -> bytes:
    """Return a TCP segment; `with_checksum` makes its checksum right."""
    known("tcp", fields, TcpFields.__annotations__)
    options = fields.get("options", b"")
    return struct.pack("!HHIIBBHHH", sport, dport, fields.get("seq", 1), fields.get("ack", 1),
                       (5 + len(options) // 4) << 4, fields.get("flags", TCP_ACK), fields.get("window", 65535),
                       fields.get("check", 0), 0) + options + payload


def udp(sport: int, dport: int, payload: bytes = b"", check: int = 0) -> bytes:
    """Return a UDP datagram; `with_checksum` makes its checksum right, which is 0 (none) by default."""
    return struct.pack("!HHHH", sport, dport, UDP_HLEN + len(payload), check) + payload


def with_checksum(segment: bytes, proto: int, src: str | bytes, dst: str | bytes) -> bytes:
    """Return a TCP segment or UDP datagram whose checksum field is 0 with the right one."""
    ends, size = _packed(src) + _packed(dst), len(segment)
    pseudo = ends + (struct.pack("!BBH", 0, proto, size) if len(ends) == 8 else struct.pack("!II", size, proto))
    check = checksum(pseudo + segment)
    if proto == IPPROTO_UDP and not check:
        check = 0xFFFF  # 0 would mean that there is none
    at = 16 if proto == IPPROTO_TCP else 6
    return segment[:at] + struct.pack("!H", check) + segment[at + 2:]


def _packed(address: str | bytes) -> bytes:
    return address if isinstance(address, bytes) else ip_address(address).packed


# ---- whole frames -----------------------------------------------------------------------------------------------

class FrameFields(TypedDict, total=False):
    """Further properties of a frame that `build` returns.

    Attributes:
        length: length of the whole frame in bytes; the payload is padded with zeros to reach it.
        payload: the bytes after the last header.
        tos: TOS byte or traffic class; a DSCP is its upper six bits.
        vlan: 802.1Q tag.
        seq, ack: TCP's sequence and acknowledgment numbers.
    """

    length: int | None
    payload: bytes
    tos: int
    vlan: int | None
    seq: int
    ack: int


def build(proto: str = "udp", src: str = "10.0.0.1", dst: str = "10.0.0.2", sport: int = 1000, dport: int = 2000,
          **fields: Unpack[FrameFields]) -> bytes:
    """Return an Ethernet frame with one TCP or UDP packet and right checksums.

    Args:
        proto: "tcp" or "udp".
        src, dst: addresses, both IPv4 or both IPv6.
        sport, dport: ports.
        fields: see `FrameFields`.

    Raises:
        UsageError: the protocol is unknown, the addresses are of different families, or `length` is too small for the
            headers.
    """
    known("build", fields, FrameFields.__annotations__)
    ends = ip_address(src), ip_address(dst)
    number = _NUMBERS.get(proto)
    if number is None or ends[0].version != ends[1].version:
        raise UsageError(f"cannot build a packet of {proto!r} from {src} to {dst}")
    four = ends[0].version == 4
    vlan, tos = fields.get("vlan"), fields.get("tos", 0)
    head = (ETH_HLEN + (0 if vlan is None else VLAN_HLEN) + (IPV4_HLEN if four else IPV6_HLEN)
            + (TCP_HLEN if number == IPPROTO_TCP else UDP_HLEN))
    payload = _padded(proto, head, fields)
    segment = udp(sport, dport, payload) if number == IPPROTO_UDP else tcp(
        sport, dport, payload, seq=fields.get("seq", 1), ack=fields.get("ack", 1))
    segment = with_checksum(segment, number, ends[0].packed, ends[1].packed)
    if four:
        return ether(ETH_P_IP, ipv4(segment, number, ends[0].packed, ends[1].packed, tos=tos), vlan=vlan)
    return ether(ETH_P_IPV6, ipv6(segment, number, ends[0].packed, ends[1].packed, tos), vlan=vlan)


def _padded(proto: str, head: int, fields: FrameFields) -> bytes:
    """Return the payload, padded with zeros to the requested length less the `head` bytes of headers."""
    payload, length = fields.get("payload", b""), fields.get("length")
    least = head + len(payload)
    if length is not None and not least <= length <= 65535:
        raise UsageError(f"a {proto} packet of {length} bytes: it needs {least} to 65535")
    return payload + bytes((length or least) - least)
