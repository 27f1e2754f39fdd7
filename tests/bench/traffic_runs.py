"""Whole runs with other traffic than `whole_runs` has: the replay of a large capture, and a shaper that throttles."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from pathlib import Path

from ebpfvm.loader.open import load
from ebpfvm.loader.variables import set_variables
from tests.bench import ns3
from tests.bench.figures import Figure, Group, Measure, Settings
from tests.bench.footprint import write_capture
from tests.bench.plain_loop import Outcome
from tests.bench.plain_traffic import Bucket, run_replay, run_shaper
from tests.bench.whole_runs import (
    DELAY,
    LIMIT,
    RATE,
    SAMPLES,
    SHAPE,
    constant_rate,
    per_packet,
    sample,
    stop_time,
    through_ebpf,
)

QUEUES = {"RFC pfifo": "rfc/pfifo", "mainline codel": "mainline/codel", "RFC fq_codel": "rfc/fq_codel",
          "RFC cake": "rfc/cake", "RFC dualpi2": "rfc/dualpi2"}
BESIDE = {"RFC pfifo": "Fifo", "mainline codel": "CoDel", "RFC fq_codel": "FqCoDel"}
BUCKET = {"rate": 10_000_000, "burst": 10_000, "limit": LIMIT}  # bytes a second: 80 Mbit/s


def replay(settings: Settings) -> Group:
    """Return the replay of a capture through RFC pfifo, and by a loop without eBPF."""
    packets = settings.size(1_000_000, 2000)
    fifo = sample("pfifo")

    def replayed(run: Callable[[Path], Outcome]) -> Measure:
        def measure() -> float:
            with tempfile.TemporaryDirectory() as folder:
                path = Path(folder) / "large.pcap"
                write_capture(path, packets)
                return per_packet(lambda: run(path))()
        return measure
    return Group("replay", "us/packet", f"A capture of {packets:,} packets of 1000 bytes and 16 flows at 1.2 times the "
                 "link's rate. Processor time per packet of the run alone. 'plain' reads the file, tells flows apart "
                 "and keeps their delays, in Python without eBPF.",
                 {"RFC pfifo, fused": replayed(lambda path: through_ebpf(fifo, "fused", [], pcap=path)),
                  "plain": replayed(lambda path: run_replay(path, limit=LIMIT, rate=RATE, delay=DELAY))},
                 [Figure("RFC pfifo, fused", "plain", goal=">= 0.5")], once=not settings.quick)


def senders(settings: Settings) -> Group:
    """Return runs whose senders react: sixteen bulk transfers and a call."""
    seconds = settings.size(10, 1)
    traffic = [f"tcp:cc=cubic,n=16,rtt=40ms,stop={seconds}s", f"voip:stop={seconds}s"]
    group = Group("senders", "us/packet", f"16 CUBIC connections and a call at 100 Mbit/s for {seconds} s, 40 ms of "
                  "round trip; pfifo keeps 1000 packets. Processor time per packet that arrives at the queue, of the "
                  "run alone, with translation; packets a second are its inverse. ns-3 (C++) runs its whole network "
                  "stack, with acknowledgments as packets.",
                  {f"{name}{suffix}": _reacting(path, engine, traffic, f"{seconds}s") for name, path in QUEUES.items()
                   for suffix, engine in ((", fused", "fused"), ("", "translate"))},
                  [*(Figure(f"{name}, fused", name) for name in QUEUES),
                   *(Figure(f"{name}, fused", f"ns-3 {kind}") for name, kind in BESIDE.items())])
    for kind in BESIDE.values():
        group.offer(f"ns-3 {kind}", lambda kind=kind: _in_ns3(kind, seconds))
    return group


def _reacting(path: str, engine: str, traffic: list[str], duration: str) -> Measure:
    found = sample("pfifo") if path == "rfc/pfifo" else load(SAMPLES.parent / f"{path}.o")
    return per_packet(lambda: through_ebpf(found, engine, traffic, delay="20ms", duration=duration))


def _in_ns3(kind: str, seconds: int) -> Measure:
    program = ns3.binary("ns3_senders.cc")
    return per_packet(lambda: ns3.run(program, kind, seconds))


def shaper(settings: Settings) -> Group:
    """Return a token bucket that lets 80 of the 120 Mbit/s through, which are offered to it, by throttling."""
    packets = settings.size(50_000, 1500)
    found = set_variables(load(SAMPLES / "shaper.o"), BUCKET)
    traffic = constant_rate(packets)
    return Group("shaper", "us/packet", "The scenario of `runs` with a token bucket of 80 Mbit/s before the link, so "
                 "that nearly each packet waits for its time. 'plain' does the same in Python without eBPF.",
                 {"RFC shaper, fused": per_packet(lambda: through_ebpf(found, "fused", traffic)),
                  "RFC shaper": per_packet(lambda: through_ebpf(found, "translate", traffic)),
                  "plain": per_packet(lambda: run_shaper(Bucket(**BUCKET), stop=stop_time(packets), **SHAPE))},
                 [Figure("RFC shaper, fused", "plain", goal=">= 0.5"), Figure("RFC shaper", "plain")])
