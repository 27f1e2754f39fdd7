"""Mnemonics as people and the conformance suite write them: any 32 bits, labels named like instructions."""

from __future__ import annotations

import pytest

from ebpfvm.isa.asm import AsmError, assemble


def code(text: str) -> list[str]:
    """Return the slots of a text, in hexadecimal."""
    return [insn.encode().hex() for insn in assemble(text)]


@pytest.mark.parametrize("first", ["ldabsb 3", "ldabsh 12", "ja32 +0", "lock add [%r1], %r2", "neg %r0",
                                   "ja exit\nexit:", "le16 %r0", "add64 %r0, 1"])
def test_a_mnemonic_tells_the_dialect(first: str) -> None:
    assert code(f"{first}\nexit") == [insn.encode().hex() for insn in assemble(f"{first}\nexit", dialect="plain")]


@pytest.mark.parametrize(("written", "field"), [
    ("0xffffffff", "ffffffff"), ("4294967295", "ffffffff"), ("-1", "ffffffff"), ("0x80000000", "00000080"),
    ("0xdeadbeef", "efbeadde"), ("0xffffffffffffffff", "ffffffff"), ("0xffffffff80000000", "00000080")])
@pytest.mark.parametrize("mnemonic", ["mov %r0, ", "mod32 %r0, ", "jsgt %r0, ", "jset32 %r0, ", "stdw [%r0], ",
                                      "stw [%r0+8], "])
def test_an_immediate_is_any_32_bits(mnemonic: str, written: str, field: str) -> None:
    tail = ", +0" if mnemonic[0] == "j" else ""
    assert code(f"{mnemonic}{written}{tail}")[0][8:] == field


@pytest.mark.parametrize("text", ["mov %r0, 0x1ffffffff", "mov %r0, -2147483649", "mov %r0, 0xfffffffe00000000"])
def test_what_is_no_32_bits_is_refused(text: str) -> None:
    with pytest.raises(AsmError, match="does not fit in 32 signed bits") as found:
        assemble(text)
    assert (found.value.line, found.value.column) == (1, 10)


def test_callx_is_also_written_as_a_call_of_a_register() -> None:
    assert code("call %r2") == code("call r2") == code("callx %r2") == ["8d02000000000000"]


@pytest.mark.parametrize("label", ["exit", "call", "goto", "if", "lock", "fetch", "local", "u8", "be16", "skb", "ll"])
def test_labels_may_be_named_like_instructions(label: str) -> None:
    assert code(f"ja {label}\nmov %r0, 1\n{label}:\nexit")[0] == "0500010000000000"
    assert code(f"jne32 %r1, 5, {label}\nmov %r0, 1\n{label}: exit")[0] == "5601010005000000"
    if label not in ("fetch", "local"):  # no words of pseudo-C
        assert code(f"goto {label}\nr0 = 1\n{label}:\nexit")[0] == "0500010000000000"
        assert code(f"if r1 != 5 goto {label}\nr0 = 1\n{label}: exit")[0] == "5501010005000000"


@pytest.mark.parametrize(("text", "column", "what"), [
    ("mov\u00a0%r0, 1", 4, "'\\xa0'"), ("r0 = 1\u2028exit", 7, "'\\u2028'"), ("mov %r0, \u0661", 10, "unexpected"),
    ("1" * 5000 + ": (b7) r0 = 0", 1, "too great"), ("mov %r0, " + "9" * 5000, 10, "not a valid number"),
    (".8byte " + "9" * 5000, 8, "expected a number"), ("r" + "1" * 5000 + " = 0", 1, "not a valid number")])
def test_strange_characters_and_numbers_have_a_place(text: str, column: int, what: str) -> None:
    with pytest.raises(AsmError) as found:
        assemble(text)
    assert (found.value.line, found.value.column) == (1, column)
    assert what in found.value.message
    assert str(found.value).endswith(f"\n    {' ' * (column - 1)}^")


def test_the_asm_section_of_a_conformance_test_is_read() -> None:
    text = "# a test\n-- asm\nmov %r0, 0xffffffff\nexit\n-- mem\n00 11\n-- result\n0x1\n"
    assert code(text) == ["b7000000ffffffff", "9500000000000000"]
    with pytest.raises(AsmError) as found:
        assemble("-- result\n0\n-- asm\nmov %r0\n")
    assert found.value.line == 4


def test_an_error_shows_a_line_that_can_be_printed_and_the_part_that_matters() -> None:
    with pytest.raises(AsmError) as found:
        assemble("r0 = 1\u2028b: accepted")
    assert str(found.value).split("\n")[1:] == ["    r0 = 1\ufffdb: accepted", "          ^"]
    with pytest.raises(AsmError) as found:
        assemble("r0 = 1;" * 1000 + "r0 = x y")
    lines = str(found.value).split("\n")
    assert max(map(len, lines)) < 220
    assert lines[1][lines[2].index("^")] == "y"
