"""`ebpfvm conformance`: what a plugin of the eBPF conformance suite does."""

from __future__ import annotations

import io

import pytest

from ebpfvm.cli.main import main
from ebpfvm.isa.asm import assemble
from ebpfvm.isa.insn import encode


def code(text: str) -> str:
    return encode(assemble(text)).hex(" ", 1)


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch):  # type: ignore[no-untyped-def]
    def call(text: str, *args: str) -> tuple[int, str, str]:
        monkeypatch.setattr("sys.stdin", io.StringIO(code(text) + "\n"))
        status = main(["conformance", *args])
        out, err = capsys.readouterr()
        return status, out, err
    return call


GOOD = [
    ("r0 = 42\nexit", [], "2a"),
    ("r0 = -1\nexit", [], "ffffffffffffffff"),
    ("w0 = -1\nexit", [], "ffffffff"),
    ("r0 = *(u8 *)(r1 + 1)\nr0 += r2\nexit", ["aa10cc"], "13"),
    ("r0 = *(u8 *)(r1 + 1)\nr0 += r2\nexit", ["aa 10 cc"], "13"),
    ("r0 = r2\nexit", [""], "0"),
    ("r0 = r1\nexit", [], "0"),
    ("*(u64 *)(r10 - 8) = 7\nr0 = *(u64 *)(r10 - 8)\nexit", [], "7"),
    ("r2 = 5\nlock *(u64 *)(r1 + 0) += r2\nr0 = *(u64 *)(r1 + 0)\nexit", ["0100000000000000"], "6"),
    ("call f\nexit\nf: r0 = 3\nexit", [], "3"),
    ("r0 = 0x1122334455667788 ll\nr0 = bswap64 r0\nexit", [], "8877665544332211"),
    ("r3 = f ll\ncallx r3\nexit\nf: r0 = 9\nexit", [], "9"),
    ("r0 = 0\nr1 = 0\nr0 /= r1\nexit", [], "0"),
    ("exit", [], "0"),
    ("r0 += r5\nexit", [], "0"),
    ("call bpf_get_prandom_u32#7\nr0 = 1\nexit", [], "1"),
]


@pytest.mark.parametrize("engine", ["interp", "translate"])
@pytest.mark.parametrize(("text", "args", "want"), GOOD)
def test_r0_is_printed(run, text: str, args: list[str], want: str, engine: str) -> None:  # type: ignore[no-untyped-def]
    assert run(text, "--engine", engine, *args) == (0, want + "\n", "")


BAD = [
    ("r0 = *(u64 *)(r1 + 8)\nexit", ["aabb"], 4, "read of 8 bytes at offset 8"),
    ("r0 = *(u64 *)(r1 + 0)\nexit", [], 4, "memory"),
    ("goto -1", [], 4, "budget"),
    ("r0 = *(u64 *)(r10 + 8)\nexit", [], 4, "memory"),
    ("r0 = *(u64 *)(r10 - 520)\nexit", [], 4, "memory"),
    ("*(u64 *)(r10 + 0) = 1\nexit", [], 4, "memory"),
    ("r2 = r10\nr2 += 8\nr3 = *(u64 *)(r10 - 8)\nr2 += r3\nr0 = *(u64 *)(r2 + 0)\nexit", [], 4, "memory"),
    ("r3 = 0x7fffffff\nr2 = r10\nr2 -= r3\n*(u8 *)(r2 + 0) = 1\nexit", [], 4, "memory"),
    ("r2 = r10\nr2 += 8\nr0 = *(u64 *)(r2 + 0)\nexit", [], 4, "memory"),
    ("r2 = r10\nr2 += -520\n*(u64 *)(r2 + 0) = 1\nexit", [], 4, "memory"),
    ("r10 = 0\nr0 = *(u64 *)(r10 - 8)\nexit", [], 4, "NULL"),
    ("*(u64 *)(r1 + 0) = r10\nr2 = *(u64 *)(r1 + 0)\nr0 = *(u64 *)(r2 + 0)\nexit", ["00" * 8], 4, "at insn 2"),
    ("r0 = *(u8 *)(r1 - 1)\nexit", ["aabb"], 4, "memory"),
    ("*(u16 *)(r1 + 1) = 1\nexit", ["aabb"], 4, "memory"),
    ("r0 = 1", [], 4, "runs off its end"),
    ("call 999\nexit", [], 4, "no helper 999"),
    (".8byte 0xff\nexit", [], 2, "instruction 0"),
    ("r0 = 1\n.8byte 0x100b7", [], 2, "instruction 1"),
    ("goto +7\nexit", [], 2, "jump to 8"),
    ("goto +1\nr0 = 1 ll\nexit", [], 2, "where no instruction begins"),
]


@pytest.mark.parametrize("engine", ["interp", "translate"])
@pytest.mark.parametrize(("text", "args", "status", "message"), BAD)
def test_errors_have_a_message_and_a_status(run, monkeypatch: pytest.MonkeyPatch,  # type: ignore[no-untyped-def]
                                            text: str, args: list[str], status: int, message: str, engine: str) -> None:
    monkeypatch.setattr("ebpfvm.cli.conformance.BUDGET", 1000)
    got, out, err = run(text, "--engine", engine, *args)
    assert (got, out) == (status, "") and message in err


def test_levels_refuse_later_instructions(run) -> None:  # type: ignore[no-untyped-def]
    late = {"v1": "if r0 < 1 goto +0\nexit", "v2": "if w0 < 1 goto +0\nexit", "v3": "r0 = bswap16 r0\nexit"}
    for number, (level, text) in enumerate(late.items(), 1):
        status, _, err = run(text, "--cpu", level)
        assert status == 2 and f"came after -mcpu=v{number}" in err
        assert run(text, "--cpu", f"v{number + 1}")[0] == 0


def test_the_program_may_be_an_argument_and_options_stand_anywhere(capsys: pytest.CaptureFixture[str]) -> None:
    program = code("r0 = *(u8 *)(r1 + 0)\nexit")
    assert main(["conformance", "ff", "--program", program, "--cpu", "v4"]) == 0
    assert main(["conformance", "--program", program, "ff"]) == 0
    assert capsys.readouterr().out == "ff\nff\n"


def test_bad_text_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["conformance", "--program", "b7 0"]) == 2
    assert "not hexadecimal" in capsys.readouterr().err
    assert main(["conformance", "--program", ""]) == 2
    assert main(["conformance", "--program", "b700000000000000", "xyz"]) == 2


def test_old_callx_names_the_register_in_the_immediate(run) -> None:  # type: ignore[no-untyped-def]
    assert run("r3 = 7\n.8byte 0x30000008d\nr0 = 1\nexit")[:2] == (0, "1\n")


def test_a_program_that_is_no_text(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(b"\xff\xfe"), encoding="utf-8"))
    assert main(["conformance"]) == 2
    assert "the program is not hexadecimal text: " in capsys.readouterr().err
