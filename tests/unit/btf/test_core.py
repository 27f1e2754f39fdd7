"""How CO-RE compares names and types."""

from __future__ import annotations

import pytest

from ebpfvm.btf import Btf, BtfBuilder
from ebpfvm.btf import types as t
from ebpfvm.btf.core import resolve
from ebpfvm.btf.core_match import Target, fields_compatible, match, types_compatible, types_match
from ebpfvm.btf.core_paths import RelocKind, essential_name, parse_spec
from ebpfvm.errors import LoadError


@pytest.mark.parametrize(("name", "essential"), [
    ("a", "a"), ("a___b", "a"), ("a___b___c", "a___b"), ("___b", "___b"), ("a___", "a___"), ("a____b", "a____b"),
    ("a__b", "a__b"), ("a_b___c", "a_b"), ("", ""), ("___", "___"), ("a___b____c", "a"),
])
def test_essential_names(name: str, essential: str) -> None:
    assert essential_name(name) == essential


INT, UINT, LONG, BITS = t.Int("int", 4, 32, True), t.Int("u32", 4, 32), t.Int("u64", 8, 64), t.Int("b", 4, 3, offset=2)
A = Btf([INT, UINT, LONG, t.Ptr(1), t.Array(1, 4), t.Struct("s", 4, (t.Member("x", 1, 0),)), t.Union("u", 4),
         t.Enum("e", 4, (("ONE", 1),)), t.Enum64("e", 8, (("ONE", 1), ("TWO", 2))), t.Fwd("s"), t.Float("f", 4),
         t.FuncProto(1, (t.Param("a", 1),)), t.FuncProto(1), t.Const(1), BITS, t.Array(4, 4), t.Ptr(6), t.Ptr(10),
         t.FuncProto(4, (t.Param("a", 1),)), t.Typedef("td", 6), t.Ptr(7), t.Fwd("u", True), t.Enum("", 4)])
(INT_, UINT_, LONG_, PTR, ARRAY, STRUCT, UNION, ENUM, ENUM64, FWD, FLOAT, PROTO, PROTO0, CONST, BITS_, PTRS, PSTRUCT,
 PFWD, PROTOP, TYPEDEF, PUNION, FWDU, ANON) = range(1, 24)


@pytest.mark.parametrize(("a", "b", "compatible"), [
    (INT_, LONG_, True), (INT_, BITS_, False), (INT_, PTR, False), (PTR, PSTRUCT, True), (STRUCT, UNION, True),
    (STRUCT, FWD, False), (ARRAY, PTRS, False), (ARRAY, ARRAY, True), (ENUM, ENUM64, True), (ENUM, ANON, True),
    (FLOAT, FLOAT, True), (CONST, UINT_, True), (PROTO, PROTO, False), (FWD, FWD, True), (FWD, FWDU, False),
    (STRUCT, TYPEDEF, True),
])
def test_fields(a: int, b: int, compatible: bool) -> None:
    assert fields_compatible(A, a, A, b) is compatible
    assert fields_compatible(A, b, A, a) is compatible


@pytest.mark.parametrize(("a", "b", "compatible"), [
    (STRUCT, STRUCT, True), (STRUCT, UNION, False), (INT_, LONG_, True), (INT_, BITS_, False), (PTR, PSTRUCT, False),
    (ARRAY, ARRAY, True), (ENUM, ENUM64, True), (PROTO, PROTO0, False), (PROTO, PROTOP, False), (PROTO, PROTO, True),
    (FLOAT, FLOAT, False), (TYPEDEF, TYPEDEF, True), (TYPEDEF, STRUCT, False), (0, 0, True),
])
def test_whole_types(a: int, b: int, compatible: bool) -> None:
    assert types_compatible(A, a, A, b) is compatible
    assert types_compatible(A, b, A, a) is compatible


