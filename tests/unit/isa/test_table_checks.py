"""A row of the table that is wrong, or that a place does not know, is an error at import which names it."""

from __future__ import annotations

from dataclasses import replace

import pytest

from ebpfvm.errors import InternalError
from ebpfvm.isa.table import BY_NAME, ROWS, all_kinds
from ebpfvm.isa.table_checks import check
from ebpfvm.verifier.values import alu

ADD = BY_NAME["add64_k"]
NEW = replace(ADD, name="andn64_k", code=0xE7, op="andn", symbol="&~=")


@pytest.mark.parametrize(("row", "said"), [
    (replace(NEW, name="add64_k"), "instructions 'add64_k' and 'add64_k' have the same name"),
    (replace(NEW, code=ADD.code), "instructions 'add64_k' and 'andn64_k' have the same encoding"),
    (replace(NEW, meaning=""), "instruction 'andn64_k' has no meaning"),
    (replace(NEW, meaning="a & inv(b)"), r"'a & inv\(b\)' uses 'inv', which ebpfvm/isa/table.py does not explain"),
    (replace(NEW, meaning="a & ~b"), "'a & ~b' uses the operator Invert, which ebpfvm/isa/table.py does not explain"),
    (replace(NEW, meaning="a &"), "'a &' is no expression"),
], ids=lambda value: value if isinstance(value, str) else "")
def test_a_row_that_is_wrong(row, said) -> None:  # type: ignore[no-untyped-def]
    with pytest.raises(InternalError, match=said):
        check([*ROWS, row])


def test_a_place_that_does_not_know_a_kind() -> None:
    with pytest.raises(InternalError, match=r"instructions of kind 'atomic', such as 'atomic_add\d+', are missing"):
        all_kinds({row.kind for row in ROWS} - {"atomic"}, "x.py (_X)")


def test_a_row_without_transfer_function() -> None:
    said = r"'andn64_k': \('andn', 64\) has no transfer function in ebpfvm/verifier/domain \(circular_alu.py"
    with pytest.raises(InternalError, match=said):
        alu.check([NEW])
    with pytest.raises(InternalError, match=r"'jnone': \('jnone', 32\) has no transfer function"):
        alu.check([replace(BY_NAME["jeq32_k"], name="jnone", op="jnone")])
