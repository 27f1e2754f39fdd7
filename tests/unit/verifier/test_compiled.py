"""What comparing compiled C programs with a Linux 6.18 kernel has brought to light."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from ebpfvm.btf import types as t
from ebpfvm.btf.encode import BtfBuilder
from ebpfvm.btf.types import Btf
from ebpfvm.contract.format_strings import conversions, wanted
from ebpfvm.dialects.linux import linux
from ebpfvm.isa.asm import assemble
from ebpfvm.loader import load
from ebpfvm.loader.object import MapSpec, Program
from ebpfvm.verifier import verify
from tests.unit.verifier.build import Fn, build, message

BY_LOCK = MapSpec("devmap", 4, 4, 4, name="devices")
FORMATS = MapSpec("array", 4, 32, 1, name="fmt", map_flags=0x80, data=b"%d %u\0%s\0%d %d %d %d\0%z\0".ljust(32, b"\0"))
OUT = "\nout:\nr0 = 0\nexit\n"
KEY = "*(u32 *)(r10 - 4) = 0\nr2 = r10\nr2 += -4\nr1 = map[id:0]\n"


def said(text: str, *maps: MapSpec, type: str = "sched_cls", version: tuple[int, int] = (6, 18)) -> str:
    program = Program(name="prog", insns=assemble(text), type=type, license="GPL", maps=maps)
    return verify(program, linux(version)).message


def test_what_a_devmap_holds_is_not_for_writing() -> None:
    value = KEY + "call 1\nif r0 == 0 goto out\n"
    assert said(value + "r1 = *(u32 *)(r0 + 0)" + OUT, BY_LOCK, type="xdp") == ""
    assert said(value + "*(u32 *)(r0 + 0) = 1" + OUT, BY_LOCK, type="xdp") == \
        "write into map forbidden, value_size=4 off=0 size=4"
    assert said(KEY + "call 3" + OUT, BY_LOCK, type="xdp") == "write into map forbidden"


def test_one_helper_call_takes_one_reference() -> None:
    text = ("r1 = map[id:0]\nr2 = 16\nr3 = 0\ncall 131\nif r0 == 0 goto out\nr6 = r0\nr1 = map[id:1]\nr2 = r6\n"
            "r3 = r6\nr3 += 8\nr4 = 0\ncall 2\nr1 = r6\nr2 = 0\ncall 132" + OUT)
    maps = (MapSpec("ringbuf", 0, 0, 4096), MapSpec("hash", 4, 8, 4))
    assert said(text, *maps).startswith("more than one arg with ref_obj_id R3 ")


def test_helpers_that_sleep() -> None:
    text = "r1 = r10\nr1 += -8\nr2 = 8\nr3 = 0\ncall 148\nr0 = 0\nexit"
    assert said(text) == "helper call might sleep in a non-sleepable prog"
    assert said(text, version=(7, 2)) == "sleepable helper bpf_copy_from_user#148 in non-sleepable prog"


@pytest.mark.parametrize(("off", "args", "expected"), [
    (0, 2, ""), (0, 3, ""), (0, 1, "Invalid format string"), (6, 1, ""), (9, 2, "Invalid format string"),
    (21, 1, "Invalid format string")])
def test_formats_fit_their_arguments(off: int, args: int, expected: str) -> None:
    text = ("*(u64 *)(r10 - 8) = 0\n*(u64 *)(r10 - 16) = 0\n*(u64 *)(r10 - 24) = 0\nr1 = r10\nr1 += -56\nr2 = 32\n"
            f"r3 = map[id:0][0]+{off}\nr4 = r10\nr4 += -24\nr5 = {8 * args}\ncall 165\nr0 = 0\nexit")
    assert said(text, FORMATS) == expected


def test_conversions_of_a_format() -> None:
    assert wanted(b"no arguments: 100%%") == 0
    assert wanted(b"%d %pI4 %-8llx|%s") == 4
    assert wanted(b"%p4") is None
    assert wanted(b"\x01") is None
    assert [str(part) for part in conversions(b"a%%b") or ()] == ["a", "%", "b"]


def test_writing_a_packet_dynptr_ends_its_slices() -> None:
    made = "r6 = r1\nr2 = 0\nr3 = r10\nr3 += -16\ncall @bpf_dynptr_from_skb\n"
    slice_ = ("r1 = r10\nr1 += -16\nr2 = 0\nr3 = 0\nr4 = 8\n"
              "call @bpf_dynptr_slice_rdwr\nif r0 == 0 goto out\nr7 = r0\n")
    write = "r1 = r10\nr1 += -16\nr2 = 0\nr3 = r10\nr3 += -32\nr4 = 8\nr5 = 0\n*(u64 *)(r10 - 32) = 0\ncall 202\n"
    assert message(build(made + slice_ + "*(u64 *)(r7 + 0) = 1" + OUT)) == ""
    assert message(build(made + slice_ + write + "*(u64 *)(r7 + 0) = 1" + OUT)) == "R7 invalid mem access 'scalar'"


def test_a_moved_context_is_no_argument_of_a_global_function() -> None:
    callee = Fn("callee", "r0 = 0\nexit", ("ptr",))
    assert message(build("call @callee\nr0 = 0\nexit", callee)) == ""
    assert message(build("r1 += 8\ncall @callee\nr0 = 0\nexit", callee)).splitlines()[0] == \
        "dereference of modified ctx ptr R1 off=8 disallowed"
    assert message(build("call 7\ncall @callee\nr0 = 0\nexit", callee)).splitlines()[0] == \
        "variable ? access var_off=(0x0; 0xffffffffffffffff) disallowed"


def test_global_functions_take_dynptrs_of_any_kind() -> None:
    callee = Fn("callee", "r2 = 0\nr3 = 0\nr4 = 4\ncall @bpf_dynptr_slice\nif r0 == 0 goto out\n"
                          "r0 = *(u8 *)(r0 + 3)\nexit" + OUT, ("dynptr",))
    made = "r2 = 0\nr3 = r10\nr3 += -16\ncall @bpf_dynptr_from_skb\n"
    good = "r1 = r10\nr1 += -16\ncall @callee\nr0 = 0\nexit"
    assert message(build(made + good, callee)) == ""
    assert message(build(good, callee)).splitlines()[0] == "Expected an initialized dynptr as arg #0"
    assert message(build("call @callee\nr0 = 0\nexit", callee)).splitlines()[0] == \
        "arg#0 expected pointer to stack or const struct bpf_dynptr"
    away = Fn("callee", "r2 = 0\ncall 200\nr0 = 0\nexit", ("dynptr",))
    assert message(build(made + good, away)) == "cannot release unowned const bpf_dynptr"


@pytest.mark.parametrize("path", sorted((Path(__file__).parents[2] / "kernel" / "programs").glob("*.o")),
                         ids=lambda path: path.stem)
@pytest.mark.parametrize("version", [(6, 18), (7, 2)], ids=["6.18", "7.2"])
def test_programs_are_what_they_are_called(path: Path, version: tuple[int, int]) -> None:
    programs = load(path).programs
    wrong = [name for name, program in programs.items()
             if verify(program, linux(version)).ok != name.startswith("ok_")]
    # Linux 7.2 names the kfuncs of objects and lists otherwise.
    assert [name for name in wrong if version < (7, 0) or path.stem != "kfuncs"] == []


@pytest.mark.parametrize(("param", "tags", "expected"), [
    ("ptr", ("arg:ctx",), ""), ("ptr", ("arg:nonnull",), "arg#0 has invalid combination of tags"),
    ("dynptr", ("arg:nonnull",), "arg#0 has invalid combination of tags"),
    ("number", ("arg:nullable",), "arg#0 has invalid combination of tags")])
def test_tags_of_arguments(param: str, tags: tuple[str, ...], expected: str) -> None:
    builder = BtfBuilder()
    callee = Fn("callee", "r0 = 0\nexit", (param,))
    program = build("call @callee\nr0 = 0\nexit", callee, builder=builder)
    assert program.btf is not None
    func = next(info.type_id for info in program.func_info if info.insn_off)
    types = [item for _, item in program.btf.items()]
    tagged = Btf([*types, *(t.DeclTag(tag, func, 0) for tag in tags)])
    assert message(replace(program, btf=tagged)).partition("\n")[0] == expected


def test_slices_to_write_need_a_type_that_may_write_packets() -> None:
    """Whatever memory the dynptr has; Linux 6.18 and 7.2 were asked."""
    text = ("r1 = map[id:3]\nr2 = 40\nr3 = 0\nr4 = r10\nr4 += -16\ncall 198\n"
            "r1 = r10\nr1 += -16\nr2 = 0\nr3 = 0\nr4 = 8\ncall @bpf_dynptr_slice_rdwr\n"
            "r1 = r10\nr1 += -16\nr2 = 0\ncall 200\nr0 = 0\nexit")
    assert message(build(text)) == ""
    assert message(build(text, type="socket_filter")) == "the prog does not allow writes to packet data"