@pytest.mark.parametrize(("a", "b", "fits"), [
    (STRUCT, STRUCT, True), (STRUCT, FWD, False), (PSTRUCT, PFWD, True), (PFWD, PSTRUCT, True), (PUNION, PFWD, False),
    (ENUM, ENUM64, True), (ENUM64, ENUM, False), (INT_, UINT_, False), (INT_, CONST, True), (ARRAY, ARRAY, True),
    (PROTO, PROTO, True), (PROTO, PROTO0, False), (FLOAT, FLOAT, False), (FWD, FWD, True), (FWD, FWDU, False),
    (0, 0, True), (PTR, INT_, False), (UNION, UNION, True),
])
def test_matches(a: int, b: int, fits: bool) -> None:
    assert types_match(A, a, A, b) is fits


def test_a_match_wants_every_member_of_ours_and_no_more() -> None:
    b = BtfBuilder()
    word, long = b.integer("u32", 4), b.integer("u64", 8)
    small = b.struct("s", [("a", word)])
    large = b.struct("s", [("b", long), ("a", word)])
    other = b.struct("s", [("a", long)])
    btf = b.btf()
    assert types_match(btf, small, btf, large)
    assert not types_match(btf, large, btf, small)
    assert not types_match(btf, small, btf, other)


def test_a_type_that_points_to_itself_is_matched() -> None:
    btf = Btf([t.Struct("list", 8, (t.Member("next", 2, 0),)), t.Ptr(1)])
    assert types_match(btf, 1, btf, 1)


def test_a_field_of_another_type_is_no_match() -> None:
    local = Btf([INT, t.Struct("s", 4, (t.Member("x", 1, 0),))])
    target = Btf([INT, t.Ptr(1), t.Struct("s", 8, (t.Member("x", 2, 0),))])
    spec = parse_spec(local, 2, "0:0", RelocKind.FIELD_BYTE_OFFSET)
    assert match(spec, target, 3, RelocKind.FIELD_BYTE_OFFSET) is None
    assert resolve(local, 2, "0:0", RelocKind.FIELD_BYTE_OFFSET, Target(target)).poison


def test_an_element_behind_a_shorter_array_is_no_match() -> None:
    local = Btf([INT, t.Array(1, 4), t.Struct("s", 16, (t.Member("x", 2, 0),))])
    target = Btf([INT, t.Array(1, 2), t.Struct("s", 8, (t.Member("x", 2, 0),))])
    value = resolve(local, 3, "0:0:3", RelocKind.FIELD_BYTE_OFFSET, Target(target))
    assert value.poison and resolve(local, 3, "0:0:1", RelocKind.FIELD_BYTE_OFFSET, Target(target)).new == 4


def test_a_type_without_name_has_no_counterpart() -> None:
    local = Btf([INT, t.Struct("", 4, (t.Member("x", 1, 0),))])
    with pytest.raises(LoadError, match="anonymous"):
        resolve(local, 2, "0:0", RelocKind.FIELD_BYTE_OFFSET, Target(local))


def test_a_bit_field_across_words_is_loaded_with_a_wider_one() -> None:
    wide = Btf([INT, t.Struct("s", 8, (t.Member("x", 1, 28, 8),), bitfields=True)])
    assert resolve(wide, 2, "0:0", RelocKind.FIELD_BYTE_SIZE, None).new == 8
    assert resolve(wide, 2, "0:0", RelocKind.FIELD_LSHIFT_U64, None).new == 28
    lost = Btf([LONG, t.Struct("s", 16, (t.Member("x", 1, 60, 8),), bitfields=True)])
    with pytest.raises(LoadError, match="more than 8 bytes"):
        resolve(lost, 2, "0:0", RelocKind.FIELD_BYTE_SIZE, None)


def test_an_array_element_has_no_sign() -> None:
    local = Btf([INT, t.Array(1, 4), t.Struct("s", 16, (t.Member("x", 2, 0),))])
    with pytest.raises(LoadError, match="array element"):
        resolve(local, 3, "0:0:1", RelocKind.FIELD_SIGNED, None)


def test_several_equal_candidates_are_one() -> None:
    local = Btf([INT, t.Struct("s", 4, (t.Member("x", 1, 0),))])
    target = Btf([INT, t.Struct("s", 8, (t.Member("x", 1, 32),)), t.Struct("s___y", 8, (t.Member("x", 1, 32),))])
    assert Target(target).candidates(local, 2) == (2, 3)
    assert resolve(local, 2, "0:0", RelocKind.FIELD_BYTE_OFFSET, Target(target)).new == 4
