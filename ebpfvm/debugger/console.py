"""The line mode of the debugger: commands as in gdb, which need nothing but a terminal, or a file of commands."""

from __future__ import annotations

import cmd
from inspect import cleandoc
from typing import IO, TYPE_CHECKING, Final

from ebpfvm.debugger import describe, panes
from ebpfvm.debugger.stops import parse_stop
from ebpfvm.errors import UsageError
from ebpfvm.escape import escape

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from ebpfvm.debugger.cursor import Cursor
    from ebpfvm.debugger.knowledge import Knowledge
    from ebpfvm.debugger.stops import Stop
    from ebpfvm.kernel.program import LoadedProgram

    Knows = Callable[[LoadedProgram], Knowledge]

_SHORT: Final = {"s": "step", "n": "next", "si": "stepi", "fin": "finish", "rs": "back", "rn": "backnext",
                 "rsi": "backi", "c": "continue", "rc": "reverse", "b": "break", "d": "delete", "bt": "where",
                 "l": "list", "x": "insns", "r": "regs", "k": "known", "m": "maps", "o": "owners", "p": "packet",
                 "h": "help", "q": "quit", "reverse-step": "back", "reverse-next": "backnext", "reverse-stepi": "backi",
                 "reverse-continue": "reverse", "exit": "quit", "EOF": "quit"}


