"""`ebpfvm prog run`, in the shape of bpftool's."""

from __future__ import annotations

import json
import struct
from typing import TYPE_CHECKING

import pytest

from ebpfvm.cli.main import main
from ebpfvm.isa.asm import assemble
from ebpfvm.isa.insn import encode
from tests.house.tree import ROOT

if TYPE_CHECKING:
    from pathlib import Path

MARK = "r0 = *(u32 *)(r1 + 8)\nr0 += 1\n*(u32 *)(r1 + 8) = r0\nexit"
WRITE = "r2 = *(u32 *)(r1 + 76)\nr3 = *(u32 *)(r1 + 80)\nr4 = r2\nr4 += 14\nr0 = 0\nif r4 > r3 goto +2\n" \
        "*(u8 *)(r2 + 0) = 0xaa\nr0 = 7\nexit"
LOOKUP = "*(u32 *)(r10 - 4) = 2\nr2 = r10\nr2 += -4\nr1 = map[id:0] ll\ncall 1\nif r0 == 0 goto +1\n" \
         "r0 = *(u32 *)(r0 + 0)\nexit"


@pytest.fixture
def raw(tmp_path: Path):  # type: ignore[no-untyped-def]
    def make(text: str) -> str:
        path = tmp_path / "prog.bin"
        path.write_bytes(encode(assemble(text)))
        return str(path)
    return make


