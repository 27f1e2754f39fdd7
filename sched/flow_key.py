"""Reading packets: the flow of a packet, and the priority that its DSCP implies. `ebpfvm.sched.packet` builds them.

Supported are Ethernet or bare IP, VLAN tags (802.1Q, 802.1ad), IPv4, IPv6 with extension headers, TCP and UDP. A
truncated or malformed packet is still a packet: its flow is determined by the headers that could be parsed.
"""

from __future__ import annotations

from functools import lru_cache
from ipaddress import IPv6Address

from ebpfvm.errors import UsageError
from ebpfvm.lazy_tuples import NamedTuple
from ebpfvm.net import (
    ETH_HLEN,
    ETH_P_8021AD,
    ETH_P_8021Q,
    ETH_P_ARP,
    ETH_P_IP,
    ETH_P_IPV6,
    ETH_P_LLDP,
    IPPROTO_ESP,
    IPPROTO_FRAGMENT,
    IPPROTO_GRE,
    IPPROTO_ICMP,
    IPPROTO_ICMPV6,
    IPPROTO_IGMP,
    IPPROTO_SCTP,
    IPPROTO_TCP,
    IPPROTO_UDP,
    IPV4_HLEN,
    IPV6_EXTENSIONS,
    IPV6_HLEN,
    RAW_ETH_P_IP,
    RAW_ETH_P_IPV6,
    VLAN_HLEN,
)
from ebpfvm.sched.linktypes import ETHERNET

PRIORITY_RULES = ("tos", "precedence", "dscp", "none")
IP_TOS2PRIO = (0, 0, 0, 0, 2, 2, 2, 2, 6, 6, 6, 6, 4, 4, 4, 4)
"""TOS bits to TC_PRIO_* (Linux net/ipv4/route.c, ip_tos2prio): best effort 0, bulk 2, interactive 6 and 4."""

_VLAN_TYPES = (ETH_P_8021Q, ETH_P_8021AD)
_PROTO_NAMES = {IPPROTO_ICMP: "icmp", IPPROTO_IGMP: "igmp", IPPROTO_TCP: "tcp", IPPROTO_UDP: "udp", IPPROTO_GRE: "gre",
                IPPROTO_ESP: "esp", IPPROTO_ICMPV6: "icmp6", IPPROTO_SCTP: "sctp"}
_ETHER_NAMES = {ETH_P_ARP: "arp", ETH_P_IP: "ip", ETH_P_IPV6: "ip6", ETH_P_LLDP: "lldp"}


class FlowKey(NamedTuple):
    """What the packets of one flow have in common.

    `proto` is an IP protocol, or 0x10000 + an Ethernet type for anything else; addresses are IP or MAC addresses in
    network byte order; ports are 0 without TCP or UDP (and in later fragments).
    """

    proto: int
    src: bytes
    dst: bytes
    sport: int
    dport: int

    def __str__(self) -> str:
        proto, src, dst, sport, dport = self
        if proto in (IPPROTO_UDP, IPPROTO_TCP):
            return f"{_PROTO_NAMES[proto]} {_host(src)}:{sport} > {_host(dst)}:{dport}"
        return f"{self.proto_name} {_address(src)} > {_address(dst)}"

    @property
    def proto_name(self) -> str:
        """The name of the protocol, as in "tcp", "arp", "proto-99", "ether-0x1234"."""
        if self.proto >= 0x10000:
            return _ETHER_NAMES.get(self.proto - 0x10000, f"ether-{self.proto - 0x10000:#06x}")
        return _PROTO_NAMES.get(self.proto, f"proto-{self.proto}")


def _address(address: bytes) -> str:
    if len(address) == 4:
        return ".".join(map(str, address))
    if len(address) == 16:
        return str(IPv6Address(address))
    return address.hex(":") or "?"


@lru_cache(1024)
def _host(address: bytes) -> str:
    """Return an address as it stands before a port; kept, because the flows of a run often have one end in common."""
    return f"[{_address(address)}]" if len(address) == 16 else _address(address)


class Headers(NamedTuple):
    """The result of `parse`.

    It has the flow, the Ethernet type after any tags (as skb->protocol of a packet sent from user space), the TOS or
    traffic class byte (None if the packet is not IP), the VLAN id (None if it is untagged), and the offset of layer 3.
    """

    flow: FlowKey
    protocol: int
    tos: int | None
    vlan: int | None
    network: int


