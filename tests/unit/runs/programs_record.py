"""Runs of the networking programs here, and a digest of each outcome that is short enough to keep."""

from __future__ import annotations

import hashlib
import struct
from collections.abc import Iterator, Mapping

from ebpfvm.dialects import linux
from ebpfvm.loader.object import Object, Program
from tests.unit.runs.packets import PACKETS, contexts

OBJECTS = ("parsers", "rewriting", "tunnels", "filters", "devices")
_PERCPU = frozenset({"percpu_array", "percpu_hash", "lru_percpu_hash"})
_WITHOUT_KEYS = frozenset({"prog_array", "ringbuf", "queue", "stack", "bloom_filter", "perf_event_array"})

Content = Mapping[str, Mapping[bytes, bytes]]


def runs(found: Object) -> Iterator[tuple[Program, str, str, bytes, int, bytes]]:
    """Program, its type, name of the packet, packet, number of the context, context."""
    for program in found.programs.values():
        kind = linux((6, 18)).prog_type(program.type).name
        for name, data in PACKETS.items():
            for number, ctx in enumerate(contexts(kind, data)):
                yield program, kind, name, data, number, ctx


def digest(retval: int, data: bytes, ctx: bytes, maps: Content, kinds: Mapping[str, tuple[str, int]]) -> str:
    """Twelve characters that stand for an outcome. Values of the CPUs are added up, as nobody knows where it ran."""
    state = hashlib.sha256(struct.pack("<I", retval) + data + b"|" + ctx)
    for name in sorted(maps):
        kind, size = kinds.get(name, ("", 0))
        if kind in _WITHOUT_KEYS or not kind:
            continue
        state.update(name.encode())
        for key in sorted(maps[name]):
            value = maps[name][key]
            state.update(key + (_added(value, size) if kind in _PERCPU else value))
    return state.hexdigest()[:12]


def _added(value: bytes, size: int) -> bytes:
    step = -(-size // 8) * 8
    words = [sum(struct.unpack_from("<Q", value, start + at)[0] for start in range(0, len(value), step)) & (1 << 64) - 1
             for at in range(0, step, 8)]
    return struct.pack(f"<{len(words)}Q", *words)
