"""The table is whole (RFC 9669 section 4 and 5; Linux 7.2) and tells each instruction from the others."""

from __future__ import annotations

import itertools

import pytest

from ebpfvm.isa import codes as c
from ebpfvm.isa.insn import Insn, decode, encode
from ebpfvm.isa.table import BY_CODE, BY_NAME, ROWS, Row, row_of


def _forms(ops: str, widths: tuple[int, ...] = (64, 32)) -> set[str]:
    return {f"{op}{width}_{form}" for op in ops.split() for width in widths for form in "kx"}


def test_nothing_is_missing() -> None:
    sizes = ("b", "h", "w", "dw")
    want = _forms("add sub mul div sdiv or and lsh rsh mod smod xor mov arsh")
    want |= _forms("jeq jgt jge jset jne jsgt jsge jlt jle jslt jsle")
    want |= {"neg64", "neg32", "movsx8_64", "movsx16_64", "movsx32_64", "movsx8_32", "movsx16_32"}
    want |= {f"{op}{size}" for op in ("le", "be", "bswap") for size in (16, 32, 64)}
    want |= {"ja", "gotol", "gotox", "may_goto", "call", "call_local", "call_kfunc", "callx", "exit"}
    want |= {f"{op}_{size}" for op in ("ldx", "st", "stx", "load_acquire", "store_release") for size in sizes}
    want |= {f"{op}_{size}" for op in ("ldxs", "ld_abs", "ld_ind") for size in sizes[:3]}
    want |= {f"ld_imm64_{src}" for src in range(7)} | {"addr_space_cast", "percpu"}
    want |= {f"atomic_{op}{width}" for width in (32, 64) for op in (
        "add", "or", "and", "xor", "fetch_add", "fetch_or", "fetch_and", "fetch_xor", "xchg", "cmpxchg")}
    assert want == {row.name for row in ROWS}


# Opcodes of RFC 9669, appendix A, and those of Linux beyond it.
OPCODES = [
    ("add32_k", 0x04), ("add64_k", 0x07), ("add64_x", 0x0F), ("ja", 0x05), ("gotol", 0x06), ("ld_imm64_0", 0x18),
    ("ld_abs_w", 0x20), ("ld_abs_h", 0x28), ("ld_abs_b", 0x30), ("ld_ind_w", 0x40), ("div64_k", 0x37),
    ("or32_x", 0x4C), ("and64_x", 0x5F), ("ldx_w", 0x61), ("ldx_h", 0x69), ("ldx_b", 0x71), ("ldx_dw", 0x79),
    ("ldxs_w", 0x81), ("ldxs_h", 0x89), ("ldxs_b", 0x91), ("st_w", 0x62), ("st_dw", 0x7A), ("stx_b", 0x73),
    ("neg64", 0x87), ("call", 0x85), ("callx", 0x8D), ("exit", 0x95), ("mod32_x", 0x9C), ("jlt64_k", 0xA5),
    ("mov64_x", 0xBF), ("jle32_k", 0xB6), ("atomic_add32", 0xC3), ("atomic_cmpxchg64", 0xDB), ("arsh64_k", 0xC7),
    ("be16", 0xDC), ("le16", 0xD4), ("bswap16", 0xD7), ("jsle32_x", 0xDE), ("may_goto", 0xE5), ("gotox", 0x0D),
    ("load_acquire_b", 0xD3), ("store_release_h", 0xCB),
]


@pytest.mark.parametrize(("name", "code"), OPCODES)
def test_opcodes(name: str, code: int) -> None:
    assert BY_NAME[name].code == code


def _selected(row: Row) -> dict[str, int]:
    return dict(row.fixed)


def test_rows_of_one_opcode_exclude_each_other() -> None:
    for rows in BY_CODE.values():
        for one, other in itertools.combinations(rows, 2):
            differing = [field for field, value in one.fixed if _selected(other).get(field, value) != value]
            assert differing, (one.name, other.name)


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.name)
def test_a_row_finds_itself(row: Row) -> None:
    insn = Insn(row.code, **({"dst": 1, "src": 2, "off": 3, "imm": 4} | _selected(row)))
    assert row_of(insn) is row
    assert set(row.unused(insn)) == {"dst", "src", "off", "imm"} - row.uses - set(_selected(row))


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.name)
def test_levels(row: Row) -> None:
    """The levels of LLVM's -mcpu: v2 has more jumps, v3 jumps of 32 bits and atomics, v4 signed operations."""
    assert 1 <= row.since <= 5
    if row.kind == "jmp" and row.width == 32:
        assert row.since == 3
    if row.sign or row.op.startswith(("movsx", "bswap", "sdiv", "smod")) or row.name == "gotol":
        assert row.since == 4


def test_slots_are_coded_as_the_standard_says() -> None:
    assert Insn(0xB7, 1, 2, -1, -2).encode() == bytes.fromhex("b721fffffeffffff")
    code = bytes(range(256))
    assert encode(decode(code)) == code
    assert decode(bytes.fromhex("18a2030004000080")) == (Insn(c.BPF_LD | c.BPF_IMM | c.BPF_DW, 2, 10, 3, -2**31 + 4),)
