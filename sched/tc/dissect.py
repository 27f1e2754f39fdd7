"""What filters read from a packet: where its headers are and what they contain (net/core/flow_dissector.c, Linux 7.2).

A packet's bytes begin with the Ethernet header. VLAN tags in the bytes count as headers, as on the egress side of a
kernel; a tag that is kept outside of the bytes (`vlan_present`) comes first.
"""

from __future__ import annotations

import zlib
from functools import lru_cache
from typing import TYPE_CHECKING, Final

from ebpfvm.ints import swap16
from ebpfvm.lazy_tuples import NamedTuple
from ebpfvm.net import (
    ETH_HLEN,
    ETH_P_8021AD,
    ETH_P_8021Q,
    ETH_P_ARP,
    ETH_P_IP,
    ETH_P_IPV6,
    IPPROTO_FRAGMENT,
    IPPROTO_ICMP,
    IPPROTO_ICMPV6,
    IPPROTO_SCTP,
    IPPROTO_TCP,
    IPPROTO_UDP,
    IPV4_HLEN,
    IPV6_EXTENSIONS,
    IPV6_HLEN,
    TCP_HLEN,
    VLAN_HLEN,
)
from ebpfvm.sched.flow_key import parse
from ebpfvm.sched.packet import checksum

if TYPE_CHECKING:
    from ebpfvm.kernel.skb import SkBuff

_PORTS: Final = (IPPROTO_TCP, IPPROTO_UDP, IPPROTO_SCTP)
_VLANS: Final = (ETH_P_8021Q, ETH_P_8021AD)
_ECN_MASK, _ECN_CE = 3, 3
_ARP_HEAD: Final = bytes((0, 1, 8, 0, 6, 4))  # Ethernet, IPv4, and the lengths of their addresses


class Dissected(NamedTuple):
    """A dissected packet; missing parts are None.

    Attributes:
        src_mac, dst_mac: 48-bit numbers.
        vlans: (TCI, Ethernet type of the tag) of each tag, outermost first.
        n_proto: Ethernet type after all tags.
        network: offset of the network header.
        transport: offset of the transport header, None if dissection stops before it.
        ip_proto, tos, ttl: of IPv4 or IPv6 (traffic class, hop limit).
        src, dst: addresses as numbers.
        fragment, first: whether the packet is a fragment, and whether it is the first one.
        sport, dport: TCP, UDP or SCTP ports.
        tcp_flags: 12 bits.
        icmp: (type, code).
        arp: operation, address and MAC address of the sender, those of the target.
    """

    src_mac: int | None = None
    dst_mac: int | None = None
    vlans: tuple[tuple[int, int], ...] = ()
    n_proto: int = 0
    network: int = 0
    transport: int | None = None
    ip_proto: int | None = None
    tos: int | None = None
    ttl: int | None = None
    src: int | None = None
    dst: int | None = None
    fragment: bool = False
    first: bool = False
    sport: int | None = None
    dport: int | None = None
    tcp_flags: int | None = None
    icmp: tuple[int, int] | None = None
    arp: tuple[int, int, int, int, int] | None = None


def dissect(skb: SkBuff) -> Dissected:
    """Return the headers of a packet; never fails, whatever the bytes."""
    found = dissect_bytes(skb.payload())
    if skb.vlan_present:
        return found._replace(vlans=((skb.vlan_tci, swap16(skb.vlan_proto)), *found.vlans))
    return found


@lru_cache(maxsize=1024)
def dissect_bytes(data: bytes) -> Dissected:
    """Return the headers of bytes, as `dissect` does."""
    if len(data) < ETH_HLEN:
        return Dissected(network=len(data))
    kind, at = data[12] << 8 | data[13], ETH_HLEN
    vlans: list[tuple[int, int]] = []
    while kind in _VLANS and len(data) >= at + VLAN_HLEN:
        vlans.append((data[at] << 8 | data[at + 1], kind))
        kind = data[at + 2] << 8 | data[at + 3]
        at += 4
    base = Dissected(int.from_bytes(data[6:12], "big"), int.from_bytes(data[:6], "big"), tuple(vlans), kind, at)
    if kind == ETH_P_IP and len(data) >= at + IPV4_HLEN and data[at] >> 4 == 4 and data[at] & 15 >= 5:
        return _transport(_ipv4(base, data, at), data)
    if kind == ETH_P_IPV6 and len(data) >= at + IPV6_HLEN and data[at] >> 4 == 6:
        return _transport(_ipv6(base, data, at), data)
    return _arp(base, data, at) if kind == ETH_P_ARP else base


def _arp(base: Dissected, data: bytes, at: int) -> Dissected:
    """Read a request or reply of ARP between Ethernet and IPv4."""
    end = at + len(_ARP_HEAD) + 2 + 2 * (6 + 4)
    if data[at:at + len(_ARP_HEAD)] != _ARP_HEAD or len(data) < end:
        return base
    operation = int.from_bytes(data[at + 6:at + 8], "big")
    if operation not in (1, 2):
        return base
    places = ((14, 4), (8, 6), (24, 4), (18, 6))
    sip, sha, tip, tha = (int.from_bytes(data[at + place:at + place + size], "big") for place, size in places)
    return base._replace(arp=(operation, sip, sha, tip, tha))


