"""Each row of the instruction table, on each engine, against the plain statement of `reference_semantics`."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ebpfvm.isa.insn import Insn as I
from ebpfvm.isa.table import ROWS, Row
from tests.unit.engine import reference_semantics as ref
from tests.unit.engine.engines import ENGINES
from tests.unit.engine.rig import EXIT, JA, MOV64_K, MOV64_X, lddw, program, run

EDGES = [0, 1, 2, 7, 8, 31, 32, 33, 63, 64, 65, 127, 128, 255, 256, 0x7FFF, 0x8000, 0xFFFF, 0x7FFFFFFF, 0x80000000,
         0x80000001, 0xFFFFFFFE, 0xFFFFFFFF, 1 << 32, (1 << 32) + 1, (1 << 63) - 1, 1 << 63, (1 << 63) + 1,
         0xFFFFFFFF00000000, 0xFFFFFFFF80000000, 0x8000000000000001, (1 << 64) - 2, (1 << 64) - 1,
         0x0123456789ABCDEF, 0xFEDCBA9876543210]
IMMS = [0, 1, -1, 2, -2, 8, 31, 32, 33, 63, 64, 127, 255, 0x7FFF, 0x8000, 0x7FFFFFFF, -0x80000000, -0x7FFFFFFF,
        0x12345678]
u64 = st.sampled_from(EDGES) | st.integers(0, ref.M64)
s32 = st.sampled_from(IMMS) | st.integers(-(1 << 31), (1 << 31) - 1)
engines = pytest.mark.parametrize("engine", ENGINES)


def rows(*kinds: str) -> Any:
    return pytest.mark.parametrize("row", [row for row in ROWS if row.kind in kinds], ids=lambda row: row.name)


def insn(row: Row, **fields: int) -> I:
    """An instruction of this row: its selecting fields as they must be, the others as given."""
    return I(row.code)._replace(**{**{k: v for k, v in fields.items() if k in row.uses}, **dict(row.fixed)})


@engines
@rows("alu")
@settings(max_examples=30, deadline=None)
@given(dst=u64, src=u64, imm=s32)
def test_alu(engine: Any, row: Row, dst: int, src: int, imm: int) -> None:
    b = src if row.source == "x" else ref.sign_extend_imm(imm, 64)
    prog = program(*lddw(1, dst), *lddw(2, src), insn(row, dst=1, src=2, imm=imm), I(MOV64_X, 0, 1), I(EXIT))
    assert run(prog, engine=engine())[0] == ref.alu(row.op, row.width, dst, b)


@engines
@rows("alu")
@settings(max_examples=8, deadline=None)
@given(value=u64, imm=s32)
def test_alu_with_one_register_twice(engine: Any, row: Row, value: int, imm: int) -> None:
    b = value if row.source == "x" else ref.sign_extend_imm(imm, 64)
    prog = program(*lddw(0, value), insn(row, dst=0, src=0, imm=imm), I(EXIT))
    assert run(prog, engine=engine())[0] == ref.alu(row.op, row.width, value, b)


@engines
@rows("alu")
@settings(max_examples=12, deadline=None)
@given(dst=u64, src=u64, imm=s32)
def test_alu_of_unknown_operands(engine: Any, row: Row, dst: int, src: int, imm: int) -> None:
    """The operands come from memory, so that an engine cannot compute the result beforehand."""
    b = src if row.source == "x" else ref.sign_extend_imm(imm, 64)
    ctx = dst.to_bytes(8, "little") + src.to_bytes(8, "little")
    prog = program(I(0x79, 3, 1, 0), I(0x79, 2, 1, 8), insn(row, dst=3, src=2, imm=imm), I(MOV64_X, 0, 3), I(EXIT))
    assert run(prog, engine=engine(), ctx=ctx)[0] == ref.alu(row.op, row.width, dst, b)


@engines
@rows("jmp")
@settings(max_examples=12, deadline=None)
@given(dst=u64, src=u64, imm=s32, same=st.booleans(), known=st.booleans())
def test_jumps(engine: Any, row: Row, dst: int, src: int, imm: int, same: bool, known: bool) -> None:
    src = dst if same else src
    b = src if row.source == "x" else ref.sign_extend_imm(imm, 64)
    ctx = dst.to_bytes(8, "little") + src.to_bytes(8, "little")
    start = (*lddw(3, dst), *lddw(2, src)) if known else (I(0x79, 3, 1, 0), I(0x79, 2, 1, 8))
    prog = program(*start, I(MOV64_K, 0, 0, 0, 1), insn(row, dst=3, src=2, off=1, imm=imm),
                   I(MOV64_K, 0, 0, 0, 0), I(EXIT))
    assert run(prog, engine=engine(), ctx=ctx)[0] == int(ref.jump(row.op, row.width, dst, b))


@engines
@rows("ldx", "load_acquire")
@settings(max_examples=8, deadline=None)
@given(memory=st.binary(min_size=24, max_size=24), off=st.integers(-8, 8))
def test_loads(engine: Any, row: Row, memory: bytes, off: int) -> None:
    prog = program(I(0x07, 1, 0, 0, 8), insn(row, dst=0, src=1, off=off), I(EXIT))
    assert run(prog, engine=engine(), ctx=memory)[0] == ref.load(memory, 8 + off, row.width // 8, row.sign)


@engines
@rows("st", "store_release")
@settings(max_examples=8, deadline=None)
@given(memory=st.binary(min_size=24, max_size=24), off=st.integers(-8, 8), src=u64, imm=s32)
def test_stores(engine: Any, row: Row, memory: bytes, off: int, src: int, imm: int) -> None:
    value = ref.sign_extend_imm(imm, 64) if row.source == "k" else src
    prog = program(I(0x07, 1, 0, 0, 8), *lddw(2, src), insn(row, dst=1, src=2, off=off, imm=imm),
                   I(MOV64_K, 0, 0, 0, 0), I(EXIT))
    assert run(prog, engine=engine(), ctx=memory)[1] == ref.store(memory, 8 + off, row.width // 8, value)


@engines
@rows("atomic")
@settings(max_examples=12, deadline=None)
@given(memory=st.binary(min_size=16, max_size=16), src=u64, r0=u64, equal=st.booleans())
def test_atomics(engine: Any, row: Row, memory: bytes, src: int, r0: int, equal: bool) -> None:
    size = row.width // 8
    old = ref.load(memory, 8, size, False)
    r0 = old if equal else r0
    new, new_src, new_r0 = ref.atomic(row.op, row.width, old, src, r0)
    start = (*lddw(0, r0), *lddw(2, src), insn(row, dst=1, src=2, off=8))
    r0_after, after = run(program(*start, I(EXIT)), engine=engine(), ctx=memory)
    assert after == ref.store(memory, 8, size, new)
    assert r0_after == (r0 if new_r0 is None else new_r0)
    src_after, _ = run(program(*start, I(MOV64_X, 0, 2), I(EXIT)), engine=engine(), ctx=memory)
    assert src_after == (src if new_src is None else new_src)


@engines
@rows("ja")
def test_gotos(engine: Any, row: Row) -> None:
    prog = program(I(MOV64_K, 0, 0, 0, 1), insn(row, off=1, imm=1), I(MOV64_K, 0, 0, 0, 2), I(EXIT))
    assert run(prog, engine=engine())[0] == 1
    backwards = program(I(JA, 0, 0, 2), I(MOV64_K, 0, 0, 0, 5), I(EXIT), insn(row, off=-3, imm=-3))
    assert run(backwards, engine=engine())[0] == 5
