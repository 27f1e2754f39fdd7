"""Both engines mean the same: results, faults, and what is left in context and maps."""

from __future__ import annotations

import os
from typing import Any
from unittest import mock

from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from ebpfvm.dialects import linux
from ebpfvm.engine import Interpreter, Translator
from ebpfvm.engine.translate import counted_loops
from ebpfvm.errors import Fault
from ebpfvm.kernel import BytesCtx, Kernel, LoadedProgram, SkbCtx, SkBuff
from ebpfvm.loader.object import Program
from tests.laws import array_programs, packet_programs
from tests.laws.engine_programs import SIZE, programs
from tests.unit.engine.rig import kernel
from tests.unit.engine.test_behaviour import HELPERS, Array

COUNT = int(os.environ.get("EBPFVM_PROGRAMS", "150"))  # programs; a long run takes 20,000


def outcome(program: Program, engine: Any) -> tuple[object, bytes, bytes]:
    """What comes of a run: r0 or the fault, the context, the map."""
    k = kernel(HELPERS)
    bpf_map = Array(k, SIZE)
    bpf_map.value.data[:] = bytes(range(SIZE))
    ctx = BytesCtx(k, bytes(range(100, 100 + SIZE)))
    run = engine.load(LoadedProgram(k, program, [bpf_map][:len(program.maps)], facts=()))
    result: object
    try:
        result = run(ctx)
    except Fault as fault:
        result = fault.kind, fault.pc
    assert k.stack.depth == 0
    return result, bytes(ctx.data), bytes(bpf_map.value.data)


@settings(max_examples=COUNT, deadline=None, suppress_health_check=list(HealthCheck))
@given(programs())
def test_random_programs(program: Program) -> None:
    expected = outcome(program, Interpreter(budget=2_000_000))
    assert isinstance(expected[0], int), expected[0]
    assert outcome(program, Translator(budget=200_000)) == expected


@settings(max_examples=COUNT, deadline=None, suppress_health_check=list(HealthCheck))
@given(array_programs.programs())
def test_loops_over_arrays_on_the_stack(program: Program) -> None:
    expected = outcome(program, Interpreter(budget=2_000_000))
    assert isinstance(expected[0], int), expected[0]
    assert outcome(program, Translator(budget=200_000)) == expected


@settings(max_examples=COUNT, deadline=None, suppress_health_check=list(HealthCheck))
@given(array_programs.programs(), st.integers(1, 40))
def test_counted_loops_use_up_the_budget_as_others_do(program: Program, budget: int) -> None:
    """The same fault at the same place, and the same bytes written before."""
    with mock.patch.object(counted_loops, "find", return_value={}):
        expected = outcome(program, Translator(budget=budget))
    assert outcome(program, Translator(budget=budget)) == expected


def outcome_of_packet(program: Program, engine: Any, packet: bytes) -> tuple[object, bytes]:
    """What comes of a run: r0 or the fault, and the packet."""
    k = Kernel(linux())
    skb = SkBuff(k, packet)
    run = engine.load(LoadedProgram(k, program, [], facts=()))
    result: object
    try:
        result = run(SkbCtx(k, skb))
    except Fault as fault:
        result = fault.kind
    return result, bytes(skb.packet.data[skb.packet.start:skb.packet.end])


@settings(max_examples=COUNT, deadline=None, suppress_health_check=list(HealthCheck))
@given(packet_programs.programs(), st.binary(min_size=14, max_size=60))
def test_packets(program: Program, packet: bytes) -> None:
    expected = outcome_of_packet(program, Interpreter(budget=2_000_000), packet)
    assume(isinstance(expected[0], int))  # a place before the packet's first byte
    assert outcome_of_packet(program, Translator(), packet) == expected
