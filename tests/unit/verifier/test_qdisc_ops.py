"""Programs of struct_ops over `Qdisc_ops`: what Linux 7.2.13 processed of each, and prototypes that do not fit.

The verdicts themselves are in tests/data/verdicts.json, like those of the other objects.
"""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from ebpfvm.dialects import linux
from ebpfvm.isa.insn import Insn
from ebpfvm.loader import load
from ebpfvm.loader.object import Program
from ebpfvm.verifier import verify

HERE = Path(__file__).parent
PROGRAMS = load(HERE / "objects" / "qdisc_ops.o").programs
COUNTS: dict[str, int] = json.loads((HERE / "counts" / "qdisc_ops.json").read_text())


@pytest.mark.parametrize("name", COUNTS)
def test_processed_instructions(name: str) -> None:
    assert verify(PROGRAMS[name], linux()).processed == COUNTS[name]


def test_every_program_is_counted() -> None:
    assert sorted(COUNTS) == sorted(PROGRAMS)


def test_a_function_that_is_declared_with_an_incomplete_struct_is_another_one() -> None:
    """libbpf compares kinds of types: `struct netlink_ext_ack;` is no struct yet."""
    weak = PROGRAMS["i_prologue"]
    assert verify(weak, linux()).message.endswith("kfunc 'bpf_qdisc_init_prologue' is referenced but wasn't resolved")
    strong = verify(replace(weak, weak=frozenset()), linux())
    assert (strong.errno, strong.message) == (
        3, "extern (func ksym) 'bpf_qdisc_init_prologue': func_proto incompatible with the kernel's: parameter 2 is of "
           "another kind than the kernel's struct netlink_ext_ack *")


@pytest.mark.parametrize(("name", "depth"), [("t_nothing", "8"), ("r_nothing", "8"), ("i_nothing", "0")])
def test_the_kernel_keeps_the_context_for_what_it_appends(name: str, depth: str) -> None:
    assert f"stack depth {depth} max 0\n" in verify(PROGRAMS[name], linux(), log_level=4).log


@pytest.mark.parametrize("member", ["enqueue", "dequeue", "init"])
def test_reads_of_arguments(member: str) -> None:
    """Linux 7.2.13 was asked about each of them: it does not look at reads that begin in enqueue's third argument."""
    sizes, whole = {1: 0x71, 2: 0x69, 4: 0x61, 8: 0x79}, {"enqueue": 2, "dequeue": 1, "init": 3}[member]
    release = (Insn(0x79, 1, 6), Insn(0x85, 0, 2, 0, 1)) if member == "enqueue" else ()
    accepted = set()
    for off in range(-1, 34):
        for size, code in sizes.items():
            insns = (Insn(0xBF, 6, 1), Insn(code, 2, 6, off), *release, Insn(0xB7), Insn(0x95))
            one = Program("p", insns, "struct_ops", license="GPL", kfuncs={1: "bpf_kfree_skb"},
                          struct_ops=("Qdisc_ops", member))
            if verify(one, linux()).ok:
                accepted.add((off, size))
    third = {(off, size) for off in range(16, 24) for size in sizes} if member == "enqueue" else set()
    assert accepted == {(8 * at, 8) for at in range(whole)} | third


def test_arguments_that_the_kernel_adds_count_as_read() -> None:
    """bpf_obj_drop() has a second one; Linux 7.2.13 says that r2 is live before it."""
    insns = (Insn(0xB7, 1), Insn(0x85, 0, 2, 0, 1), Insn(0xB7), Insn(0x95))
    program = Program("p", insns, "struct_ops", license="GPL", kfuncs={1: "bpf_obj_drop"},
                      struct_ops=("Qdisc_ops", "init"))
    assert "\n      0: ..2......." in verify(program, linux(), log_level=2).log
