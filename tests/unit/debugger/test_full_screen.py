"""The full-screen mode: panes and keys through Textual's pilot, and once through a pseudo-terminal."""

from __future__ import annotations

import asyncio
import os
import pty
import sys
from collections.abc import Awaitable, Callable
from subprocess import Popen

import pytest
from textual.pilot import Pilot
from textual.widgets import Input, RichLog

from ebpfvm.cli.main import main
from ebpfvm.debugger import panes
from ebpfvm.debugger.cursor import Cursor
from ebpfvm.debugger.full_screen import DebuggerScreen, Pane
from ebpfvm.debugger.knowledge import Knowledge
from ebpfvm.dialects import rfc6
from ebpfvm.limits import DEFAULTS
from tests.house.tree import ROOT
from tests.unit.debugger.recordings import of_qdisc
from tests.unit.debugger.test_console import PATIENCE, PFIFO, read_until

QDISC = of_qdisc("pfifo", packets=3)[0]
Talk = Callable[[DebuggerScreen, Pilot[None]], Awaitable[None]]


def screen(talk: Talk, *first: str) -> Cursor:
    """Show the debugger while `talk` uses it; return its cursor."""
    cursor = Cursor(QDISC)

    async def run() -> None:
        app = DebuggerScreen(cursor, lambda prog: Knowledge(prog.program, rfc6(), DEFAULTS), list(first))
        async with app.run_test(size=(140, 50)) as pilot:
            await talk(app, pilot)
    asyncio.run(run())
    return cursor


def shown(app: DebuggerScreen, id: str) -> str:
    return str(app.query_one(f"#{id}", Pane).render())


def answers(app: DebuggerScreen) -> str:
    return "\n".join(line.text for line in app.query_one("#answers", RichLog).lines)


def test_every_pane_shows_the_position() -> None:
    async def talk(app: DebuggerScreen, pilot: Pilot[None]) -> None:
        assert "=>    18" in shown(app, "source")
        assert "=>     0: (18) r2 = 0x0" in shown(app, "instructions")
        assert "packet #1, 1000 bytes" in shown(app, "packet")
        assert "held by" in shown(app, "owners")
        assert shown(app, "stack") == "all zero"
        assert "pfifo_enqueue, packet #1" in str(app.query_one("#source").border_title)
    screen(talk)


def test_what_the_verifier_knew_stands_beside_the_values() -> None:
    async def talk(app: DebuggerScreen, pilot: Pilot[None]) -> None:
        line = next(line for line in shown(app, "registers").splitlines() if line.startswith("r1 "))
        value, _, known = line.partition("|")
        assert "0x" in value and known.strip() == "ctx()"
    screen(talk)


def test_keys_move_in_both_directions() -> None:
    async def talk(app: DebuggerScreen, pilot: Pilot[None]) -> None:
        await pilot.press("i", "i", "i")
        assert app.cursor.at == 3
        await pilot.press("u")
    assert screen(talk).at == 2


@pytest.mark.parametrize(("key", "command"), [
    ("s", "step"), ("n", "next"), ("f", "finish"), ("c", "continue")])
def test_a_key_is_a_command_and_back_undoes_a_line(key: str, command: str) -> None:
    async def talk(app: DebuggerScreen, pilot: Pilot[None]) -> None:
        await pilot.press(key)
    wanted = Cursor(QDISC)
    {"step": wanted.line, "next": lambda: wanted.line(over=True), "finish": wanted.finish,
     "continue": lambda: wanted.find([])}[command]()
    assert screen(talk).at == wanted.at

    async def there_and_back(app: DebuggerScreen, pilot: Pilot[None]) -> None:
        await pilot.press("s", "b")
    assert screen(there_and_back).at == 0


def test_a_breakpoint_is_set_where_the_cursor_is_and_found_again() -> None:
    async def talk(app: DebuggerScreen, pilot: Pilot[None]) -> None:
        await pilot.press("t", "c")
        assert "breakpoint 1: pfifo.bpf.c:18" in answers(app)
        assert "stopped at breakpoint 1" in answers(app)
    assert screen(talk).step is not None


def test_commands_can_be_typed() -> None:
    async def talk(app: DebuggerScreen, pilot: Pilot[None]) -> None:
        await pilot.press("colon", *"break packet 2", "enter", "c")
        assert "pfifo_enqueue, packet #2" in str(app.query_one("#source").border_title)
        await pilot.press("colon", *"fly", "enter")
        assert "error: there is no command 'fly'" in answers(app)
        assert not isinstance(app.focused, Input)
    screen(talk)


def test_first_commands_are_executed_and_quit_ends() -> None:
    async def talk(app: DebuggerScreen, pilot: Pilot[None]) -> None:
        assert "packet #3" in str(app.query_one("#source").border_title)
        await pilot.press("q")
        assert not app.is_running
    screen(talk, "break packet 3", "continue")


def test_a_place_without_c_lines_is_named_by_its_slot() -> None:
    cursor = Cursor(QDISC)
    cursor.go(len(QDISC.steps))
    assert panes.break_command(cursor).startswith("break pfifo.bpf.c:")


def test_without_a_terminal_nothing_is_drawn(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["debug", PFIFO, "--flows", "cbr:rate=1mbit,packets=1", "--tui"]) == 2
    assert "--tui needs a terminal" in capsys.readouterr().err


def test_without_textual_the_message_says_what_to_install(monkeypatch: pytest.MonkeyPatch,
                                                          capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    assert main(["debug", PFIFO, "--flows", "cbr:rate=1mbit,packets=1", "--tui"]) == 2
    assert "pip install 'ebpfvm[tui]'" in capsys.readouterr().err


def test_a_person_at_a_terminal_sees_panes_and_quits() -> None:
    master, slave = pty.openpty()
    os.set_blocking(master, True)
    process = Popen([sys.executable, "-m", "ebpfvm", "debug", PFIFO, "--flows", "cbr:rate=1mbit,packets=2", "--tui"],
                    stdin=slave, stdout=slave, stderr=slave, cwd=ROOT,
                    env={**os.environ, "TERM": "xterm-256color", "COLUMNS": "120", "LINES": "40"})
    os.close(slave)
    try:
        read_until(master, b"Registers", anywhere=True)
        os.write(master, b"s")
        os.write(master, b"q")
        read_until(master, b"\x1b[?1049l", anywhere=True)  # the terminal's former contents come back
        assert process.wait(PATIENCE) == 0
    finally:
        process.kill()
        process.wait()
        os.close(master)
