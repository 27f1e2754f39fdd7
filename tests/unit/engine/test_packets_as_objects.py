"""What programs do with references to packets: the same on both engines, faults included."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ebpfvm.dialects import rfc6
from ebpfvm.engine import Interpreter, Translator
from ebpfvm.errors import Fault
from ebpfvm.isa.insn import Insn as I
from ebpfvm.kernel import Kernel, LoadedProgram, SchBpfCtx, SkBuff
from ebpfvm.kernel.layouts import layout_of
from tests.unit.engine.rig import CALL, EXIT, MOV64_K, MOV64_X, program

KFUNCS = {0: "bpf_skb_acquire", 1: "bpf_skb_release"}
STEPS = {
    "acquire": (I(MOV64_X, 1, 6), I(CALL, 0, 2, 0, 0), I(MOV64_X, 6, 0)),
    "release": (I(MOV64_X, 1, 6), I(CALL, 0, 2, 0, 1)),
    "hand over": (I(0x7B, 7, 6, 0),),
    "hand over NULL": (I(MOV64_K, 1), I(0x7B, 7, 1, 0)),
    "check": (I(0x55, 6, 0, 2), I(MOV64_K, 0, 0, 0, 77), I(EXIT)),
}
START = (I(MOV64_X, 7, 1), I(0x79, 6, 1, 0))


def outcome(engine: Any, hook: str, steps: list[str], given_before: int) -> tuple[object, ...]:
    """Run the steps on a packet of which the program has `given_before` references, and return what can be seen."""
    kernel = Kernel(rfc6())
    skb = SkBuff(kernel, b"abc")
    for _ in range(given_before):
        kernel.refs.acquire(skb)
    insns = (*START, *(insn for step in steps for insn in STEPS[step]), I(MOV64_K, 0), I(EXIT))
    kind = kernel.dialect.prog_type("qdisc")
    loaded = LoadedProgram(kernel, program(*insns, type="qdisc", attach=hook, kfuncs=KFUNCS), facts=())
    ctx = SchBpfCtx(kernel, layout_of(kind, hook))
    ctx.packet = skb
    told: object
    try:
        told = engine.load(loaded)(ctx)
    except Fault as error:
        told = error.kind, error.message, error.pc
    return told, skb.holders, kernel.refs.held, ctx.packet is skb


@given(st.lists(st.sampled_from([step for step in STEPS if step != "hand over NULL"]), max_size=6), st.integers(0, 2))
def test_any_order_of_counting_is_the_same_on_both_engines(steps: list[str], before: int) -> None:
    for hook in ("enqueue", "dequeue"):
        if hook == "dequeue" or not any(step.startswith("hand") for step in steps):
            assert outcome(Translator(), hook, steps, before) == outcome(Interpreter(), hook, steps, before)


@pytest.mark.parametrize("engine", [Interpreter, Translator])
def test_what_faults_say(engine: Any) -> None:
    assert outcome(engine(), "dequeue", ["acquire", "hand over"], 0) == (0, ["network", "ctx->skb"], 0, True)
    assert outcome(engine(), "dequeue", ["acquire", "hand over", "hand over NULL"], 0)[-1] is False
    assert outcome(engine(), "enqueue", ["acquire"], 0)[:2] == (
        ("leak", "program prog ends holding packet 1 (3 bytes): every reference must be released, stored in a map or "
                 "handed over", None), ["network", "leaked by prog"])
    twice = outcome(engine(), "dequeue", ["acquire", "release", "release"], 0)[0]
    assert twice[:2] == ("double-free",  # type: ignore[index]
                         "program releases a reference to packet 1 (3 bytes) that it does not hold; held by network")
    given_twice = outcome(engine(), "dequeue", ["acquire", "hand over", "hand over"], 0)[0]
    assert "program gives to ctx->skb a reference to packet 1 (3 bytes) that it does not hold; held by network, " \
           "ctx->skb" in str(given_twice)


def test_a_packet_that_only_moves_gets_no_address() -> None:
    kernel = Kernel(rfc6())
    kind = kernel.dialect.prog_type("qdisc")
    insns = (*START, *STEPS["acquire"], *STEPS["check"], *STEPS["release"], I(0x61, 0, 6, 0), I(EXIT))
    run = Translator().load(LoadedProgram(kernel, program(*insns, type="qdisc", attach="enqueue", kfuncs=KFUNCS),
                                          facts=()))
    ctx, skb = SchBpfCtx(kernel, layout_of(kind, "enqueue")), SkBuff(kernel, b"abc")
    ctx.packet = skb
    assert run(ctx) == 3 and skb._region is None
