"""What generated programs and 4,368 accesses to a struct of the program's own showed; each answer is the kernel's."""

from __future__ import annotations

from dataclasses import replace

import pytest

from ebpfvm.btf import types as t
from ebpfvm.btf.encode import BtfBuilder
from ebpfvm.dialects import linux
from ebpfvm.isa.insn import Insn
from ebpfvm.loader.object import FuncInfo, MapSpec, Program
from ebpfvm.verifier import verify

MAP = (MapSpec("array", 4, 16, 2, name="arr"),)
HASH = (MapSpec("hash", 4, 16, 2, name="table"),)
KEY = (Insn(0x62, 10, 0, -4, 0), Insn(0x18, 1, 1), Insn(0), Insn(0xBF, 2, 10), Insn(0x07, 2, 0, 0, -4),
       Insn(0x85, imm=1))
END = (Insn(0xB7), Insn(0x95))


# ---- comparisons of the lower half of a pointer -----------------------------------------------------------------

@pytest.mark.parametrize(("code", "imm", "newer", "older"), [
    (0x15, 0, 10, 10), (0x55, 0, 9, 9), (0x16, 0, 11, 10), (0x56, 0, 11, 9), (0x16, 5, 11, 11), (0x56, 5, 11, 11)])
def test_half_of_a_pointer_may_be_zero(code: int, imm: int, newer: int, older: int) -> None:
    """Linux 7.2.13 follows both branches of `if w3 == 0`, Linux 6.18 only one: processed instructions of each."""
    compare = (Insn(0xBF, 3), Insn(0xB7), Insn(code, 3, 0, 1, imm), Insn(0xB7, 0, 0, 0, 1), Insn(0x95))
    one = Program("p", KEY + compare, "sched_cls", license="GPL", maps=MAP)
    assert verify(one, linux()).processed == newer
    assert verify(one, linux((6, 18))).processed == older


def test_what_only_half_of_a_pointer_hides_is_verified() -> None:
    body = (Insn(0xBF, 3), Insn(0x56, 3, 0, 1, 0), Insn(0x79, 0, 9), *END)
    one = Program("p", KEY + body, "sched_cls", license="GPL", maps=MAP)
    assert verify(one, linux()).message == "R9 !read_ok"
    assert verify(one, linux((6, 18))).ok


# ---- slices of a dynptr at the end of two paths -----------------------------------------------------------------

def test_slices_of_corresponding_dynptrs_are_the_same() -> None:
    """7.2 compares the dynptr of a slice as it compares ids, 6.18 as a plain number: 44 and 48 instructions."""
    lookup = (Insn(0x85, imm=7), Insn(0x15, 0, 0, 7), *KEY, Insn(0xBF, 1, 6))
    make = (Insn(0xBF, 1, 6), Insn(0xB7, 2), Insn(0xBF, 3, 10), Insn(0x07, 3, 0, 0, -24), Insn(0x85, 0, 2, 0, 1))
    cut = (Insn(0xBF, 1, 10), Insn(0x07, 1, 0, 0, -24), Insn(0xB7, 2), Insn(0xBF, 3, 10), Insn(0x07, 3, 0, 0, -40),
           Insn(0x7A, 10, 0, -40), Insn(0x7A, 10, 0, -32), Insn(0xB7, 4, 0, 0, 14), Insn(0x85, 0, 2, 0, 2))
    use = (Insn(0x15, 0, 0, 1), Insn(0x71, 1, 0, 3), *END)
    one = Program("p", (Insn(0xBF, 6, 1), *lookup, *make, *cut, *use), "sched_cls", license="GPL", maps=HASH,
                  kfuncs={1: "bpf_dynptr_from_skb", 2: "bpf_dynptr_slice"})
    assert verify(one, linux()).processed == 44
    assert verify(one, linux((6, 18))).processed == 48


# ---- fields of allocated structs --------------------------------------------------------------------------------

def allocated(members: list[tuple[str, int]], builder: BtfBuilder, access: Insn) -> Program:
    """A program that accesses an object of a struct with these members."""
    struct = builder.struct("mine", members)
    main = builder.func("prog", 1, [("ctx", builder.ptr(0))])
    code = (Insn(0xB7, 1, 0, 0, struct), Insn(0x85, 0, 2, 0, 1), Insn(0x15, 0, 0, 4), Insn(0xBF, 6), access,
            Insn(0xBF, 1, 6), Insn(0x85, 0, 2, 0, 2), *END)
    return Program("prog", code, "struct_ops", license="GPL", struct_ops=("Qdisc_ops", "init"), btf=builder.btf(),
                   kfuncs={1: "bpf_obj_new", 2: "bpf_obj_drop"}, func_info=(FuncInfo(0, main),))


def types() -> tuple[BtfBuilder, int, int]:
    builder = BtfBuilder()
    number = builder.integer("int", 4, signed=True)
    return builder, number, builder.integer("unsigned char", 1)


@pytest.mark.parametrize(("off", "size", "message"), [
    (0, 0x7A, ""), (0, 0x62, "cannot access ptr member p with moff 0 in struct mine with off 0 size 4"),
    (4, 0x62, "cannot access ptr member p with moff 0 in struct mine with off 4 size 4"),
    (8, 0x62, ""), (8, 0x7A, "access beyond the end of member n (mend:12) in struct mine with off 8 size 8"),
    (12, 0x7A, "access beyond struct (anon) at off 0 size 8"), (16, 0x72, ""),
    (18, 0x72, "struct mine doesn't have field at offset 18"), (24, 0x72, "access beyond struct mine at off 24 size 1"),
])
def test_fields_of_an_own_struct(off: int, size: int, message: str) -> None:
    builder, number, byte = types()
    inner = builder.add(t.Struct("", 5, (t.Member("x", number, 0), t.Member("y", byte, 32))))
    members = [("p", builder.ptr(number)), ("n", number), ("", inner), ("c", byte)]
    assert verify(allocated(members, builder, Insn(size, 6, 0, off)), linux()).message == message


def test_nothing_is_behind_an_own_struct_that_ends_in_an_array_without_a_size() -> None:
    builder, number, byte = types()
    members = [("n", number), ("tail", builder.array(byte, 0))]
    one = allocated(members, builder, Insn(0x72, 6, 0, 4))
    assert verify(one, linux()).message == "access beyond struct mine at off 4 size 1"


def test_own_structs_without_size() -> None:
    builder, _, byte = types()
    one = allocated([("tail", builder.array(byte, 0))], builder, Insn(0x71, 2, 6))
    assert verify(one, linux()).message == "access beyond struct mine at off 0 size 1"
    assert verify(replace(one, license=""), linux()).errno == 22
