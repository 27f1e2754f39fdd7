"""How fast the engines are against the yardstick (`naive`), each other, and the kernel's JIT, and how fast translation
is; `python -m tests.bench` compares more contenders in less detail.

Contestants run in interleaved rounds, and what counts is the median of the ratios within rounds; times are of the
processor, so that a machine that is busy at times does little harm. Prints a table; EBPFVM_BENCH_JSON=FILE also writes
all figures there. Asserts only that all contestants compute the same.
"""

from __future__ import annotations

import json
import os
import platform
import resource
import statistics
import time
from pathlib import Path
from typing import Any

import pytest

from ebpfvm.dialects import linux
from ebpfvm.engine import Interpreter, Translator
from ebpfvm.kernel import Kernel, LoadedProgram
from ebpfvm.maps import make_map
from tests.bench.engines import PACKET, Contestant, contestant, program
from tests.bench.kernel_run import KernelRun
from tests.bench.naive import NaiveVM
from tests.kernel import sysbpf

FOLDER = Path(__file__).parent
ROUNDS = int(os.environ.get("EBPFVM_BENCH_ROUNDS", "9"))
SLICE = 0.02  # seconds of each contestant in each round
_results: dict[str, Any] = {}


def race(contestants: dict[str, Contestant]) -> dict[str, list[float]]:
    """Microseconds per run, by contestant and round."""
    repeats = {}
    for name, run in contestants.items():
        run(2)
        repeats[name] = max(1, int(SLICE * 1e6 / run(2)[1]))
    times: dict[str, list[float]] = {name: [] for name in contestants}
    for _ in range(ROUNDS):
        for name, run in contestants.items():
            times[name].append(run(repeats[name])[1])
    return times


def ratio(times: dict[str, list[float]], slower: str, faster: str) -> float:
    """Median of the ratios within rounds."""
    return statistics.median(a / b for a, b in zip(times[slower], times[faster], strict=True))


@pytest.mark.parametrize("name", ["alu", "parse", "sort", "fifo"])
def test_programs(name: str) -> None:
    found = program(name)
    contestants = {"naive": contestant(found, NaiveVM), "interp": contestant(found, Interpreter().load),
                   "translate": contestant(found, Translator().load)}
    kernel = None
    if not sysbpf.why_not():
        try:
            kernel = KernelRun(found, PACKET)
            contestants["kernel JIT"] = kernel.run
        except OSError as error:
            print(f"\n{name}: not in the kernel: {error}")
    assert len({run(3)[0] for run in contestants.values()}) == 1, "all compute the same"
    times = race(contestants)
    if kernel is not None:
        kernel.close()
    _results[name] = {"us": times, "naive/translate": ratio(times, "naive", "translate"),
                      "interp/translate": ratio(times, "interp", "translate")}
    row = "  ".join(f"{who} {min(values):9.2f}" for who, values in times.items())
    print(f"\n{name:6} us, best round: {row}   naive/translate {_results[name]['naive/translate']:.1f}"
          f"   interp/translate {_results[name]['interp/translate']:.1f}")


@pytest.mark.parametrize("name", ["pfifo", "pifo_prio", "shaper"])
def test_samples_end_to_end(name: str) -> None:
    """The whole simulator: traffic, qdisc, link and report around the sample's programs."""
    from ebpfvm.api import simulate
    sample = FOLDER.parents[1] / "samples" / "rfc" / f"{name}.o"
    flows = ["cbr:rate=7.5mbit,size=1000b,n=16,prio=3"]  # 1.2 times what the link takes, for a second
    times: dict[str, list[float]] = {"interp": [], "translate": []}
    packets = 0
    for _ in range(max(ROUNDS // 3, 1)):
        for engine, values in times.items():
            begin = time.process_time()
            result = simulate(sample, flows=flows, rate="100mbit", engine=engine)
            values.append(time.process_time() - begin)
            packets = result.in_packets
    _results[name] = {"s": times, "interp/translate": ratio(times, "interp", "translate"), "packets": packets}
    rates = ", ".join(f"{who} {packets / min(values) / 1000:.1f}" for who, values in times.items())
    print(f"\n{name:9} end to end, {packets} packets, thousands a second, best round: {rates}"
          f"   interp/translate {_results[name]['interp/translate']:.1f}")


@pytest.mark.parametrize("name", ["alu", "parse", "sort", "fifo"])
def test_translation_time(name: str) -> None:
    found = program(name)
    kernel = Kernel(linux())
    run = Translator().load(LoadedProgram(kernel, found, [make_map(kernel, spec) for spec in found.maps], facts=()))
    times = []
    for _ in range(ROUNDS):
        begin = time.process_time()
        run.translate(kernel.skb_layout)
        times.append((time.process_time() - begin) * 1e3)
    _results[f"translate {name}"] = {"ms": times, "slots": len(found.insns)}
    print(f"\ntranslation of {name}: {len(found.insns)} slots, {statistics.median(times):.1f} ms, "
          f"{statistics.median(times) * 200 / len(found.insns):.1f} ms for 200 at this rate")


def test_programs_without_a_simulator() -> None:
    """RFC pfifo's two programs and the packet's bookkeeping alone."""
    from tests.unit.engine.test_samples import pfifo_loop
    times: dict[str, list[float]] = {"interp": [], "translate": []}
    loops = {"interp": pfifo_loop(Interpreter()), "translate": pfifo_loop(Translator())}
    for _ in range(ROUNDS):
        for engine, loop in loops.items():
            begin = time.process_time()
            loop(2000)
            times[engine].append((time.process_time() - begin) / 2000 * 1e6)
    _results["pfifo programs"] = {"us": times, "interp/translate": ratio(times, "interp", "translate")}
    row = ", ".join(f"{who} {min(values):.1f}" for who, values in times.items())
    print(f"\npfifo programs alone, us for a packet in and out, best round: {row}"
          f"   interp/translate {_results['pfifo programs']['interp/translate']:.1f}")


def test_write_results() -> None:
    """Last: peak memory, and everything as JSON."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(f"\n{platform.python_implementation()} {platform.python_version()}, peak memory {peak:.0f} MB")
    target = os.environ.get("EBPFVM_BENCH_JSON")
    if target:
        about = {"python": platform.python_version(), "machine": platform.machine(), "peak_mb": peak}
        Path(target).write_text(json.dumps({"about": about, "results": _results}, indent=1))