def test_the_words_of_bpftool(raw, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:  # type: ignore[no-untyped-def]
    packet = bytes(range(64))
    (tmp_path / "in").write_bytes(packet)
    (tmp_path / "ctx").write_bytes(bytes(8) + struct.pack("<I", 40))
    assert main(["prog", "run", raw(WRITE), "--raw", "--type", "tc", "data_in", str(tmp_path / "in"), "data_out",
                 str(tmp_path / "out")]) == 0
    assert capsys.readouterr().out.startswith("Return value: 7, duration (average): ")
    assert (tmp_path / "out").read_bytes() == b"\xaa" + packet[1:]
    assert main(["prog", "run", raw(MARK), "--raw", "--type", "tc", "repeat", "2", "data_in", str(tmp_path / "in"),
                 "ctx_in", str(tmp_path / "ctx"), "ctx_out", str(tmp_path / "ctx2"), "ctx_size_out", "12"]) == 0
    assert capsys.readouterr().out.startswith("Return value: 42, ")
    assert (tmp_path / "ctx2").read_bytes() == bytes(8) + struct.pack("<I", 42)


def test_dumps_on_standard_output(raw, capsys: pytest.CaptureFixture[str]) -> None:  # type: ignore[no-untyped-def]
    assert main(["prog", "run", raw(WRITE), "--raw", "--type", "tc", "data_out", "-", "data_size_out", "20"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "data:" and lines[1].startswith("0000000 aa ") and len(lines[2].split()) == 5


def test_fields_maps_and_json(raw, capsys: pytest.CaptureFixture[str]) -> None:  # type: ignore[no-untyped-def]
    assert main(["prog", "run", "--json", raw(LOOKUP), "--raw", "--type", "tc", "--map", "array:4:4:3:numbers",
                 "--set", "numbers:02000000=2a000000", "--ctx", "mark=0x10", "--ctx", "cb=1,2"]) == 0
    data = json.loads(capsys.readouterr().out)
    assert data["schema"] == "ebpfvm.prog-run/1" and data["retval"] == 42
    assert data["ctx"]["mark"] == 16 and data["ctx"]["cb"] == [1, 2, 0, 0, 0]
    assert data["maps"] == [{"name": "numbers", "items": [["00000000", "00000000"], ["01000000", "00000000"],
                                                          ["02000000", "2a000000"]]}]


def test_what_linux_would_refuse_is_a_warning_or_with_strict_an_error(
        raw, capsys: pytest.CaptureFixture[str]) -> None:  # type: ignore[no-untyped-def]
    words = ["prog", "run", raw("r0 = *(u32 *)(r1 + 12)\nexit"), "--raw", "--type", "tc", "--ctx", "queue_mapping=3"]
    assert main(words) == 0
    out, err = capsys.readouterr()
    assert out.startswith("Return value: 3,") and "warning: field 'queue_mapping' must be zero" in err
    assert main([*words, "--strict"]) == 2


def test_the_verifier_is_asked_unless_told_otherwise(raw, capsys: pytest.CaptureFixture[str]) -> None:  # type: ignore[no-untyped-def]
    words = ["prog", "run", raw("r0 = *(u32 *)(r1 + 76)\nr0 = *(u8 *)(r0 + 0)\nexit"), "--raw", "--type", "tc"]
    assert main(words) == 1
    assert "invalid access to packet" in capsys.readouterr().err
    assert main([*words, "--unverified"]) == 0
    assert main(["prog", "run", raw("r0 = *(u64 *)(r10 + 8)\nexit"), "--raw", "--type", "tc", "--unverified"]) == 4


@pytest.mark.parametrize(("args", "message"), [
    (["--raw"], "--raw: the program type is missing"),
    (["--raw", "--type", "tc", "data_on", "x"], "unknown word 'data_on'"),
    (["--raw", "--type", "tc", "data_in"], "data_in: the value is missing"),
    (["--raw", "--type", "tc", "repeat", "x"], "repeat: expected a number, found 'x'"),
    (["--raw", "--type", "tc", "repeat", "\u00b2"], "repeat: expected a number"),
    (["--raw", "--type", "tc", "--set", "\u00b2:00=00"], "expected MAP:KEY=VALUE"),
    (["--raw", "--type", "tc", "--map", "\u00b2:4:4:1"], "map type '\u00b2' is not known"),
    (["--raw", "--type", "tc", "--map", "array:4"], "expected TYPE:KEY:VALUE:ENTRIES"),
    (["--raw", "--type", "tc", "--map", "array:4:4:-1"], "expected TYPE:KEY:VALUE:ENTRIES"),
    (["--raw", "--type", "tc", "--map", "array:4:0x100000000:1"], "expected TYPE:KEY:VALUE:ENTRIES"),
    (["--raw", "--type", "tc", "--map", "blob:4:4:1"], "map type 'blob' is not known"),
    (["--raw", "--type", "tc", "--ctx", "mark"], "expected FIELD=NUMBER"),
    (["--raw", "--type", "tc", "--ctx", "mark=1,2"], "expected FIELD=NUMBER"),
    (["--raw", "--type", "qdisc/enqueue", "--unverified", "--ctx", "classid=0x100000000"], "takes a number of 32 bits"),
    (["--raw", "--type", "tc", "--ctx", "speed=1"], "no field 'speed'"),
    (["--raw", "--type", "tc", "--set", "x:0=1"], "expected MAP:KEY=VALUE"),
    (["--raw", "--type", "nothing"], "program type 'nothing' is not known"),
])
def test_wrong_usage(raw, args: list[str], message: str, capsys: pytest.CaptureFixture[str]) -> None:  # type: ignore[no-untyped-def]
    assert main(["prog", "run", raw(MARK), *args]) in (2, 3)
    assert message in capsys.readouterr().err


def test_objects(capsys: pytest.CaptureFixture[str]) -> None:
    path = str(ROOT / "samples" / "rfc" / "pfifo.o")
    assert main(["prog", "run", path]) == 2
    assert f"name one: {path}:pfifo_enqueue or {path}:pfifo_dequeue" in capsys.readouterr().err \
        or f"name one: {path}:pfifo_dequeue or {path}:pfifo_enqueue" in capsys.readouterr().err
    assert main(["prog", "run", f"{path}:pfifo_enqueue", "--ctx", "priority=3"]) == 0
    out, err = capsys.readouterr()
    assert out.startswith("Return value: ") and "Linux has no test run" in err
    assert main(["prog", "run", "none.o"]) == 3


@pytest.mark.parametrize("engine", ["interp", "translate"])
def test_maps_of_programs_and_maps_are_filled_from_the_object(engine: str, capsys: pytest.CaptureFixture[str]) -> None:
    """`first` finds a map in a map, then jumps to `last` through an array of programs."""
    filled = ROOT / "tests" / "unit" / "loader" / "objects" / "filled.o"
    assert main(["prog", "run", f"{filled}:first", "--engine", engine]) == 0
    assert "Return value: 42" in capsys.readouterr().out


def test_json_shows_the_beginning_of_a_huge_map(raw, capsys: pytest.CaptureFixture[str]) -> None:  # type: ignore[no-untyped-def]
    assert main(["prog", "run", raw(MARK), "--raw", "--type", "tc", "--map", "array:4:1020:0xffffffff", "--json"]) == 0
    out, err = capsys.readouterr()
    assert len(json.loads(out)["maps"][0]["items"]) == 1024
    assert "warning: map 0: too large to print whole; 1024 entries shown" in err


def test_trace_says_what_each_instruction_changed(raw, capsys) -> None:  # type: ignore[no-untyped-def]
    assert main(["prog", "run", raw("*(u32 *)(r10 - 4) = 2\nr0 = *(u32 *)(r10 - 4)\nexit"), "--raw", "--type", "tc",
                 "--trace"]) == 0
    assert capsys.readouterr().err.splitlines() == [
        "    0: (62) *(u32 *)(r10 -4) = 2; fp-8: 00 00 00 00 00 00 00 00 -> 00 00 00 00 02 00 00 00",
        "    1: (61) r0 = *(u32 *)(r10 -4); r0: 0 -> 2",
        "    2: (95) exit"]


def test_trace_goes_up_to_the_fault(raw, capsys) -> None:  # type: ignore[no-untyped-def]
    assert main(["prog", "run", raw("r1 = 0\nr0 = *(u32 *)(r1 + 0)\nexit"), "--raw", "--type", "tc", "--trace",
                 "--unverified"]) == 4
    assert "    1: (61) r0 = *(u32 *)(r1 +0)" in capsys.readouterr().err.splitlines()


def test_trace_needs_the_interpreter(raw, capsys) -> None:  # type: ignore[no-untyped-def]
    assert main(["prog", "run", raw("r0 = 0\nexit"), "--raw", "--type", "tc", "--trace", "--engine", "translate"]) == 2
    assert "only the interpreter can be observed" in capsys.readouterr().err
