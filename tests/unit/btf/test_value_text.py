"""Values as text, by their types."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ebpfvm.btf import types as t
from ebpfvm.btf.value_text import value_text

TYPES = t.Btf([
    t.Int("char", 1, 8, signed=True), t.Int("u32", 4, 32), t.Int("s16", 2, 16, signed=True), t.Typedef("__be16", 5),
    t.Int("u16", 2, 16), t.Int("bool", 1, 8), t.Ptr(0), t.Array(1, 8), t.Array(2, 20),
    t.Enum("color", 4, (("RED", 0), ("BLUE", 7))), t.Const(4),
    t.Struct("bits", 4, (t.Member("low", 2, 0, 3), t.Member("kind", 10, 3, 5), t.Member("rest", 2, 8, 24)), True),
    t.Union("either", 4, (t.Member("", 12, 0), t.Member("whole", 2, 0))),
    t.Struct("key", 12, (t.Member("port", 11, 0), t.Member("more", 3, 16), t.Member("next", 7, 32))),
    t.Fwd("unknown"), t.Var("count", 2), t.Datasec(".bss", 8, (t.SecInfo(16, 4, 4),)), t.Array(14, 0),
])


@pytest.mark.parametrize(("type_id", "data", "text"), [
    (2, "ffffffff", "4294967295"), (3, "ffff", "-1"), (4, "0050", "80"), (11, "0050", "80"), (5, "0050", "20480"),
    (6, "01", "true"), (6, "02", "2"), (7, "00" * 8, "NULL"), (7, "00100000000000ff", "0xff00000000001000"),
    (8, "6574683000000000", '"eth0"'), (8, "61225c0000000000", r'"a\"\\"'),
    (8, "6574683001000000", "[101, 116, 104, 48, 1, 0, 0, 0]"),
    (9, "01000000" * 20, "[" + "1, " * 16 + "...]"), (10, "07000000", "BLUE"), (10, "08000000", "8"),
    (12, "3d020000", "{low=5, kind=BLUE, rest=2}"), (13, "05000000", "{{low=5, kind=RED, rest=0}, whole=5}"),
    (14, "1f90feff0000000000000000", "{port=8080, more=-2, next=NULL}"), (15, "0102", "01 02"),
    (17, "0000000005000000", "{count=5}"), (18, "", "[]"), (99, "0a", "0a")])
def test_text(type_id: int, data: str, text: str) -> None:
    assert value_text(TYPES, type_id, bytes.fromhex(data)) == text


@given(st.integers(0, 20), st.binary(max_size=100))
def test_any_bytes_are_some_text(type_id: int, data: bytes) -> None:
    """Values of the wrong length come from user space, which may write them."""
    assert isinstance(value_text(TYPES, type_id, data), str)


def test_a_struct_that_contains_itself_ends() -> None:
    loop = t.Btf([t.Struct("s", 8, (t.Member("s", 1, 0),))])
    assert value_text(loop, 1, bytes(8)).count("{s=") == 17
