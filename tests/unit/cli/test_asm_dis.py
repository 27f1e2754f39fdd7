"""`ebpfvm asm`, `dis` and `doc`."""

from __future__ import annotations

import io
import json
from typing import TYPE_CHECKING

import pytest

from ebpfvm.cli.main import main
from ebpfvm.isa.insn import encode
from ebpfvm.loader.open import load
from tests.house.tree import ROOT

if TYPE_CHECKING:
    from pathlib import Path

SAMPLES = sorted((ROOT / "samples").glob("*/*.o"))
PFIFO = str(ROOT / "samples" / "rfc" / "pfifo.o")


def test_asm_writes_hexadecimal_text(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "a.s").write_text("r0 = 1\nexit\n")
    assert main(["asm", str(tmp_path / "a.s")]) == 0
    assert capsys.readouterr().out == "b7 00 00 00 01 00 00 00\n95 00 00 00 00 00 00 00\n"


def test_asm_writes_files(tmp_path: Path) -> None:
    (tmp_path / "a.s").write_text("mov %r0, 1\nexit\n")
    assert main(["asm", str(tmp_path / "a.s"), "-o", str(tmp_path / "a.bin")]) == 0
    assert (tmp_path / "a.bin").read_bytes() == bytes.fromhex("b700000001000000 9500000000000000")
    assert main(["asm", str(tmp_path / "a.s"), "--hex", "-o", str(tmp_path / "a.hex")]) == 0
    assert (tmp_path / "a.hex").read_text().split()[0] == "b7"


def test_asm_knows_helpers_and_maps(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "a.s").write_text("r1 = b ll\ncall bpf_map_lookup_elem\nexit\n")
    assert main(["asm", str(tmp_path / "a.s"), "--map", "a", "--map", "b"]) == 0
    assert capsys.readouterr().out.splitlines()[0] == "18 11 00 00 01 00 00 00"


def test_asm_tells_of_errors(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "a.s").write_text("r0 = 1\nr1 += w2\n")
    assert main(["asm", str(tmp_path / "a.s")]) == 3
    assert capsys.readouterr().err.splitlines() == [
        f"error: {tmp_path / 'a.s'}:2:7: r1 and w2 differ in width", "    r1 += w2", "          ^"]
    assert main(["asm", str(tmp_path / "none.s")]) == 3
    (tmp_path / "b.s").write_bytes(b"\xff\xfe")
    assert main(["asm", str(tmp_path / "b.s")]) == 3
    assert main(["asm", str(tmp_path / "a.s"), "-o", str(tmp_path / "no" / "x")]) == 3


def test_dis_in_the_manner_of_llvm(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["dis", PFIFO, "pfifo_dequeue", "-S", "-l", "-r", "--opcodes"]) == 0
    out = capsys.readouterr().out
    assert "# pfifo_dequeue, section sch_bpf/dequeue\n\npfifo_dequeue:\n" in out
    assert "; ./rfc/pfifo.bpf.c:26:0\n; int pfifo_dequeue(struct sch_bpf_ctx *ctx)\n" in out
    assert "       0:\tbf 16 00 00 00 00 00 00                        \tr6 = r1\n" in out
    assert "call +0x8 <pifo_first>" in out and "# function pifo_first" in out
    assert "# map pifo\n" in out


def test_dis_in_the_manner_of_bpftool(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["dis", PFIFO, "pfifo_dequeue", "--syntax", "kernel", "--opcodes"]) == 0
    out = capsys.readouterr().out
    assert "   0: (bf) r6 = r1\n       bf 16 00 00 00 00 00 00\n" in out
    assert "(85) call bpf_map_" in out


def test_dis_as_json(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["dis", PFIFO, "--json"]) == 0
    data = json.loads(capsys.readouterr().out)
    assert data["schema"] == "ebpfvm.dis/1"
    names = [program["name"] for program in data["programs"]]
    assert sorted(names) == ["pfifo_dequeue", "pfifo_enqueue"]
    first = data["programs"][names.index("pfifo_dequeue")]["insns"][0]
    assert first["text"] == "r6 = r1" and first["bytes"] == "bf16000000000000" and first["line"] == 26


@pytest.mark.parametrize("syntax", ["llvm", "kernel", "plain"])
def test_what_dis_writes_asm_reads(syntax: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert SAMPLES
    for path in SAMPLES:
        for program in load(path).programs.values():
            assert main(["dis", str(path), program.name, "--syntax", syntax, "-S", "-l", "-r", "--opcodes"]) == 0
            (tmp_path / "a.s").write_text(capsys.readouterr().out)
            assert main(["asm", str(tmp_path / "a.s"), "-o", str(tmp_path / "a.bin"), "--kernel", "rfc6"]) == 0
            assert (tmp_path / "a.bin").read_bytes() == encode(program.insns)


def test_dis_of_bare_instructions(tmp_path: Path, capsys: pytest.CaptureFixture[str],
                                  monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "a").write_bytes(bytes.fromhex("b700000001000000"))
    assert main(["dis", "--raw", str(tmp_path / "a")]) == 0
    assert capsys.readouterr().out == "       0:\tr0 = 0x1\n"
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(b"95 00 00 00 00 00 00 00\n")))
    assert main(["dis", "--raw", "-"]) == 0
    assert capsys.readouterr().out == "       0:\texit\n"


def test_dis_tells_of_errors(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["dis", PFIFO, "nothing"]) == 2
    assert "no program 'nothing'; it has: pfifo" in capsys.readouterr().err
    (tmp_path / "a").write_bytes(b"123")
    assert main(["dis", "--raw", str(tmp_path / "a")]) == 3
    assert main(["dis", str(tmp_path / "a")]) == 3
    assert main(["dis", str(tmp_path / "none")]) == 3


def test_doc_prints_the_tables(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["doc", "isa"]) == 0
    assert "| atomic_cmpxchg64 | `db` imm 0xf1 | `r0 = cmpxchg_64(rD + OFF, r0, rS)`" in capsys.readouterr().out


def test_asm_takes_text_with_a_byte_order_mark(tmp_path: Path, capsys: pytest.CaptureFixture[str],
                                               monkeypatch: pytest.MonkeyPatch) -> None:
    text = b"\xef\xbb\xbfexit\n"
    (tmp_path / "a.s").write_bytes(text)
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(text)))
    for path in (str(tmp_path / "a.s"), "-"):
        assert main(["asm", path]) == 0
        assert capsys.readouterr().out == "95 00 00 00 00 00 00 00\n"
