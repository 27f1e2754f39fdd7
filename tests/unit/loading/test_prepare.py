"""What depends on the kernel: its version and configuration, its functions and variables, its types."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from ebpfvm.btf import types as t
from ebpfvm.btf.encode import BtfBuilder
from ebpfvm.contract import Dialect
from ebpfvm.dialects import linux, rfc6
from ebpfvm.dialects.kernel_types import kernel_types
from ebpfvm.errors import UsageError
from ebpfvm.isa.insn import Insn
from ebpfvm.kernel import Kernel, LoadedProgram
from ebpfvm.loader import CoreRelo, MapSpec, Program, load
from ebpfvm.loading import prepare
from ebpfvm.loading.relocate import POISON
from ebpfvm.verifier import verify
from tests.unit.verifier.build import build

OBJECTS = Path(__file__).parents[1] / "loader" / "objects"
GLOBALS = OBJECTS / "globals.o"
OLD, NEW = linux((6, 18)), linux((7, 2))
RETURN = (Insn(0xB7), Insn(0x95))
OFFSET, SIZE, EXISTS, SIGNED, TARGET_ID, TYPE_EXISTS, TYPE_SIZE, ENUM_EXISTS, ENUM_VALUE, MATCHES = (
    0, 1, 2, 3, 7, 8, 9, 10, 11, 12)


# -- configuration --------------------------------------------------------------------------------------------------


def values(program: Program, kernel: Dialect) -> dict[str, bytes]:
    spec = next(spec for spec in prepare(program, kernel).maps if spec.name.endswith(".kconfig"))
    assert spec.btf is not None and spec.data is not None
    section = spec.btf[spec.value_type]
    assert isinstance(section, t.Datasec)
    return {spec.btf[item.type].name: spec.data[item.offset:item.offset + item.size] for item in section.vars}


def test_given_values_come_first_then_those_of_the_kernel() -> None:
    given = {"CONFIG_ON": "y", "CONFIG_TRI": "m", "CONFIG_CHAR": "y", "CONFIG_NAME": '"abc"'}
    program = load(GLOBALS, config=given).programs["main_prog"]
    assert values(program, NEW) == {"CONFIG_HZ": b"\xfa\0\0\0", "CONFIG_ON": b"\1", "CONFIG_TRI": b"\2\0\0\0",
                                    "CONFIG_CHAR": b"y", "CONFIG_NAME": b"abc\0\0\0\0\0", "CONFIG_WEAK": bytes(8)}
    assert values(load(GLOBALS, config={"CONFIG_HZ": 100}).programs["main_prog"], NEW)["CONFIG_HZ"] == b"\x64\0\0\0"


def test_a_value_that_nobody_knows_is_zero_and_told() -> None:
    notes = prepare(load(GLOBALS).programs["main_prog"], NEW).notes
    assert any("no value is known for CONFIG_ON" in note for note in notes)
    assert not any("CONFIG_WEAK" in note or "CONFIG_HZ" in note for note in notes)


def test_the_version_is_that_of_the_kernel_judged() -> None:
    assert [kernel.config["LINUX_KERNEL_VERSION"] for kernel in (OLD, NEW)] == [0x061200, 0x070200]


# -- functions and variables ----------------------------------------------------------------------------------------


def weak(name: str, *insns: Insn, kind: str = "func") -> Program:
    """A program with one weak extern, number 4."""
    b = BtfBuilder()
    number = b.integer("int", 4, signed=True)
    if kind == "func":
        b.add(t.Func(name, b.add(t.FuncProto(number)), t.Linkage.EXTERN))
    else:
        b.add(t.Var(name, number, t.Linkage.EXTERN))
    table = {4: name}
    return Program("p", (*insns, *RETURN), "sched_cls", license="GPL", btf=b.btf(), weak=frozenset({name}),
                   kfuncs=table if insns[0].code == 0x85 else {}, ksyms=table if insns[0].code == 0x18 else {})


CALL, ADDRESS = (Insn(0x85, 0, 2, 0, 4),), (Insn(0x18, 1, 3, 0, 4), Insn(0))


@pytest.mark.parametrize("kind", ["func", "var"])
def test_the_address_of_what_is_not_there_is_zero(kind: str) -> None:
    assert prepare(weak("vendor_only", *ADDRESS, kind=kind), NEW).insns[:2] == (Insn(0x18, 1), Insn(0))


@pytest.mark.parametrize(("name", "kind"), [("bpf_ct_release", "func"), ("bpf_qdisc_skb_drop", "func"),
                                            ("runqueues", "var")])
def test_what_is_there_keeps_its_name(name: str, kind: str) -> None:
    program = weak(name, *ADDRESS, kind=kind)
    assert prepare(program, NEW).insns == program.insns


def test_a_function_that_ebpfvm_lacks_and_the_kernel_has_is_not_taken_for_missing() -> None:
    verdict = verify(weak(min(NEW.unmodelled), *CALL), NEW)
    assert "not supported by ebpfvm" in verdict.message


# -- types ----------------------------------------------------------------------------------------------------------


def test_each_version_has_its_own_sizes_and_offsets() -> None:
    sizes = {(6, 18): {"sk_buff": 224, "sock": 784}, (7, 2): {"sk_buff": 232, "sock": 800}}
    for version, wanted in sizes.items():
        types = kernel_types(version)
        assert {name: types.size_of(types.find(name, t.Kind.STRUCT) or 0) for name in wanted} == wanted


def relo(kind: int, name: str = "sk_buff", members: tuple[str, ...] = ("len",), access: str = "0:0",
         what: str = "struct", held: int | None = None) -> Program:
    """A program with one relocation, of `r1 = HELD`."""
    b = BtfBuilder()
    u32 = b.integer("unsigned int", 4)
    if what == "struct":
        root = b.struct(name, [(member, u32) for member in members])
    else:
        root = b.add(t.Enum(name, 4, tuple((member, 100 + at) for at, member in enumerate(members))))
    old = {OFFSET: 0, SIZE: 4, SIGNED: 0, TYPE_SIZE: 4 * len(members), ENUM_VALUE: 100, TARGET_ID: root}.get(kind, 1)
    return Program("p", (Insn(0xB7, 1, 0, 0, old if held is None else held), *RETURN), "sched_cls", license="GPL",
                   btf=b.btf(), core_relos=(CoreRelo(0, root, access, kind),))


@pytest.mark.parametrize(("program", "old", "new"), [
    (relo(OFFSET), 112, 112),
    (relo(OFFSET, members=("truesize",)), 208, 216),
    (relo(SIZE, members=("protocol",)), 2, 2),
    (relo(EXISTS), 1, 1),
    (relo(EXISTS, members=("nothing_of_the_kind",)), 0, 0),
    (relo(SIGNED, "sock", ("sk_peek_off",)), 1, 1),
    (relo(TYPE_SIZE, access="0"), 224, 232),
    (relo(TYPE_SIZE, "sk_buff___mine", access="0"), 224, 232),
    (relo(TYPE_EXISTS, "task_struct", access="0"), 1, 1),
    (relo(TYPE_EXISTS, "no_such_struct_in_linux", access="0"), 0, 0),
    (relo(TYPE_SIZE, "no_such_struct_in_linux", access="0"), 0, 0),
    (relo(EXISTS, "no_such_struct_in_linux"), 0, 0),
    (relo(MATCHES, access="0"), 1, 1),
    (relo(MATCHES, members=("len", "sk"), access="0"), 0, 0),
    (relo(ENUM_EXISTS, "bpf_func_id", ("BPF_FUNC_skb_load_bytes",), "0", "enum"), 1, 1),
    (relo(ENUM_EXISTS, "bpf_func_id", ("BPF_FUNC_of_tomorrow",), "0", "enum"), 0, 0),
    (relo(ENUM_VALUE, "bpf_func_id___other", ("BPF_FUNC_skb_load_bytes",), "0", "enum"), 26, 26),
])
def test_values_of_the_version_judged(program: Program, old: int, new: int) -> None:
    for kernel, wanted in ((OLD, old), (NEW, new)):
        after = prepare(program, kernel)
        assert (after.insns[0].imm, after.poisoned) == (wanted, {})


@pytest.mark.parametrize("program", [
    relo(OFFSET, members=("nothing_of_the_kind",)), relo(SIZE, "no_such_struct_in_linux"),
    relo(ENUM_VALUE, "bpf_func_id", ("BPF_FUNC_of_tomorrow",), "0", "enum"),
    relo(ENUM_VALUE, "no_such_enum_in_linux", ("A",), "0", "enum"),
])
@pytest.mark.parametrize("kernel", [OLD, NEW])
def test_what_the_kernel_lacks_is_refused_only_where_it_is_reached(program: Program, kernel: Dialect) -> None:
    verdict = verify(program, kernel)
    assert verdict.errno == 22
    assert verdict.message.startswith("failed to resolve CO-RE relocation <")  # what libbpf puts in the kernel's log
    assert "0: <invalid CO-RE relocation>\n" in verdict.log
    assert f"(invalid func unknown#{POISON})" in verdict.explanation
    past = replace(program, insns=(Insn(0xB7), Insn(0x15, 0, 0, 1, 0), *program.insns),
                   core_relos=(replace(program.core_relos[0], insn_off=2),))
    assert verify(past, kernel).ok


@pytest.mark.parametrize("program", [
    relo(OFFSET, "hpet_dev", ("x",)), relo(TYPE_SIZE, "hpet_dev", access="0"),
    relo(ENUM_VALUE, "hwmon_chip_attributes", ("x",), "0", "enum"),
])
def test_what_ebpfvm_does_not_know_is_not_taken_for_missing(program: Program) -> None:
    verdict = verify(program, NEW)
    assert "--btf FILE" in verdict.message
    assert "not supported by ebpfvm" in verdict.message
    assert verify(replace(program, insns=(*RETURN, *program.insns), core_relos=()), OLD).errno == 22  # unreachable code


def test_numbers_of_types_are_those_of_the_table() -> None:
    after = prepare(relo(TARGET_ID, access="0"), NEW)
    assert kernel_types()[after.insns[0].imm].name == "sk_buff"
    assert after.kernel_ids


def test_an_engine_takes_only_what_was_prepared() -> None:
    with pytest.raises(UsageError, match="CO-RE relocations that nothing applied"):
        LoadedProgram(Kernel(NEW), relo(OFFSET))
    assert LoadedProgram(Kernel(NEW), prepare(relo(OFFSET), NEW)).program.insns[0].imm == 112


# -- pointers in maps -----------------------------------------------------------------------------------------------


def lone(dequeue: bool) -> Program:
    """A program that takes a packet out of a map, whose struct the object only declares."""
    b = BtfBuilder()
    tagged = b.add(t.TypeTag("kptr", b.add(t.Fwd("sk_buff", False))))
    value = b.struct("slot", [("skb", b.add(t.Ptr(tagged)))])
    key = b.integer("int", 4)
    spec = MapSpec("array", 4, 8, 1, name="slots", btf=b.btf(), key_type=key, value_type=value)
    text = ("*(u32 *)(r10 - 4) = 0\nr2 = r10\nr2 += -4\nr1 = map[id:0]\ncall 1\nif r0 == 0 goto out\nr1 = r0\n"
            "r2 = 0\ncall 194\nif r0 == 0 goto out\nr1 = r0\ncall @bpf_skb_release\nout:\nr0 = 1\nexit\n")
    made = build(text, maps=(spec,), type="qdisc" if dequeue else "sched_cls", builder=b)
    return replace(made, attach="dequeue" if dequeue else "")


def test_the_rfc_s_kernel_finds_a_declared_struct_by_its_name() -> None:
    assert verify(lone(dequeue=True), rfc6()).message == ""
    assert verify(lone(dequeue=True), rfc6((6, 18))).message == ""
    assert prepare(lone(dequeue=True), rfc6()).notes == ()


def test_mainline_kernels_do_not() -> None:
    """As 6.18 and 7.2 say: the map is made, without any special fields."""
    program = replace(lone(dequeue=False), kfuncs={})
    for kernel in (OLD, NEW):
        assert any("a kptr points to fwd sk_buff" in note for note in prepare(program, kernel).notes)
