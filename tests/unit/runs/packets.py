"""Packets that the networking programs here are run on, and contexts."""

from __future__ import annotations

import struct

_MAC = bytes.fromhex("0200000000010a0000000002")


def _sum(data: bytes) -> int:
    total = sum(struct.unpack(f">{len(data) // 2}H", data))
    total = (total & 0xFFFF) + (total >> 16)
    return ~((total & 0xFFFF) + (total >> 16)) & 0xFFFF


def ip4(payload: bytes, proto: int, src: str = "0a010203", dst: str = "c0a80709", frag: int = 0) -> bytes:
    """An IPv4 packet without options."""
    head = struct.pack(">BBHHHBBH", 0x45, 0, 20 + len(payload), 7, frag, 64, proto, 0) + bytes.fromhex(src + dst)
    return head[:10] + struct.pack(">H", _sum(head)) + head[12:] + payload


def ip6(payload: bytes, proto: int) -> bytes:
    """An IPv6 packet."""
    return struct.pack(">IHBB", 6 << 28, len(payload), proto, 64) + bytes(range(1, 33)) + payload


def _tcp(flags: int, payload: bytes = b"", options: bytes = b"") -> bytes:
    return struct.pack(">HHIIBBHHH", 4321, 80, 1000, 2000, (5 + len(options) // 4) << 4, flags, 500, 0x1234,
                       0) + options + payload


def _udp(dport: int, payload: bytes) -> bytes:
    return struct.pack(">HHHH", 5353, dport, 8 + len(payload), 0xABCD) + payload


_DNS = struct.pack(">6H", 0x77, 0x100, 1, 0, 0, 0) + b"\x07example\x03com\x00" + struct.pack(">HH", 1, 1)
_V4, _V6 = b"\x08\x00", b"\x86\xdd"
_SYN = _tcp(2, options=bytes([2, 4, 5, 0xB4, 1, 3, 3, 7]))
_INNER = ip4(_udp(9, b"inner payload"), 17, "0a000001", "0a000002")

PACKETS: dict[str, bytes] = {
    "syn": _MAC + _V4 + ip4(_SYN, 6),
    "http": _MAC + _V4 + ip4(_tcp(24, b"GET /index.html HTTP/1.1\r\nHost: example.com\r\n\r\n"), 6),
    "dns": _MAC + _V4 + ip4(_udp(53, _DNS), 17),
    "icmp": _MAC + _V4 + ip4(bytes([8, 0, 0x12, 0x34, 0, 1, 0, 1]) + bytes(range(32)), 1),
    "tcp6": _MAC + _V6 + ip6(_tcp(16, b"data"), 6),
    "udp6": _MAC + _V6 + ip6(bytes([17, 0, 0, 0, 0, 0, 0, 0]) + _udp(53, _DNS), 0),
    "arp": bytes.fromhex("ffffffffffff0a0000000002 0806") + bytes(range(46)),
    "vlan": _MAC + bytes.fromhex("8100a064") + _V4 + ip4(_udp(7, b"tagged"), 17),
    "gre": _MAC + _V4 + ip4(bytes.fromhex("00000800") + _INNER, 47),
    "ipip": _MAC + _V4 + ip4(_INNER, 4),
    "fragment": _MAC + _V4 + ip4(bytes(range(64)), 17, frag=0x2010),
    "long": _MAC + _V4 + ip4(_udp(4789, bytes(range(256)) * 4), 17),
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
