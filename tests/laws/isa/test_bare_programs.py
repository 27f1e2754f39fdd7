"""Bare programs, as conformance runs them, give the same on both engines; nothing of them was verified."""

from __future__ import annotations

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ebpfvm.cli.conformance import check, execute, may_be_translated
from ebpfvm.errors import Fault
from ebpfvm.isa.insn import Insn
from ebpfvm.isa.table import ROWS
from ebpfvm.loader.object import Program

MEMORY = bytes(range(16))
LOW = st.integers(0, 9)
_KINDS = ("alu", "jmp", "ja", "ldx", "st", "atomic", "load_acquire", "store_release", "ld_imm64")
_ROWS = [row for row in ROWS if row.kind in _KINDS and row.name not in {f"ld_imm64_{n}" for n in range(1, 7)}]


@st.composite
def programs(draw: st.DrawFn) -> tuple[Insn, ...]:
    """A program whose jumps go forward; accesses through r1 (memory), r10 (stack) or anything."""
    parts: list[tuple[Insn, ...]] = []
    for _ in range(draw(st.integers(1, 15))):
        row = draw(st.sampled_from(_ROWS))
        values = {"dst": draw(LOW), "src": draw(LOW), "off": 0, "imm": draw(st.integers(-2**31, 2**31 - 1))}
        if row.kind in ("ldx", "st", "atomic", "load_acquire", "store_release"):
            base = draw(st.sampled_from((1, 1, 10, 3)))
            values["src" if row.kind in ("ldx", "load_acquire") else "dst"] = base
            values["off"] = draw(st.integers(-2, 17)) if base != 10 else draw(st.integers(-520, 4))
        if row.kind in ("jmp", "ja"):
            values |= {"off": draw(st.integers(0, 2))} if row.name != "gotol" else {"imm": draw(st.integers(0, 2))}
        fields = {name: value if name in row.uses else 0 for name, value in values.items()} | dict(row.fixed)
        first = Insn(row.code, **fields)
        parts.append((first, Insn(0, imm=7)) if row.kind == "ld_imm64" else (first,))
    flat = [insn for part in parts for insn in part]
    return (*flat, *[Insn(0xB7, 5)] * 3, Insn(0x95))


def _outcome(insns: tuple[Insn, ...], engine: str) -> object:
    try:
        return execute(Program(name="prog", insns=insns), MEMORY, engine)
    except Fault as fault:
        return fault.kind, fault.pc


@given(insns=programs())
@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_both_engines_agree(insns: tuple[Insn, ...]) -> None:
    try:
        check(insns)
    except ValueError:
        return  # a jump into the second half of a wide load
    one, other = _outcome(insns, "interp"), _outcome(insns, "translate")
    # The translator leaves out a load that nobody needs, and its fault with it.
    assert one == other or isinstance(one, tuple)


def test_most_such_programs_are_translated() -> None:
    assert may_be_translated((Insn(0x79, 0, 1, 8), Insn(0x7B, 10, 0, -8), Insn(0x95)))
    assert not may_be_translated((Insn(0xBF, 1, 10), Insn(0x95)))
    assert not may_be_translated((Insn(0x79, 0, 10, -4), Insn(0x95)))
    assert not may_be_translated((Insn(0x8D, 1), Insn(0x95)))
    assert not may_be_translated((Insn(0xB7),))
