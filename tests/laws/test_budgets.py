"""A budget that is used up stops a translated program where the interpreter is at that time, whatever was inlined.

The translator counts the rounds of loops and the calls of callbacks. Where they begin is read off the program, and the
interpreter, which is watched there, says what has happened before each.
"""

from __future__ import annotations

import os
from typing import Any
from unittest import mock

import pytest

from ebpfvm.dialects import linux
from ebpfvm.engine import Interpreter, Translator
from ebpfvm.engine.interp_run import Hooks
from ebpfvm.engine.translate import counted_loops, flow_graph, inlining
from ebpfvm.errors import Fault
from ebpfvm.isa import codes as c
from ebpfvm.kernel import Kernel, LoadedProgram, SkbCtx, SkBuff
from ebpfvm.loader.object import Program
from ebpfvm.maps import make_map
from tests.laws.budget_programs import program

COUNT = int(os.environ.get("EBPFVM_BUDGET_PROGRAMS", "10"))
State = tuple[tuple[bytes, bytes], ...]


def beginnings(found: Program) -> set[int]:
    """Return the slots where rounds of loops and callbacks begin: what jumps lead back to, and callbacks' entries."""
    insns = found.insns
    rows = flow_graph.rows(list(insns))
    slots = {pc + 1 + insn.imm for pc, insn in enumerate(insns) if insn.is_ld_imm64 and insn.src == c.BPF_PSEUDO_FUNC}
    for pc, (row, insn) in enumerate(zip(rows, insns, strict=True)):
        if row is not None and row.kind in ("jmp", "ja") and insn.off < 0:
            slots.add(pc + 1 + insn.off)
    return slots


class Machine:
    """A program with maps of its own."""

    def __init__(self, found: Program) -> None:
        self.kernel = Kernel(linux())
        self.maps = [make_map(self.kernel, spec) for spec in found.maps]
        self.loaded = LoadedProgram(self.kernel, found, self.maps, facts=())

    def state(self) -> State:
        """Return the elements of all maps."""
        return tuple(item for each in self.maps for item in each.items())

    def outcome(self, engine: Any) -> tuple[object, State]:
        """Run the program; return r0 or the fault with its place, and what is in the maps."""
        result: object
        try:
            result = engine.load(self.loaded)(SkbCtx(self.kernel, SkBuff(self.kernel, bytes(60))))
        except Fault as fault:
            result = fault.kind, fault.pc
        assert self.kernel.stack.depth == 0
        return result, self.state()


class Watch(Hooks):
    """Keeps what is in the maps at each of the `slots`."""

    def __init__(self, machine: Machine, slots: set[int]) -> None:
        self.machine, self.slots = machine, slots
        self.states: list[State] = []

    def before(self, run: Any, pc: int, regs: list[int]) -> None:
        if pc in self.slots:
            self.states.append(self.machine.state())


def plainly(found: Program, budget: int) -> tuple[object, State]:
    """Return what comes of a translation with real calls, whose loops count in Python."""
    with mock.patch.object(counted_loops, "find", return_value={}), \
            mock.patch.object(inlining._Inliner, "_wanted", return_value=False):
        return Machine(found).outcome(Translator(budget))


def budgets(rounds: int) -> list[int]:
    """Return all budgets up to the first that is enough; of many, the first, the last, and some between."""
    everything = list(range(1, rounds + 2))
    return everything if rounds < 60 else [*everything[:30], *everything[30:-20:rounds // 12], *everything[-20:]]


@pytest.mark.parametrize("throws", [False, True])
@pytest.mark.parametrize("seed", range(COUNT))
def test_every_budget_stops_where_the_interpreter_is(seed: int, throws: bool) -> None:
    found = program(seed, throws)
    machine = Machine(found)
    watch = Watch(machine, beginnings(found))
    expected = machine.outcome(Interpreter(hooks=watch))
    assert isinstance(expected[0], int)
    for budget in budgets(len(watch.states)):
        actual = Machine(found).outcome(Translator(budget))
        if budget >= len(watch.states):
            assert actual == expected, budget
        else:
            assert (actual[0][0], actual[1]) == ("budget", watch.states[budget]), budget  # type: ignore[index]
        assert actual == plainly(found, budget), budget
