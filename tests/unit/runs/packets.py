"""Packets that the networking programs here are run on, and contexts."""

from __future__ import annotations

import struct

from ebpfvm.net import ETH_P_ARP, ETH_P_IP, ETH_P_IPV6, IPPROTO_TCP, IPPROTO_UDP
from ebpfvm.sched.packet import ether, ipv4, ipv6, tcp, udp

_DST, _SRC = bytes.fromhex("020000000001"), bytes.fromhex("0a0000000002")
_ENDS6 = bytes(range(1, 17)), bytes(range(17, 33))
_DNS = struct.pack(">6H", 0x77, 0x100, 1, 0, 0, 0) + b"\x07example\x03com\x00" + struct.pack(">HH", 1, 1)


def ip4(payload: bytes, proto: int, src: str = "10.1.2.3", dst: str = "192.168.7.9", frag: int = 0) -> bytes:
    """Return an IPv4 packet in a frame."""
    return _frame(ETH_P_IP, ipv4(payload, proto, src, dst, ident=7, frag=frag))


def _frame(kind: int, packet: bytes, vlan: int | None = None) -> bytes:
    return ether(kind, packet, dst=_DST, src=_SRC, vlan=vlan)


def _tcp(flags: int, payload: bytes = b"", options: bytes = b"") -> bytes:
    return tcp(4321, 80, payload, seq=1000, ack=2000, flags=flags, window=500, check=0x1234, options=options)


def _udp(dport: int, payload: bytes) -> bytes:
    return udp(5353, dport, payload, check=0xABCD)


_SYN = _tcp(2, options=bytes([2, 4, 5, 0xB4, 1, 3, 3, 7]))
_INNER = ipv4(_udp(9, b"inner payload"), IPPROTO_UDP, "10.0.0.1", "10.0.0.2", ident=7, frag=0)

PACKETS: dict[str, bytes] = {
    "syn": ip4(_SYN, 6),
    "http": ip4(_tcp(24, b"GET /index.html HTTP/1.1\r\nHost: example.com\r\n\r\n"), 6),
    "dns": ip4(_udp(53, _DNS), 17),
    "icmp": ip4(bytes([8, 0, 0x12, 0x34, 0, 1, 0, 1]) + bytes(range(32)), 1),
    "tcp6": _frame(ETH_P_IPV6, ipv6(_tcp(16, b"data"), IPPROTO_TCP, *_ENDS6)),
    "udp6": _frame(ETH_P_IPV6, ipv6(bytes([17, 0, 0, 0, 0, 0, 0, 0]) + _udp(53, _DNS), 0, *_ENDS6)),
    "arp": ether(ETH_P_ARP, bytes(range(46)), dst=b"\xff" * 6, src=_SRC),
    "vlan": _frame(ETH_P_IP, ip4(_udp(7, b"tagged"), 17)[14:], vlan=0xA064),
    "gre": ip4(bytes.fromhex("00000800") + _INNER, 47),
    "ipip": ip4(_INNER, 4),
    "fragment": ip4(bytes(range(64)), 17, frag=0x2010),
    "long": ip4(_udp(4789, bytes(range(256)) * 4), 17),
}


def contexts(kind: str, data: bytes) -> list[bytes]:
    """Contexts to run a program of a type with: none, and one with fields set."""
    if kind == "xdp":
        return [b""]
    if kind not in ("sched_cls", "sched_act", "socket_filter", "cgroup_skb", "lwt_in", "lwt_out", "lwt_xmit"):
        return [b""]
    raw = bytearray(192)
    for off, value in ((8, 3), (32, 0x10001), (48, 1), (52, 2), (64, 5), (160, max(len(data), 200))):
        struct.pack_into("<I", raw, off, value)
    struct.pack_into("<Q", raw, 152, 5_000_000)
    return [b"", bytes(raw)]
