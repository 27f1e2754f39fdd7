"""Objects that no current compiler writes, and files that are no objects."""

from __future__ import annotations

from typing import Any

import pytest

from ebpfvm.btf import Btf, encode
from ebpfvm.btf import types as t
from ebpfvm.errors import LoadError
from ebpfvm.isa.insn import Insn
from ebpfvm.isa.insn import encode as assemble
from ebpfvm.loader import load
from tests.unit.loader.elfmaker import (
    ALLOC,
    EXEC,
    EXIT,
    LOCAL,
    MOV0,
    NOBITS,
    NOTYPE,
    OBJECT,
    RETURN,
    SECTION,
    WEAK,
    WRITE,
    Maker,
    simple,
)

INT, BIG = t.Int("int", 4, 32), 0xFFFFFFFF
CALL = Insn(0x85, 0, 1, 0, -1)
LOAD = (Insn(0x18, 1), Insn(0))


def refused(data: bytes) -> LoadError:
    """Why an object cannot be read, or its one program."""
    with pytest.raises(LoadError) as caught:
        load(data).program("prog")
    return caught.value


# -- files that are no eBPF objects -----------------------------------------------------------------------------


@pytest.mark.parametrize(("data", "message"), [
    (b"", "the file is empty"),
    (b"hello world", "not an ELF file"),
    (b"BC\xc0\xde" + bytes(100), "LLVM bitcode"),
    (b"!<arch>\n" + bytes(100), "an archive"),
    (b"\x7fELF", "cut short"),
    (simple().build()[:63], "cut short"),
])
def test_other_files(data: bytes, message: str) -> None:
    assert message in refused(data).message


@pytest.mark.parametrize(("header", "message"), [
    ({"class": 1}, "not a 64-bit ELF"),
    ({"data": 2}, "big-endian"),
    ({"data": 7}, "unknown byte order 7"),
    ({"machine": 62}, "machine x86-64 is not eBPF"),
    ({"machine": 999}, "machine 999 is not eBPF"),
    ({"type": 2}, "not a relocatable object"),
    ({"shoff": 0}, "no sections"),
    ({"shnum": 0}, "no sections"),
    ({"shnum": 0xFFFF}, "make no sense"),
    ({"shnum": 1000}, "cut short"),
    ({"shentsize": 40}, "make no sense"),
    ({"shoff": 1 << 63}, "cut short"),
    ({"shstrndx": 77}, "section names"),
])
def test_other_headers(header: dict[str, int], message: str) -> None:
    maker = simple()
    maker.header = header
    assert message in refused(maker.build()).message


def test_a_big_endian_object_says_so_whatever_its_machine_looks_like() -> None:
    maker = simple()
    maker.header = {"data": 2, "machine": 247 << 8}
    assert "bpfel" in refused(maker.build()).message


def test_without_symbol_table() -> None:
    maker = simple()
    maker.symtab = False
    assert "no symbol table" in refused(maker.build()).message


def test_an_error_names_file_and_place(tmp_path) -> None:  # type: ignore[no-untyped-def]
    path = tmp_path / "bad.o"
    path.write_bytes(simple(code=RETURN[:-1]).build())
    with pytest.raises(LoadError) as caught:
        load(path)
    assert str(caught.value).startswith(f"{path}: ")
    assert caught.value.section == "tc"


# -- friendly readings ------------------------------------------------------------------------------------------


def test_machine_zero_is_taken_with_a_note() -> None:
    maker = simple()
    maker.machine = 0
    found = load(maker.build())
    assert list(found.programs) == ["prog"]
    assert any("e_machine is 0" in note for note in found.notes)


def test_no_license_is_an_empty_license_with_a_note() -> None:
    maker = Maker()
    maker.symbol("prog", maker.code("tc"), 0, 16)
    found = load(maker.build())
    assert (found.license, found.programs["prog"].license) == ("", "")
    assert any("license" in note for note in found.notes)


def test_a_license_ends_at_its_first_nul() -> None:
    maker = Maker()
    maker.symbol("prog", maker.code("tc"), 0, 16)
    maker.section("license", b"MIT\0rest")
    assert load(maker.build()).license == "MIT"


