"""What a table of types answers."""

from __future__ import annotations

import pytest

from ebpfvm.btf import Btf, BtfBuilder, Kind
from ebpfvm.btf import types as t
from ebpfvm.errors import LoadError


def test_ids_start_at_one_and_zero_is_void() -> None:
    btf = Btf([t.Int("int", 4, 32)])
    assert len(btf) == 2
    assert btf[0] == t.Void()
    assert [i for i, _ in btf.items()] == [1]


@pytest.mark.parametrize("bad", [-1, 2, 1 << 40])
def test_an_unknown_id_is_a_load_error(bad: int) -> None:
    with pytest.raises(LoadError, match="no type"):
        Btf([t.Int("int", 4, 32)])[bad]


def test_resolve_looks_through_all_modifiers() -> None:
    btf = Btf([t.Int("int", 4, 32), t.Const(1), t.Volatile(2), t.Restrict(3), t.TypeTag("rcu", 4), t.Typedef("x", 5)])
    assert btf.resolve(6) == 1
    assert btf.resolved(6).name == "int"
    assert btf.type_tags(6) == ("rcu",)


def test_a_typedef_of_itself_is_refused() -> None:
    btf = Btf([t.Typedef("a", 2), t.Typedef("b", 1)])
    with pytest.raises(LoadError, match="has more than 32 modifiers"):
        btf.resolve(1)


def test_type_attributes_are_no_tags() -> None:
    btf = Btf([t.Int("int", 4, 32), t.TypeTag("kptr", 1, attr=True), t.DeclTag("x", 1, attr=True)])
    assert btf.type_tags(2) == ()
    assert btf.decl_tags(1) == ()


def test_sizes() -> None:
    b = BtfBuilder()
    word = b.integer("u32", 4)
    rows = b.array(b.array(word, 3), 5)
    pair = b.struct("pair", [("a", word), ("p", b.ptr(0)), ("rows", rows)])
    btf = b.btf()
    assert btf.size_of(rows) == 60
    assert btf.size_of(pair) == 16 + 64
    assert btf.align_of(pair) == 8


def test_a_hostile_array_is_only_a_number() -> None:
    btf = Btf([t.Int("int", 4, 32), t.Array(1, 0xFFFFFFFF), t.Array(2, 0xFFFFFFFF)])
    assert btf.size_of(3) == 4 * 0xFFFFFFFF**2


@pytest.mark.parametrize("what", [0, 1, 2])
def test_what_has_no_size_is_refused(what: int) -> None:
    btf = Btf([t.Fwd("later"), t.FuncProto(0)])
    with pytest.raises(LoadError, match="has no size"):
        btf.size_of(what)


def test_an_array_of_itself_is_refused() -> None:
    with pytest.raises(LoadError, match="array dimensions"):
        Btf([t.Array(1, 2)]).size_of(1)


def test_a_packed_struct_is_aligned_to_one() -> None:
    btf = Btf([t.Int("u32", 4, 32), t.Struct("packed", 5, (t.Member("a", 1, 8),)),
               t.Struct("odd", 5, (t.Member("a", 1, 0),))])
    assert btf.align_of(2) == 1
    assert btf.align_of(3) == 1


def test_find_is_by_name_and_kind() -> None:
    btf = Btf([t.Struct("x", 0), t.Typedef("x", 1), t.Struct("x", 4), t.Fwd("y")])
    assert btf.find("x", Kind.STRUCT) == 1
    assert btf.find_all("x", Kind.STRUCT) == (1, 3)
    assert btf.find("x", Kind.TYPEDEF) == 2
    assert btf.find("x", Kind.UNION) is None
    assert btf.find("", Kind.STRUCT) is None
    assert btf.names(Kind.STRUCT) == ("x",)


def test_decl_tags_of_types_and_members() -> None:
    b = BtfBuilder()
    word = b.integer("u32", 4)
    pair = b.struct("pair", [("a", word), ("b", word)])
    b.tag("whole", pair)
    b.tag("first", pair, 0)
    b.tag("second", pair, 0)
    btf = b.btf()
    assert btf.decl_tags(pair) == ("whole",)
    assert btf.decl_tags(pair, 0) == ("first", "second")
    assert btf.decl_tags(pair, 1) == ()


def test_replaced_leaves_the_original_alone() -> None:
    btf = Btf([t.Struct("x", 4)])
    changed = btf.replaced({1: t.Struct("y", 8)})
    assert btf[1].name == "x"
    assert (changed[1].name, changed.find("y", Kind.STRUCT), changed.find("x", Kind.STRUCT)) == ("y", 1, None)


def test_the_alignment_of_a_deep_and_wide_nest_is_found_at_once() -> None:
    types: list[t.Type] = [t.Int("int", 4, 32), t.Struct("e0", 0)]
    for depth in range(1, 30):
        types.append(t.Struct(f"e{depth}", 0, (t.Member("a", len(types), 0), t.Member("b", len(types), 0))))
    assert Btf(types).align_of(len(types)) == 1


def test_what_is_nested_too_deeply_has_no_alignment() -> None:
    types: list[t.Type] = [t.Int("int", 4, 32)]
    types += [t.Struct(f"s{i}", 4, (t.Member("in", i, 0),)) for i in range(1, 50)]
    with pytest.raises(LoadError, match="nested too deeply"):
        Btf(types).align_of(50)
