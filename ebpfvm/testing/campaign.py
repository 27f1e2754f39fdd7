"""Test many programs in sequence against all laws, for long runs.

A seed identifies a program: `case(seed)` returns program, dialect and inputs, so every finding can be reproduced. One
program in three is unchanged, the others have small changes; see `ebpfvm.testing.mutate`.
"""

from __future__ import annotations

import time
from collections import Counter
from random import Random
from typing import TYPE_CHECKING

from ebpfvm.dialects import linux, rfc6
from ebpfvm.lazy_dataclasses import dataclass, field, replace
from ebpfvm.testing import edges, generate, generated_ops, mistakes, mutate, programs
from ebpfvm.testing.inside import Recorder, TooManyStates
from ebpfvm.testing.laws import LIMIT, LawBroken, check
from ebpfvm.testing.oracle import TYPES
from ebpfvm.testing.runs import given
from ebpfvm.verifier import verify

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ebpfvm.contract import Dialect
    from ebpfvm.loader.object import Program
    from ebpfvm.testing.oracle import Oracle
    from ebpfvm.testing.runs import Given

VERSIONS = ((6, 18), (7, 2))  # adding one would make other programs of the same numbers
INPUTS = 3
_WRONG = frozenset({"sched_cls", "xdp", "socket_filter"})  # types of programs of which about half are wrong


@dataclass(frozen=True, slots=True)
class Case:
    """A program under a dialect, and the inputs that it runs on."""

    program: Program
    dialect: Dialect
    inputs: tuple[Given, ...]


def case(seed: int, seeds: Sequence[Program] = (), types: Sequence[str] = generate.TYPES,
         versions: Sequence[tuple[int, int]] = VERSIONS) -> Case:
    """Return the case of a number.

    Args:
        types, versions: program types and kernel versions to choose from.
        seeds: programs to change in addition to generated ones, such as those of objects.
    """
    random = Random(seed)
    version = random.choice(versions)
    kind = random.randrange(10)
    type = random.choice(types)
    if seeds and kind == 0:
        program = random.choice(seeds)
        type = str(program.type)
        program = mutate.mutate(random, program, random.randrange(1, 4))
    elif kind == 1 and _WRONG.intersection(types):
        type = random.choice([name for name in ("sched_cls", "xdp", "socket_filter") if name in types])
        program = programs.Generator(random.getrandbits(32), type, random.randrange(8, 40)).program()
    else:
        written = rfc6(version) if type == "qdisc" else linux(version)
        program = generate.program(random, written, type, random.randrange(2, 14))
        if kind > 3:
            program = mutate.mutate(random, program, random.choice((1, 1, 1, 2, 3)))
    dialect = rfc6(version) if type == "qdisc" else linux(version)
    return Case(program, dialect, tuple(given(random, program) for _ in range(INPUTS)))


def ops_case(seed: int) -> Case:
    """Return the case of a number among programs for the members of `Qdisc_ops`; half of them have mistakes."""
    random, dialect = Random(seed), linux()
    program = generated_ops.program(random, dialect, random.choice(generated_ops.MEMBERS), random.choice((2, 4, 6, 8)))
    if random.random() < 0.5:
        program = mistakes.mistake(random, program, random.choice((1, 1, 1, 2)))
    return Case(program, dialect, tuple(given(random, program) for _ in range(INPUTS)))


def edge_case(seed: int, versions: Sequence[tuple[int, int]] = VERSIONS) -> Case:
    """Return the case of a number among small programs at the edge of a rule; see `ebpfvm.testing.edges`."""
    random = Random(seed)
    dialect = linux(random.choice(versions))
    program = edges.edge_program(random)
    return Case(program, dialect, edges.edge_inputs(random, program, INPUTS + 1))


def qdisc_case(seed: int, calls: int = 40) -> tuple[dict[str, Program], Dialect, list[tuple[str, Given]]]:
    """Return the qdisc of a number: its members that the verifier accepts, and calls of them with their inputs.

    Elements of maps are set before the first call only, so that the programs find what they have stored.
    """
    random, dialect = Random(seed), linux()
    written = generated_ops.qdisc(random, dialect, random.choice((2, 4, 6)))
    programs = {member: program for member, program in written.items() if verify(program, dialect, log_level=0).ok}
    names = random.choices(sorted(programs), k=calls if programs else 0)
    inputs = [given(random, programs[member]) for member in names]
    return programs, dialect, [(member, one if not at else replace(one, maps={}))
                               for at, (member, one) in enumerate(zip(names, inputs, strict=True))]


@dataclass(slots=True)
class Report:
    """The result of a run of many cases.

    Attributes:
        counts: "accepted", "rejected", "long" (no verdict within the allowed steps), and the laws that were broken.
        broken: seed -> what was found.
        seconds: duration.
    """

    counts: Counter[str] = field(default_factory=Counter)
    broken: dict[int, str] = field(default_factory=dict)
    seconds: float = 0.0

    def __str__(self) -> str:
        counts = ", ".join(f"{count} {name}" for name, count in sorted(self.counts.items()))
        return f"{self.counts.total()} programs in {self.seconds:.0f} s: {counts}"


def run(start: int, count: int, seeds: Sequence[Program] = (), ops: bool = False) -> Report:
    """Check the cases `start` to `start + count`, those of `ops_case` if `ops`, and return a report."""
    report = Report()
    began = time.monotonic()
    for seed in range(start, start + count):
        one = ops_case(seed) if ops else case(seed, seeds)
        try:
            verdict = check(one.program, one.dialect, one.inputs)
        except LawBroken as error:
            report.counts[error.law] += 1
            report.broken[seed] = str(error)
        except Exception as error:  # an unexpected exception is also a finding
            report.counts["traceback"] += 1
            report.broken[seed] = f"{type(error).__name__}: {error}"
        else:
            report.counts["long" if verdict is None else "accepted" if verdict.ok else "rejected"] += 1
    report.seconds = time.monotonic() - began
    return report


def ask(oracle: Oracle, start: int, count: int) -> Report:
    """Compare the verdicts on those of the cases that are for Linux 6.18 with those of a real kernel of that version.

    The counts are "both accept", "both reject", "false accept", "false reject" and "kernel's own bug" (if its log
    says so); `broken` holds the false verdicts with both messages.
    """
    report = Report()
    began = time.monotonic()
    for seed in range(start, start + count):
        program = case(seed, types=tuple(TYPES), versions=((6, 18),)).program
        try:
            ours = verify(program, oracle.dialect, log_level=0, observe=Recorder(LIMIT, keep=False))
        except TooManyStates:
            report.counts["long"] += 1
            continue
        theirs = oracle.judge(program, log_level=1)
        if ours.ok == theirs.ok:
            report.counts["both accept" if ours.ok else "both reject"] += 1
            continue
        if "verifier bug" in theirs.log:  # 6.18 does not find functions that it removed as dead code
            report.counts["kernel's own bug"] += 1
            continue
        report.counts["false accept" if ours.ok else "false reject"] += 1
        last = theirs.lines[-1:] if theirs.lines else [""]
        report.broken[seed] = f"ours {ours.message!r} at {ours.pc}, theirs {theirs.errno} {last[0]!r}"
    report.seconds = time.monotonic() - began
    return report