def _ipv4(base: Dissected, data: bytes, at: int) -> Dissected:
    frag = data[at + 6] << 8 | data[at + 7]
    offset, more = frag & 0x1FFF, frag >> 13 & 1
    return base._replace(ip_proto=data[at + 9], tos=data[at + 1], ttl=data[at + 8],
                         src=int.from_bytes(data[at + 12:at + 16], "big"),
                         dst=int.from_bytes(data[at + 16:at + 20], "big"),
                         fragment=bool(offset or more), first=bool(more and not offset),
                         transport=at + 4 * (data[at] & 15))


def _ipv6(base: Dissected, data: bytes, at: int) -> Dissected:
    proto, head = data[at + 6], at + IPV6_HLEN
    fragment = first = False
    while proto in (*IPV6_EXTENSIONS, IPPROTO_FRAGMENT) and len(data) >= head + 8:
        if proto == IPPROTO_FRAGMENT:
            fragment, first = True, not (data[head + 2] << 8 | data[head + 3]) >> 3
            proto, head = data[head], head + 8
            if not first:
                break
        else:
            proto, head = data[head], head + 8 * (data[head + 1] + 1)
    return base._replace(ip_proto=proto, tos=(data[at] << 8 | data[at + 1]) >> 4 & 0xFF, ttl=data[at + 7],
                         src=int.from_bytes(data[at + 8:at + 24], "big"),
                         dst=int.from_bytes(data[at + 24:at + 40], "big"),
                         fragment=fragment, first=first, transport=head)


def _transport(found: Dissected, data: bytes) -> Dissected:
    """Read ports, flags and ICMP types, except for fragments, whose dissection stops at the network header."""
    at = found.transport
    if at is None or found.fragment:
        return found
    if found.ip_proto in _PORTS and len(data) >= at + 4:
        found = found._replace(sport=data[at] << 8 | data[at + 1], dport=data[at + 2] << 8 | data[at + 3])
    if found.ip_proto == IPPROTO_TCP and len(data) >= at + TCP_HLEN:
        return found._replace(tcp_flags=(data[at + 12] << 8 | data[at + 13]) & 0xFFF)
    if found.ip_proto in (IPPROTO_ICMP, IPPROTO_ICMPV6) and len(data) >= at + 2:
        return found._replace(icmp=(data[at], data[at + 1]))
    return found


def skb_protocol(skb: SkBuff) -> int:
    """Return the Ethernet type that selects filters: that of a tag kept outside of the bytes, or skb->protocol."""
    return swap16(skb.vlan_proto if skb.vlan_present else skb.protocol)


def flow_hash(skb: SkBuff, seed: int = 0) -> int:
    """Return a hash of the headers that make up a packet's flow (skb_get_hash_perturb)."""
    key = parse(skb.payload()).flow
    return zlib.crc32(b"%d %b %b %d %d" % (key.proto, key.src, key.dst, key.sport, key.dport), seed)


def skb_get_hash(skb: SkBuff) -> int:
    """Return skb->hash, computed from the packet's flow if it is 0; the key is fixed, while the kernel's is random."""
    if not skb.hash:
        skb.hash = flow_hash(skb) or 1
    return skb.hash


def set_ce(skb: SkBuff) -> bool:
    """Mark a packet "congestion experienced" (INET_ECN_set_ce); return False if it is not ECN capable."""
    headers = dissect(skb)
    if headers.tos is None or not headers.tos & _ECN_MASK:
        return False
    if headers.tos & _ECN_MASK == _ECN_CE:
        return True
    _set_tos(skb, headers, headers.tos | _ECN_CE)
    return True


def set_dscp(skb: SkBuff, dscp: int) -> None:
    """Set the code point of an IP packet, and leave its ECN bits alone."""
    headers = dissect(skb)
    if headers.tos is not None and headers.tos >> 2 != dscp:
        _set_tos(skb, headers, dscp << 2 | headers.tos & _ECN_MASK)


def _set_tos(skb: SkBuff, headers: Dissected, tos: int) -> None:
    data, at = bytearray(skb.payload()), headers.network
    if headers.n_proto == ETH_P_IP:
        data[at + 1] = tos
        data[at + 10:at + 12] = bytes(2)
        size = 4 * (data[at] & 15)
        data[at + 10:at + 12] = checksum(bytes(data[at:at + size])).to_bytes(2, "big")
    else:
        data[at] = data[at] & 0xF0 | tos >> 4
        data[at + 1] = data[at + 1] & 15 | tos << 4 & 0xF0
    rewrite(skb, data)


def rewrite(skb: SkBuff, data: bytearray) -> None:
    """Replace the bytes of a packet by as many others; its length, of which a capture may have kept less, stays."""
    if data == skb.payload():
        return
    length = skb.len
    skb.set_payload(bytes(data))
    skb.len = length