def test_symbols_without_type_are_functions_and_local_labels_are_not() -> None:
    maker = Maker()
    code = maker.code("tc", RETURN + RETURN)
    maker.symbol("one", code, 0, 0, NOTYPE)
    maker.symbol("two", code, 16, 0, NOTYPE)
    maker.symbol("LBB0_1", code, 8, 0, NOTYPE, LOCAL)
    found = load(maker.build())
    assert {name: len(p.insns) for name, p in found.programs.items()} == {"one": 2, "two": 2}
    assert any("one, two" in note for note in found.notes)


def test_code_without_any_symbol_is_one_program() -> None:
    maker = Maker()
    maker.code("xdp")
    found = load(maker.build())
    assert [(p.name, p.type, len(p.insns)) for p in found.programs.values()] == [("xdp", "xdp", 2)]


def test_static_functions_of_other_sections_are_programs_unless_called() -> None:
    maker = Maker()
    code = maker.code("tc", assemble([CALL._replace(imm=1), EXIT]) + RETURN)
    maker.symbol("main", code, 0, 16)
    maker.symbol("helper", code, 16, 16, bind=LOCAL)
    maker.symbol("tail", maker.code("tail"), 0, 16, bind=LOCAL)
    found = load(maker.build())
    assert [(p.name, p.type) for p in found.programs.values()] == [("main", "sched_cls"), ("tail", "")]
    assert found.programs["main"].func_names == {0: "main", 2: "helper"}
    assert found.programs["main"].insns[0].imm == 1


def test_functions_in_text_alone_are_programs() -> None:
    maker = Maker()
    code = maker.code(".text", RETURN + RETURN)
    maker.symbol("main", code, 0, 16)
    maker.symbol("helper", code, 16, 16, bind=LOCAL)
    found = load(maker.build())
    assert list(found.programs) == ["main"]
    assert any("in .text" in note for note in found.notes)


def test_one_name_in_two_sections_gives_two_programs() -> None:
    maker = Maker()
    maker.symbol("prog", maker.code("tc"), 0, 16, bind=LOCAL)
    maker.symbol("prog", maker.code("xdp"), 0, 16, bind=LOCAL)
    assert list(load(maker.build()).programs) == ["prog", "prog@xdp"]


def test_two_names_for_one_function_give_two_programs() -> None:
    maker = Maker()
    code = maker.code("tc")
    maker.symbol("one", code, 0, 16)
    maker.symbol("other", code, 0, 16, bind=WEAK)
    found = load(maker.build())
    assert found.programs["one"].insns == found.programs["other"].insns


def legacy(entry: bytes, count: int = 1) -> Maker:
    maker = simple(code=assemble([*LOAD, MOV0, EXIT]))
    maps = maker.section("maps", entry * count, flags=ALLOC | WRITE)
    names = [maker.symbol(f"m{i}", maps, i * len(entry), len(entry), OBJECT) for i in range(count)]
    maker.relocs(1, [(0, 1, names[-1])])
    return maker


def words(*values: int) -> bytes:
    return b"".join(v.to_bytes(4, "little") for v in values)


@pytest.mark.parametrize("extra", [0, 4, 8, 16, 100])
def test_legacy_maps_of_any_size_with_zero_behind(extra: int) -> None:
    found = load(legacy(words(2, 4, 8, 3, 0) + bytes(extra), 3).build())
    assert list(found.maps) == ["m0", "m1", "m2"]
    spec = found.programs["prog"].maps[0]
    assert (spec.name, spec.type, spec.key_size, spec.value_size, spec.max_entries) == ("m2", 2, 4, 8, 3)


def test_legacy_maps_with_unknown_fields_are_refused() -> None:
    error = refused(legacy(words(2, 4, 8, 3, 0, 7, 0, 0)).build())
    assert "unknown fields" in error.message and (error.symbol, error.offset) == ("m0", 20)


def test_a_legacy_map_of_iproute2_with_an_odd_pinning() -> None:
    found = load(legacy(words(2, 4, 8, 3, 0, 0, 16, 0, 0)).build())
    assert found.maps["m0"].pinning == 16
    assert any("pinning 16" in note for note in found.notes)


def test_a_legacy_map_that_is_too_short_is_refused() -> None:
    assert "at least 20 bytes" in refused(legacy(words(2, 4, 8, 3)).build()).message


