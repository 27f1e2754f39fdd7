"""Why single instructions are refused. tests/kernel/test_isa.py asks a kernel whether that is so."""

from __future__ import annotations

import pytest

from ebpfvm.isa.insn import Insn
from ebpfvm.isa.legality import check_fields, check_registers, check_slot, is_legal, knows_opcode
from ebpfvm.isa.table import ROWS, Row

FIELDS = [
    (Insn(0x87, 1, 2), "BPF_NEG uses reserved fields"),
    (Insn(0xDC, 1, 0, 0, 8), "BPF_END uses reserved fields"),
    (Insn(0xD7, 1, 0, 1, 16), "BPF_END uses reserved fields"),
    (Insn(0xDF, 1, 0, 0, 16), "BPF_END uses reserved fields"),
    (Insn(0xB7, 1, 1), "BPF_MOV uses reserved fields"),
    (Insn(0xBF, 1, 2, 4), "BPF_MOV uses reserved fields"),
    (Insn(0xBC, 1, 2, 32), "BPF_MOV uses reserved fields"),
    (Insn(0xBF, 1, 2, -1), "BPF_MOV uses reserved fields"),
    (Insn(0xBF, 1, 2, 1, 2), "addr_space_cast insn can only convert between address space 1 and 0"),
    (Insn(0x07, 1, 0, 1, 1), "BPF_ALU uses reserved fields"),
    (Insn(0x3F, 1, 2, 2), "BPF_ALU uses reserved fields"),
    (Insn(0x0F, 1, 2, 0, 1), "BPF_ALU uses reserved fields"),
    (Insn(0x61, 1, 2, 0, 1), "BPF_LDX uses reserved fields"),
    (Insn(0x63, 1, 2, 0, 1), "BPF_STX uses reserved fields"),
    (Insn(0x62, 1, 2, 0, 1), "BPF_ST uses reserved fields"),
    (Insn(0xDB, 1, 2, 0, 2), "BPF_ATOMIC uses invalid atomic opcode 02"),
    (Insn(0xD3, 1, 2, 0, 1), "invalid atomic operand size"),
    (Insn(0x28, 1, 0, 0, 1), "BPF_LD_[ABS|IND] uses reserved fields"),
    (Insn(0x85, 1, 0, 0, 1), "BPF_CALL uses reserved fields"),
    (Insn(0x85, 0, 3, 0, 1), "BPF_CALL uses reserved fields"),
    (Insn(0x85, 0, 0, 1, 1), "BPF_CALL uses reserved fields"),
    (Insn(0x05, 0, 0, 1, 1), "BPF_JA uses reserved fields"),
    (Insn(0x06, 0, 0, 1, 1), "BPF_JA uses reserved fields"),
    (Insn(0x0D, 1, 1), "BPF_JA|BPF_X uses reserved fields"),
    (Insn(0x95, 1), "BPF_EXIT uses reserved fields"),
    (Insn(0x15, 1, 1, 0, 0), "BPF_JMP/JMP32 uses reserved fields"),
    (Insn(0x1E, 1, 1, 0, 3), "BPF_JMP/JMP32 uses reserved fields"),
    (Insn(0xE5, 0, 0, 1, 7), "invalid may_goto imm 7"),
    (Insn(0x18, 1, 0, 1), "BPF_LD_IMM64 uses reserved fields"),
]


@pytest.mark.parametrize(("insn", "message"), FIELDS, ids=[f"{insn.code:02x}: {text}" for insn, text in FIELDS])
def test_unused_fields(insn: Insn, message: str) -> None:
    assert check_fields(insn) == message


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.name)
def test_every_row_passes_with_its_operands_and_nothing_else(row: Row) -> None:
    values = {name: 1 if name in row.uses else 0 for name in ("dst", "src", "off", "imm")} | dict(row.fixed)
    insns = [Insn(row.code, **values), Insn(0)]
    assert is_legal(insns, 0)
    if row.kind not in ("percpu", "callx"):
        assert check_slot(insns, 0) is None
        assert check_fields(insns[0]) is None


def test_wide_loads_need_their_second_half() -> None:
    assert check_slot([Insn(0x18, 1)], 0) == "invalid bpf_ld_imm64 insn"
    assert check_slot([Insn(0x18, 1), Insn(0xB7)], 0) == "invalid bpf_ld_imm64 insn"
    assert check_slot([Insn(0x18, 1, 7), Insn(0)], 0) == "unrecognized bpf_ld_imm64 insn"
    assert check_slot([Insn(0x18, 1, 1), Insn(0, imm=1)], 0) == "unrecognized bpf_ld_imm64 insn"
    assert check_slot([Insn(0x18, 1, 2), Insn(0, imm=1)], 0) is None


def test_unknown_opcodes() -> None:
    assert check_slot([Insn(0xFF)], 0) == "unknown opcode ff"
    assert check_slot([Insn(0x8D, 1)], 0) == "unknown opcode 8d"
    assert check_slot([Insn(0)], 0) == "unknown opcode 00"
    assert knows_opcode(0x0D) and not knows_opcode(0x0D, frozenset({"gotox"}))


def test_registers() -> None:
    assert check_registers(Insn(0xBF, 11, 2)) == "R11 is invalid"
    assert check_registers(Insn(0xBF, 1, 15)) == "R15 is invalid"
    assert check_registers(Insn(0xBF, 10, 10)) is None
