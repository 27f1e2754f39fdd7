"""Guest: queueing disciplines over rtnetlink: add one with raw options, read counters and options."""

from __future__ import annotations

import os
import socket
import struct
from collections.abc import Iterator

RTM_NEWQDISC, RTM_GETQDISC, NLMSG_ERROR, NLMSG_DONE = 36, 38, 2, 3
REQUEST, ACK, CREATE, EXCL, DUMP = 1, 4, 0x400, 0x200, 0x300
ROOT = 0xFFFFFFFF
TCA_KIND, TCA_OPTIONS, TCA_STATS2 = 1, 2, 7
COUNTERS = ("qlen", "backlog", "drops", "requeues", "overlimits")
_line = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, 0)
_line.bind((0, 0))


def attribute(kind: int, data: bytes) -> bytes:
    return struct.pack("HH", 4 + len(data), kind) + data + b"\0" * (-len(data) % 4)


def attributes(data: bytes) -> Iterator[tuple[int, bytes]]:
    while len(data) >= 4:
        size, kind = struct.unpack_from("HH", data)
        if size < 4:
            return
        yield kind & 0x3FFF, data[4:size]
        data = data[(size + 3) & ~3 :]


def _messages() -> Iterator[tuple[int, bytes]]:
    while True:
        data = _line.recv(1 << 17)
        while data:
            size, kind = struct.unpack_from("IH", data)
            yield kind, data[16:size]
            if kind in (NLMSG_DONE, NLMSG_ERROR):
                return
            data = data[(size + 3) & ~3 :]


def set_qdisc(ifindex: int, handle: int, kind: str, options: bytes | None, create: bool = True) -> int:
    """RTM_NEWQDISC at the root with these bytes as TCA_OPTIONS; the errno, 0 when it was done."""
    body = struct.pack("BBHiIII", 0, 0, 0, ifindex, handle, ROOT, 0) + attribute(TCA_KIND, kind.encode() + b"\0")
    if options is not None:
        body += attribute(TCA_OPTIONS, options)
    flags = REQUEST | ACK | (CREATE | EXCL if create else 0)
    _line.send(struct.pack("IHHII", 16 + len(body), RTM_NEWQDISC, flags, 1, 0) + body)
    for kind_, message in _messages():
        if kind_ == NLMSG_ERROR:
            return -struct.unpack_from("i", message)[0]
    return 0


def read(ifindex: int) -> dict | None:
    """The root qdisc: kind, options (hex), stats and xstats (hex); None when there is none."""
    _line.send(struct.pack("IHHIIBBHiIII", 36, RTM_GETQDISC, REQUEST | DUMP, 1, 0, 0, 0, 0, ifindex, 0, 0, 0))
    found = None
    for kind, message in _messages():
        if kind != RTM_NEWQDISC:
            continue
        index, parent = struct.unpack_from("i", message, 4)[0], struct.unpack_from("I", message, 12)[0]
        if index == ifindex and parent == ROOT:
            found = _qdisc(dict(attributes(message[20:])))
    return found


def _qdisc(parts: dict[int, bytes]) -> dict:
    stats = dict(attributes(parts.get(TCA_STATS2, b"")))
    size, packets = struct.unpack_from("QI", stats[1])
    counters = dict(zip(COUNTERS, struct.unpack_from("5I", stats[3]), strict=True))
    return {
        "kind": parts[TCA_KIND].rstrip(b"\0").decode(),
        "options": parts.get(TCA_OPTIONS, b"").hex(),
        "stats": {
            "qlen": counters.pop("qlen"),
            "backlog": counters.pop("backlog"),
            "packets": packets,
            "bytes": size,
            **counters,
        },
        "xstats": stats.get(4, b"").hex(),
    }


def classes(ifindex: int) -> dict:
    """Each class: [bytes, packets, qlen, backlog, drops, overlimits] by minor number."""
    _line.send(struct.pack("IHHIIBBHiIII", 36, 42, REQUEST | DUMP, 1, 0, 0, 0, 0, ifindex, 0, 0, 0))
    found = {}
    for kind, message in _messages():
        if kind != 40:
            continue
        index, handle = struct.unpack_from("iI", message, 4)
        if index != ifindex:
            continue
        parts = dict(attributes(message[20:]))
        stats = dict(attributes(parts.get(TCA_STATS2, b"")))
        size, packets = struct.unpack_from("QI", stats[1]) if 1 in stats else (0, 0)
        qlen, backlog, drops, _, over = struct.unpack_from("5I", stats[3]) if 3 in stats else (0,) * 5
        found[f"{handle >> 16:x}:{handle & 0xFFFF:x}"] = [size, packets, qlen, backlog, drops, over]
    return found


def reason(errno: int) -> str:
    return os.strerror(errno)