@pytest.mark.parametrize(("entry", "pinning", "numa_node"), [
    (words(2, 4, 8, 3, 0, 0, 1), 1, 0),               # aya
    (words(2, 4, 8, 3, 4, 0, 1), 0, 1),               # the kernel's samples: BPF_F_NUMA_NODE is set
    (words(2, 4, 8, 3, 0, 2) + b"name".ljust(256, b"\0"), 2, 0),  # gobpf
])
def test_legacy_maps_of_other_loaders(entry: bytes, pinning: int, numa_node: int) -> None:
    spec = load(legacy(entry).build()).maps["m0"]
    assert (spec.pinning, spec.numa_node) == (pinning, numa_node)


def test_a_legacy_map_in_map_may_name_its_template_by_index() -> None:
    maker = legacy(words(2, 4, 8, 3, 0, 0) + words(12, 4, 4, 3, 0, 0))
    maker.symbols[-1] = ("outer", *maker.symbols[-1][1:3], 24, 24, 0)
    maker.symbol("inner", 3, 0, 24, OBJECT)
    assert load(maker.build()).maps["outer"].inner == load(maker.build()).maps["inner"]


def test_the_types_of_a_legacy_map_may_be_annotated() -> None:
    maker = legacy(words(1, 4, 4, 3, 0))
    btf = Btf((INT, t.Struct("____btf_map_m0", 8, (t.Member("key", 1, 0), t.Member("value", 1, 32)))))
    maker.section(".BTF", encode(btf), flags=0)
    spec = load(maker.build()).maps["m0"]
    assert (spec.key_type, spec.value_type) == (1, 1) and spec.btf is not None


@pytest.mark.parametrize("value", [5, 36, 1 << 40])
def test_a_legacy_map_that_ends_behind_its_section_is_refused(value: int) -> None:
    maker = simple()
    maps = maker.section("maps", words(2, 4, 8, 3, 0, 0, 0, 0, 0), flags=ALLOC | WRITE)
    maker.symbol("m", maps, value, 36, OBJECT)
    maker.symbol("far", maps, 1 << 50, 36, OBJECT)
    assert "extends beyond" in refused(maker.build()).message


def test_a_legacy_map_in_map_names_its_template() -> None:
    good = legacy(words(12, 4, 4, 3, 0, 5, 0, 5, 0))
    assert load(good.build()).maps["m0"].inner is not None
    bad = legacy(words(12, 4, 4, 3, 0, 5, 0, 6, 0))
    assert "no map has the id 6" in refused(bad.build()).message


def test_unknown_map_types_stay_numbers() -> None:
    assert load(legacy(words(4242, 4, 8, 3, 0)).build()).maps["m0"].type == 4242


# -- relocations ------------------------------------------------------------------------------------------------


def test_rela_carries_its_own_addend() -> None:
    maker = simple(code=assemble([*LOAD, CALL, EXIT]))
    data = maker.section(".data", bytes(16), flags=ALLOC | WRITE)
    text = maker.code(".text", RETURN + RETURN)
    maker.symbol("inner", text, 16, 16, bind=LOCAL)
    maker.symbol("outer", text, 0, 16, bind=LOCAL)
    base, section = maker.symbol("base", data, 4, 4, OBJECT), maker.symbol("", text, 0, 0, SECTION, LOCAL)
    maker.relocs(1, [(0, 1, base), (16, 10, section)], [8, 16])
    found = load(maker.build())
    prog = found.programs["prog"]
    assert (prog.insns[0].src, prog.insns[1].imm) == (2, 12)
    assert prog.func_names == {0: "prog", 4: "inner"}
    assert any("RELA" in note for note in found.notes)


def test_the_relocation_number_does_not_matter() -> None:
    maker = simple(code=assemble([CALL, EXIT]))
    text = maker.code(".text")
    maker.relocs(1, [(0, 2, maker.symbol("sub", text, 0, 16))])
    assert load(maker.build()).programs["prog"].func_names == {0: "prog", 2: "sub"}


def test_a_call_of_an_undefined_function_is_a_kfunc_with_a_note() -> None:
    maker = simple(code=assemble([CALL, EXIT]))
    maker.relocs(1, [(0, 10, maker.symbol("kernel_thing", 0, kind=NOTYPE))])
    found = load(maker.build())
    prog = found.programs["prog"]
    assert prog.kfuncs == {prog.insns[0].imm: "kernel_thing"} and prog.insns[0].src == 2
    assert any("kernel_thing" in note for note in found.notes)


