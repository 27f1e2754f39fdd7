"""Memory and the cost of starting, each measured in a process of its own.

As a command (`python -m tests.bench.footprint WHAT ...`) this is that process: it does one piece of work and prints
what it took as JSON.
"""

from __future__ import annotations

import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

from ebpfvm.api import simulate
from ebpfvm.loader.object import Object
from ebpfvm.loader.open import load
from ebpfvm.loader.variables import set_variables
from ebpfvm.sched.packet import build
from ebpfvm.sched.pcap import ETHERNET, PcapWriter
from tests.bench.figures import Figure, Group, Measure, Settings
from tests.bench.native import cache
from tests.bench.plain_loop import Fifo, Packet
from tests.bench.whole_runs import LENGTH, SAMPLES, SOURCES, sample, stop_time, through_ebpf

ROOT = Path(__file__).parents[2]
_FEW = 1000
_CAPTURED = 100  # bytes of each packet in the capture


def peak() -> float:
    """Return the peak of this process's resident memory in MB.

    The kernel hands on a parent's ru_maxrss, so /proc is asked first.
    """
    try:
        lines = Path("/proc/self/status").read_text(encoding="ascii").splitlines()
        return next(int(line.split()[1]) for line in lines if line.startswith("VmHWM")) / 1024
    except (OSError, StopIteration):
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def child(*words: object) -> dict[str, float]:
    """Run this module as a command and return what it prints."""
    done = subprocess.run([sys.executable, "-m", "tests.bench.footprint", *map(str, words)], cwd=ROOT,
                          stdout=subprocess.PIPE, text=True, check=True)
    found: dict[str, float] = json.loads(done.stdout)
    return found


# ---- in the process of its own ----------------------------------------------------------------------------------

def roomy(packets: int) -> Object:
    """Return RFC pfifo with room for `packets` in its queue and in its map."""
    found = set_variables(load(SAMPLES / "pfifo.o"), {"limit": packets})
    maps = {name: replace(spec, max_entries=packets) if spec.max_entries == 4096 else spec
            for name, spec in found.maps.items()}
    programs = {name: replace(program, maps=tuple(maps.get(spec.name, spec) for spec in program.maps))
                for name, program in found.programs.items()}
    return replace(found, maps=maps, programs=programs).at_home()


def queued(packets: int) -> dict[str, float]:
    """Fill a queue that a link of 1 kbit/s hardly empties."""
    result = simulate(roomy(packets), flows=[f"cbr:rate=800mbit,size={LENGTH}b,packets={packets},stop=4s"],
                      rate="1kbit", duration="5s")
    assert result.in_packets == packets and result.held >= packets - 1, result
    return {"mb": peak()}


def plainly_queued(packets: int) -> dict[str, float]:
    """Fill the plain Python loop's queue."""
    queue = Fifo(packets)
    for number in range(packets):
        queue.put(Packet(0, LENGTH, 1_000_000_000 + number))
    return {"mb": peak()}


def many_flows(count: int) -> dict[str, float]:
    """Let each of `count` flows send one packet."""
    rate = SOURCES * 7_500_000 // count
    simulate(sample("pfifo"), rate="100mbit", flows=[f"cbr:rate={rate}bit,size={LENGTH}b,n={count},packets=1"])
    return {"mb": peak()}


def replayed(path: Path, engine: str) -> dict[str, float]:
    """Replay a capture."""
    begin = time.process_time()
    outcome = through_ebpf(sample("pfifo"), engine, [], pcap=path)
    return {"mb": peak(), "seconds": time.process_time() - begin, "packets": outcome.offered}


# ---- in the benchmark's process ---------------------------------------------------------------------------------

