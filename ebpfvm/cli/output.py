"""Output of the command line: results on standard output, messages on standard error, colour on terminals only."""

from __future__ import annotations

import argparse
import errno
import io
import os
import sys
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any, Final, TextIO

from ebpfvm.errors import EbpfvmError, Fault, Rejected, cause_of, kind_of
from ebpfvm.escape import escape

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

GOOD: Final = 0
REJECTED: Final = 1
USAGE: Final = 2
UNREADABLE: Final = 3
FAULT: Final = 4
LIMIT: Final = 5
BROKEN: Final = 70  # EX_SOFTWARE: a bug in ebpfvm
INTERRUPTED: Final = 130
PIPE: Final = 141  # as a shell reports a process that SIGPIPE ended

# Errors of files, as opposed to those of a program's maps.
UNWRITABLE: Final = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO)

EXIT_CODES: Final = {"rejected": REJECTED, "usage": USAGE, "unreadable": UNREADABLE, "fault": FAULT, "limit": LIMIT,
                     "internal": BROKEN}
"""Kind of an error (`ebpfvm.errors.kind_of`) -> exit status."""

_BAR: Final = 30  # characters
_COLOURS = {"red": "31", "green": "32", "yellow": "33", "bold": "1"}


class Parser(argparse.ArgumentParser):
    """An argument parser that reports an error if its help cannot be written."""

    def _print_message(self, message: str, file: Any = None) -> None:
        if file is None or file is sys.stderr:
            _tell(message)
        else:
            file.write(message)


def _tell(text: str) -> None:
    with suppress(OSError):  # there is nowhere left to report it
        sys.stderr.write(text)
        sys.stderr.flush()


def add_limit(parser: Any) -> None:
    """Declare `--limit`, which every command that runs or verifies programs has."""
    parser.add_argument("--limit", metavar="NAME=VALUE", action="append", default=[],
                        help="set a limit, as in map_memory=2g; may be repeated (`ebpfvm doc limits` lists the limits "
                             "and their defaults)")


def open_streams() -> None:
    """Open the null device for each standard stream that the process was started without (as with `2>&-`)."""
    for name, mode in (("stdin", "r"), ("stdout", "w"), ("stderr", "w")):
        if getattr(sys, name) is None:
            setattr(sys, name, open(os.devnull, mode, encoding="utf-8"))  # noqa: SIM115 (open until the end)


def forget() -> None:
    """Discard the rest of the output, because the interpreter would fail to flush it at exit."""
    with suppress(io.UnsupportedOperation):  # not a file, so nothing to flush into
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def exit_code(error: EbpfvmError) -> int:
    """Return the exit status for an error."""
    return EXIT_CODES[kind_of(error)]


def paint(text: str, colour: str, stream: TextIO) -> str:
    """Return `text` in a colour if `stream` is a terminal and NO_COLOR is not set (no-color.org)."""
    if os.environ.get("NO_COLOR") or os.environ.get("TERM") == "dumb" or not stream.isatty():
        return text
    return f"\033[{_COLOURS[colour]}m{text}\033[0m"


def width() -> int:
    """Return the width of the output: COLUMNS, or the terminal's; without either, it is unlimited."""
    return max(40, _columns() or 1000)


def _columns() -> int:
    """Return COLUMNS, or the width of the terminal, or 0.

    `shutil.get_terminal_size` says the same; importing shutil takes longer than everything else that argparse needs.
    """
    columns = os.environ.get("COLUMNS", "")
    if columns.isdecimal() and int(columns):
        return int(columns)
    with suppress(ValueError, OSError):  # a closed output, no terminal
        return os.get_terminal_size(sys.__stdout__.fileno()).columns if sys.__stdout__ is not None else 0
    return 0


class HelpFormatter(argparse.RawDescriptionHelpFormatter):
    """Print help as wide as the terminal, with descriptions as they are written."""

    def __init__(self, prog: str) -> None:
        super().__init__(prog, width=(_columns() or 80) - 2)


