"""A fault names the instruction as the verifier's log does, functions by name."""

from __future__ import annotations

import pytest

from ebpfvm import Fault, Program
from ebpfvm import test_run as run_on_packet
from ebpfvm.isa.asm import assemble
from ebpfvm.limits import Limits

UNKNOWN_ADDRESS = "r2 = 0; r3 = r10; r3 += -8; r4 = 1; r1 = 64; call 26; exit"


def test_a_fault_in_a_helper_names_it() -> None:
    program = Program.from_bytes(b"".join(insn.encode() for insn in assemble(UNKNOWN_ADDRESS)), "sched_cls")
    with pytest.raises(Fault) as caught:
        run_on_packet(program, engine="interp")
    assert caught.value.pc == 5
    assert caught.value.insn == "(85) call bpf_skb_load_bytes#26"


def test_a_budget_ends_in_its_loop() -> None:
    """What follows the loop, and is printed inside it because it returns, is not the place."""
    text = "r0 = 0; r1 = 0; again: r0 += 3; r1 += 1; if r1 != 9 goto again; r0 *= 7; exit"
    program = Program.from_bytes(b"".join(insn.encode() for insn in assemble(text.replace("; ", "\n"))), "sched_cls")
    with pytest.raises(Fault) as caught:
        run_on_packet(program, engine="translate", limits=Limits(run_instructions=4))
    assert (caught.value.kind, caught.value.pc) == ("budget", 4)
