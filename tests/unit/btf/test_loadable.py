"""Which types a kernel loads; the verdicts are those of Linux 6.18."""

from __future__ import annotations

from typing import Any

import pytest

from ebpfvm.btf import Btf
from ebpfvm.btf import types as t
from ebpfvm.btf.encode import encode
from ebpfvm.btf.loadable import why_not
from ebpfvm.btf.parse import parse
from ebpfvm.errors import LoadError

INT = t.Int("int", 4, 32, True)
NAMES = {"a": True, "a.b": True, ".a": True, "_": True, "1a": False, "a<b>": False, "a::b": False, "a b": False}


def with_name(where: str, name: str) -> Btf:
    """Types one of which has this name."""
    rows: dict[str, tuple[t.Type, ...]] = {
        "struct": (INT, t.Struct(name, 4, (t.Member("m", 1, 0),))),
        "member": (INT, t.Struct("s", 4, (t.Member(name, 1, 0),))),
        "enum": (t.Enum(name, 4, (("A", 1),)),),
        "enumerator": (t.Enum("e", 4, ((name, 1),)),),
        "typedef": (INT, t.Typedef(name, 1)),
        "fwd": (t.Fwd(name, False),),
        "func": (INT, t.FuncProto(1), t.Func(name, 2, 1)),
        "param": (INT, t.FuncProto(1, (t.Param(name, 1),)), t.Func("f", 2, 1)),
        "var": (INT, t.Var(name, 1, 1))}
    return Btf(rows[where])


PLACES = ("struct", "member", "enum", "enumerator", "typedef", "fwd", "func", "param", "var")


@pytest.mark.parametrize("where", PLACES)
def test_names(where: str) -> None:
    for name, good in NAMES.items():
        assert (why_not(with_name(where, name)) == "") == good, name
    assert (why_not(with_name(where, "")) == "") == (where in ("struct", "member", "enum"))


def test_integers_are_of_one_kind() -> None:
    assert why_not(Btf([t.Int("char", 1, 8, True)])) == ""
    assert "encoding" in why_not(Btf([t.Int("char", 1, 8, True, is_char=True)]))


# Bytes of the section, then type, offset and size of its variables: type 3 is an int[2], 4 an int.
SECTIONS = {(12, (3, 0, 8), (4, 8, 4)): "", (16, (3, 0, 12), (4, 12, 4)): "", (4,): "",
            (24, (3, 0, 8), (3, 8, 8)): "", (12, (3, 0, 4), (4, 8, 4)): "'a' has 4 bytes, and its type has 8",
            (16, (3, 0, 0)): "no place", (8, (3, 4, 8)): "no place", (12, (3, 0, 16)): "no place",
            (12, (3, 0, 8), (4, 4, 4)): "no place", (12, (4, 8, 4), (3, 0, 8)): "no place",
            (0, (3, 0, 8)): "size is 0", (0,): "size is 0", (12, (1, 0, 4)): "no variable"}


@pytest.mark.parametrize("rows", SECTIONS)
def test_variables_fit_their_sections(rows: tuple[Any, ...]) -> None:
    size, *variables = rows
    found = why_not(Btf([INT, t.Array(1, nelems=2, index_type=1), t.Var("a", 2, 1), t.Var("b", 1, 1),
                         t.Datasec(".bss", size, tuple(t.SecInfo(*row) for row in variables))]))
    assert SECTIONS[rows] in found
    assert bool(found) == bool(SECTIONS[rows])


def test_members_outside_are_read_on_demand_and_told() -> None:
    data = encode(Btf([INT, t.Struct("s", 4, (t.Member("m", 1, 0), t.Member("method", 1, 256)))]))
    with pytest.raises(LoadError, match="lies outside"):
        parse(data)
    assert "member 'method' at bit 256 lies outside of its 4 bytes" in why_not(parse(data, outside=True))