def test_a_function_that_calls_itself_is_linked_once() -> None:
    maker = simple(code=assemble([CALL, EXIT]))
    text = maker.code(".text", assemble([CALL, EXIT]))
    sub = maker.symbol("sub", text, 0, 16)
    maker.relocs(1, [(0, 10, sub)])
    assert load(maker.build()).programs["prog"].func_names == {0: "prog", 2: "sub"}


def broken(kind: str) -> Maker:
    """An object whose one relocation is wrong in some way."""
    maker = simple(code=assemble([*LOAD, CALL if kind == "middle" else MOV0, MOV0, EXIT]))
    text = maker.code(".text", RETURN + RETURN)
    sub = maker.symbol("sub", text, 0, 32)
    absent = maker.symbol("absent", 0, kind=NOTYPE)
    license_ = maker.symbol("_license", 2, 0, 4, OBJECT)
    common = maker.symbol("common", 0xFFF2, 0, 8, OBJECT)
    far = maker.symbol("far", text, 8, 8, NOTYPE, LOCAL)
    rows = {"odd": (4, 1, sub), "plain": (24, 1, sub), "half": (8, 1, sub), "undefined": (0, 1, absent),
            "license": (0, 1, license_), "common": (0, 1, common), "middle": (16, 10, far), "symbol": (0, 1, 999)}
    maker.relocs(1, [rows[kind]])
    return maker


@pytest.mark.parametrize(("kind", "message"), [
    ("odd", "not at an instruction"), ("plain", "holds no address"), ("half", "second half"),
    ("undefined", "nothing defines"), ("license", "neither maps nor data"), ("common", "common or absolute"),
    ("middle", "no function starts"), ("symbol", "symbol 999"),
])
def test_relocations_that_make_no_sense(kind: str, message: str) -> None:
    assert message in refused(broken(kind).build()).message


def test_a_call_into_nothing_is_refused() -> None:
    error = refused(simple(code=assemble([CALL._replace(imm=7), EXIT])).build())
    assert "no function starts at instruction 8" in error.message and error.offset == 0


@pytest.mark.parametrize(("value", "size", "message"), [
    (4, 16, "does not fit"), (0, 12, "does not fit"), (0, 1 << 60, "does not fit"), (1 << 60, 8, "does not fit"),
    (16, 0, "does not fit"),
])
def test_functions_outside_of_their_section(value: int, size: int, message: str) -> None:
    maker = Maker()
    maker.symbol("prog", maker.code("tc"), value, size)
    assert message in refused(maker.build()).message


def test_functions_that_overlap_are_refused() -> None:
    maker = Maker()
    code = maker.code("tc", RETURN + RETURN)
    maker.symbol("one", code, 0, 24)
    maker.symbol("two", code, 16, 16)
    assert "overlap" in refused(maker.build()).message


# -- numbers that only the file claims --------------------------------------------------------------------------


def test_a_bss_of_a_gigabyte_is_only_a_number() -> None:
    maker = simple()
    maker.section(".bss", b"", NOBITS, ALLOC | WRITE, size=1 << 30)
    spec = load(maker.build()).maps[".bss"]
    assert (spec.value_size, spec.data) == (1 << 30, None)


def test_a_bss_of_a_terabyte_is_refused() -> None:
    maker = simple()
    maker.section(".bss", b"", NOBITS, ALLOC | WRITE, size=1 << 40)
    error = refused(maker.build())
    assert "more than a map value can have" in error.message and error.section == ".bss"


def test_a_section_that_claims_the_address_space_is_refused() -> None:
    maker = simple()
    maker.section(".data", b"", flags=ALLOC | WRITE, size=(1 << 64) - 1)
    assert "claims bytes" in refused(maker.build()).message


def test_code_without_contents_is_no_code() -> None:
    maker = simple()
    maker.section("xdp", b"", NOBITS, ALLOC | EXEC, size=1 << 50)
    assert list(load(maker.build()).programs) == ["prog"]


def test_a_compressed_section_is_refused_before_it_grows() -> None:
    maker = simple()
    maker.section(".rodata", bytes(24), flags=ALLOC | 0x800)
    assert "compressed" in refused(maker.build()).message


