"""Every field of a context, in every size a program may use, on both engines."""

from __future__ import annotations

from typing import Any

import pytest

from ebpfvm.contract import ProgType
from ebpfvm.dialects import linux, rfc6
from ebpfvm.engine import Interpreter, Translator
from ebpfvm.isa.insn import Insn as I
from ebpfvm.kernel import Kernel, LoadedProgram, SchBpfCtx, SkbCtx, SkBuff, XdpBuff, XdpCtx
from ebpfvm.kernel.layouts import layout_of
from tests.unit.engine.rig import EXIT, MOV64_K, program

LOAD = {1: 0x71, 2: 0x69, 4: 0x61, 8: 0x79}
STORE = {1: 0x73, 2: 0x6B, 4: 0x63, 8: 0x7B}
VALUE = 0x8877_6655_4433_2211


def accesses(kind: ProgType, write: bool) -> list[tuple[int, int]]:
    layout = layout_of(kind)
    find = layout.writing if write else layout.reading
    return [(off, size) for size in LOAD for off in range(0, kind.ctx_size, size) if find(off, size) is not None]


def packet(kernel: Kernel) -> SkBuff:
    skb = SkBuff(kernel, bytes(range(50)), mark=0x01020304, priority=0xA1A2A3A4, protocol=0x0008, hash=0xFFFFFFFF,
                 tstamp=0x1122334455667788, ifindex=3, ingress_ifindex=4, tc_index=5, vlan_present=1, vlan_tci=0x123)
    skb.cb = [0x11, 0x22222222, 3, 4, 0x55555555]
    return skb


def attributes(skb: SkBuff) -> dict[str, Any]:
    names = ("mark", "priority", "cb", "tstamp", "tc_index", "tc_classid", "queue_mapping", "len", "hash")
    return {name: getattr(skb, name) for name in names}


def outcome(engine: Any, kind: str, insns: tuple[I, ...]) -> tuple[object, object]:
    kernel = Kernel(linux())
    loaded = LoadedProgram(kernel, program(*insns, type=kind), facts=())
    run = engine.load(loaded)
    if kind == "xdp":
        return run(XdpCtx(kernel, XdpBuff(kernel, bytes(20), ingress_ifindex=7, rx_queue_index=9))), None
    skb = packet(kernel)
    assert loaded.type is not None
    return run(SkbCtx(kernel, skb, layout_of(loaded.type))), attributes(skb)


@pytest.mark.parametrize("kind", ["sched_cls", "socket_filter", "xdp", "cgroup_skb"])
def test_reads(kind: str) -> None:
    found = accesses(linux().prog_type(kind), write=False)
    assert len(found) > 3
    for off, size in found:
        insns = (I(LOAD[size], 0, 1, off), I(EXIT))
        expected = outcome(Interpreter(), kind, insns)
        assert outcome(Translator(), kind, insns) == expected, (off, size)


@pytest.mark.parametrize("kind", ["sched_cls", "socket_filter", "cgroup_skb"])
def test_writes(kind: str) -> None:
    for off, size in accesses(linux().prog_type(kind), write=True):
        low, high = I(0x18, 2, 0, 0, VALUE & 0x7FFFFFFF), I(0, 0, 0, 0, VALUE >> 32 & 0x7FFFFFFF)
        insns = (low, high, I(STORE[size], 1, 2, off), I(MOV64_K, 0), I(EXIT))
        expected = outcome(Interpreter(), kind, insns)
        assert outcome(Translator(), kind, insns) == expected, (off, size)


def test_fields_of_a_packet_behind_ctx_skb() -> None:
    """RFC: `ctx->skb->field`, each field that may be read."""
    for off, size in accesses(rfc6().prog_type("sched_cls"), write=False):
        told = []
        for engine in (Interpreter(), Translator()):
            kernel = Kernel(rfc6())
            kind = kernel.dialect.prog_type("qdisc")
            insns = (I(0x79, 2, 1, 0), I(LOAD[size], 0, 2, off), I(EXIT))
            run = engine.load(LoadedProgram(kernel, program(*insns, type="qdisc"), facts=()))
            ctx = SchBpfCtx(kernel, layout_of(kind, "enqueue"))
            ctx.prepare(packet(kernel), 0x10000)
            told.append(run(ctx))
        assert told[0] == told[1], (off, size)


def test_atomic_operations_and_unknown_pointers_reach_packets_the_checked_way() -> None:
    """A packet pointer that went through memory is only known as a number."""
    for engine in (Interpreter(), Translator()):
        kernel = Kernel(linux())
        skb = packet(kernel)
        insns = (I(0x61, 2, 1, 76), I(0x7B, 10, 2, -8), I(0x79, 3, 10, -8), I(MOV64_K, 4, 0, 0, 5), I(0xDB, 3, 4, 8, 1),
                 I(0x79, 0, 3, 8), I(0x07, 3, 0, 0, 8), I(0x71, 5, 3, 8), I(0x0F, 0, 5), I(EXIT))
        run = engine.load(LoadedProgram(kernel, program(*insns, type="sched_cls"), facts=()))
        assert run(SkbCtx(kernel, skb)) == int.from_bytes(bytes(range(8, 16)), "little") + 5 + 16
        assert skb.payload()[8] == 13
