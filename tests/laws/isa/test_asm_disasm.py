"""What the disassembler writes, the assembler reads back to the same bytes: every row, every dialect."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ebpfvm.isa.asm import AsmError, assemble
from ebpfvm.isa.disasm import disassemble, kernel_text, llvm_text, plain_text
from ebpfvm.isa.insn import Insn, decode, encode
from ebpfvm.isa.legality import is_legal
from ebpfvm.isa.syntax import DIALECTS
from ebpfvm.isa.table import ROWS

if TYPE_CHECKING:
    from ebpfvm.isa.syntax import Dialect
    from ebpfvm.isa.table import Row

REGISTERS = st.integers(0, 10)
OFFSETS = st.sampled_from((0, 1, -1, 32767, -32768)) | st.integers(-32768, 32767)
IMMEDIATES = st.sampled_from((0, 1, -1, 2**31 - 1, -(2**31))) | st.integers(-(2**31), 2**31 - 1)
NARROW = (1, 4, 5)  # source registers whose upper half must be zero


@st.composite
def instructions(draw: st.DrawFn, row: Row | None = None) -> tuple[Insn, ...]:
    """One legal instruction (two slots for a 64-bit immediate load), of `row` or of any."""
    row = row or draw(st.sampled_from(ROWS))
    values = {"dst": draw(REGISTERS), "src": draw(REGISTERS), "off": draw(OFFSETS), "imm": draw(IMMEDIATES)}
    fields = {name: value if name in row.uses else 0 for name, value in values.items()} | dict(row.fixed)
    first = Insn(row.code, **fields)
    if row.kind != "ld_imm64":
        return (first,)
    return first, Insn(0, imm=0 if first.src in NARROW else draw(IMMEDIATES))


programs = st.lists(instructions(), min_size=1, max_size=12).map(lambda parts: tuple(i for part in parts for i in part))


@pytest.mark.parametrize("dialect", DIALECTS)
@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.name)
@settings(max_examples=6, deadline=None)
@given(data=st.data())
def test_each_row_comes_back(row: Row, dialect: Dialect, data: st.DataObject) -> None:
    insns = data.draw(instructions(row))
    assert is_legal(insns, 0)
    assert assemble(disassemble(insns, dialect), dialect=dialect) == insns


@pytest.mark.parametrize("dialect", DIALECTS)
@given(insns=programs)
@settings(max_examples=60, deadline=None)
def test_programs_come_back(insns: tuple[Insn, ...], dialect: Dialect) -> None:
    assert assemble(disassemble(insns, dialect), dialect=dialect) == insns


@pytest.mark.parametrize("dialect", DIALECTS)
@given(code=st.binary(min_size=8, max_size=64).map(lambda data: data[:len(data) // 8 * 8]))
@settings(max_examples=100, deadline=None)
def test_any_bytes_come_back(code: bytes, dialect: Dialect) -> None:
    """What is no instruction is written as `.8byte`."""
    assert encode(assemble(disassemble(decode(code), dialect), dialect=dialect)) == code


@given(code=st.binary(min_size=8, max_size=64).map(lambda data: data[:len(data) // 8 * 8]))
@settings(max_examples=100, deadline=None)
def test_every_slot_has_a_text(code: bytes) -> None:
    insns = decode(code)
    for pc in range(len(insns)):
        for spell in (kernel_text, llvm_text, plain_text):
            text = spell(insns, pc)
            assert text and "\n" not in text


@given(insns=programs)
@settings(max_examples=40, deadline=None)
def test_the_dialect_is_told_by_the_text(insns: tuple[Insn, ...]) -> None:
    for dialect, lead in (("llvm", "r0 = 0x0\n"), ("kernel", "(b7) r0 = 0\n"), ("plain", "mov %r0, 0\n")):
        assert assemble(lead + disassemble(insns, dialect))[1:] == insns  # type: ignore[arg-type]


_WORDS = (
    "r1", "w2", "%r3", "r99", "=", "+=", "s>>=", "==", "s<", "if", "goto", "call", "exit", "lock", "fetch", "local",
    "5", "-7", "0x1f", "0xffffffffff", "9" * 5000, "1:", "1b", "l:", "l", "ll", "*", "(", ")", "(u8 *)", "(r1 + 4)",
    "[", "]", "[%r1+2]", ",", ";", "#", "//", "/*", "*/", "map[id:1]", "map[", "kfunc[id:2]", "pc+1", "x#3", "mov",
    "ldxw", "stb", "jeq", "add32", ".dialect", "plain", ".8byte", ".section", ".data", "0: (b7)", "12: (18)", "(95)",
    "skb[", "<a+0x8>", "r9" * 3000, "\t", "é", "$", "callx", "be16", "atomic_fetch_add", "cmpxchg_64", "\n", "\n", "\n")


@given(words=st.lists(st.sampled_from(_WORDS), max_size=30), glue=st.sampled_from((" ", "")))
@settings(max_examples=400, deadline=None)
def test_any_text_is_read_or_refused_with_a_place(words: list[str], glue: str) -> None:
    text = glue.join(words)
    try:
        insns = assemble(text)
    except AsmError as error:
        assert 1 <= error.line <= text.count("\n") + 1
        assert error.column >= 1
        assert str(error).endswith("^")
    else:
        assert decode(encode(insns)) == insns
