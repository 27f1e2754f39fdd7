"""In dequeue `ctx->skb` is NULL on entry and no packet of the program's afterwards: it is a number (decision D1)."""

from __future__ import annotations

import pytest

from ebpfvm import test_run as run_on_packet
from ebpfvm.dialects import rfc6
from ebpfvm.isa.asm import assemble
from ebpfvm.loader.object import Program
from ebpfvm.verifier import Verdict, verify

READ_LEN = "r1 = *(u64 *)(r1 + 0); r0 = *(u32 *)(r1 + 0); exit"
LOAD_BYTES = """r1 = *(u64 *)(r1 + 0); r2 = 0; r3 = r10; r3 += -8; r4 = 1; call 26; r0 = 0; exit"""
CLASSIFY = "r1 = *(u64 *)(r1 + 0); r2 = 2; r3 = 65536; call 210; r0 = 0; exit"
COMPARE = "r1 = *(u64 *)(r1 + 0); r0 = 1; if r1 == 0 goto +1; r0 = 0; exit"


def program(text: str, hook: str) -> Program:
    return Program.from_bytes(b"".join(insn.encode() for insn in assemble(text)), "qdisc", attach=hook)


def judge(text: str, hook: str) -> Verdict:
    return verify(program(text, hook), rfc6())


@pytest.mark.parametrize("text", [READ_LEN, LOAD_BYTES, CLASSIFY])
def test_there_is_no_packet_to_use_in_dequeue(text: str) -> None:
    assert judge(text, "enqueue").ok
    verdict = judge(text, "dequeue")
    assert verdict.errno == 13
    assert "scalar" in verdict.message


ASK_WITH_CONTEXT = "r2 = 2; r3 = 65536; call 210; r0 = 0; exit"
LOAD_FROM_CONTEXT = "r2 = 0; r3 = r10; r3 += -8; r4 = 1; call 26; r0 = 0; exit"


def test_filters_may_be_asked_with_the_context_while_there_is_a_packet() -> None:
    assert judge(ASK_WITH_CONTEXT, "enqueue").ok
    assert judge(ASK_WITH_CONTEXT, "dequeue").errno == 13


@pytest.mark.parametrize("hook", ["enqueue", "dequeue"])
def test_the_context_is_no_packet_to_other_helpers(hook: str) -> None:
    assert "R1 type=ctx expected=trusted_ptr_" in judge(LOAD_FROM_CONTEXT, hook).message


@pytest.mark.parametrize("hook", ["enqueue", "dequeue"])
def test_it_may_be_compared(hook: str) -> None:
    assert judge(COMPARE, hook).ok


@pytest.mark.parametrize("engine", ["interp", "translate"])
def test_asking_with_the_context_asks_about_its_packet(engine: str) -> None:
    """There are no filters in a test run, so no class is found; the packet is, or there would be a fault."""
    assert run_on_packet(program(ASK_WITH_CONTEXT, "enqueue"), bytes(77), engine=engine).retval == 0


@pytest.mark.parametrize("engine", ["interp", "translate"])
@pytest.mark.parametrize("hook", ["enqueue", "dequeue", ""])
def test_at_run_time_it_is_what_the_verifier_took_it_for(hook: str, engine: str) -> None:
    assert run_on_packet(program(COMPARE, hook), engine=engine).retval == (hook == "dequeue")
    if judge(READ_LEN, hook).ok:
        assert run_on_packet(program(READ_LEN, hook), bytes(77), engine=engine).retval == 77
