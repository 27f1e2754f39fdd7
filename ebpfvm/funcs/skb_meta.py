"""Helpers for packet metadata: hash, type, timestamp, congestion mark, socket (net/core/filter.c, Linux 7.2)."""

from __future__ import annotations

import zlib
from typing import TYPE_CHECKING, Final

from ebpfvm.contract import helper
from ebpfvm.contract.args import Anything, BtfSockCommon, Integer, Skb
from ebpfvm.errnos import EINVAL, EOPNOTSUPP
from ebpfvm.funcs.packet_bytes import get, network_offset, put
from ebpfvm.ints import U32_MAX
from ebpfvm.net import BE_ETH_P_IP, BE_ETH_P_IPV6, IPV4_HLEN, IPV6_HLEN, PACKET_OTHERHOST

if TYPE_CHECKING:
    from ebpfvm.kernel import CallEnv, SkBuff

SKB_CLOCK_REALTIME, SKB_CLOCK_TAI = 0, 2
_OVERFLOW_UID: Final = 65534
_PORTS: Final = frozenset({6, 17, 33, 132, 136})  # TCP, UDP, DCCP, SCTP, UDP-Lite


def flow_of(data: bytes, at: int, protocol: int) -> bytes:
    """Return the input of the flow hash: addresses in order, protocol, ports.

    Args:
        data: the packet.
        at: offset of its network header.
        protocol: its `skb->protocol`.
    """
    if protocol == BE_ETH_P_IP:
        header = data[at:at + IPV4_HLEN]
        if len(header) < IPV4_HLEN:
            return b""
        fragment = int.from_bytes(header[6:8], "big") & 0x1FFF
        ports = b"" if fragment else _ports(data, header[9], at + 4 * (header[0] & 15))
        return _ordered(header[12:16], header[16:20], ports) + header[9:10]
    if protocol == BE_ETH_P_IPV6:
        header = data[at:at + IPV6_HLEN]
        if len(header) < IPV6_HLEN:
            return b""
        return _ordered(header[8:24], header[24:40], _ports(data, header[6], at + IPV6_HLEN)) + header[6:7]
    return data[:12] + protocol.to_bytes(2, "little")


def _ports(data: bytes, protocol: int, at: int) -> bytes:
    ports = data[at:at + 4]
    return ports if protocol in _PORTS and len(ports) == 4 else b""


def _ordered(src: bytes, dst: bytes, ports: bytes) -> bytes:
    """Return addresses and ports in an order that is the same for both directions (__flow_hash_consistentify)."""
    ends = sorted([(src, ports[:2]), (dst, ports[2:])])
    return b"".join(address + port for address, port in ends)


def hash_of(skb: SkBuff) -> int:
    """Return the packet's flow hash, never 0, and compute it if it has none yet.

    A kernel's key is random, so only equality within a flow is meaningful. Generated flows send the same bytes again
    and again: the hash of the latest packet is kept with the flow.
    """
    found = skb.hash
    if found:
        return found
    data, protocol, flow = skb.original(), skb.protocol, skb.flow
    known = flow.hashed if flow is not None else None
    if known is not None and known[0] is data and known[1] == protocol and not skb.link_offset:
        skb.hash = found = known[2]
        return found
    skb.hash = found = zlib.crc32(flow_of(skb.payload(), network_offset(skb), protocol)) or 1
    if flow is not None and not skb.link_offset:
        flow.hashed = data, protocol, found
    return found


@helper(bare=True, of_flow=True)
def bpf_get_hash_recalc(env: CallEnv, skb: Skb) -> Integer:
    """Return the packet's flow hash, and compute it if it has none yet."""
    return hash_of(skb)


@helper()
def bpf_set_hash_invalid(env: CallEnv, skb: Skb) -> Integer:
    """Forget the flow hash, so that it is computed again when it is next needed."""
    skb.hash = 0
    return 0


@helper()
def bpf_set_hash(env: CallEnv, skb: Skb, hash: Anything) -> Integer:
    """Set the flow hash."""
    skb.hash = hash & U32_MAX
    return 0


@helper()
def bpf_skb_change_type(env: CallEnv, skb: Skb, type: Anything) -> Integer:
    """Set pkt_type to PACKET_HOST 0, BROADCAST 1, MULTICAST 2 or OTHERHOST 3; return -EINVAL for others."""
    if skb.pkt_type > PACKET_OTHERHOST or type & U32_MAX > PACKET_OTHERHOST:
        return -EINVAL
    skb.pkt_type = type & U32_MAX
    return 0


@helper()
def bpf_skb_ecn_set_ce(env: CallEnv, skb: Skb) -> Integer:
    """Mark congestion in the IP header; return 1 if the packet is marked now (or was), 0 if it is not ECN capable."""
    at = network_offset(skb)
    if skb.protocol == BE_ETH_P_IP:
        return _ipv4_set_ce(skb, at)
    header = get(skb, at, IPV6_HLEN) if skb.protocol == BE_ETH_P_IPV6 else None
    if header is None or not header[1] & 0x30:
        return 0
    put(skb, at + 1, bytes([header[1] | 0x30]))
    return 1


def _ipv4_set_ce(skb: SkBuff, at: int) -> int:
    header = get(skb, at, IPV4_HLEN)
    if header is None or not header[1] & 3:
        return 0
    if header[1] & 3 == 3:
        return 1
    change = 3 - (header[1] & 3)
    check = int.from_bytes(header[10:12], "big")
    total = (~check & 0xFFFF) + change
    put(skb, at + 1, bytes([header[1] | 3]))
    put(skb, at + 10, (~(total + (total >> 16)) & 0xFFFF).to_bytes(2, "big"))
    return 1


@helper()
def bpf_skb_set_tstamp(env: CallEnv, skb: Skb, tstamp: Anything, tstamp_type: Anything) -> Integer:
    """Set the (delivery) time in ns of the clock REALTIME 0, MONOTONIC 1 or TAI 2.

    Return -EOPNOTSUPP for packets that are not IP, -EINVAL for another clock, or for time 0 of the last two.
    """
    tstamp_type &= U32_MAX
    if skb.protocol not in (BE_ETH_P_IP, BE_ETH_P_IPV6):
        return -EOPNOTSUPP
    if tstamp_type > SKB_CLOCK_TAI or (tstamp_type != SKB_CLOCK_REALTIME and not tstamp):
        return -EINVAL
    skb.tstamp = tstamp
    skb.tstamp_type = tstamp_type
    return 0


@helper()
def bpf_get_route_realm(env: CallEnv, skb: Skb) -> Integer:
    """Return the realm of the packet's route: 0, as it has none."""
    return 0


@helper()
def bpf_get_socket_cookie(env: CallEnv, skb: Skb) -> Integer:
    """Return the cookie of the packet's socket, 0 if it has none."""
    sock = env.kernel.sockets.find(skb.sk)
    return sock.cookie if sock is not None else 0


@helper()
def bpf_get_socket_uid(env: CallEnv, skb: Skb) -> Integer:
    """Return the owner of the packet's socket: root, or 65534 (overflowuid) if it has none."""
    return 0 if skb.sk else _OVERFLOW_UID


@helper()
def bpf_get_socket_cookie__sock(env: CallEnv, sk: BtfSockCommon) -> Integer:
    """Return the cookie of a socket, 0 for NULL."""
    sock = env.kernel.sockets.find(sk)
    return sock.cookie if sock is not None else 0
