"""What only the interpreter does: it runs programs no verifier has seen, and lets others watch."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ebpfvm.dialects import linux
from ebpfvm.engine import Hooks, Interpreter
from ebpfvm.engine.interp_run import InterpreterRun
from ebpfvm.errors import Fault
from ebpfvm.isa.insn import Insn as I
from ebpfvm.isa.insn import decode
from ebpfvm.isa.table import ROWS
from ebpfvm.kernel import Kernel
from tests.unit.engine.rig import CALL, EXIT, JA, MOV64_K, MOV64_X, kernel, lddw, program, run
from tests.unit.engine.test_behaviour import HELPERS

WRONG = {
    "memory": [[I(0x79, 0, 10, 0)], [I(0x79, 0, 10, -520)], [I(0x7B, 10, 1, -4)], [I(0x79, 0, 1, 60)],
               [I(0x79, 0, 1, -1)], [I(0x79, 0, 3, 0)], [*lddw(2, 0xDEAD_BEEF_0000), I(0x7B, 2, 1)],
               [*lddw(2, 0, 4), I(0x7B, 2, 1)], [*lddw(2, 7, 1)], [I(0xDB, 3, 1)]],
    "opcode": [[], [I(0xFF)], [I(0x00)], [I(JA, 0, 0, 100)], [I(JA, 0, 0, -2)], [I(MOV64_K, 11, 0, 0, 0)],
               [I(MOV64_K, 0, 1, 0, 0)], [I(JA, 0, 0, 1), *lddw(0, 0)], [I(0x18)]],
    "unsupported": [[I(0x0D)], [I(MOV64_X, 0, 1, -1)], [I(MOV64_X, 0, 1, 1)], [*lddw(0, 1, 3)]],
    "call": [[I(CALL, 0, 0, 0, 99)], [I(CALL, 0, 1, 0, 99)], [I(CALL, 0, 1, 0, -1)], [I(CALL, 0, 2, 0, 0)],
             [I(0x8D)]],
    "budget": [[I(JA, 0, 0, -1)], [I(0x05, 0, 0, 0), I(JA, 0, 0, -2)]],
}


@pytest.mark.parametrize(("kind", "body"), [(kind, body) for kind, bodies in WRONG.items() for body in bodies])
def test_whatever_is_wrong_becomes_a_fault(kind: str, body: list[I]) -> None:
    k = kernel(HELPERS)
    with pytest.raises(Fault) as caught:
        run(program(*body), engine=Interpreter(budget=5000), k=k)
    assert caught.value.kind == kind, caught.value
    assert caught.value.pc is not None
    assert k.stack.depth == 0


def test_an_escaped_pointer_to_a_dead_frame() -> None:
    prog = program(I(CALL, 0, 1, 0, 2), I(0x79, 0, 0, 0), I(EXIT), I(MOV64_X, 0, 10), I(0x07, 0, 0, 0, -8), I(EXIT))
    with pytest.raises(Fault) as caught:
        run(prog)
    assert caught.value.kind == "use-after-free" and caught.value.pc == 1


@st.composite
def any_insns(draw: Any) -> list[I]:
    """Instructions of the table with any operands, and now and then any bytes."""
    out = []
    for row in draw(st.lists(st.sampled_from(ROWS), min_size=1, max_size=12)):
        small = st.integers(-9, 9)
        out.append(I(row.code, draw(st.integers(0, 10)), draw(st.integers(0, 10)), draw(small), draw(small))
                   ._replace(**dict(row.fixed)))
    return out + list(decode(draw(st.binary(min_size=8, max_size=8))))


@settings(max_examples=400, deadline=None)
@given(any_insns())
def test_no_program_escapes(insns: list[I]) -> None:
    k = kernel(HELPERS)
    try:
        run(program(*insns, I(EXIT)), engine=Interpreter(budget=300), k=k)
    except Fault as fault:
        assert fault.pc is not None
    assert k.stack.depth == 0 and k.refs.held == 0


class Notes(Hooks):
    def __init__(self) -> None:
        self.notes: list[tuple[Any, ...]] = []

    def before(self, run: InterpreterRun, pc: int, regs: list[int]) -> None:
        self.notes.append(("before", pc))

    def after(self, run: InterpreterRun, pc: int, regs: list[int], next_pc: int) -> None:
        self.notes.append(("after", pc, next_pc, regs[0]))

    def memory(self, run: InterpreterRun, kind: str, ptr: int, size: int, value: int) -> None:
        self.notes.append((kind, size, value))

    def call(self, run: InterpreterRun, name: str, args: tuple[int, ...], result: int) -> None:
        self.notes.append((name, result))


def test_hooks_see_everything() -> None:
    notes = Notes()
    prog = program(I(0x7A, 10, 0, -8, 9), I(0x71, 0, 10, -8), I(0xDB, 10, 0, -8, 1), I(CALL, 0, 0, 0, 7), I(EXIT))
    run(prog, engine=Interpreter(hooks=notes), k=kernel(HELPERS))
    assert notes.notes == [
        ("before", 0), ("store", 8, 9), ("after", 0, 1, 0),
        ("before", 1), ("load", 1, 9), ("after", 1, 2, 9),
        ("before", 2), ("load", 8, 9), ("store", 8, 18), ("after", 2, 3, 9),
        ("before", 3), ("bpf_fail", 2**64 - 22), ("after", 3, 4, 2**64 - 22),
        ("before", 4), ("after", 4, -1, 2**64 - 22)]


def test_hooks_may_change_registers_and_do_not_change_faults() -> None:
    class Poke(Hooks):
        def before(self, run: InterpreterRun, pc: int, regs: list[int]) -> None:
            if pc == 1:
                regs[0] = 7

    assert run(program(I(MOV64_K, 0), I(0x07, 0, 0, 0, 1), I(EXIT)), engine=Interpreter(hooks=Poke()))[0] == 8
    with pytest.raises(Fault) as caught:
        run(program(I(MOV64_K, 2), I(0x79, 0, 2, 0), I(EXIT)), engine=Interpreter(hooks=Hooks()))
    assert caught.value.pc == 1 and caught.value.regs[1] != 0
    with pytest.raises(Fault) as caught:
        run(program(I(JA, 0, 0, -1)), engine=Interpreter(budget=10, hooks=Hooks()))
    assert caught.value.kind == "budget"


@pytest.mark.parametrize(("version", "most"), [((6, 18), 8), ((7, 2), 16)])
def test_frames_are_counted(version: tuple[int, int], most: int) -> None:
    deep = [I(CALL, 0, 1, 0, 1), I(EXIT)] * most + [I(MOV64_K, 0), I(EXIT)]
    with pytest.raises(Fault, match=f"{most + 1} frames deep; {most} are allowed"):
        run(program(*deep), k=Kernel(linux(version)))
    assert run(program(*deep[2:]), k=Kernel(linux(version)))[0] == 0
