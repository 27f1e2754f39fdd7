"""The full-screen mode of the debugger, with Textual: panes around the same session as in the line mode.

Keys and the input line at the bottom are commands of `Console`, whose answers appear above that line; the panes are
what `ebpfvm.debugger.panes` says of the position. Nothing of the debugger itself is here.
"""

from __future__ import annotations

import io
from typing import TYPE_CHECKING, ClassVar, Final

from textual.app import App
from textual.binding import Binding
from textual.containers import Horizontal, Vertical
from textual.widgets import Footer, Input, RichLog, Static

from ebpfvm.debugger import panes
from ebpfvm.debugger.console import Console
from ebpfvm.escape import escape

if TYPE_CHECKING:
    from collections.abc import Callable

    from textual.app import ComposeResult

    from ebpfvm.debugger.console import Knows
    from ebpfvm.debugger.cursor import Cursor

_KEYS: Final = (("s", "step", "step"), ("n", "next", "next"), ("i", "stepi", "instruction"), ("f", "finish", "finish"),
                ("b", "back", "back"), ("p", "backnext", "back over"), ("u", "backi", "instruction back"),
                ("c", "continue", "continue"), ("r", "reverse", "reverse"), ("t", "break_here", "break here"))
_STYLE: Final = """
Screen { layout: vertical; }
.row { height: 1fr; }
.pane { border: round $secondary; width: 1fr; height: 1fr; padding: 0 1; overflow: auto; }
#source, #instructions, #registers, #stack { text-wrap: nowrap; }
#answers { height: 6; border: round $secondary; }
#command { height: 3; }
"""


class Pane(Static):
    """A titled box of lines.

    Args:
        title: its title; the id is the same in lower case.
        lines: returns what it shows at the cursor's position.
    """

    def __init__(self, title: str, lines: Callable[[], list[str]]) -> None:
        super().__init__("", id=title.lower(), classes="pane", markup=False)
        self.border_title = title
        self.lines = lines

    def draw(self) -> None:
        """Show the position."""
        self.update("\n".join(escape(line, "\t") for line in self.lines()))


class DebuggerScreen(App[None]):
    """The debugger on a whole terminal.

    Args:
        cursor, knows: as for `Console`.
        first: commands to execute before anything is shown.
    """

    CSS = _STYLE
    ENABLE_COMMAND_PALETTE = False
    BINDINGS: ClassVar = [*(Binding(key, f"command('{command}')", text) for key, command, text in _KEYS),
                          Binding("colon", "type", "command"), Binding("escape", "leave", "panes", show=False),
                          Binding("q", "quit", "quit")]

    def __init__(self, cursor: Cursor, knows: Knows, first: list[str]) -> None:
        super().__init__()
        self._out = io.StringIO()
        self.cursor, self._knows, self._first = cursor, knows, first
        self.session = Console(cursor, knows, io.StringIO(), self._out)

    def compose(self) -> ComposeResult:
        """Yield the panes."""
        cursor = self.cursor
        with Horizontal(classes="row"):
            yield Pane("Source", lambda: panes.source(cursor))
            yield Pane("Instructions", lambda: panes.instructions(cursor))
        with Horizontal(classes="row"):
            yield Pane("Registers", lambda: panes.registers_and_knowledge(cursor, self._knows))
            yield Pane("Stack", lambda: panes.stack(cursor))
        with Horizontal(classes="row"):
            yield Pane("Maps", lambda: panes.maps(cursor))
            yield Pane("Owners", lambda: panes.owners(cursor))
            yield Pane("Packet", lambda: panes.packet(cursor))
        with Vertical(id="bottom"):
            yield RichLog(id="answers", markup=False, wrap=True)
            yield Input(id="command", placeholder="a command of the line mode, such as: break packet 2")
        yield Footer()

    def on_mount(self) -> None:
        """Show the start."""
        self.query_one("#bottom").styles.height = "auto"
        self.session.preloop()
        for line in self._first:
            self.session.onecmd(line)
        self._show()
        self.set_focus(None)

    def action_command(self, command: str) -> None:
        """Execute a command for a key."""
        if command == "break_here":
            command = panes.break_command(self.cursor)
        self._execute(command)

    def action_type(self) -> None:
        """Let the user type a command."""
        self.query_one("#command").focus()

    def action_leave(self) -> None:
        """Let keys be commands again."""
        self.set_focus(None)

    def on_input_submitted(self, event: Input.Submitted) -> None:
        """Execute the command that was typed."""
        event.input.clear()
        self.set_focus(None)
        self._execute(event.value)

    def _execute(self, command: str) -> None:
        if self.session.onecmd(command):
            self.exit()
        else:
            self._show()

    def _show(self) -> None:
        answers = self.query_one("#answers", RichLog)
        answers.write(self._out.getvalue().rstrip("\n"))
        self._out.seek(0)
        self._out.truncate()
        self.query_one("#source").border_title = f"Source: {panes.header(self.cursor)}"
        for pane in self.query(Pane):
            pane.draw()