def parse(data: bytes, link: int = ETHERNET) -> Headers:
    """Return a packet's headers; never fails, whatever the bytes."""
    vlan = None
    if link == ETHERNET:
        if len(data) < ETH_HLEN:
            return Headers(FlowKey(0x10000, data[6:12], data[:6], 0, 0), 0, None, None, len(data))
        protocol = kind = data[12] << 8 | data[13]
        at = ETH_HLEN
        while kind in _VLAN_TYPES and len(data) >= at + VLAN_HLEN:
            vlan = (data[at] << 8 | data[at + 1]) & 0xFFF
            kind = data[at + 2] << 8 | data[at + 3]
            at += 4
    else:
        at = 0
        kind = protocol = {4: ETH_P_IP, 6: ETH_P_IPV6}.get(data[0] >> 4 if data else 0, 0)
    if kind == ETH_P_IP and len(data) >= at + IPV4_HLEN and data[at] >> 4 == 4:
        flow, tos = _ipv4(data, at), data[at + 1]
    elif kind == ETH_P_IPV6 and len(data) >= at + IPV6_HLEN and data[at] >> 4 == 6:
        flow, tos = _ipv6(data, at), (data[at] << 8 | data[at + 1]) >> 4 & 0xFF
    else:
        return Headers(FlowKey(0x10000 + kind, data[6:12], data[:6], 0, 0), protocol, None, vlan, at)
    return Headers(flow, protocol, tos, vlan, at)


def _ports(data: bytes, at: int, proto: int) -> tuple[int, int]:
    if proto in (IPPROTO_TCP, IPPROTO_UDP) and len(data) >= at + 4:
        return data[at] << 8 | data[at + 1], data[at + 2] << 8 | data[at + 3]
    return 0, 0


def _ipv4(data: bytes, at: int) -> FlowKey:
    proto = data[at + 9]
    later_fragment = (data[at + 6] & 0x1F) | data[at + 7]
    ports = (0, 0) if later_fragment else _ports(data, at + 4 * (data[at] & 15), proto)
    return FlowKey(proto, data[at + 12:at + 16], data[at + 16:at + 20], *ports)


def _ipv6(data: bytes, at: int) -> FlowKey:
    proto, head, ports = data[at + 6], at + IPV6_HLEN, (0, 0)
    later_fragment = False
    while proto in (*IPV6_EXTENSIONS, IPPROTO_FRAGMENT) and len(data) >= head + 8:
        if proto == IPPROTO_FRAGMENT:
            later_fragment = bool((data[head + 2] << 8 | data[head + 3]) >> 3)
            proto, head = data[head], head + 8
        else:
            proto, head = data[head], head + 8 * (data[head + 1] + 1)
    if not later_fragment:
        ports = _ports(data, head, proto)
    return FlowKey(proto, data[at + 8:at + 24], data[at + 24:at + 40], *ports)


def priority_of(headers: Headers, rule: str = "tos") -> int:
    """Return skb->priority of a packet.

    `tos` is what Linux sets for IPv4 packets that it forwards or whose socket has IP_TOS (rt_tos2priority;
    include/net/route.h); IPv6 yields 0, and the table was not made for DSCP values. `precedence` is the upper three
    bits of the DSCP, 0 to 7. `dscp` is all six, 0 to 63. `none` is 0.

    Raises:
        UsageError: there is no such rule.
    """
    if rule not in PRIORITY_RULES:
        raise UsageError(f"priority rule {rule!r}: expected one of {', '.join(PRIORITY_RULES)}")
    if headers.tos is None or rule == "none":
        return 0
    if rule == "tos":
        return IP_TOS2PRIO[(headers.tos & 0x1E) >> 1] if len(headers.flow.src) == 4 else 0
    return headers.tos >> (5 if rule == "precedence" else 2)


# ---- recognising a flow without parsing -----------------------------------------------------------------------

def _mask(size: int, *hidden: tuple[int, int]) -> int:
    """Return a big-endian mask of `size` bytes that blanks the given (start, end) ranges."""
    keep = bytearray(b"\xff" * size)
    for start, end in hidden:
        keep[start:end] = bytes(end - start)
    return int.from_bytes(keep, "big")


# Offsets from the Ethernet type on: total length and id, TTL, header checksum; flow label's low half, payload length
# and hop limit. The remaining bytes decide flow, priority and protocol.
_IP4_WITHOUT_OPTIONS = RAW_ETH_P_IP + b"\x45"
_IP4_MASK = _mask(26, (4, 8), (10, 11), (12, 14))
_IP6_MASK = _mask(46, (4, 8), (9, 10))


def flow_mark(data: bytes) -> int | None:
    """Return a number that is equal for packets that `parse` reads alike, or None if only parsing can tell."""
    kind = data[12:15]
    if kind == _IP4_WITHOUT_OPTIONS:
        if len(data) >= 38 and data[23] in (IPPROTO_TCP, IPPROTO_UDP):
            return int.from_bytes(data[12:38], "big") & _IP4_MASK
    elif kind[:2] == RAW_ETH_P_IPV6 and len(data) >= 58 and data[20] in (IPPROTO_TCP, IPPROTO_UDP):
        return int.from_bytes(data[12:58], "big") & _IP6_MASK
    return None
