"""Programs that cannot be read or judged cost themselves; types, configuration and the kernel's types from options."""

from __future__ import annotations

import gzip
import json
import struct
from pathlib import Path

import pytest

import ebpfvm
from ebpfvm.btf import parse
from ebpfvm.btf.encode import BtfBuilder, encode
from ebpfvm.cli.main import main
from ebpfvm.errors import LoadError, UsageError
from ebpfvm.isa.insn import Insn
from ebpfvm.isa.insn import encode as assemble
from ebpfvm.loader import CoreRelo, Program, load
from ebpfvm.loader.kconfig import read_values
from ebpfvm.loader.vmlinux import read_kernel_btf
from tests.unit.loader.elfmaker import EXIT, MOV0, NOTYPE, RETURN, Maker

OBJECTS = Path(__file__).parents[1] / "loader" / "objects"
LOAD = (Insn(0x18, 1), Insn(0))


def two_programs() -> bytes:
    """One program that refers to nothing that there is, one that is good."""
    maker = Maker()
    bad = maker.code("tc", assemble([*LOAD, MOV0, EXIT]))
    maker.symbol("bad", bad, 0, 32)
    good = maker.code("classifier", RETURN)
    maker.symbol("good", good, 0, 16)
    maker.section("license", b"GPL\0", flags=3)
    maker.relocs(bad, [(0, 1, maker.symbol("absent", 0, kind=NOTYPE))])
    return maker.build()


@pytest.fixture
def two(tmp_path: Path) -> str:
    path = tmp_path / "two.o"
    path.write_bytes(two_programs())
    return str(path)


def test_a_program_that_cannot_be_read_costs_itself(two: str, capsys: pytest.CaptureFixture[str]) -> None:
    found = load(two)
    assert (list(found.programs), list(found.broken)) == (["good"], ["bad"])
    with pytest.raises(LoadError, match="nothing defines this symbol"):
        found.program("bad")
    with pytest.raises(UsageError, match="no program 'x'; it has: good, bad"):
        found.program("x")
    assert main(["verify", two]) == 1
    text = capsys.readouterr().out
    assert "good: accepted" in text and "bad: cannot be judged" in text and "nothing defines" in text
    assert main(["verify", two + ":good"]) == 0
    assert main(["verify", two + ":bad"]) == 3
    capsys.readouterr()
    assert main(["verify", two, "--json"]) == 1
    rows = json.loads(capsys.readouterr().out)["programs"]
    assert [(row["name"], row["ok"]) for row in rows] == [("good", True), ("bad", False)]
    assert main(["prog", "run", two + ":good"]) == 0
    assert main(["dis", two]) == 0


