from __future__ import annotations

import io
import sys
import threading
from types import SimpleNamespace

import pytest

from ebpfvm.cli import output
from ebpfvm.errors import Fault, InternalError, LoadError, Rejected, UsageError
from ebpfvm.loader.object import LineInfo


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def verdict(line: LineInfo | None) -> SimpleNamespace:
    return SimpleNamespace(ok=False, message="R0 invalid mem access", line=line, explanation="It may be NULL.",
                           program=None)


def test_every_error_has_its_status() -> None:
    assert [output.exit_code(error) for error in (
        Rejected(verdict(None)), UsageError("x"), LoadError("x"), Fault("memory", "x"), InternalError("x"))] == [
            1, 2, 3, 4, 70]


def test_errors_name_the_line_as_compilers_do() -> None:
    line = LineInfo(3, "a.bpf.c", "*p = 1;", 12, 3, "  ")
    assert output.describe(Rejected(verdict(line))) == (
        "a.bpf.c:12: R0 invalid mem access\n> 12 | *p = 1;\n     | ^\nIt may be NULL.")
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


def drawn(monkeypatch: pytest.MonkeyPatch, screen: io.StringIO, total: int, *moments: tuple[int, int]) -> bool:
    """Draw a bar at each of these (packets, time); whether the thread drew at all."""
    monkeypatch.setattr(sys, "stderr", screen)
    left, seen = list(moments), threading.Event()

    def done() -> tuple[int, int]:
        moment = left.pop(0) if len(left) > 1 else left[0]
        if len(left) == 1:
            seen.set()
        return moment

    with output.Progress(total, done) as bar:
        if screen.isatty():
            assert seen.wait(30)
            bar.__exit__()
    return seen.is_set()


def test_the_bar_moves_with_time_even_while_no_packet_comes(monkeypatch: pytest.MonkeyPatch) -> None:
    screen = Terminal()
    assert drawn(monkeypatch, screen, 200, (100, 1_500_000_000), (100, 1_600_000_000),
                 (101, 0))
    first, second = screen.getvalue().split("\r")[1:3]
    assert first == "[###############...............]  50% 100 packets, 1.500 s\033[K"
    assert second == "[###############...............]  50% 100 packets, 1.600 s\033[K"
    assert screen.getvalue().endswith("\r\033[K")


def test_without_a_total_the_bar_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    screen = Terminal()
    assert drawn(monkeypatch, screen, 0, (1234, 0), (1234, 0))
    assert screen.getvalue().startswith("\r1,234 packets, 0.000 s")


def test_there_is_no_bar_without_a_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    screen = io.StringIO()
    assert not drawn(monkeypatch, screen, 10, (1, 0))
    assert screen.getvalue() == ""
