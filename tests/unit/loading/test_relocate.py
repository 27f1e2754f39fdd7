"""CO-RE relocations: programs fitted to the types of another kernel."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from ebpfvm.btf.core import CoreValue
from ebpfvm.btf.core_match import Target
from ebpfvm.btf.core_paths import RelocKind
from ebpfvm.dialects import linux
from ebpfvm.errors import LoadError
from ebpfvm.isa.insn import Insn
from ebpfvm.loader import CoreRelo, load
from ebpfvm.loading import Prepared, prepare
from ebpfvm.loading.relocate import POISON, patch, relocate

OBJECTS = Path(__file__).parents[1] / "loader" / "objects"
CORE = load(OBJECTS / "core.o")
OTHER = load(OBJECTS / "coretarget.o").btf
assert OTHER is not None
TARGET = Target(OTHER)
KERNEL = linux().with_types(OTHER)


def fitted(name: str) -> Prepared:
    return prepare(CORE.programs[name], KERNEL)


def test_loads_and_stores_move_with_their_fields() -> None:
    before, after = CORE.programs["offsets"], fitted("offsets")
    moved = [(after.insns[relo.insn_off].off, after.insns[relo.insn_off].code & 0x18)
             for relo in before.core_relos]
    # in.a, in.b, narrow (now u32), list[2], next, whole, list[1]
    assert moved == [(44, 0), (40, 0), (100, 0), (72, 0), (56, 0x18), (32, 0x18), (68, 0)]
    assert after.core_relos == ()


def test_every_kind_of_value() -> None:
    before, after = CORE.programs["infos"], fitted("infos")
    assert before.btf is not None
    values = [(RelocKind(r.kind).name, after.insns[r.insn_off].imm) for r in before.core_relos]
    target = TARGET.btf.find("outside", 4)
    assert values == [
        ("TYPE_ID_LOCAL", before.btf.find("outside", 4)), ("TYPE_ID_TARGET", target), ("FIELD_BYTE_OFFSET", 40),
        ("FIELD_BYTE_SIZE", 4), ("FIELD_EXISTS", 1), ("FIELD_EXISTS", 0), ("FIELD_SIGNED", 1),
        ("FIELD_LSHIFT_U64", 64 - 15), ("FIELD_RSHIFT_U64", 61), ("TYPE_EXISTS", 1), ("TYPE_EXISTS", 1),
        ("TYPE_SIZE", 112), ("ENUMVAL_EXISTS", 1), ("ENUMVAL_VALUE", 7), ("TYPE_MATCHES", 0)]


def test_what_is_not_there_is_poisoned_and_told() -> None:
    after = fitted("lost")
    assert after.insns[0] == Insn(0x85, 0, 0, 0, POISON)
    assert after.poisoned[0].modelled
    assert after.poisoned[0].reason.startswith("failed to resolve CO-RE relocation <byte_off> [")
    assert after.poisoned[0].reason.endswith("] struct gone.missing (0:1 @ offset 8)")


def test_an_array_at_the_end_of_a_struct_has_no_end() -> None:
    assert fitted("flexible").insns[0].off == 4 + 9 * 4


def test_a_flavour_is_no_part_of_the_name() -> None:
    assert fitted("flavour").insns[0].off == 8


def test_candidates_that_differ_are_refused_with_the_place() -> None:
    with pytest.raises(LoadError, match="several types named twice") as caught:
        fitted("ambiguous")
    assert "ambiguous, instruction 0" in str(caught.value)


def test_fitting_to_its_own_types_changes_nothing() -> None:
    own = CORE.btf
    assert own is not None
    for program in CORE.programs.values():
        assert relocate(program, Target(own)).insns == program.insns


def test_a_program_without_records_keeps_its_instructions() -> None:
    program = load(OBJECTS / "nobtf.o").programs["first"]
    assert prepare(program, KERNEL).insns == program.insns


def test_preparing_twice_is_preparing_once_and_another_kernel_begins_again() -> None:
    program = CORE.programs["offsets"]
    once = prepare(program, KERNEL)
    assert prepare(once, KERNEL) is once
    own = linux().with_types(CORE.btf)  # type: ignore[arg-type]
    assert prepare(once, own).insns == program.insns == prepare(program, own).insns
    assert prepare(once.with_type("xdp"), own).type == "xdp"


@pytest.mark.parametrize(("access", "kind", "message"), [
    ("0:9", 0, "leads out of"), ("0:2:4", 0, "leads out of"), ("0:0:0", 0, "leads out of"), ("", 0, "not a path"),
    ("0:x", 0, "not a path"), ("0:-1", 0, "not a path"), ("1", 8, "not '0'"), ("0", 13, "kind 13"),
    (":".join("0" * 99), 0, "not a path"), ("0:1", 10, "no enumerator"),
])
def test_paths_that_make_no_sense_are_refused_whatever_the_kernel(access: str, kind: int, message: str) -> None:
    program = CORE.programs["offsets"]
    bad = replace(program, core_relos=(replace(program.core_relos[0], access=access, kind=kind),))
    for kernel in (KERNEL, linux(), linux().derive(types=None, type_names=None)):
        with pytest.raises(LoadError, match=message):
            prepare(bad, kernel)


def test_a_record_of_an_unknown_type_is_refused() -> None:
    program = replace(CORE.programs["offsets"], core_relos=(CoreRelo(0, 4000, "0:1", 0),))
    with pytest.raises(LoadError, match="no type 4000"):
        prepare(program, linux())


LOAD, MOV, ADD_REG, WIDE = Insn(0x61, 0, 1, 8), Insn(0xB7, 1, 0, 0, 8), Insn(0x0F, 1, 2), Insn(0x18, 1, 0, 0, 8)


@pytest.mark.parametrize(("insns", "value", "after"), [
    ([LOAD], CoreValue(8, 12), [LOAD._replace(off=12)]),
    ([LOAD], CoreValue(8, 12, old_size=4, new_size=8), [LOAD._replace(off=12, code=0x79)]),
    ([LOAD], CoreValue(8, 12, old_size=4, new_size=8, resizable=False), [Insn(0x85, 0, 0, 0, POISON)]),
    ([MOV], CoreValue(8, 12), [MOV._replace(imm=12)]),
    ([MOV], CoreValue(9, 12, check=False), [MOV._replace(imm=12)]),
    ([MOV], CoreValue(8, 0xFFFFFFFF), [MOV._replace(imm=-1)]),
    ([WIDE, Insn(0)], CoreValue(8, 5 << 32 | 6), [WIDE._replace(imm=6), Insn(0, imm=5)]),
    ([WIDE, Insn(0)], CoreValue(8, poison=True), [Insn(0x85, 0, 0, 0, POISON)] * 2),
])
def test_how_instructions_are_patched(insns: list[Insn], value: CoreValue, after: list[Insn]) -> None:
    patch(insns, 0, value)
    assert insns == after


@pytest.mark.parametrize(("insns", "value", "message"), [
    ([], CoreValue(8, 12), "instruction 0 of 0"),
    ([MOV], CoreValue(9, 12), "expects its instruction to hold 9, which holds 8"),
    ([LOAD], CoreValue(9, 12), "expects its instruction"),
    ([LOAD], CoreValue(8, 1 << 15), "too far"),
    ([LOAD], CoreValue(8, 12, old_size=2, new_size=8), "moves 4"),
    ([LOAD], CoreValue(8, 12, old_size=4, new_size=16), "has 16"),
    ([ADD_REG], CoreValue(8, 12), "holds no such value"),
    ([WIDE], CoreValue(8, 12), "holds no such value"),
    ([WIDE._replace(src=1), Insn(0)], CoreValue(8, 12), "holds no such value"),
])
def test_what_cannot_be_patched(insns: list[Insn], value: CoreValue, message: str) -> None:
    with pytest.raises(LoadError, match=message):
        patch(insns, 0, value)
