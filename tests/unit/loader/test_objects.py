"""What clang-built objects turn into."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

from ebpfvm.btf import Kind, Linkage, special_fields
from ebpfvm.dialects import linux
from ebpfvm.errors import LoadError, UsageError
from ebpfvm.loader import Object, Program, load
from ebpfvm.loader.map_definitions import _ring_size
from ebpfvm.loader.variables import set_variables
from ebpfvm.loading import prepare
from ebpfvm.testrun import test_run as run_program

OBJECTS = Path(__file__).parent / "objects"


def obj(stem: str, **kwargs: object) -> Object:
    return load(OBJECTS / f"{stem}.o", **kwargs)  # type: ignore[arg-type]


def calls(program: Program) -> dict[int, str]:
    """slot -> name of the function called or referred to there."""
    found = {}
    for slot, insn in enumerate(program.insns):
        if (insn.code == 0x85 and insn.src == 1) or (insn.code == 0x18 and insn.src == 4):
            found[slot] = program.func_names[slot + 1 + insn.imm]
    return found


# -- maps -------------------------------------------------------------------------------------------------------


def test_maps_have_what_their_definitions_say() -> None:
    maps = obj("maps").maps
    assert list(maps) == ["first", "second", "outer", "jumps", "typed", "sized"]
    typed, sized = maps["typed"], maps["sized"]
    assert (typed.type, typed.key_size, typed.value_size, typed.max_entries, typed.map_flags, typed.pinning,
            typed.numa_node) == (1, 4, 16, 16, 1, 1, 2)
    assert (sized.type, sized.key_size, sized.value_size, sized.map_extra) == (30, 0, 8, 0x100000005)
    assert (typed.data, sized.btf, sized.value_type) == (None, typed.btf, 0)


def test_special_fields_are_reached_through_the_value_type() -> None:
    typed = obj("maps").maps["typed"]
    assert typed.btf is not None
    assert [(f.kind, f.offset, f.struct) for f in special_fields(typed.btf, typed.value_type)] == [
        ("kptr_ref", 8, "sk_buff")]


def test_maps_of_maps_have_a_template_and_first_elements() -> None:
    outer = obj("maps").maps["outer"]
    assert outer.inner is not None
    assert (outer.inner.name, outer.inner.type, outer.inner.value_size) == ("outer.inner", 2, 8)
    assert (outer.value_size, dict(outer.init)) == (4, {0: "first", 2: "second"})


def test_arrays_of_programs_name_their_first_elements() -> None:
    jumps = obj("maps").maps["jumps"]
    assert (jumps.type, jumps.value_size, jumps.inner, dict(jumps.init)) == (3, 4, None, {1: "two"})


def test_map_references_are_indices_into_the_programs_own_maps() -> None:
    found = obj("maps")
    one = found.programs["one"]
    assert [m.name for m in one.maps] == ["typed", "jumps", "sized"]
    loads = [insn for insn in one.insns if insn.code == 0x18]
    assert [(insn.src, insn.imm) for insn in loads] == [(1, 0), (1, 1), (1, 2)]
    assert one.maps[0] is found.maps["typed"]


# -- global data ------------------------------------------------------------------------------------------------


def test_data_sections_become_maps() -> None:
    maps = obj("globals").maps
    assert {name: (m.type, m.key_size, m.value_size, m.max_entries, m.map_flags, m.data)
            for name, m in maps.items() if "kconfig" not in name} == {
        "globals.rodata": ("array", 4, 4, 1, 0x80, b"\5\0\0\0"),
        "globals.data": ("array", 4, 8, 1, 0, b"\7\0\0\0\3\0\0\0"),
        ".data.A": ("array", 4, 8, 1, 0, b"\t" + bytes(7)),
        ".rodata.later": ("array", 4, 4, 1, 0x80, b"\x0b\0\0\0"),
        "globals.bss": ("array", 4, 1008, 1, 0, None),
    }


def test_variables_are_found_through_the_sections_type() -> None:
    bss = obj("globals").maps["globals.bss"]
    assert bss.btf is not None
    sec = bss.btf[bss.value_type]
    assert sec.name == ".bss"
    assert {bss.btf[v.type].name: (v.offset, v.size) for v in sec.vars} == {  # type: ignore[union-attr]
        "zero": (0, 8), "big": (8, 1000)}


def test_references_to_variables_carry_map_and_offset() -> None:
    prog = obj("globals").programs["main_prog"]
    seen = {(prog.maps[insn.imm].name, prog.insns[slot + 1].imm)
            for slot, insn in enumerate(prog.insns) if insn.code == 0x18 and insn.src == 2}
    assert {("globals.rodata", 0), ("globals.data", 0), ("globals.data", 4), ("globals.bss", 0),
            ("globals.bss", 8), (".data.A", 0), (".rodata.later", 0), ("globals.kconfig", 0)} <= seen


def test_the_objects_name_comes_from_the_file_or_the_caller() -> None:
    assert "long_nam.data" in obj("globals", name="long_name_of_an_object").maps
    data = (OBJECTS / "globals.o").read_bytes()
    assert ".data" in load(data).maps
    assert load(data).path == ""


def test_configuration_values_are_laid_out() -> None:
    found = obj("globals", config={"CONFIG_HZ": 250})
    config = found.maps["globals.kconfig"]
    assert config.data == bytes(config.value_size)
    assert config.map_flags == 0x80
    assert found.programs["main_prog"].config == {"CONFIG_HZ": 250}
    assert "CONFIG_WEAK" in found.programs["main_prog"].weak


def test_a_configuration_value_must_fit() -> None:
    with pytest.raises(UsageError, match="CONFIG_HZ, which has 4 bytes"):
        obj("globals", config={"CONFIG_HZ": 1 << 40})


def test_kernel_functions_and_variables_are_numbered() -> None:
    prog = obj("globals").programs["main_prog"]
    assert sorted(prog.kfuncs.values()) == ["kernel_function", "maybe_function"]
    assert sorted(prog.ksyms.values()) == ["kernel_variable", "maybe_function"]
    assert prog.weak == {"maybe_function", "CONFIG_WEAK"}
    assert min(prog.kfuncs) >= 1
    used = {insn.imm for insn in prog.insns if insn.code == 0x85 and insn.src == 2}
    assert used == set(prog.kfuncs)
    named = {insn.imm for insn in prog.insns if insn.code == 0x18 and insn.src == 3}
    assert named == set(prog.ksyms)


# -- programs ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["calls", "calls-v1", "calls-v2", "calls-v4"])
def test_programs_come_with_the_functions_they_reach_depth_first(name: str) -> None:
    found = obj(name)
    assert list(found.programs) == ["first", "second", "third"]
    first = found.programs["first"]
    assert list(first.func_names.values()) == ["first", "visit", "leaf", "global_one", "branch", "hidden_one"]
    assert [name for _, name in sorted(calls(first).items())] == [
        "visit", "global_one", "hidden_one", "leaf", "branch", "leaf", "leaf"]
    assert list(found.programs["second"].func_names.values()) == ["second", "leaf"]
    assert found.programs["third"].func_names == {0: "third"}


def test_func_info_says_what_is_static_and_what_is_global() -> None:
    first = obj("calls").programs["first"]
    assert first.btf is not None
    assert [info.insn_off for info in first.func_info] == list(first.func_names)
    linkage = {first.btf[info.type_id].name: first.btf[info.type_id].linkage  # type: ignore[union-attr]
               for info in first.func_info}
    assert linkage == {"first": Linkage.GLOBAL, "visit": Linkage.STATIC, "leaf": Linkage.STATIC,
                       "global_one": Linkage.GLOBAL, "branch": Linkage.STATIC, "hidden_one": Linkage.STATIC}


def test_line_info_moves_with_the_code() -> None:
    first = obj("calls").programs["first"]
    source = (OBJECTS / "calls.bpf.c").read_text().splitlines()
    for slot, name in first.func_names.items():
        line = first.line_at(slot)
        assert line is not None and line.file == "./calls.bpf.c"
        assert f"{name}(" in "".join(source[line.line - 3:line.line])
        assert line.text in source[line.line - 1]
    assert [i.insn_off for i in first.line_info] == sorted({i.insn_off for i in first.line_info})


def test_an_object_without_btf_has_names_only() -> None:
    found = obj("nobtf")
    first = found.programs["first"]
    assert (found.btf, first.func_info, first.line_info) == (None, (), ())
    assert list(first.func_names.values()) == ["first", "leaf", "global_one"]
    assert (found.maps["nobtf.data"].value_type, found.maps["nobtf.data"].data) == (0, b"\3\0\0\0")


def test_struct_ops_variables_name_their_programs() -> None:
    found = obj("ops")
    assert [(s.name, s.struct, dict(s.members), s.link, s.autocreate) for s in found.struct_ops] == [
        ("plain", "thing_ops", {"start": "start_it"}, False, True),
        ("linked", "thing_ops", {"start": "start_it", "stop": "stop_it"}, True, True),
        ("optional", "thing_ops", {"stop": "stop_it"}, True, False)]
    assert found.struct_ops[0].data[16:25] == b"\3\0\0\0plain"
    programs = found.programs
    assert programs["start_it"].struct_ops == ("thing_ops", "start")
    assert (programs["stop_it"].sleepable, programs["start_it"].sleepable) == (True, False)
    assert (programs["spare"].struct_ops, programs["spare"].type, programs["spare"].autoload) == (
        None, "struct_ops", False)


def test_objects_of_the_time_before_btf() -> None:
    found = obj("legacy")
    assert {name: (m.type, m.key_size, m.value_size, m.max_entries, m.pinning) for name, m in found.maps.items()} == {
        "table": (1, 4, 8, 10, 2), "jumps": (3, 4, 4, 2, 0), "inner": (2, 4, 4, 1, 0), "outer": (12, 4, 4, 5, 0)}
    assert found.maps["outer"].inner == found.maps["inner"]
    assert dict(found.maps["outer"].init) == {3: "inner"}
    assert dict(found.maps["jumps"].init) == {0: "tail"}
    assert [(p.name, p.type, p.section) for p in found.programs.values()] == [
        ("tail", "", "7/0"), ("cls", "sched_cls", "classifier_main")]
    assert found.license == ""
    for what in ("before BTF", "static functions", "no license", "'7/0'", "'classifier_main'"):
        assert any(what in note for note in found.notes), what


def test_core_records_move_with_the_code() -> None:
    infos = obj("core").programs["infos"]
    assert {relo.kind for relo in infos.core_relos} == set(range(13))
    assert infos.btf is not None
    assert infos.core_relos[0].type_id == infos.btf.find("outside", Kind.STRUCT)
    assert [r.insn_off for r in infos.core_relos] == sorted(r.insn_off for r in infos.core_relos)


def test_the_sources_still_make_the_objects(tmp_path: Path) -> None:
    if shutil.which("clang-19") is None or shutil.which("make") is None:
        pytest.skip("needs clang-19 and make")
    subprocess.run(["make", "-s", "-C", OBJECTS, f"OUT={tmp_path}"], check=True)
    for built in tmp_path.glob("*.o"):
        assert built.read_bytes() == (OBJECTS / built.name).read_bytes(), built.name
    others = {"linked.o", "gcc.o"}  # made by other tools
    assert {p.name for p in tmp_path.glob("*.o")} == {p.name for p in OBJECTS.glob("*.o")} - others


def test_a_missing_file_is_a_load_error(tmp_path: Path) -> None:
    with pytest.raises(LoadError, match="cannot be read: No such file"):
        load(tmp_path / "absent.o")
    with pytest.raises(LoadError, match="cannot be read: Is a directory"):
        load(tmp_path)
    with pytest.raises(LoadError, match="cannot be read"):
        load("a\0b")
    with pytest.raises(UsageError, match="path or bytes"):
        load(7)  # type: ignore[arg-type]


# -- ring buffers, and where a program is from -------------------------------------------------------------------


@pytest.mark.parametrize(("asked", "size"), [
    (0, 0), (1, 4096), (4095, 4096), (4096, 4096), (4097, 8192), (5000, 8192), (12288, 16384), (1 << 20, 1 << 20),
    ((1 << 31) + 1, (1 << 31) + 1),
])
def test_sizes_of_ring_buffers_are_rounded_up_to_a_power_of_two_of_pages(asked: int, size: int) -> None:
    assert _ring_size(asked) == size


def test_a_program_knows_the_object_that_it_is_from() -> None:
    found = obj("globals")
    assert all(program.home.object is found for program in found.programs.values())
    changed = set_variables(found, {})
    assert changed is found


# -- other compilers, and objects linked of several ------------------------------------------------------------------


@pytest.mark.parametrize(("name", "results"), [
    ("methods", {"templates": 68, "inheritance": 72, "map_value": 74}),  # C++
    ("linked", {"one": 265, "two": 35}),  # bpftool gen object
    ("gcc", {"variables": 66, "maps": 2, "functions": 42}),
])
@pytest.mark.parametrize("engine", ["interp", "translate"])
def test_what_other_tools_make_runs(name: str, results: dict[str, int], engine: str) -> None:
    programs = obj(name).programs
    assert {key: run_program(programs[key], bytes(64), engine=engine).retval for key in programs} == results


@pytest.mark.parametrize(("name", "reason"), [
    ("methods", "lies outside of its"), ("gcc", "encoding is not supported"), ("linked", ""),
])
def test_types_that_no_kernel_takes_are_left_out(name: str, reason: str) -> None:
    for program in obj(name).programs.values():
        prepared = prepare(program, linux())
        assert (prepared.btf is None) == bool(reason)
        assert any(reason in note for note in prepared.notes) == bool(reason)


def test_static_variables_of_gcc_have_their_places() -> None:
    data = obj("gcc").maps["gcc.data"]
    assert data.btf is not None
    section = data.btf[data.value_type]
    assert len({info.offset for info in section.vars}) == len(section.vars)  # type: ignore[union-attr]