def write_capture(path: Path, packets: int) -> None:
    """Write a capture of 1000-byte packets of 16 flows, of each the first 100 bytes."""
    frames = [build("udp", "10.0.0.1", "10.255.0.1", 10000 + flow, 9, length=LENGTH)[:_CAPTURED]
              for flow in range(SOURCES)]
    gap = stop_time(1000)
    with path.open("wb") as file, PcapWriter(file, ETHERNET) as writer:
        for number in range(packets):
            writer.write(gap * number // 1000, LENGTH, frames[number % SOURCES])


def _growth(what: str, few: int, many: int) -> Measure:
    """Return bytes for each of the units that `many` has more than `few`."""
    return lambda: (child(what, many)["mb"] - child(what, few)["mb"]) * 2**20 / (many - few)


def memory(settings: Settings) -> Group:
    """Return what one more queued packet and one more flow take."""
    packets, count = settings.size(100_000, 2000), settings.size(50_000, 2000)
    return Group("memory", "bytes", f"Resident memory at its peak, of a run with {packets:,} packets in RFC pfifo's "
                 f"queue (or {count:,} flows of one packet each) less that of a run with {_FEW:,}, for each one more. "
                 "The reference is a packet (flow, length, time) in the deque of the plain Python loop. "
                 "Generated packets of a flow share their bytes, so payloads are not counted.",
                 {"queued packet": _growth("queued", _FEW, packets), "flow": _growth("flows", _FEW, count),
                  "plain queued packet": _growth("plain", _FEW, packets)},
                 [Figure("queued packet", "plain queued packet", "cost", "< 600 bytes"),
                  Figure("flow", "plain queued packet", "cost", "< 500 bytes")], once=True)


def capture(settings: Settings) -> Group:
    """Return peak memory of replaying a large capture and of one a tenth as large."""
    packets = settings.size(1_000_000, 5000)

    def replay(count: int, engine: str = "translate") -> Measure:
        def measure() -> float:
            with tempfile.TemporaryDirectory() as folder:
                path = Path(folder) / "large.pcap"
                write_capture(path, count)
                return child(f"capture-{engine}", path)["mb"]
        return measure

    large, small = f"{packets:,} packets", f"{packets // 10:,} packets"
    return Group("capture", "MB", f"Peak resident memory of RFC pfifo with a capture of {packets:,} packets "
                 f"({_CAPTURED} bytes captured of each, {packets * (_CAPTURED + 16) / 1e6:.0f} MB), Python and ebpfvm "
                 "included. Delays of all packets are kept for the report (8 bytes each).",
                 {small: replay(packets // 10), large: replay(packets), f"{large}, fused": replay(packets, "fused")},
                 [Figure(name, small, "cost", "< 60 MB") for name in (large, f"{large}, fused")], once=True)


def start(settings: Settings) -> Group:
    """Return the processor time of starting Python, importing the API, and verifying a small object."""
    def command(*words: str) -> Measure:
        def run() -> None:
            subprocess.run([sys.executable, *words], cwd=ROOT, env=installed(), check=True, stdout=subprocess.DEVNULL)
        run()  # compiles the modules to bytecode
        return lambda: children_time(run)
    small = str(SAMPLES / "pfifo.o")
    return Group("start", "ms", "Processor time of whole processes, the start of Python included, with compiled "
                 "bytecode. small.o is samples/rfc/pfifo.o, which has two programs.", {
                     "python": command("-c", "pass"), "import ebpfvm": command("-c", "import ebpfvm"),
                     "import ebpfvm.api": command("-c", "import ebpfvm.api"),
                     "ebpfvm verify small.o": command("-m", "ebpfvm", "verify", small),
                 }, [Figure(name, "python", "cost", goal) for name, goal in (
                     ("import ebpfvm", ""), ("import ebpfvm.api", "< 95 ms"), ("ebpfvm verify small.o", "< 140 ms"))])


def installed() -> dict[str, str]:
    """Return an environment in which modules are compiled to bytecode once, as those of an installed package are."""
    kept = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    return kept | {"PYTHONPYCACHEPREFIX": str(cache() / "bytecode")}


def children_time(run: Callable[[], Any]) -> float:
    """Return the milliseconds of processor time that the processes started by `run` take."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    run()
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return (after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime) * 1e3


if __name__ == "__main__":
    what, argument = sys.argv[1:]
    work: dict[str, Callable[[], dict[str, float]]] = {
        "queued": lambda: queued(int(argument)), "plain": lambda: plainly_queued(int(argument)),
        "flows": lambda: many_flows(int(argument)),
        "capture-translate": lambda: replayed(Path(argument), "translate"),
        "capture-fused": lambda: replayed(Path(argument), "fused")}
    print(json.dumps(work[what]()))
