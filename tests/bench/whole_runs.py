"""Whole runs of the RFC's samples on one scenario, beside other ways to simulate it.

The scenario: 16 sources of 1000-byte packets at constant rate, one link of 100 Mbit/s that is offered 1.2 times its
rate, 1 ms of propagation, and a queue of 1000 packets.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from ebpfvm.api import simulate
from ebpfvm.loader.object import Object
from ebpfvm.loader.open import load
from ebpfvm.loader.variables import set_variables
from tests.bench import ns3
from tests.bench.figures import Figure, Group, Measure, Settings
from tests.bench.plain_loop import BIT_NS, Drr, Fifo, Outcome, run_plain
from tests.bench.simpy_loop import SimpyLink, simpy

SAMPLES = Path(__file__).parents[2] / "samples" / "rfc"
SOURCES, LENGTH, LIMIT = 16, 1000, 1000
RATE, FLOW_RATE, DELAY = 100_000_000, 7_500_000, 1_000_000
VARIABLES = {"pfifo": {"limit": LIMIT}, "pifo_prio": {"limit": LIMIT}, "wfq": {"flow_limit": LIMIT // SOURCES}}
SHAPE = {"sources": SOURCES, "length": LENGTH, "flow_rate": FLOW_RATE, "rate": RATE, "delay": DELAY}


def stop_time(packets: int) -> int:
    """Return how long (ns) the sources send until `packets` have been offered."""
    return packets * LENGTH * BIT_NS // (SOURCES * FLOW_RATE)


def sample(name: str) -> Object:
    """Return a sample with a queue of 1000 packets."""
    return set_variables(load(SAMPLES / f"{name}.o"), VARIABLES[name])


def mainline(name: str) -> Object:
    """Return a sample for mainline with a queue of 1000 packets."""
    return set_variables(load(SAMPLES.parent / "mainline" / f"{name}.o"), {"limit": LIMIT})


def through_ebpf(found: Object, engine: str, flows: list[str], **options: Any) -> Outcome:
    """Run a sample; the seconds leave out loading and verifying it, and include translating it."""
    begin = 0.0

    def prepare(scene: object) -> None:
        nonlocal begin
        begin = time.process_time()

    result = simulate(found, **{"flows": flows, "rate": f"{RATE}bit", "delay": f"{DELAY}ns", "engine": engine,
                                "prepare": prepare, **options})
    return Outcome(result.in_packets, result.dropped, result.out_packets, time.process_time() - begin)


def constant_rate(packets: int) -> list[str]:
    """Return the scenario's traffic, as `simulate` takes it."""
    return [f"cbr:rate={FLOW_RATE}bit,size={LENGTH}b,n={SOURCES},stop={stop_time(packets)}ns"]


def plain(kind: str, packets: int) -> Outcome:
    """Run the plain Python loop with a queue, "fifo" or "drr"."""
    queue = Fifo(LIMIT) if kind == "fifo" else Drr(LIMIT, SOURCES)
    return run_plain(queue, stop=stop_time(packets), **SHAPE)


def per_packet(run: Callable[[], Outcome]) -> Measure:
    """Return microseconds per offered packet."""
    def measure() -> float:
        outcome = run()
        return outcome.seconds / outcome.offered * 1e6
    return measure


