"""How fast the verifier is: processed instructions a second, beside the kernel's verifier where bpf(2) is permitted.

Times are CPU times, of the best of several rounds in which all take turns. Prints a table; EBPFVM_BENCH_JSON=FILE also
writes FILE.verifier with all figures. Asserts only that the programs are accepted.
"""

from __future__ import annotations

import json
import os
import platform
import time
from collections.abc import Callable
from pathlib import Path

from ebpfvm.dialects.linux import linux
from ebpfvm.loader.object import Program
from ebpfvm.testing import oracle
from ebpfvm.verifier import verify
from tests.bench.verifier_rate import branchy, loop, straight

ROUNDS = int(os.environ.get("EBPFVM_BENCH_ROUNDS", "9"))
VERSIONS = ((6, 18), (7, 2))
PROGRAMS = {"straight": straight(1000), "branchy": branchy(140), "loop": loop(2000), "large": straight(5000)}


def contestants(program: Program) -> dict[str, Callable[[], int]]:
    """Functions that judge `program` and return how many instructions that took."""
    def judge(version: tuple[int, int], level: int) -> Callable[[], int]:
        dialect = linux(version)

        def run() -> int:
            verdict = verify(program, dialect, log_level=level)
            assert verdict.ok, verdict.message
            return verdict.processed
        return run

    def kernel() -> int:
        assert oracle.load(program.insns, oracle.TYPES["sched_cls"], log_level=0).ok
        return 0

    found = {f"{'.'.join(map(str, version))}, log {level}": judge(version, level)
             for version in VERSIONS for level in (0, 1, 2)}
    if not oracle.why_not():
        found["kernel"] = kernel
    return found


def race(found: dict[str, Callable[[], int]]) -> dict[str, dict[str, float]]:
    """Seconds (first and best round) and processed instructions of each."""
    times: dict[str, list[float]] = {name: [] for name in found}
    processed = dict.fromkeys(found, 0)
    for _ in range(ROUNDS):
        for name, run in found.items():
            begin = time.process_time()
            processed[name] = run()
            times[name].append(time.process_time() - begin)
    processed["kernel"] = max(processed.values())  # a kernel's count is the same (6.18)
    return {name: {"first": took[0], "best": min(took), "processed": processed[name]} for name, took in times.items()}


def test_verifier_speed() -> None:
    results = {name: race(contestants(program)) for name, program in PROGRAMS.items()}
    print(f"\nprocessed instructions a second (thousands), CPU time, best of {ROUNDS}; CPython "
          f"{platform.python_version()}")
    columns = list(next(iter(results.values())))
    print(f"{'program':10}{'insns':>8}{'processed':>11}" + "".join(f"{name:>14}" for name in columns))
    for name, row in results.items():
        count = next(iter(row.values()))["processed"]
        print(f"{name:10}{len(PROGRAMS[name].insns):>8}{count:>11.0f}"
              + "".join(f"{row[c]['processed'] / max(row[c]['best'], 1e-6) / 1e3:>14.0f}" for c in columns))
    if where := os.environ.get("EBPFVM_BENCH_JSON"):
        Path(where + ".verifier").write_text(json.dumps(results, indent=1))