def clean(text: str) -> str:
    """Return a text with control characters escaped, except for line breaks and tabs."""
    return escape(text, "\n\t")


def say(text: str) -> None:
    """Print a message on standard error."""
    _tell(clean(text) + "\n")


def put(text: str) -> None:
    """Print a result on standard output."""
    print(clean(text))


def put_json(data: Mapping[str, Any]) -> None:
    """Print a result as one JSON object on standard output."""
    import json
    print(json.dumps(data, separators=(",", ":"), default=_plain))


def _plain(value: object) -> object:
    return value.hex() if isinstance(value, bytes) else str(value)


def describe(error: EbpfvmError) -> str:
    """Return one line that describes an error, in the form `file.c:LINE: message` where the source is known."""
    if isinstance(error, Rejected):
        from ebpfvm.rejections import rejection  # imported here, because few commands end so
        return rejection(error.verdict)
    if isinstance(error, Fault) and error.line:
        place, _, source = error.line.partition(": ")
        insn = f" at insn {error.pc}" + (f": {error.insn}" if error.insn else "") if error.pc is not None else ""
        return f"{place}: {error.kind} fault: {error.message}{insn}" + (f"\n    {source.strip()}" if source else "")
    return str(error)


def fail(error: EbpfvmError, as_json: bool) -> int:
    """Report an error and return its exit status."""
    placed = isinstance(error, Rejected) or (isinstance(error, Fault) and error.line)
    say(describe(error) if placed else f"{paint('error', 'red', sys.stderr)}: {describe(error)}")
    for note in getattr(error, "__notes__", ()):
        say(note)
    code = exit_code(error)
    if as_json:
        cause = cause_of(error)
        about = {"property": cause.verdict.property} if isinstance(cause, Rejected) else {}
        put_json({"schema": "ebpfvm.error/1", "ok": False, "kind": kind_of(error), "exit": code,
                  "message": str(error), **about})
    return code


class Progress:
    """A progress bar on standard error, drawn if that is a terminal and the run takes longer than half a second.

    A thread draws it, because a single packet may keep the simulation busy for seconds.

    Args:
        total: number of packets, 0 if it is unknown.
        done: function that returns the number of packets so far and the simulated time in ns.
        words: function that says both in words; a campaign counts other things than packets.
    """

    def __init__(self, total: int, done: Callable[[], tuple[int, int]],
                 words: Callable[[int, int], str] = lambda packets, time: f"{packets:,} packets, {time / 1e9:.3f} s"
                 ) -> None:
        import threading  # here, because few commands draw a bar
        self._total = total
        self._done = done
        self._words = words
        self._end = threading.Event()
        self._shown = False
        self._thread = threading.Thread(target=self._draw, name="progress", daemon=True)

    def __enter__(self) -> Progress:
        if sys.stderr.isatty():
            self._thread.start()
        return self

    def _draw(self) -> None:
        pause = 0.5
        while not self._end.wait(pause):
            pause = 0.1
            self._shown = True
            packets, time = self._done()
            print(f"\r{self._bar(packets)}{self._words(packets, time)}\033[K", end="", file=sys.stderr, flush=True)

    def _bar(self, packets: int) -> str:
        if not self._total:
            return ""
        full = min(_BAR, _BAR * packets // self._total)
        return f"[{'#' * full}{'.' * (_BAR - full)}] {min(100, 100 * packets // self._total):3d}% "

    def __exit__(self, *_: object) -> None:
        self._end.set()
        if self._thread.is_alive():
            self._thread.join()
        if self._shown:
            print("\r\033[K", end="", file=sys.stderr, flush=True)


@contextmanager
def opened(path: str) -> Iterator[TextIO]:
    """Open a text file for writing; - is standard output, which stays open."""
    if path == "-":
        yield sys.stdout
        return
    with open(path, "w", encoding="utf-8", newline="") as file:
        yield file