def runs(settings: Settings) -> Group:
    """Return whole runs: three samples and what one would use instead."""
    packets = settings.size(100_000, 1500)
    traffic = constant_rate(packets)
    few = constant_rate(packets // 10)
    fifo, prio, fair = (sample(name) for name in ("pfifo", "pifo_prio", "wfq"))
    group = Group("runs", "us/packet", f"The scenario: {SOURCES} constant-rate sources of {LENGTH}-byte packets, one "
                  "100 Mbit/s link offered 1.2 times its rate, 1 ms propagation, a queue of 1000 packets. Processor "
                  "time per offered packet of the run alone; for ebpfvm without loading and verifying, with "
                  "translation. 'plain' is a heap of events in Python without eBPF; ns-3 (C++) runs its whole network "
                  "stack and is single-threaded too.", {
                      "RFC pfifo": per_packet(lambda: through_ebpf(fifo, "translate", traffic)),
                      "RFC pfifo, fused": per_packet(lambda: through_ebpf(fifo, "fused", traffic)),
                      "RFC pifo_prio, fused": per_packet(lambda: through_ebpf(prio, "fused", traffic)),
                      "RFC wfq, fused": per_packet(lambda: through_ebpf(fair, "fused", traffic)),
                      "RFC pfifo, interpreter": per_packet(lambda: through_ebpf(fifo, "interp", few)),
                      "RFC pifo_prio": per_packet(lambda: through_ebpf(prio, "translate", traffic)),
                      "RFC wfq": per_packet(lambda: through_ebpf(fair, "translate", traffic)),
                      "plain fifo": per_packet(lambda: plain("fifo", packets)),
                      "plain DRR": per_packet(lambda: plain("drr", packets)),
                  }, [Figure("RFC pfifo, fused", "ns-3 Fifo", goal=">= 4.0"),
                      Figure("RFC wfq, fused", "ns-3 FqCoDel", goal=">= 2.5"),
                      Figure("RFC pfifo, fused", "plain fifo", goal=">= 0.9"),
                      Figure("RFC wfq, fused", "plain DRR", goal=">= 0.6"),
                      Figure("RFC pfifo, fused", "RFC pfifo"), Figure("RFC wfq, fused", "RFC wfq"),
                      Figure("RFC pfifo", "ns-3 Fifo", goal=">= 1.4"), Figure("RFC pfifo", "plain fifo"),
                      Figure("RFC pfifo", "SimPy fifo"), Figure("RFC pfifo", "RFC pfifo, interpreter"),
                      Figure("RFC pfifo, interpreter", "plain fifo"),
                      Figure("RFC pifo_prio", "plain fifo"), Figure("RFC wfq", "ns-3 FqCoDel", goal=">= 0.8"),
                      Figure("RFC wfq", "plain DRR"), Figure("SimPy fifo", "plain fifo"),
                      Figure("ns-3 Fifo", "plain fifo"), Figure("ns-3 FqCoDel", "plain DRR")])
    group.offer("SimPy fifo", lambda: _in_simpy(packets))
    for kind in ("Fifo", "FqCoDel"):
        group.offer(f"ns-3 {kind}", lambda kind=kind: _in_ns3(kind, packets))
    return group


def _in_simpy(packets: int) -> Measure:
    simpy()
    return per_packet(lambda: SimpyLink(limit=LIMIT, stop=stop_time(packets), **SHAPE).run())


def _in_ns3(kind: str, packets: int) -> Measure:
    binary = ns3.binary()
    return per_packet(lambda: ns3.run(binary, kind, packets))


def struct_ops(settings: Settings) -> Group:
    """Return whole runs of the samples for mainline with few and many flows, beside their twins for the RFC."""
    packets, many, long = settings.size(30_000, 1500), 1000, settings.size(200_000, 1500)
    found = {"mainline fifo": mainline("fifo"), "RFC pfifo": sample("pfifo"), "mainline fq": mainline("fq"),
             "RFC wfq": sample("wfq")}

    def spread(name: str, count: int, engine: str = "translate", offered: int = packets) -> Measure:
        rate = SOURCES * FLOW_RATE // count
        traffic = [f"cbr:rate={rate}bit,size={LENGTH}b,n={count},stop={stop_time(offered)}ns"]
        return per_packet(lambda: through_ebpf(found[name], engine, traffic))

    group = Group("struct_ops", "us/packet", f"The same link with {SOURCES} flows or {many:,}: samples for mainline, "
                  f"and those for the RFC that do the same. Fused runs and ns-3 have {long:,} packets.",
                  {name if count == SOURCES else f"{name}, {many:,} flows": spread(name, count)
                   for name in found for count in (SOURCES, many)} | {
                       f"{name}, fused": spread(name, SOURCES, "fused", long)
                       for name in ("mainline fifo", "mainline fq")},
                  [Figure("mainline fifo", "RFC pfifo"), Figure("mainline fq", "RFC wfq"),
                   Figure(f"mainline fifo, {many:,} flows", f"RFC pfifo, {many:,} flows"),
                   Figure(f"mainline fq, {many:,} flows", f"RFC wfq, {many:,} flows"),
                   Figure("mainline fifo", "ns-3 Fifo"), Figure("mainline fq", "ns-3 FqCoDel"),
                   Figure("mainline fifo, fused", "ns-3 Fifo", goal=">= 3.5"),
                   Figure("mainline fq, fused", "ns-3 FqCoDel", goal=">= 2.0")])
    for kind in ("Fifo", "FqCoDel"):
        group.offer(f"ns-3 {kind}", lambda kind=kind: _in_ns3(kind, long))
    return group


def flows(settings: Settings) -> Group:
    """Return runs whose packets are spread over few and many flows."""
    packets, many = settings.size(100_000, 2000), settings.size(50_000, 500)
    found = sample("pfifo")

    def spread(count: int, engine: str) -> Measure:
        rate = SOURCES * FLOW_RATE // count
        traffic = [f"poisson:rate={rate}bit,size={LENGTH}b,n={count},stop={stop_time(packets)}ns"]
        return per_packet(lambda: through_ebpf(found, engine, traffic))

    crowd = f"{many:,} flows"
    return Group("flows", "us/packet", f"RFC pfifo on the same link; {packets:,} packets of 16 Poisson flows or of "
                 f"{many:,}. Processor time per packet of the run alone; the ratio says what many flows cost.",
                 {f"{name}{suffix}": spread(count, engine)
                  for engine, suffix in (("fused", ", fused"), ("translate", ""))
                  for name, count in (("16 flows", SOURCES), (crowd, many))},
                 [Figure(f"{crowd}, fused", "16 flows, fused", "cost", "< 10 us"),
                  Figure(crowd, "16 flows", "cost", "< 10 us")])
