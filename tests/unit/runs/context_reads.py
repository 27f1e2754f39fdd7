"""What programs read of their context and of its socket in a test run: every field, size and offset, in a few
programs. `record(run)` asks a kernel; the test compares both engines with what Linux 6.18 said."""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterator

from ebpfvm.dialects import linux
from ebpfvm.isa.insn import Insn
from ebpfvm.kernel.layouts import layout_of

TYPES = {"socket_filter": 1, "sched_cls": 3, "cgroup_skb": 8, "lwt_xmit": 12}
ROOM = 48  # reads of one program
_LOADS = {1: 0x71, 2: 0x69, 4: 0x61, 8: 0x79}
_IPV4 = bytes([0x45, 0, 0, 50, 1, 2, 3, 4, 64, 17, 0, 0, 10, 1, 2, 3, 192, 168, 7, 9])
_IPV6 = bytes([0x60, 0, 0, 0, 0, 20, 17, 64]) + bytes(range(1, 33))
PACKETS = {"ipv4": bytes(12) + b"\x08\x00" + _IPV4 + bytes(range(60)),
           "ipv6": bytes([2] * 6) + bytes(6) + b"\x86\xdd" + _IPV6 + bytes(30),
           "arp": bytes([1] * 6) + bytes(6) + b"\x08\x06" + bytes(range(50))}


def context() -> bytes:
    """A context with every field set that Linux takes."""
    raw = bytearray(192)
    for off, value in ((8, 0x11223344), (32, 0xAABBCCDD), (36, 1), (40, 1), (160, 200), (164, 3), (176, 0x1234),
                       *((48 + 4 * index, 0x01020304 * (index + 1)) for index in range(5))):
        struct.pack_into("<I", raw, off, value)
    struct.pack_into("<Q", raw, 152, 0x1122334455667788)
    struct.pack_into("<Q", raw, 184, 0x99AABBCCDDEEFF01)
    return bytes(raw)


def inputs() -> Iterator[tuple[str, bytes, bytes]]:
    """Name, packet and context of each run."""
    for name, packet in PACKETS.items():
        yield name, packet, b""
    yield "ipv4 with a context", PACKETS["ipv4"], context()


def reads(kind: str) -> list[tuple[str, int, int]]:
    """All loads that programs of a type may make: ("ctx" or "sock", offset, size)."""
    layout = layout_of(linux((6, 18)).prog_type(kind))
    found = [("ctx", off, size) for off in range(layout.size) for size in _LOADS
             if (how := layout.reading(off, size)) is not None and how.field.access == "scalar"]
    if kind in ("sched_cls", "cgroup_skb"):
        fields = linux((6, 18)).prog_type("cgroup_sock").fields
        found += [("sock", off, size) for item in fields for off in range(item.off, item.end) for size in (1, 2, 4)
                  if item.read and item.allows(off, size, write=False)]
    return found


def programs(kind: str) -> Iterator[tuple[list[tuple[str, int, int]], list[Insn]]]:
    """The loads of each program, and its code, which puts them into the array with index 0."""
    found = reads(kind)
    for at in range(0, len(found), ROOM):
        part = found[at:at + ROOM]
        yield part, code(part)


def code(part: list[tuple[str, int, int]]) -> list[Insn]:
    """A program that makes these loads."""
    socket = [Insn(0x79, 1, 6, 168), Insn(0x55, 1, 0, 2), Insn(0xB7, 0, 0, 0, 0), Insn(0x95), Insn(0x85, 0, 0, 0, 95),
              Insn(0x55, 0, 0, 2), Insn(0xB7, 0, 0, 0, 0), Insn(0x95), Insn(0xBF, 7, 0)]
    body = [Insn(_LOADS[size], 1, 7 if what == "sock" else 6, off) for what, off, size in part]
    stores = [each for index, load in enumerate(body) for each in (load, Insn(0x7B, 8, 1, 8 * index))]
    return [Insn(0xBF, 6, 1), *(socket if any(what == "sock" for what, _, _ in part) else []),
            Insn(0x18, 8, 2, 0, 0), Insn(0), *stores, Insn(0xB7, 0, 0, 0, 1), Insn(0x95)]


def record(run: Callable[[str, list[Insn], bytes, bytes], bytes]) -> dict[str, dict[str, list[list[int]]]]:
    """What `run(type, code, packet, context)` (the array's value) gives: type -> input -> numbers of each program."""
    return {kind: {name: [list(struct.unpack(f"<{len(part)}Q", run(kind, made, packet, ctx)[:8 * len(part)]))
                          for part, made in programs(kind)] for name, packet, ctx in inputs()} for kind in TYPES}
