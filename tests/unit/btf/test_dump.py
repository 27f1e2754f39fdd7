"""BTF printed as C."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

from ebpfvm.btf import Btf, Linkage
from ebpfvm.btf import types as t
from ebpfvm.btf.c_declarations import declare, define, dump
from ebpfvm.errors import LoadError
from ebpfvm.loader import load

OBJECTS = Path(__file__).parents[1] / "loader" / "objects"
INT, LONG, CHAR = t.Int("int", 4, 32, True), t.Int("long long", 8, 64, True), t.Int("char", 1, 8)


@pytest.mark.parametrize(("types", "text"), [
    ([INT], "int x"),
    ([INT, t.Ptr(1)], "int *x"),
    ([INT, t.Const(1), t.Ptr(2)], "const int *x"),
    ([INT, t.Ptr(1), t.Const(2)], "int *const x"),
    ([INT, t.Array(1, 3), t.Array(2, 2)], "int x[2][3]"),
    ([INT, t.Array(1, 3), t.Ptr(2)], "int (*x)[3]"),
    ([INT, t.Ptr(1), t.Array(2, 3)], "int *x[3]"),
    ([INT, t.FuncProto(1, (t.Param("a", 1), t.Param("", 0))), t.Ptr(2)], "int (*x)(int a, ...)"),
    ([INT, t.FuncProto(0), t.Ptr(2), t.Array(3, 4)], "void (*x[4])(void)"),
    ([t.Ptr(0)], "void *x"),
    ([t.Fwd("later"), t.Ptr(1)], "struct later *x"),
    ([t.Fwd("later", True), t.TypeTag("kptr", 1), t.Ptr(2)],
     'union later __attribute__((btf_type_tag("kptr"))) *x'),
    ([INT, t.Typedef("mine", 1)], "mine x"),
    ([INT, t.Struct("", 4, (t.Member("a", 1, 0),))], "struct {\n\t\tint a;\n\t} x"),
])
def test_declarations(types: list[t.Type], text: str) -> None:
    assert declare(Btf(types), len(types), "x") == text


@pytest.mark.parametrize(("types", "text"), [
    ([INT, t.Struct("s", 8, (t.Member("a", 1, 0), t.Member("b", 1, 32, 3)), True)],
     "struct s {\n\tint a;\n\tint b: 3;\n};"),
    ([INT, t.Union("u", 4, (t.Member("a", 1, 0),))], "union u {\n\tint a;\n};"),
    ([INT, t.Struct("p", 5, (t.Member("a", 1, 8),))],
     "struct p {\n\tlong: 8;\n\tint a;\n} __attribute__((packed));"),
    ([t.Enum("e", 4, (("A", 0), ("B", 1 << 31)))], "enum e {\n\tA = 0,\n\tB = 2147483648U,\n};"),
    ([t.Enum64("e", 8, (("A", -1),), True)], "enum e {\n\tA = -1LL,\n};"),
    ([INT, t.Typedef("mine", 1)], "typedef int mine;"),
    ([INT, t.FuncProto(1, (t.Param("a", 1),)), t.Func("f", 2, Linkage.STATIC)], "static int f(int a);"),
    ([INT, t.Var("v", 1, Linkage.EXTERN)], "extern int v;"),
    ([INT], "int;"),
])
def test_definitions(types: list[t.Type], text: str) -> None:
    assert define(Btf(types), len(types)) == text


def test_a_header_declares_before_it_points_and_defines_before_it_contains() -> None:
    btf = Btf([t.Struct("outer", 16, (t.Member("in", 2, 0), t.Member("self", 3, 64))),
               t.Struct("inner", 8, (t.Member("next", 4, 0),)), t.Ptr(1), t.Ptr(5), t.Typedef("far_t", 6),
               t.Struct("far", 4, (t.Member("x", 7, 0),)), INT])
    assert [part.split("{")[0].strip() for part in dump(btf).split("\n\n")] == [
        "struct far;", "typedef struct far far_t;", "struct inner", "struct outer", "struct far"]


def test_only_what_is_asked_for_and_needed() -> None:
    btf = Btf([INT, t.Struct("a", 4, (t.Member("x", 1, 0),)), t.Struct("b", 4, (t.Member("a", 2, 0),)),
               t.Struct("c", 4)])
    assert "struct c" not in dump(btf, [3]) and "struct a {" in dump(btf, [3])
    assert dump(Btf()) == ""


def test_names_used_twice_are_told_apart() -> None:
    text = dump(Btf([t.Struct("s", 0), t.Struct("s", 0), t.Enum("s", 4, (("X", 1),)), t.Enum("", 4, (("X", 2),)),
                     t.Fwd("s", True), t.Ptr(5), t.Typedef("s_t", 6)]))
    for part in ("struct s {", "struct s___2 {", "enum s___3 {", "X___2 = 2", "union s___fwd;"):
        assert part in text


def test_types_nested_without_end_are_refused() -> None:
    types: list[t.Type] = [INT, *(t.Struct("", 4, (t.Member("in", i, 0),)) for i in range(1, 400))]
    types.append(t.Struct("top", 4, (t.Member("in", len(types), 0),)))
    with pytest.raises(LoadError, match="nested too deeply"):
        dump(Btf(types))
    with pytest.raises(LoadError, match="nested too deeply"):
        declare(Btf([t.Ptr(1)]), 1, "x")


LAYOUTS = Btf([
    INT, LONG, CHAR, t.Ptr(1), t.Array(3, 3),
    t.Struct("gap", 32, (t.Member("a", 3, 0), t.Member("b", 1, 64), t.Member("c", 3, 160))),
    t.Struct("bits", 16, (t.Member("a", 1, 0, 3), t.Member("b", 1, 3, 5), t.Member("c", 1, 16, 4),
                          t.Member("d", 2, 64)), True),
    t.Struct("packed", 13, (t.Member("a", 3, 0), t.Member("b", 2, 8), t.Member("c", 1, 72))),
    t.Struct("far", 4096, (t.Member("a", 1, 0), t.Member("b", 4, 8000 * 4))),
    t.Struct("odd", 12, (t.Member("a", 5, 0), t.Member("b", 3, 40), t.Member("u", 11, 64))),
    t.Union("u", 4, (t.Member("x", 1, 0), t.Member("", 12, 0))), t.Struct("", 4, (t.Member("y", 3, 8),)),
])


@pytest.mark.parametrize("name", ["maps", "globals", "ops", "core", "coretarget", "corekernel", "layouts"])
def test_a_compiler_lays_the_printed_types_out_as_they_were(name: str, tmp_path: Path) -> None:
    if shutil.which("clang-19") is None:
        pytest.skip("needs clang-19")
    btf = LAYOUTS if name == "layouts" else load(OBJECTS / f"{name}.o").btf
    assert btf is not None
    checks = []
    for _, found in btf.items():
        if isinstance(found, t.Struct | t.Union) and found.name:
            word = f"{found.kind.name.lower()} {found.name}"
            checks.append(f'_Static_assert(sizeof({word}) == {found.size}, "{word}");')
            checks += [f'_Static_assert(__builtin_offsetof({word}, {m.name}) == {m.bit_offset // 8}, "{m.name}");'
                       for m in found.members if m.name and not m.bitfield_size]
    source = tmp_path / "types.c"
    source.write_text(dump(btf) + "\n".join(checks))
    done = subprocess.run(["clang-19", "-target", "bpf", "-fsyntax-only", "-w", source], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr + source.read_text()
