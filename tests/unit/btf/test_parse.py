"""Bytes to types and back; what makes no sense is refused with its place."""

from __future__ import annotations

import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ebpfvm.btf import Btf, encode, parse
from ebpfvm.btf import types as t
from ebpfvm.btf.ext import parse_ext
from ebpfvm.errors import LoadError

ALL_KINDS = Btf([
    t.Int("int", 4, 32, signed=True), t.Int("char", 1, 8, is_char=True), t.Int("_Bool", 1, 8, is_bool=True),
    t.Int("bits", 4, 3, offset=2), t.Ptr(0), t.Array(1, 7, index_type=1),
    t.Struct("s", 16, (t.Member("a", 1, 0), t.Member("p", 5, 64))),
    t.Struct("bitfields", 4, (t.Member("x", 1, 0, 3), t.Member("y", 1, 3, 29)), bitfields=True),
    t.Union("u", 8, (t.Member("a", 1, 0), t.Member("", 5, 0))), t.Enum("e", 4, (("A", 0), ("B", 0xFFFFFFFF))),
    t.Enum("se", 4, (("N", -5),), signed=True), t.Enum64("e64", 8, (("BIG", 1 << 40),)),
    t.Enum64("se64", 8, (("NEG", -(1 << 40)),), signed=True), t.Fwd("f"), t.Fwd("fu", is_union=True),
    t.Typedef("td", 7), t.Volatile(1), t.Const(17), t.Restrict(5),
    t.FuncProto(1, (t.Param("a", 1), t.Param("", 0))), t.Func("fn", 20, t.Linkage.GLOBAL),
    t.Var("v", 1, t.Linkage.STATIC), t.Datasec(".data", 8, (t.SecInfo(22, 4, 4),)), t.Float("double", 8),
    t.DeclTag("tag", 7, 1), t.DeclTag("attribute", 7, -1, attr=True), t.TypeTag("kptr", 7),
    t.TypeTag("attribute", 7, attr=True),
])


def test_every_kind_comes_back_as_it_was() -> None:
    again = parse(encode(ALL_KINDS))
    assert list(again.items()) == list(ALL_KINDS.items())
    assert {found.kind for _, found in again.items()} == set(t.Kind) - {t.Kind.VOID}


def test_types_can_be_checked_late() -> None:
    lazy = parse(encode(ALL_KINDS), check=False)
    assert lazy.find("fn", t.Kind.FUNC) == 21
    assert lazy.decl_tags(7, 1) == ("tag",)
    assert list(lazy.items()) == list(ALL_KINDS.items())


def patched(offset: int, form: str, *values: int) -> bytes:
    data = bytearray(encode(ALL_KINDS))
    struct.pack_into(form, data, offset, *values)
    return bytes(data)


@pytest.mark.parametrize(("data", "message"), [
    (b"", "too short"),
    (b"\x9f\xeb\x01" + bytes(10), "too short"),
    (patched(0, ">H", 0xEB9F), "big-endian"),
    (patched(0, "<H", 0x1234), "magic 0x1234"),
    (patched(2, "<B", 2), "version 2"),
    (patched(3, "<B", 1), "flags 0x1"),
    (patched(4, "<I", 1 << 31), "header length"),
    (patched(4, "<I", 4), "header length 4"),
    (patched(8, "<I", 2), "not aligned|not start"),
    (patched(12, "<I", 0xFFFFFFFF), "types at"),
    (patched(16, "<I", 0xFFFFFFFF), "strings at"),
    (patched(20, "<I", 0), "NUL"),
    (patched(24, "<I", 0xFFFF), "string offset 0xffff"),
    (patched(28, "<I", 31 << 24), "kind 31"),
    (patched(28, "<I", 4 << 24 | 0xFFFF), "cut short"),
    (patched(32, "<I", 3), "cannot hold"),
])
def test_damaged_bytes_are_refused(data: bytes, message: str) -> None:
    with pytest.raises(LoadError, match=message):
        parse(data)


