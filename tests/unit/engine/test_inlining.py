"""Local functions and callbacks of loops become part of their caller, with the results of real calls."""

from __future__ import annotations

from typing import Any

import pytest

from ebpfvm.engine import Interpreter, Translator
from ebpfvm.engine.translate.source import GeneratedSource, generate
from ebpfvm.engine.translate.statements import TICK
from ebpfvm.engine.translate.unit import Unit
from ebpfvm.errors import Fault
from ebpfvm.funcs.loop import bpf_loop
from ebpfvm.kernel import BytesCtx, LoadedProgram
from ebpfvm.loader.object import Program
from tests.unit.engine.rig import CALL, EXIT, LDDW, MOV64_K, MOV64_X, I, kernel, program

ENGINES = [Interpreter, Translator]
# r0 = *r1 + 1; *r1 = 7; its own r6 and frame hold something else than the caller's.
CALLEE = (I(0x79, 6, 1, 0), I(0x7A, 10, 0, -8, 99), I(0x7A, 1, 0, 0, 7), I(MOV64_X, 0, 6), I(0x07, 0, 0, 0, 1), I(EXIT))
CALLER = (I(MOV64_K, 6, 0, 0, 50), I(0x7A, 10, 0, -8, 5), I(MOV64_X, 1, 10), I(0x07, 1, 0, 0, -8), I(CALL, 0, 1, 0, 4),
          I(0x79, 1, 10, -8), I(0x0F, 0, 1), I(0x0F, 0, 6), I(EXIT))
# bpf_loop(3, f, fp - 8, 0), and what is in the slot then, from bit 8 on.
LOOP = (I(0x7A, 10, 0, -8, 0), I(MOV64_K, 1, 0, 0, 3), I(LDDW, 2, 4, 0, 9), I(0), I(MOV64_X, 3, 10),
        I(0x07, 3, 0, 0, -8), I(MOV64_K, 4, 0, 0, 0), I(CALL, 0, 0, 0, 181), I(0x79, 1, 10, -8), I(0x67, 1, 0, 0, 8),
        I(0x0F, 0, 1), I(EXIT))
ROUND = (I(0x79, 3, 2, 0), I(0x0F, 3, 1), I(0x7B, 2, 3, 0), I(MOV64_K, 0, 0, 0, 0), I(EXIT))
STOPS = (I(0x79, 3, 2, 0), I(0x07, 3, 0, 0, 5), I(0x7B, 2, 3, 0), I(MOV64_K, 0, 0, 0, 1), I(EXIT))


def result(found: Program, engine: Any) -> int:
    k = kernel({181: bpf_loop})
    run = engine().load(LoadedProgram(k, found, facts=()))
    value: int = run(BytesCtx(k, bytes(8)))
    assert k.stack.depth == 0
    return value


def source(found: Program) -> str:
    return generate(Unit(LoadedProgram(kernel({181: bpf_loop}), found, facts=()), None)).code


@pytest.mark.parametrize("engine", ENGINES)
def test_a_callee_changes_the_frame_that_it_is_lent_and_nothing_else(engine: Any) -> None:
    assert result(program(*CALLER, *CALLEE), engine) == 6 + 7 + 50


def test_slots_lent_to_a_callee_stay_variables() -> None:
    made = source(program(*CALLER, *CALLEE))
    assert "def f9" not in made and "ENTER" not in made


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize(("callback", "expected"), [(ROUND, 3 + (3 << 8)), (STOPS, 1 + (5 << 8))])
def test_rounds_of_bpf_loop(engine: Any, callback: tuple[I, ...], expected: int) -> None:
    assert result(program(*_placed(callback)), engine) == expected


def _placed(callback: tuple[I, ...]) -> tuple[I, ...]:
    return *LOOP, *callback


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize(("rounds", "flags", "expected"), [
    (0, 0, 0), (3, 1, (1 << 64) - 22), (8 * 1024 * 1024 + 1, 0, (1 << 64) - 7)])
def test_what_bpf_loop_refuses(engine: Any, rounds: int, flags: int, expected: int) -> None:
    code = list(_placed(ROUND))
    code[1], code[6], code[8] = I(MOV64_K, 1, 0, 0, rounds), I(MOV64_K, 4, 0, 0, flags), I(MOV64_K, 1)
    assert result(program(*code), engine) == expected


def test_a_callback_of_a_loop_is_its_body() -> None:
    made = source(program(*_placed(ROUND)))
    assert "def f12" not in made and "for _ in" in made


def test_a_callee_whose_frame_is_memory_stays_a_function() -> None:
    """Its pointer at a variable offset needs memory."""
    code = (I(0x79, 1, 1, 0), I(CALL, 0, 1, 0, 1), I(EXIT),
            I(0x57, 1, 0, 0, 7), I(0x7A, 10, 0, -16, 1), I(0x7A, 10, 0, -8, 2), I(MOV64_X, 2, 10), I(0x0F, 2, 1),
            I(0x71, 0, 2, -16), I(EXIT))
    assert "def f3" in source(program(*code))
    assert result(program(*code), Translator) == result(program(*code), Interpreter) == 1


@pytest.mark.parametrize(("callback", "rounds", "calls"), [(ROUND, 3, 3), (ROUND, 1, 1), (STOPS, 3, 1)])
def test_each_call_of_a_callback_consumes_one_tick(callback: tuple[I, ...], rounds: int, calls: int) -> None:
    code = list(_placed(callback))
    code[1] = I(MOV64_K, 1, 0, 0, rounds)
    found = program(*code)

    def run(budget: int) -> int:
        k = kernel({181: bpf_loop})
        value: int = Translator(budget).load(LoadedProgram(k, found, facts=()))(BytesCtx(k, bytes(8)))
        return value

    assert run(calls) & 255 == calls
    if calls > 1:
        with pytest.raises(Fault, match=r"used up its budget of 2 .* at insn 7: \(85\) call bpf_loop"):
            run(calls - 1)


def test_a_callee_with_a_loop_becomes_part_of_its_caller_and_its_budget_ends_in_the_loop() -> None:
    callee = (I(MOV64_K, 1, 0, 0, 3), I(0x07, 1, 0, 0, -1), I(0x55, 1, 0, -2, 0), I(MOV64_K, 0), I(EXIT))
    found = program(I(CALL, 0, 1, 0, 1), I(EXIT), *callee)
    made = source(found)
    assert "def f2" not in made and "for _ in" in made
    assert result(found, Translator) == result(found, Interpreter) == 0
    k = kernel({})
    with pytest.raises(Fault, match=r"used up its budget of 1 .* at insn [34]: \((07|55)\)"):
        Translator(1).load(LoadedProgram(k, found, facts=()))(BytesCtx(k, bytes(8)))


@pytest.mark.parametrize(("line", "budget", "kept"), [(TICK, 2, False), (TICK, 1, True), ("for _ in ticks:", 99, True)])
def test_a_budget_is_counted_only_where_it_may_end(line: str, budget: int, kept: bool) -> None:
    text = f"def f0(ticks, g_c):\n    {line}\n        pass\n    return 0\n"
    made = GeneratedSource(text, (0,) * 4, {}, False, (0,), {}).without_budget(budget)
    assert made.code == (text if kept else text.replace(TICK, "pass"))
