"""What a kernel walks of a program, and how many states it keeps of it, so do we: counts.json and the objects hold what
Linux 6.18.44 and 7.2.13 said (processed instructions, most states at one place, states, most states at one time).

`tests/kernel/test_counts.py` asks a running 6.18 again, and about programs of a random source.
"""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path
from typing import cast

import pytest

from ebpfvm.dialects.linux import linux
from ebpfvm.isa.asm import assemble
from ebpfvm.loader import load
from ebpfvm.loader.object import Program
from ebpfvm.verifier import verify
from ebpfvm.verifier.liveness.arg_tracks import MIXED, join, text
from tests.unit.verifier.shapes import SHAPES, program

HERE = Path(__file__).parent / "counts"
VERSIONS = ("6.18", "7.2")
LARGE = {"large0_10": {"6.18": [488, 2, 33, 33], "7.2": [900, 4, 54, 54]},
         "large11_20": {"6.18": [2467, 5, 163, 158], "7.2": [2123, 5, 143, 139]}}


@cache
def recorded() -> dict[str, dict[str, list[int]]]:
    return cast("dict[str, dict[str, list[int]]]", json.loads((HERE / "shapes.json").read_text()))


def counts(judged: Program, version: str, log_level: int = 0) -> list[int]:
    major, minor = map(int, version.split("."))
    verdict = verify(judged, linux((major, minor)), log_level=log_level)
    assert verdict.ok, verdict.message
    return [verdict.processed, verdict.stats["max_states_per_insn"], verdict.stats["states"],
            verdict.stats["peak_states"]]


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("name", SHAPES)
def test_shapes(name: str, version: str) -> None:
    assert counts(program(name), version) == recorded()[name][version]


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("name", LARGE)
def test_compiled_programs(name: str, version: str) -> None:
    assert counts(load(HERE / f"{name}.o").programs["prog"], version) == LARGE[name][version]


@pytest.mark.parametrize("version", VERSIONS)
def test_a_log_changes_nothing(version: str) -> None:
    """For a log the passes over the stack look at each instruction, and else only at what can have changed."""
    for name in ("pointer through two functions", "context of a callback", "loop over an array"):
        assert counts(program(name), version, 2) == recorded()[name][version]


def said(body: str, version: tuple[int, int] = (7, 2)) -> str:
    code = "r6 = r1\nr0 = *(u32 *)(r1 + 0)\n" + body + "r0 = 0\nexit\n"
    return verify(Program("prog", tuple(assemble(code)), "sched_cls", license="GPL"), linux(version), log_level=2).log


@pytest.mark.parametrize(("store", "load", "kept"), [
    ("*(u64 *)(r10 - 48) = 5", "r2 = *(u8 *)(r10 - 43)", "mmmmpppp"),
    ("*(u64 *)(r10 - 48) = 5", "r2 = *(u32 *)(r10 - 48)", "pppp5"),
    ("*(u64 *)(r10 - 48) = 0", "r2 = *(u32 *)(r10 - 44)", "0"),
    ("*(u64 *)(r10 - 48) = 0", "r2 = *(u32 *)(r10 - 48)", "pppp0"),
    ("*(u32 *)(r10 - 44) = r0", "r2 = *(u8 *)(r10 - 43)", "mmmmpppp"),
])
def test_dead_halves(store: str, load: str, kept: str) -> None:
    log = said(f"{store}\nif r0 == 7 goto +1\nr2 = 1\n{load}\n")
    assert f"R10=fp0 fp-48={kept}\n" in log.partition("\nfrom ")[2]


def test_pointers_are_kept_whole() -> None:
    """The upper half of the pointer is dead, and its bytes still are no numbers."""
    log = said("*(u64 *)(r10 - 48) = r6\nif r0 == 7 goto +1\nr2 = 1\nr2 = *(u8 *)(r10 - 43)\n")
    assert "invalid size of register fill" in log


def test_the_walk_notes_what_it_reads() -> None:
    log = said("*(u64 *)(r10 - 8) = r0\n*(u64 *)(r10 - 16) = r0\nif r0 == 7 goto +1\nr2 = *(u64 *)(r10 - 8)\n", (6, 18))
    assert [line.rstrip() for line in log.splitlines() if line.startswith("(0)")] == [
        "(0) frame 0 insn 5 +live -8", "(0) frame 0 insn 4 +live -8", "(0) frame 0 insn 3 +live -8",
        "(0) frame 0 insn 3 +written -16", "(0) frame 0 insn 2 +written -8,-16",
        "(0) frame 0 insn 0 +written -8,-16", "(0) live stack update done in 2 iterations"]


def test_tracks() -> None:
    assert text(join((0, (-8,)), (0, (-16,)))) == "fp0-16|fp0-8"
    assert text(join((0, (-8,)), None)) == "fp0-8|fp0+0"  # a write there is not certain any more
    assert text(join((0, (-8, -4, 0)), (0, (-32, -16)))) == "fp0 ?"
    assert join((0, (-8,)), (1, (-8,))) == (MIXED, 3)
    assert text((MIXED, 3)) == "IMP3"
    assert text(join(None, None)) == "_"
