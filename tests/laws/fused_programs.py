"""Generated programs for the law of the fused path: mutants of the samples of both ABIs, and random pairs for the RFC.

`python -m tests.laws.fused_programs COUNT [FIRST]` runs COUNT of them, from number FIRST on, each in a random scenario.
"""

from __future__ import annotations

import sys
from dataclasses import replace
from functools import cache
from random import Random
from typing import TYPE_CHECKING, Final

from ebpfvm.dialects import linux
from ebpfvm.dialects.rfc6 import rfc6
from ebpfvm.errors import EbpfvmError
from ebpfvm.limits import Limits
from ebpfvm.loader.object import Object
from ebpfvm.loader.open import load
from ebpfvm.testing import generate
from ebpfvm.testing.mutate import mutate
from ebpfvm.verifier import verify
from tests.laws.fused_scenarios import SAMPLES, options, run_all, same

if TYPE_CHECKING:
    from ebpfvm.contract import Dialect
    from ebpfvm.loader.object import Program

RFC: Final = ("pfifo", "pifo_prio", "prio", "shaper", "wfq")
MAINLINE: Final = ("fifo", "prio", "pacer", "drr", "codel", "fq")
_TRIES: Final = 25
_MEMBERS: Final = ("enqueue", "dequeue")


@cache
def sample(folder: str, name: str) -> Object:
    """Return a sample."""
    return load(SAMPLES / folder / f"{name}.o")


def accepted(program: Program, dialect: Dialect) -> bool:
    """Return whether a program can be loaded."""
    try:
        return verify(program, dialect, log_level=0).ok
    except EbpfvmError:  # a relocation that has lost its instruction
        return False


def mutant(draw: Random) -> tuple[str, Object]:
    """Return a sample of which a program has been changed so that it is still accepted."""
    folder = draw.choice(("rfc", "mainline"))
    name = draw.choice(RFC if folder == "rfc" else MAINLINE)
    found, dialect = sample(folder, name), rfc6() if folder == "rfc" else linux()
    which = draw.choice([one for one in found.programs if any(member in one for member in _MEMBERS)])
    for _ in range(_TRIES):
        changed = mutate(draw, found.programs[which], draw.choice((1, 1, 2)))
        if changed.insns != found.programs[which].insns and accepted(changed, dialect):
            made = replace(found, programs={**found.programs, which: changed}).at_home()
            return f"{folder}/{name}, {which} changed", made
    return f"{folder}/{name}", found


def generated(draw: Random) -> tuple[str, Object]:
    """Return an object with a random enqueue and a random dequeue program, which share the maps."""
    programs: dict[str, Program] = {}
    while len(programs) < len(_MEMBERS):
        one = generate.program(draw, rfc6(), "qdisc", draw.choice((4, 8, 12)))
        if one.attach not in programs and accepted(one, rfc6()):
            programs[one.attach] = replace(one, name=one.attach, section=f"sch_bpf/{one.attach}")
    maps = {spec.name: spec for program in programs.values() for spec in program.maps}
    return "generated", Object("", programs, maps, "GPL", programs["enqueue"].btf).at_home()


def check(number: int) -> str:
    """Assert that programs do the same in both ways, and return why the run was not fused."""
    draw = Random(number)
    what, found = (mutant if draw.random() < .7 else generated)(draw)
    asked = options(draw)
    limits = asked.get("limits", Limits(idle_events=4096))
    asked["limits"] = replace(limits, run_instructions=min(limits.run_instructions, 50_000))  # of 8 million rounds
    return same(found, asked, number, what) or what.partition(",")[0]


if __name__ == "__main__":
    run_all(check, sys.argv[1:])
