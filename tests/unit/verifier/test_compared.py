"""What comparing compiled programs has brought to light, in small (`objects/compared.bpf.c` has the programs)."""

from __future__ import annotations

from pathlib import Path

import pytest

from ebpfvm.dialects.linux import linux
from ebpfvm.loader.open import load
from ebpfvm.verifier import verify
from tests.unit.verifier.build import OUT, Fn, build, message

BOTH = pytest.mark.parametrize("version", [(6, 18), (7, 2)])
PACKET = "r6 = r1\nr8 = *(u32 *)(r1 + 76)\nr2 = *(u32 *)(r1 + 80)\nr3 = r8\nr3 += 1\nif r3 > r2 goto out\n"
TAIL = "r2 = map[id:2]\nr3 = 0\ncall 12\n"


@BOTH
def test_a_called_program_may_move_the_packet(version: tuple[int, int]) -> None:
    lost = "R8 invalid mem access 'scalar'"
    use = "r0 = *(u8 *)(r8 + 0)" + OUT
    assert message(build(PACKET + "r1 = r6\n" + TAIL + use), version) == ""  # where it failed: no one ran
    sub = Fn("sub", TAIL + "r0 = 0\nexit\n", ("ptr",), static=True)
    assert message(build(PACKET + "r1 = r6\ncall @sub\n" + use, sub), version) == lost
    inner = Fn("sub", PACKET + "r1 = r6\n" + TAIL + use, ("ptr",), static=True)
    assert message(build("call @sub\nr0 = 0\nexit\n", inner), version) == ""


@pytest.mark.parametrize(("count", "static", "lines"), [
    (5, True, ""), (6, True, "callee expects 6 args, stack arg1 is not initialized"),
    (13, True, "kernel supports at most 12 parameters, function sub has 13\n"
               "callee expects 13 args, stack arg1 is not initialized"),
    (7, False, "global function sub has 7 > 5 args, stack args not supported\n"
               "callee expects 7 args, stack arg1 is not initialized"),
])
def test_arguments_on_the_stack_are_wanted_by_the_prototype(count: int, static: bool, lines: str) -> None:
    end = "r0 = 0\nexit\n"
    program = build("r1 = 1\nr2 = 1\nr3 = 1\nr4 = 1\nr5 = 1\ncall @sub\n" + end,
                    Fn("sub", end, ("int",) * count, static=static))
    assert message(program, (7, 2)) == lines
    if static:
        assert message(program, (6, 18)) == ""  # looks at no more than five
    dead = build("r0 = 0\nif r0 == 0 goto out\ncall @sub" + OUT, Fn("sub", end, ("int",) * count, static=True))
    assert message(dead, (7, 2)) == ""


def test_callbacks_have_no_arguments_on_the_stack() -> None:
    end = "r0 = 0\nexit\n"
    loop = build("r1 = 3\nr2 = @cb\nr3 = 0\nr4 = 0\ncall 181\n" + end, Fn("cb", end, ("int",) * 6, static=True))
    assert message(loop, (7, 2)) == "callee expects 6 args, stack arg1 is not initialized"
    assert message(loop, (6, 18)) == ""


@pytest.mark.parametrize(("version", "where"), [
    ((6, 18), "var_off=(0x0; 0x8) off=-16 size=8"), ((7, 2), "var_off=(0xffffffffffffffe0; 0x18) off=8 size=8")])
def test_an_atomic_operation_somewhere_on_the_stack(version: tuple[int, int], where: str) -> None:
    text = ("r2 = *(u32 *)(r1 + 8)\nr2 &= 8\nr1 = r10\nr1 += -24\nr1 += r2\n*(u64 *)(r10 - 8) = 0\n"
            "*(u64 *)(r10 - 16) = 0\nr3 = 1\nlock *(u64 *)(r1 + 8) += r3\nr0 = 0\nexit\n")
    assert message(build(text), version) == \
        "variable offset stack pointer cannot be passed into helper function; " + where


@pytest.mark.parametrize(("first", "second", "version", "processed"), [
    ("r2 &= 255\nr7 += r2\n", "r2 &= 127\nr7 += r2\n", (7, 2), 54),
    ("r2 &= 255\nr7 += r2\n", "r2 &= 127\nr2 |= 1\nr7 += r2\n", (7, 2), 60),
    ("r2 &= 255\nr7 += r2\n", "r2 &= 127\nr2 |= 1\nr7 += r2\n", (6, 18), 55),
    ("r7 += 4\nr2 &= 255\nr7 += r2\n", "r7 += 4\nr2 &= 127\nr7 += r2\n", (7, 2), 56),
    ("r7 += 4\nr2 &= 255\nr7 += r2\n", "r7 += 5\nr2 &= 127\nr7 += r2\n", (7, 2), 61),
])
def test_packet_pointers_that_begin_alike(first: str, second: str, version: tuple[int, int], processed: int) -> None:
    """Where the ways of two paths meet, 7.2 takes a packet pointer for covered if both begin at the same offset."""
    idle = "r5 = 7\nr5 = 8\nr5 = 9\nr5 = 8\nr5 = 9\n"
    text = ("r6 = r1\nr7 = *(u32 *)(r1 + 76)\nr8 = *(u32 *)(r1 + 80)\nr2 = *(u32 *)(r1 + 8)\nr3 = *(u32 *)(r1 + 4)\n"
            "r4 = *(u32 *)(r1 + 0)\nif r4 == 9 goto out\nif r4 == 10 goto out\nr5 = 0\nr5 = 1\nr5 = 2\nr5 = 3\nr5 = 4\n"
            f"r5 = 5\nr5 = 6\nif r3 == 0 goto other\n{idle}{first}goto join\nother:\n{idle}{second}"
            "r5 = 0\nr5 = 1\nr5 = 2\nr5 = 3\nr5 = 4\nr5 = 5\nr5 = 6\nr5 = 7\ngoto join\njoin:\nr0 = 0\n"
            "r9 = r7\nr9 += 1\nif r9 > r8 goto out\nr0 = *(u8 *)(r7 + 0)\nout:\nr0 = 0\nexit\n")
    verdict = verify(build(text), linux(version))
    assert verdict.ok and verdict.processed == processed


def test_an_object_that_a_kptr_owns_may_be_about_to_be_freed() -> None:
    """bpf_refcount_acquire may fail for it, as Linux 7.2 says; 6.18 forgets it for structs without nodes."""
    programs = load(Path(__file__).parent / "objects" / "refcounts.o").programs
    assert {name: verify(program, linux((7, 2))).message for name, program in programs.items()} == \
        {"compares": "", "trusts": "R0 invalid mem access 'ptr_or_null_'"}
    assert all(verify(program, linux((6, 18))).ok for program in programs.values())