@pytest.mark.parametrize(("types", "message"), [
    ([t.Typedef("a", 9)], "reference to type 9"),
    ([t.Typedef("a", 2), t.Const(1)], "made of itself"),
    ([t.Ptr(1)], "made of itself"),
    ([t.Ptr(2), t.Const(1)], "made of itself"),
    ([t.Array(1, 2)], "made of itself"),
    ([t.Struct("s", 8, (t.Member("s", 2, 0),)), t.Array(1, 1)], "made of itself"),
    ([t.Int("int", 4, 32), t.Struct("s", 2, (t.Member("a", 1, 24),))], "outside of its struct"),
    ([t.Enum("e", 3)], "cannot have 3 bytes"),
])
def test_types_that_make_no_sense_are_refused(types: list[t.Type], message: str) -> None:
    with pytest.raises(LoadError, match=message):
        parse(encode(Btf(types)))


def test_a_struct_may_point_to_itself() -> None:
    btf = parse(encode(Btf([t.Struct("list", 8, (t.Member("next", 2, 0),)), t.Ptr(3), t.Typedef("list_t", 1)])))
    assert btf.size_of(3) == 8


@given(st.data())
def test_cut_or_flipped_bytes_never_do_more_than_a_load_error(data: st.DataObject) -> None:
    good = encode(ALL_KINDS)
    bad = bytearray(good[:data.draw(st.integers(0, len(good)))])
    for _ in range(data.draw(st.integers(0, 3)) if bad else 0):
        bad[data.draw(st.integers(0, len(bad) - 1))] = data.draw(st.integers(0, 255))
    try:
        btf = parse(bytes(bad))
    except LoadError:
        return
    for type_id, _ in btf.items():
        btf.resolve(type_id)


def ext(func: bytes = b"", line: bytes = b"", core: bytes = b"", header: int = 32) -> bytes:
    lengths = (len(func), len(line), len(core))
    starts = (0, lengths[0], lengths[0] + lengths[1])
    pairs = [value for pair in zip(starts, lengths, strict=True) for value in pair]
    head = struct.pack("<HBBI6I", 0xEB9F, 1, 0, header, *pairs)
    return head[:header] + func + line + core


NAMES = Btf([t.Int("int", 4, 32)], b"\0tc\0file.c\0int x;\0000:1\0")


def test_ext_records_come_by_section() -> None:
    found = parse_ext(ext(
        struct.pack("<I2I2I", 8, 1, 1, 0, 7), struct.pack("<I2I8I", 16, 1, 2, 0, 4, 11, 5 << 10 | 3, 8, 4, 11, 6 << 10),
        struct.pack("<I2I4I", 16, 1, 1, 8, 1, 18, 0)), NAMES)
    assert found.func_info == {"tc": [(0, 7)]}
    assert found.line_info == {"tc": [(0, "file.c", "int x;", 5, 3), (8, "file.c", "int x;", 6, 0)]}
    assert found.core_relos == {"tc": [(8, 1, "0:1", 0)]}


def test_ext_of_old_compilers_has_no_core_records() -> None:
    found = parse_ext(ext(struct.pack("<I2I2I", 8, 1, 1, 0, 7), header=24), NAMES)
    assert found.func_info and not found.core_relos


@pytest.mark.parametrize(("data", "message"), [
    (b"\x9f\xeb", "too short"),
    (ext(header=64), "header length 64"),
    (ext(struct.pack("<I", 4)), "records of 4 bytes"),
    (ext(struct.pack("<I2I", 8, 1, 1 << 30)), "claims 1073741824 records"),
    (ext(struct.pack("<II", 8, 1)), "cut short"),
    (ext(struct.pack("<I2I2I", 8, 999, 1, 0, 7)), "string offset"),
    (ext()[:8] + struct.pack("<II", 1 << 31, 8) + ext()[16:], "does not fit"),
    (b"\xeb\x9f" + ext()[2:], "big-endian"),
    (b"\0\0" + ext()[2:], "magic"),
    (ext()[:2] + b"\x07" + ext()[3:], "version 7"),
])
def test_damaged_ext_is_refused(data: bytes, message: str) -> None:
    with pytest.raises(LoadError, match=message):
        parse_ext(data, NAMES)
