"""A 6.18 kernel processes as many instructions and keeps as many states as we do, of all programs that it is asked
about: those of the laws' generator, the recorded shapes, and C programs of a policy engine's size (`large`).

`EBPFVM_PROGRAMS=n` asks about n of the first and n / 20 of the last; `EBPFVM_SEED` is the first number.
"""

from __future__ import annotations

import os
import re
from pathlib import Path
from random import Random

import pytest

from ebpfvm.dialects import linux
from ebpfvm.loader import load
from ebpfvm.loader.object import Program
from ebpfvm.loading import prepare
from ebpfvm.testing import generate, programs
from ebpfvm.testing.oracle import Oracle, kernel_version, why_not
from ebpfvm.verifier import verify
from tests.kernel import large
from tests.unit.verifier.shapes import SHAPES, program

pytestmark = pytest.mark.kernel

PROGRAMS = int(os.environ.get("EBPFVM_PROGRAMS", "60"))
SEED = int(os.environ.get("EBPFVM_SEED", "0"))
LONG = 60_000  # instructions that a program may take; the rest is left out, for time
_COUNTS = re.compile(r"processed (\d+) insns .* max_states_per_insn (\d+) total_states (\d+) peak_states (\d+)")
DIALECT = linux((6, 18))


def _counts(log: str) -> tuple[int, ...]:
    found = _COUNTS.findall(log)
    return tuple(map(int, found[-1])) if found else ()


def _generated(seed: int) -> Program:
    random = Random(seed)
    type = random.choice(("sched_cls", "xdp", "socket_filter"))
    if seed % 2:
        return programs.Generator(random.getrandbits(32), type, random.randrange(8, 56)).program()
    return generate.program(random, DIALECT, type, random.randrange(2, 20))


@pytest.fixture(scope="module")
def oracle() -> Oracle:
    reason = why_not() or ("" if kernel_version() == (6, 18) else f"kernel {kernel_version()} is not a 6.18")
    if reason:
        pytest.skip(reason)
    return Oracle(DIALECT)


def _compare(oracle: Oracle, cases: dict[str, Program]) -> None:
    unequal, total = {}, [0, 0]
    for name, case in cases.items():
        theirs = oracle.judge(case, log_level=4)
        if "verifier bug" in theirs.log or not theirs.ok:
            continue  # the order of checks decides where a refused program ends
        there = _counts(theirs.log)
        if there[0] > LONG:
            continue
        here = _counts(verify(case, DIALECT, log_level=4).log)
        total = [total[0] + here[0], total[1] + there[0]]
        if here != there:
            unequal[name] = here, there
    print(f"{len(cases)} programs: {total[0]} instructions, a kernel {total[1]}; {len(unequal)} differ")
    assert not unequal


def test_generated_programs(oracle: Oracle) -> None:
    _compare(oracle, {str(seed): _generated(seed) for seed in range(SEED, SEED + PROGRAMS)})


def test_shapes(oracle: Oracle) -> None:
    _compare(oracle, {name: program(name) for name in SHAPES})


@pytest.mark.skipif(not large.CLANG, reason="no clang")
def test_large_programs(oracle: Oracle, tmp_path: Path) -> None:
    cases = {}
    for seed in range(SEED, SEED + max(PROGRAMS // 20, 1)):
        one = load(large.compiled(seed, 10 + 10 * (seed % 5), tmp_path)).programs["prog"]
        cases[str(seed)] = prepare(one, DIALECT)
    _compare(oracle, cases)
