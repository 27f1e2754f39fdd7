"""Real programs on both engines: the samples of the RFC, and the bench programs on odd packets."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ebpfvm.engine import Interpreter, Translator
from ebpfvm.kernel import Kernel, LoadedProgram, SchBpfCtx, SkbCtx, SkBuff
from ebpfvm.kernel.layouts import layout_of
from ebpfvm.kernel.refs import CTX_HOLDER
from ebpfvm.loader.object import Object
from ebpfvm.loader.open import load

# The tests of an engine may use what stands above it: these programs need maps and helpers.
from ebpfvm.dialects import linux, rfc6  # isort: skip
from ebpfvm.maps import make_map  # isort: skip

ROOT = Path(__file__).parents[3]


def prepare(kernel: Kernel, found: Object, engine: Any) -> tuple[dict[str, Any], dict[str, Any]]:
    """Programs and maps of an object, taken for verified."""
    maps: dict[str, Any] = {}
    runs = {}
    for name, program in found.programs.items():
        for spec in program.maps:
            if spec.name not in maps:
                maps[spec.name] = make_map(kernel, spec)
        bound = [maps[spec.name] for spec in program.maps]
        runs[name] = engine.load(LoadedProgram(kernel, program, bound, facts=()))
    return runs, maps


def contents(maps: dict[str, Any]) -> dict[str, list[bytes]]:
    """Values by map. An array makes its elements when they are first asked for, so zeros tell nothing."""
    return {name: [bytes(region.data) for region in found.values() if any(region.data)]
            for name, found in maps.items()}


def queue(name: str, engine: Any, steps: list[tuple[bool, int, int]]) -> list[object]:
    """What a qdisc sample does with packets that come and go; (arrival?, ns since the last, priority)."""
    kernel = Kernel(rfc6())
    runs, maps = prepare(kernel, load(ROOT / "samples" / "rfc" / f"{name}.o"), engine)
    kind = kernel.dialect.prog_type("qdisc")
    enqueue, dequeue = (SchBpfCtx(kernel, layout_of(kind, hook)) for hook in ("enqueue", "dequeue"))
    told: list[object] = []
    for n, (arrival, ns, priority) in enumerate(steps):
        kernel.clock += ns
        if arrival:
            skb = SkBuff(kernel, bytes(60 + ns % 1000), "layer", priority=priority, id=n)
            enqueue.prepare(skb, 1)
            told.append(("in", runs[f"{name}_enqueue"](enqueue), enqueue.delay, skb.holders[1:]))
            kernel.refs.release(skb, "layer")
        else:
            dequeue.prepare(None, 1)
            result = runs[f"{name}_dequeue"](dequeue)
            packet = dequeue.packet
            told.append(("out", result, dequeue.delay, packet.id if packet else None))
            if packet is not None:
                kernel.refs.release(packet, CTX_HOLDER)
    told.append(contents(maps))
    told.append([str(obj) for obj in kernel.refs.live()])
    return told


def pfifo_loop(engine: Any) -> Callable[[int], None]:
    """A function that passes so many packets through the pfifo sample, for the benchmarks."""
    kernel = Kernel(rfc6())
    runs, _ = prepare(kernel, load(ROOT / "samples" / "rfc" / "pfifo.o"), engine)
    kind = kernel.dialect.prog_type("qdisc")
    enter, leave = (SchBpfCtx(kernel, layout_of(kind, hook)) for hook in ("enqueue", "dequeue"))
    enqueue, dequeue = runs["pfifo_enqueue"], runs["pfifo_dequeue"]

    def loop(packets: int) -> None:
        for _ in range(packets):
            skb = SkBuff(kernel, b"", "layer")
            enter.prepare(skb, 1)
            enqueue(enter)
            kernel.refs.release(skb, "layer")
            leave.prepare(None, 1)
            dequeue(leave)
            packet = leave.packet
            assert packet is not None
            kernel.refs.release(packet, CTX_HOLDER)
    loop(10)
    return loop


@pytest.mark.parametrize("name", ["pfifo", "pifo_prio", "shaper"])
@settings(max_examples=15, deadline=None)
@given(steps=st.lists(st.tuples(st.booleans(), st.integers(0, 5000), st.integers(0, 20)), max_size=40))
def test_qdisc_samples(name: str, steps: list[tuple[bool, int, int]]) -> None:
    assert queue(name, Interpreter(), steps) == queue(name, Translator(), steps)


def frames() -> st.SearchStrategy[bytes]:
    """Packets that a parser of Ethernet, VLAN, IPv4, TCP and UDP follows for a while, cut anywhere."""
    tag = st.sampled_from([b"\x81\x00\x00\x64", b"\x88\xa8\x00\x01", b""])
    proto = st.sampled_from([b"\x08\x00", b"\x08\x00", b"\x86\xdd", b"\x81\x00"])
    header = st.builds(lambda first, rest, p, more: bytes([first]) + rest + bytes([p]) + more,
                       st.sampled_from([0x45, 0x45, 0x46, 0x4F, 0x44, 0x60]), st.binary(min_size=8, max_size=8),
                       st.sampled_from([6, 17, 1]), st.binary(min_size=10, max_size=60))
    whole = st.builds(lambda macs, a, b, p, ip: macs + a + b + p + ip, st.binary(min_size=12, max_size=12), tag, tag,
                      proto, header)
    return st.builds(lambda packet, cut: packet[:cut], whole, st.sampled_from([14, 18, 33, 34, 38, 200, 200, 200]))


@pytest.mark.parametrize("name", ["alu", "parse", "sort", "fifo"])
@settings(max_examples=25, deadline=None)
@given(packets=st.lists(frames(), min_size=1, max_size=6))
def test_bench_programs(name: str, packets: list[bytes]) -> None:
    packets = packets[:1] if name in ("alu", "sort") else packets
    told = []
    for engine in (Interpreter(), Translator()):
        kernel = Kernel(linux())
        runs, maps = prepare(kernel, load(ROOT / "tests" / "bench" / "programs" / f"{name}.o"), engine)
        results = [runs[name](SkbCtx(kernel, SkBuff(kernel, packet, mark=9))) for packet in packets]
        told.append((results, contents(maps)))
    assert told[0] == told[1]


@pytest.mark.parametrize("name", ["prio", "wfq"])
@settings(max_examples=8, deadline=None)
@given(steps=st.lists(st.tuples(st.integers(0, 20), st.integers(40, 1500)), min_size=1, max_size=25))
def test_more_qdisc_samples(name: str, steps: list[tuple[int, int]]) -> None:
    """Maps of maps and classes: enqueue and dequeue in turn, two packets in for each out."""
    told = []
    for engine in (Interpreter(), Translator()):
        kernel = Kernel(rfc6())
        runs, maps = prepare(kernel, load(ROOT / "samples" / "rfc" / f"{name}.o"), engine)
        kind = kernel.dialect.prog_type("qdisc")
        hooks = {hook: next(run for run in runs.values() if run.prog.program.attach == hook)
                 for hook in ("enqueue", "dequeue")}
        contexts = {hook: SchBpfCtx(kernel, layout_of(kind, hook)) for hook in hooks}
        seen: list[object] = []
        for n, (priority, size) in enumerate(steps):
            skb = SkBuff(kernel, bytes(size), "layer", priority=priority, hash=priority * 0x9E3779B9 & 0xFFFFFFFF, id=n)
            contexts["enqueue"].prepare(skb, 1)
            seen.append((hooks["enqueue"](contexts["enqueue"]), contexts["enqueue"].classid, skb.holders[1:]))
            if n % 2:
                contexts["dequeue"].prepare(None, 1)
                seen.append((hooks["dequeue"](contexts["dequeue"]), contexts["dequeue"].classid))
                packet = contexts["dequeue"].packet
                seen.append(packet.id if packet else None)
        told.append((seen, contents(maps)))
    assert told[0] == told[1]