def test_a_section_without_a_type_takes_one(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    maker = Maker()
    for number, section in enumerate(("mine", "yours")):
        maker.symbol(f"p{number}", maker.code(section, RETURN), 0, 16)
    path = tmp_path / "typed.o"
    path.write_bytes(maker.build())
    assert main(["verify", str(path)]) == 1
    assert main(["verify", str(path), "--type", "tc"]) == 0
    assert main(["verify", str(path) + ":p1", "--type", "xdp"]) == 0
    assert main(["prog", "run", str(path) + ":p1", "--type", "socket"]) == 0
    capsys.readouterr()


# -- configuration --------------------------------------------------------------------------------------------------


def test_configuration_from_words_and_files(tmp_path: Path) -> None:
    text = b'#\n# CONFIG_OFF is not set\nCONFIG_HZ=1000\nCONFIG_NET=y\nCONFIG_NAME="x y"\nOTHER=1\n'
    (tmp_path / "config").write_bytes(text)
    (tmp_path / "config.gz").write_bytes(gzip.compress(text, mtime=0))
    wanted = {"CONFIG_HZ": 1000, "CONFIG_NET": "y", "CONFIG_NAME": '"x y"'}
    assert read_values([str(tmp_path / "config")]) == read_values([str(tmp_path / "config.gz")]) == wanted
    assert read_values(["CONFIG_HZ=0x10", "LINUX_KERNEL_VERSION=5"]) == {"CONFIG_HZ": 16, "LINUX_KERNEL_VERSION": 5}
    with pytest.raises(LoadError, match="cannot be read"):
        read_values([str(tmp_path / "none")])
    with pytest.raises(UsageError, match="NAME=VALUE"):
        read_values(["HZ=3"])


def test_given_configuration_is_what_runs(capsys: pytest.CaptureFixture[str]) -> None:
    program = f"{OBJECTS / 'globals.o'}:main_prog"
    assert main(["verify", program, "--kconfig", "CONFIG_HZ=70000000000"]) == 2
    assert "does not fit CONFIG_HZ" in capsys.readouterr().err


# -- the kernel's types ---------------------------------------------------------------------------------------------


def elf_with(section: bytes) -> bytes:
    """A vmlinux of another machine with nothing but this `.BTF` section."""
    names = b"\0.BTF\0.shstrtab\0"
    body = section + names
    start = 64 + len(body)
    header = struct.pack("<16sHHIQQQIHHHHHH", b"\x7fELF\2\1\1", 2, 62, 1, 0, 0, start, 0, 64, 0, 0, 64, 3, 2)
    rows = (struct.pack("<IIQQQQIIQQ", *row) for row in (
        (0,) * 10, (1, 1, 0, 0, 64, len(section), 0, 0, 1, 0), (6, 3, 0, 0, 64 + len(section), len(names), 0, 0, 1, 0)))
    return header + body + b"".join(rows)


def moved_skb() -> bytes:
    """A kernel whose sk_buff has its length somewhere else."""
    b = BtfBuilder()
    u32 = b.integer("unsigned int", 4)
    b.struct("sk_buff", [("x", u32), ("len", u32)])
    return encode(b.btf())


def test_types_from_a_file_raw_or_elf(tmp_path: Path) -> None:
    data = moved_skb()
    for name, content in (("raw", data), ("vmlinux", elf_with(data))):
        (tmp_path / name).write_bytes(content)
        found = read_kernel_btf(tmp_path / name)
        assert found.size_of(found.find("sk_buff", 4) or 0) == 8
    assert len(parse(data)) == 3


@pytest.mark.parametrize(("content", "message"), [
    (b"", "too short for the header"), (b"hello, this is a text file", "magic"),
    (moved_skb()[:-9], "extends beyond the section's"), (elf_with(moved_skb())[:100], "cut short"),
    (elf_with(moved_skb()).replace(b".BTF", b".BTG"), "no section .BTF"), (elf_with(b"abc"), "too short"),
    (b"\x7fELF", "cut short"), (b"\x7fELF\1\1" + bytes(80), "not a 64-bit little-endian"),
])
def test_a_file_that_holds_no_types_is_refused_with_the_place(content: bytes, message: str, tmp_path: Path) -> None:
    path = tmp_path / "types"
    path.write_bytes(content)
    with pytest.raises(LoadError, match=message) as caught:
        read_kernel_btf(path)
    assert str(path) in str(caught.value)


def test_a_bad_type_is_told_with_file_and_offset_when_it_is_used(tmp_path: Path) -> None:
    data = bytearray(moved_skb())
    at = data.index(struct.pack("<III", 0x04000002, 8, 0)[:8]) + 8  # the struct's members
    data[at + 4:at + 8] = struct.pack("<I", 999)
    path = tmp_path / "types"
    path.write_bytes(data)
    found = read_kernel_btf(path)
    with pytest.raises(LoadError, match="reference to type 999") as caught:
        found[found.find("sk_buff", 4) or 0]
    assert str(path) in str(caught.value) and caught.value.offset


def test_the_given_types_are_judged_and_run(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "types"
    path.write_bytes(moved_skb())
    program = f"{OBJECTS / 'core.o'}"
    assert main(["dis", program, "flexible", "--btf", str(path), "--syntax", "kernel"]) == 0
    capsys.readouterr()
    assert main(["verify", program, "--btf", str(tmp_path / "none")]) == 3


def test_the_kernel_s_types_are_taken_from_python_too(tmp_path: Path) -> None:
    path = tmp_path / "types"
    path.write_bytes(moved_skb())
    b = BtfBuilder()
    root = b.struct("sk_buff", [("len", b.integer("unsigned int", 4))])
    program = Program("p", (Insn(0xB7), EXIT), "sched_cls", license="GPL", btf=b.btf(),
                      core_relos=(CoreRelo(0, root, "0:0", 0),))
    for btf in (path, str(path), parse(moved_skb())):
        assert ebpfvm.test_run(program, btf=btf).retval == 4
        verdict = ebpfvm.verify(program, btf=btf)
        assert verdict.program is not None and verdict.program.insns[0].imm == 4
    assert ebpfvm.test_run(program).retval == 112
    with pytest.raises(LoadError, match="cannot be read"):
        ebpfvm.verify(program, btf=tmp_path / "none")
    with pytest.raises(UsageError, match=r"^btf"):
        ebpfvm.verify(program, btf=3)  # type: ignore[arg-type]


def test_an_object_whose_one_program_cannot_be_read_says_why(tmp_path: Path) -> None:
    maker = Maker()
    bad = maker.code("tc", assemble([*LOAD, MOV0, EXIT]))
    maker.symbol("bad", bad, 0, 32)
    maker.relocs(bad, [(0, 1, maker.symbol("absent", 0, kind=NOTYPE))])
    path = tmp_path / "bad.o"
    path.write_bytes(maker.build())
    with pytest.raises(LoadError, match="nothing defines this symbol"):
        ebpfvm.verify(path)
    with pytest.raises(UsageError, match=r"bad .cannot be read"):
        ebpfvm.simulate(path, flows=["cbr:rate=1mbit"])
