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

from ebpfvm.ints import S32_MAX, S32_MIN, U32_MAX
from ebpfvm.isa.insn import Insn
from ebpfvm.isa.table import ROWS
from ebpfvm.loader.object import MapSpec
from ebpfvm.sched.packet import build
from ebpfvm.testing import generate, generated_ops, mutate
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
        type: one of `generate.NETWORKING`; "qdisc" for the RFC's dialect only.
        steps: number of steps of the main function, each of one to a few instructions.
    """
    return st.randoms(use_true_random=False).map(lambda random: generate.program(random, dialect, type, steps))


def qdisc_members(dialect: Dialect, member: str = "enqueue", *, steps: int = 4) -> SearchStrategy[Program]:
    """Return a strategy for programs that fill a member of `Qdisc_ops`: one of `generated_ops.MEMBERS`."""
    return st.randoms(use_true_random=False).map(
        lambda random: generated_ops.program(random, dialect, member, steps))


def map_specs(types: Sequence[str] = ("array", "hash", "lru_hash", "percpu_array", "queue", "stack", "ringbuf"), *,
              most: int = 8) -> SearchStrategy[MapSpec]:
    """Return a strategy for definitions of maps with at most `most` elements, and with sizes that the types allow."""
    def spec(type: str, key: int, value: int, entries: int) -> MapSpec:
        if type == "ringbuf":
            return MapSpec(type, 0, 0, 4096, name="drawn")
        keys = {"array": 4, "percpu_array": 4, "queue": 0, "stack": 0}
        return MapSpec(type, keys.get(type, key), value, entries, name="drawn")
    return st.builds(spec, st.sampled_from(list(types)), st.integers(1, 16), st.integers(1, 32), st.integers(1, most))


def packets() -> SearchStrategy[bytes]:
    """Return a strategy for frames of UDP and TCP over IPv4 and IPv6, of which some are cut short."""
    addresses = {"4": ("10.0.0.1", "10.0.0.2"), "6": ("fd00::1", "fd00::2")}

    def frame(version: str, proto: str, sport: int, dport: int, length: int, kept: int) -> bytes:
        src, dst = addresses[version]
        return build(proto=proto, src=src, dst=dst, sport=sport, dport=dport, length=length)[:max(14, kept)]
    ports = st.integers(1, 65535)
    return st.builds(frame, st.sampled_from("46"), st.sampled_from(("udp", "tcp")), ports, ports,
                     st.integers(80, 1514), st.one_of(st.just(1514), st.integers(14, 1514)))


def contexts() -> SearchStrategy[dict[str, int]]:
    """Return a strategy for fields of `__sk_buff` that a test run may set: `ctx` of `ebpfvm.testrun.test_run`."""
    number = st.integers(0, U32_MAX)
    return st.fixed_dictionaries({}, optional={"mark": number, "priority": number, "tstamp": st.integers(0, S32_MAX)})


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