def with_maps(*types: t.Type) -> Maker:
    """An object whose BTF describes one map `m` of 8 bytes: a variable of type 1."""
    maker = simple()
    var = len(types) + 1
    btf = Btf((*types, t.Var("m", 1), t.Datasec(".maps", 8, (t.SecInfo(var, 0, 8),))))
    maker.symbol("m", maker.section(".maps", bytes(8), flags=ALLOC | WRITE), 0, 8, OBJECT)
    maker.section(".BTF", encode(btf), flags=0)
    return maker


def definition(*fields: tuple[str, t.Type]) -> tuple[t.Type, ...]:
    """A struct (type 1) whose members have the given types, each a pointer to one."""
    ids = [2 + 2 * i for i in range(len(fields))]
    members = tuple(t.Member(name, type_id, 64 * i) for i, ((name, _), type_id) in enumerate(
        zip(fields, ids, strict=True)))
    pairs = [made for (_, target), type_id in zip(fields, ids, strict=True) for made in (t.Ptr(type_id + 1), target)]
    return (t.Struct("", 8 * len(fields), members), *pairs)


def test_a_map_of_four_billion_entries_is_only_a_number() -> None:
    found = load(with_maps(*definition(("type", t.Array(0, 1)), ("max_entries", t.Array(0, BIG)),
                                       ("key_size", t.Array(0, 4)), ("value_size", t.Array(0, 1 << 30)))).build())
    assert (found.maps["m"].max_entries, found.maps["m"].value_size) == (BIG, 1 << 30)


@pytest.mark.parametrize(("fields", "message"), [
    ([("max_entries", t.Array(0, 1))], "has no type"),
    ([("type", t.Array(0, 1)), ("color", t.Array(0, 1))], "unknown map field 'color'"),
    ([("type", t.Int("int", 4, 32))], "not a number"),
    ([("type", t.Array(0, 1)), ("key", t.Fwd("later"))], "has no size"),
    ([("type", t.Array(0, 1)), ("key_size", t.Array(0, 4)), ("key", t.Int("u64", 8, 64))], "said to be 4 and 8"),
    ([("type", t.Array(0, 1)), ("value", t.Array(7, BIG)), ("spare", t.Int("u64", 8, 64))], "more than a map"),
    ([("type", t.Array(0, 1)), ("values", t.Array(0, 1))], "not an array of pointers"),
])
def test_map_definitions_that_make_no_sense(fields: list[tuple[str, t.Type]], message: str) -> None:
    error = refused(with_maps(*definition(*fields)).build())
    assert message in error.message


def test_a_map_without_btf_says_what_to_do() -> None:
    maker = simple()
    maker.section(".maps", bytes(8), flags=ALLOC | WRITE)
    assert "compile with -g" in refused(maker.build()).message


def test_a_map_that_is_no_struct_is_refused() -> None:
    assert "defined by a struct" in refused(with_maps(INT).build()).message


@pytest.mark.parametrize("change", ["no datasec", "not a variable", "outside", "two names", "empty symbols"])
def test_map_sections_that_make_no_sense(change: str) -> None:
    maker = simple()
    fields = definition(("type", t.Array(0, 1)))
    var = t.Var("m", 1)
    rows = {"not a variable": (t.SecInfo(1, 0, 8),), "two names": (t.SecInfo(4, 0, 8), t.SecInfo(4, 0, 8)),
            "outside": (t.SecInfo(4, 0, 80),)}
    if change == "empty symbols":
        maker.section("maps", bytes(20), flags=ALLOC | WRITE)
        message = "no symbol names a map"
    else:
        maker.section(".maps", bytes(8), flags=ALLOC | WRITE)
        name = ".other" if change == "no datasec" else ".maps"
        btf = Btf((*fields, var, t.Datasec(name, 8, rows.get(change, ()))))
        maker.section(".BTF", encode(btf), flags=0)
        message = {"no datasec": "does not describe", "not a variable": "not a variable", "outside": "outside",
                   "two names": "two maps have this name"}[change]
    assert message in refused(maker.build()).message


def test_static_maps_are_taken_with_a_note() -> None:
    maker = simple()
    maker.section(".maps", bytes(8), flags=ALLOC | WRITE)
    btf = Btf((*definition(("type", t.Array(0, 1))), t.Var("m", 1, 0), t.Datasec(".maps", 8, (t.SecInfo(4, 0, 8),))))
    maker.section(".BTF", encode(btf), flags=0)
    assert any("is static" in note for note in load(maker.build()).notes)


