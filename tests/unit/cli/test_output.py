from __future__ import annotations

import io
import sys
from types import SimpleNamespace

import pytest

from ebpfvm.cli import output
from ebpfvm.errors import Fault, InternalError, LoadError, Rejected, UsageError
from ebpfvm.loader.object import LineInfo


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def verdict(line: LineInfo | None) -> SimpleNamespace:
    return SimpleNamespace(ok=False, message="R0 invalid mem access", line=line, explanation="It may be NULL.")


def test_every_error_has_its_status() -> None:
    assert [output.exit_code(error) for error in (
        Rejected(verdict(None)), UsageError("x"), LoadError("x"), Fault("memory", "x"), InternalError("x"))] == [
            1, 2, 3, 4, 70]


def test_errors_name_the_line_as_compilers_do() -> None:
    line = LineInfo(3, "a.bpf.c", "  *p = 1;", 12, 3)
    assert output.describe(Rejected(verdict(line))) == "a.bpf.c:12: R0 invalid mem access\n    *p = 1;\nIt may be NULL."
    assert output.describe(Rejected(verdict(None))) == "R0 invalid mem access\nIt may be NULL."
    fault = Fault("memory", "use of NULL", pc=3, insn="r0 = *(u32 *)(r1 +0)", line="a.bpf.c:12:   *p = 1;")
    assert output.describe(fault) == (
        "a.bpf.c:12: memory fault: use of NULL at insn 3: r0 = *(u32 *)(r1 +0)\n    *p = 1;")


def test_colour_is_for_terminals_that_want_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("NO_COLOR", raising=False)
    monkeypatch.setenv("TERM", "xterm")
    assert output.paint("x", "red", Terminal()) == "\033[31mx\033[0m"
    assert output.paint("x", "red", io.StringIO()) == "x"
    monkeypatch.setenv("NO_COLOR", "1")
    assert output.paint("x", "red", Terminal()) == "x"


def test_control_characters_of_a_file_do_not_reach_the_terminal() -> None:
    assert output.clean("a\033[2Jb\n\tc\x7f") == "a\\x1b[2Jb\n\tc\\x7f"


def test_the_bar_is_for_long_runs_on_terminals(monkeypatch: pytest.MonkeyPatch) -> None:
    screen, now = Terminal(), [0.0]
    monkeypatch.setattr(sys, "stderr", screen)
    monkeypatch.setattr(output.time, "monotonic", lambda: now[0])
    bar = output.Progress(200)
    bar(50)
    assert screen.getvalue() == ""
    now[0] = 0.6
    bar(100)
    assert "[###############...............]  50% 100 packets" in screen.getvalue()
    bar.close()
    assert screen.getvalue().endswith("\r\033[K")
    unknown = output.Progress(0)
    now[0] = 2.0
    unknown(1234)
    assert screen.getvalue().endswith("\r1,234 packets")
    monkeypatch.setattr(sys, "stderr", io.StringIO())
    quiet = output.Progress(1)
    now[0] = 9.0
    quiet(1)
    quiet.close()
    assert not quiet.shown
