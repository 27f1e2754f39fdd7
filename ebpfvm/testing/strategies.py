"""Hypothesis strategies: instructions from the table, programs from a dialect's declarations, and their inputs.

>>> from hypothesis import given
>>> from ebpfvm.dialects import linux
>>> from ebpfvm.testing import laws, strategies
>>> @given(strategies.cases(linux(), "xdp"))
... def test_my_change(case):
...     laws.check(case.program, case.dialect, case.inputs)

They draw from `hypothesis.strategies.randoms`, so hypothesis shrinks failing examples; `ebpfvm.testing.reducer.reduce`
shrinks a single program further.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from hypothesis import strategies as st

from ebpfvm.ints import S32_MAX, S32_MIN
from ebpfvm.isa.insn import Insn
from ebpfvm.isa.table import ROWS
from ebpfvm.testing import generate, mutate
from ebpfvm.testing.campaign import Case
from ebpfvm.testing.runs import Given
from ebpfvm.testing.runs import given as random_input

if TYPE_CHECKING:
    from collections.abc import Sequence

    from hypothesis.strategies import SearchStrategy

    from ebpfvm.contract import Dialect
    from ebpfvm.isa.table import Row
    from ebpfvm.loader.object import Program

_RANGES = {"dst": (0, 10), "src": (0, 10), "off": (-(1 << 15), (1 << 15) - 1), "imm": (S32_MIN, S32_MAX)}


@st.composite
def insns(draw: Any, rows: Sequence[Row] = ROWS) -> Insn:
    """Draw an instruction of any of `rows`: fields that the row uses are drawn, fixed ones are set, others are zero.

    The second slot of a 64-bit immediate load is not included.
    """
    row = draw(st.sampled_from(rows))
    fields = {name: draw(st.integers(*_RANGES[name])) for name in sorted(row.uses)}
    return Insn(row.code)._replace(**(fields | dict(row.fixed)))


def programs(dialect: Dialect, type: str = "sched_cls", *, steps: int = 8) -> SearchStrategy[Program]:
    """Return a strategy for programs that a verifier should accept; see `ebpfvm.testing.generate`.

    Args:
        dialect: determines what the programs may use.
        type: one of `generate.TYPES`; "qdisc" for the RFC's dialect only.
        steps: number of steps of the main function, each of one to a few instructions.
    """
    return st.randoms(use_true_random=False).map(lambda random: generate.program(random, dialect, type, steps))


def mutants(of: SearchStrategy[Program], *, changes: int = 1) -> SearchStrategy[Program]:
    """Return a strategy for programs of `of` with a few small changes; see `ebpfvm.testing.mutate`."""
    return st.builds(mutate.mutate, st.randoms(use_true_random=False), of, st.integers(1, changes))


def inputs(program: Program) -> SearchStrategy[Given]:
    """Return a strategy for packets, their fields, and elements of the program's maps."""
    return st.randoms(use_true_random=False).map(lambda random: random_input(random, program))


@st.composite
def cases(draw: Any, dialect: Dialect, type: str = "sched_cls", *, steps: int = 8, runs: int = 2) -> Case:
    """Draw a program, or a mutant of one, and the inputs of `runs` runs."""
    program = draw(programs(dialect, type, steps=steps))
    if draw(st.booleans()):
        program = draw(mutants(st.just(program)))
    return Case(program, dialect, tuple(draw(inputs(program)) for _ in range(runs)))