def struct_ops(members: tuple[t.Member, ...] = (t.Member("fn", 2, 0),), size: int = 8, offset: int = 0,
               target: int = 8) -> bytes:
    """A variable `ops` of `struct thing { ... }` whose bytes 0 to 8 refer to something."""
    maker = simple("struct_ops", RETURN)
    ops = maker.section(".struct_ops", bytes(16), flags=ALLOC | WRITE)
    btf = Btf((INT, t.Ptr(3), t.FuncProto(1), t.Struct("thing", size, members), t.Var("ops", 4),
               t.Datasec(".struct_ops", 16, (t.SecInfo(5, offset, 8),))))
    maker.section(".BTF", encode(btf), flags=0)
    maker.relocs(ops, [(offset, 2, 1 if target == 8 else maker.symbol("nothing", 2, 0, 4, OBJECT))])
    return maker.build()


def test_struct_ops_of_one_member() -> None:
    assert dict(load(struct_ops()).struct_ops[0].members) == {"fn": "prog"}


@pytest.mark.parametrize(("kwargs", "message"), [
    ({"members": (t.Member("fn", 2, 64),), "size": 16}, "no function pointer"),
    ({"target": 0}, "no program"),
    ({"size": 24, "members": ()}, "outside of the section"),
])
def test_struct_ops_that_make_no_sense(kwargs: dict[str, Any], message: str) -> None:
    assert message in refused(struct_ops(**kwargs)).message


def test_struct_ops_without_btf_say_what_to_do() -> None:
    maker = simple()
    maker.section(".struct_ops", bytes(8), flags=ALLOC | WRITE)
    assert "compile with -g" in refused(maker.build()).message


def test_one_program_cannot_serve_two_members() -> None:
    maker = simple("struct_ops", RETURN)
    ops = maker.section(".struct_ops", bytes(16), flags=ALLOC | WRITE)
    thing = t.Struct("thing", 16, (t.Member("one", 2, 0), t.Member("two", 2, 64)))
    btf = Btf((INT, t.Ptr(3), t.FuncProto(1), thing, t.Var("ops", 4),
               t.Datasec(".struct_ops", 16, (t.SecInfo(5, 0, 16),))))
    maker.section(".BTF", encode(btf), flags=0)
    maker.relocs(ops, [(0, 2, 1), (8, 2, 1)])
    assert "one program can serve one member" in refused(maker.build()).message


def test_bad_btf_is_refused() -> None:
    maker = simple()
    maker.section(".BTF", b"nonsense" * 10, flags=0)
    error = refused(maker.build())
    assert "bad BTF" in error.message and error.section == ".BTF"


def test_a_variable_outside_of_its_section_is_refused() -> None:
    maker = simple()
    btf = Btf((INT, t.Var("v", 1), t.Datasec(".data", 0, (t.SecInfo(2, 0, 4),))))
    maker.symbol("v", maker.section(".data", bytes(4), flags=ALLOC | WRITE), 1 << 40, 4, OBJECT)
    maker.section(".BTF", encode(btf), flags=0)
    assert "outside of the section" in refused(maker.build()).message


def test_sections_that_share_their_bytes_are_refused() -> None:
    data = bytearray(simple().build())
    shoff = int.from_bytes(data[40:48], "little")
    first, second = shoff + 64, shoff + 128
    data[first + 24:first + 40] = (64).to_bytes(8, "little") + (len(data) - 64).to_bytes(8, "little")
    data[second + 24:second + 40] = data[first + 24:first + 40]
    assert "overlap" in refused(bytes(data)).message


def test_a_name_as_long_as_the_file_is_refused() -> None:
    maker = simple()
    maker.symbol("x" * 5000, 1, 0, 16)
    assert "longer than 1024" in refused(maker.build()).message
    maker = simple()
    maker.section("y" * 5000)
    assert "longer than 1024" in refused(maker.build()).message


def test_many_copies_of_one_function_have_an_end() -> None:
    maker = Maker()
    code = maker.code("tc", RETURN * 30_000)
    for i in range(100):
        maker.symbol(f"p{i}", code, 0, 480_000)
    assert "instructions together" in refused(maker.build()).message


def test_a_map_field_that_is_there_twice_is_refused() -> None:
    fields = definition(("type", t.Array(0, 1)), ("type", t.Array(0, 1)))
    assert "is defined twice" in refused(with_maps(*fields).build()).message
