"""Contenders that run one program again and again: the naive VM, both engines, uBPF's interpreter, the kernel's JIT."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from ebpfvm.dialects import linux
from ebpfvm.engine import Interpreter, Translator
from ebpfvm.kernel import Kernel, LoadedProgram, SkbCtx, SkBuff
from ebpfvm.loader.object import Program
from ebpfvm.loader.open import load
from ebpfvm.maps import make_map
from tests.bench import ubpf
from tests.bench.figures import Figure, Group, Measure, Missing, Settings
from tests.bench.kernel_run import KernelRun
from tests.bench.naive import NaiveVM
from tests.kernel import sysbpf

FOLDER = Path(__file__).parent
PACKET = bytes.fromhex("ffffffffffff020000000001" "81000064" "0800" "4500003c000040004006000a0a0000010a000002"
                       "1f90c0de") + bytes(36)
SLICE = 0.05  # seconds of each contender in each round

Contestant = Callable[[int], tuple[int, float]]
"""How often to run -> (r0, microseconds per run)."""

_GOAL_TO_UBPF = {"alu": "<= 3.6", "parse": "<= 3", "sort": "<= 1.6", "fifo": "<= 1.4"}
_MEANING = {
    "alu": "Arithmetic in a loop, 16,000 instructions.",
    "parse": "The headers of one packet and a look-up in a hash map.",
    "sort": "64 numbers on the stack, 24,000 instructions.",
    "fifo": "A queue in an array map, 16 records in and out.",
}


def program(name: str) -> Program:
    """Return one of the programs of tests/bench/programs."""
    return next(iter(load(FOLDER / "programs" / f"{name}.o").programs.values()))


def contestant(found: Program, make: Callable[[LoadedProgram], Callable[[Any], int]]) -> Contestant:
    """Return `found` loaded into a machine of its own, run by the engine that `make` makes.

    The run is called as a bound method, as the scheduler calls it: CPython calls an object that is no function more
    slowly, whatever it does.
    """
    kernel = Kernel(linux())
    loaded = make(LoadedProgram(kernel, found, [make_map(kernel, spec) for spec in found.maps], facts=()))
    run = loaded.__call__
    ctx = SkbCtx(kernel, SkBuff(kernel, PACKET))

    def timed(repeat: int) -> tuple[int, float]:
        result = 0
        begin = time.process_time()
        for _ in range(repeat):
            result = run(ctx)
        return result & 0xFFFFFFFF, (time.process_time() - begin) / repeat * 1e6
    return timed


def group(name: str, settings: Settings) -> Group:
    """Return the contenders that run the program `name`.

    Raises:
        Missing: one of our own computes another result.
    """
    found, results = program(name), dict[str, int]()
    seconds = SLICE / 50 if settings.quick else SLICE

    def ready(who: str, run: Contestant) -> Measure:
        results[who] = run(2)[0]
        if results[who] != results["naive VM"]:
            raise Missing(f"it returns {results[who]:#x}, and the naive VM {results['naive VM']:#x}")
        repeat = max(1, int(seconds * 1e6 / max(run(2)[1], 0.01)))
        return lambda: run(repeat)[1]

    made = Group(f"engine.{name}", "us/run", f"{_MEANING[name]} Processor time of one run of the program; the naive VM "
                 "decodes and compares opcodes one by one.",
                 {who: ready(who, contestant(found, make)) for who, make in
                  (("naive VM", NaiveVM), ("interpreter", Interpreter().load), ("translator", Translator().load))},
                 [Figure("interpreter", "naive VM"), Figure("translator", "naive VM", goal=">= 40"),
                  Figure("translator", "interpreter"),
                  Figure("translator", "uBPF interpreter", "cost", _GOAL_TO_UBPF[name]),
                  Figure("translator", "kernel JIT", "cost")])
    made.offer("uBPF interpreter", lambda: ready("uBPF interpreter", ubpf.contestant(found, PACKET)))
    made.offer("kernel JIT", lambda: ready("kernel JIT", _in_kernel(found)))
    return made


def _in_kernel(found: Program) -> Contestant:
    why = sysbpf.why_not()
    if why:
        raise Missing(why)
    try:
        return KernelRun(found, PACKET).run
    except OSError as error:
        raise Missing(f"{error.strerror} (errno {error.errno})") from None