class Console(cmd.Cmd):
    """Reads commands and answers them.

    Args:
        cursor: where to start.
        knows: returns what the verifier knew about a program.
        lines: commands; None to prompt on standard input.
        out: where the answers go.

    Attributes:
        failed: whether a command could not be carried out.
    """

    prompt = "(ebpfvm) "
    doc_header = "commands (help NAME describes one; names can be shortened as in gdb)"

    def __init__(self, cursor: Cursor, knows: Knows, lines: IO[str] | None, out: IO[str]) -> None:
        super().__init__(stdin=lines, stdout=out)
        self.use_rawinput = lines is None
        if lines is not None:
            self.prompt = ""
        self.failed = False
        self._cursor = cursor
        self._knows = knows
        self._stops: list[Stop] = []
        self._shown = -1  # the run whose header was printed last

    def preloop(self) -> None:
        """Print the position."""
        self._where()

    def onecmd(self, line: str) -> bool:
        """Execute one command and return whether it was the last one."""
        word, _, rest = line.strip().partition(" ")
        if word.startswith("#"):
            return False
        try:
            return bool(super().onecmd(f"{_SHORT.get(word, word)} {rest}" if word else ""))
        except UsageError as error:
            self._fail(str(error))
            return False

    def default(self, line: str) -> None:
        """Report a command that does not exist."""
        self._fail(f"there is no command {line.split()[0]!r}; `help` lists them")

    def do_help(self, arg: str) -> None:
        """Print the list of commands, or describe one. Usage: help [NAME]."""
        found = getattr(self, f"do_{_SHORT.get(arg, arg)}", None) if arg else None
        if arg and found is None:
            raise UsageError(f"help {arg}: there is no such command; `help` lists them")
        if found is None:
            super().do_help("")
        else:
            self._say(cleandoc(found.__doc__ or "").splitlines())

    def completenames(self, text: str, *ignored: object) -> list[str]:
        """Return the commands that begin with `text`."""
        return [name for name in super().completenames(text, *ignored) if name != "EOF"]

    def _fail(self, text: str) -> None:
        self.failed = True
        self._say([f"error: {text}"])

    def _say(self, lines: Iterable[str]) -> None:
        for line in lines:
            self.stdout.write(escape(line, "\t") + "\n")

    def _where(self) -> None:
        """Print the position, with a line about the run if it is another one than before."""
        cursor = self._cursor
        if cursor.step is not None and cursor.step.run != self._shown:
            self._shown = cursor.step.run
            self._say([panes.header(cursor)])
        self._say(panes.place(cursor))

    def _times(self, text: str, move: Callable[[], None]) -> None:
        if text and not text.isdecimal():
            raise UsageError(f"{text}: expected a number of times")
        for _ in range(int(text or 1)):
            at = self._cursor.at
            move()
            if self._cursor.at == at:
                break
        self._where()

    # -- forward ----------------------------------------------------------------------------------------------------

    def do_step(self, text: str) -> None:
        """Move to the next C line, into functions. Usage: step [N]."""
        self._times(text, self._cursor.line)

    def do_next(self, text: str) -> None:
        """Move to the next C line, over functions. Usage: next [N]."""
        self._times(text, lambda: self._cursor.line(over=True))

    def do_stepi(self, text: str) -> None:
        """Execute one instruction, and print what it changed. Usage: stepi [N]."""
        cursor = self._cursor

        def move() -> None:
            step = cursor.step
            cursor.go(cursor.at + 1)
            if step is not None:
                self._say(f"       {change}" for change in describe.changes(cursor.recording, step, cursor.step))
        self._times(text, move)

    def do_finish(self, text: str) -> None:
        """Move to where the function has returned, or its program has ended."""
        self._times(text, self._cursor.finish)

    def do_continue(self, text: str) -> None:
        """Move to the next breakpoint, or to the end. Usage: continue [N]."""
        self._times(text, lambda: self._to_stop(back=False))

    def do_end(self, text: str) -> None:
        """Move to the end of the recording."""
        _no_more("end", text)
        self._cursor.go(len(self._cursor.recording.steps))
        self._where()

    # -- backwards --------------------------------------------------------------------------------------------------

    def do_back(self, text: str) -> None:
        """Move back to the C line before, into functions. Usage: back [N]."""
        self._times(text, self._cursor.line_back)

    def do_backnext(self, text: str) -> None:
        """Move back to the C line before, over functions. Usage: backnext [N]."""
        self._times(text, lambda: self._cursor.line_back(over=True))

    def do_backi(self, text: str) -> None:
        """Move back by one instruction. Usage: backi [N]."""
        self._times(text, lambda: self._cursor.go(self._cursor.at - 1))

    def do_up(self, text: str) -> None:
        """Move back to where the function was called."""
        self._times(text, self._cursor.start_of_function)

    def do_reverse(self, text: str) -> None:
        """Move back to the breakpoint before, or to the start. Usage: reverse [N]."""
        self._times(text, lambda: self._to_stop(back=True))

    def do_start(self, text: str) -> None:
        """Move to the first instruction of the recording."""
        _no_more("start", text)
        self._cursor.go(0)
        self._where()

    def do_goto(self, text: str) -> None:
        """Move to step N of the recording; `where` prints the number of the position. Usage: goto N."""
        if not text.strip().isdecimal():
            raise UsageError(f"goto {text}: expected the number of a step, 0 to {len(self._cursor.recording.steps)}")
        self._cursor.go(int(text))
        self._where()

    # -- breakpoints ------------------------------------------------------------------------------------------------

    def do_break(self, text: str) -> None:
        """Set a breakpoint; without a place, list them.

        Usage: break [LINE | FILE:LINE | *SLOT | PROGRAM:*SLOT | call NAME | map NAME | packet N | run NAME | fault]
        """
        if text:
            self._stops.append(parse_stop(text))
            self._say([f"breakpoint {len(self._stops)}: {text}"])
        else:
            self._say([f"{number}  {stop.text}" for number, stop in enumerate(self._stops, 1)] or ["no breakpoints"])

    def do_delete(self, text: str) -> None:
        """Delete breakpoint N, or all of them. Usage: delete [N]."""
        if not text:
            self._stops.clear()
        elif text.isdecimal() and 0 < int(text) <= len(self._stops):
            del self._stops[int(text) - 1]
        else:
            raise UsageError(f"delete {text}: expected the number of a breakpoint; `break` lists them")

    def _to_stop(self, back: bool) -> None:
        found = self._cursor.find(self._stops, back)
        if found is not None:
            self._say([f"stopped at breakpoint {self._stops.index(found) + 1}: {found.text}"])

    # -- looking ----------------------------------------------------------------------------------------------------

    def do_where(self, text: str) -> None:
        """Print the position, its number, and the functions that are being executed."""
        _no_more("where", text)
        cursor = self._cursor
        self._say([panes.header(cursor), f"step {cursor.at} of {len(cursor.recording.steps)}",
                   *panes.place(cursor), *panes.calls(cursor)])

    def do_list(self, text: str) -> None:
        """Print the C source around the position."""
        _no_more("list", text)
        self._say(panes.source(self._cursor))

    def do_insns(self, text: str) -> None:
        """Print the instructions around the position."""
        _no_more("insns", text)
        self._say(panes.instructions(self._cursor))

    def do_regs(self, text: str) -> None:
        """Print the registers and what they point to; a star marks what the latest instruction changed."""
        _no_more("regs", text)
        self._say(panes.registers(self._cursor))

    def do_known(self, text: str) -> None:
        """Print what the verifier knew before this instruction, on each path that led here."""
        _no_more("known", text)
        step = self._cursor.step
        if step is None:
            raise UsageError("known: the program has ended; go back first")
        if self._cursor.recording.abstract:
            self._say(panes.known(self._cursor))
            return
        self._say(self._knows(step.prog).before(step.pc))

    def do_stack(self, text: str) -> None:
        """Print the words of the current stack frame that are not zero."""
        _no_more("stack", text)
        self._say(panes.stack(self._cursor))

    def do_maps(self, text: str) -> None:
        """Print the elements of all maps, or of one. Usage: maps [NAME]."""
        self._say(panes.maps(self._cursor, text.strip()))

    def do_owners(self, text: str) -> None:
        """Print who holds each packet and each object: the queue."""
        _no_more("owners", text)
        self._say(panes.owners(self._cursor))

    def do_packet(self, text: str) -> None:
        """Print the bytes of the packet that the program runs on."""
        _no_more("packet", text)
        self._say(panes.packet(self._cursor))

    def do_ctx(self, text: str) -> None:
        """Print the fields of the context that are not zero."""
        _no_more("ctx", text)
        self._say(panes.context(self._cursor))

    def do_printk(self, text: str) -> None:
        """Print what programs have written with bpf_trace_printk so far."""
        _no_more("printk", text)
        self._say(panes.printk(self._cursor))

    def do_runs(self, text: str) -> None:
        """Print the runs of programs in the recording, with the number of their first step for `goto`."""
        _no_more("runs", text)
        self._say(f"{run.first:8d}  {run.prog.name}" + (f", packet #{run.packet}" if run.packet else "")
                  for run in self._cursor.recording.runs)

    def do_quit(self, text: str) -> bool:
        """End the session."""
        _no_more("quit", text)
        return True

    def emptyline(self) -> bool:
        """Repeat the last command, as in gdb, when a person types; skip empty lines of a file."""
        return self.use_rawinput and bool(self.lastcmd) and self.onecmd(self.lastcmd)


def _no_more(name: str, text: str) -> None:
    """Raise UsageError if a command without arguments has one."""
    if text.strip():
        raise UsageError(f"{name} {text}: {name} takes no argument")
