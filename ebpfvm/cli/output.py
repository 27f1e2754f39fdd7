"""Where the command line writes: results to standard output, messages to standard error, colour only for people."""

from __future__ import annotations

import errno
import io
import json
import os
import shutil
import sys
import time
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Final, TextIO

from ebpfvm.errors import EbpfvmError, Fault, LimitError, LoadError, Rejected, UsageError

if TYPE_CHECKING:
    from collections.abc import Mapping

GOOD: Final = 0
REJECTED: Final = 1
USAGE: Final = 2
UNREADABLE: Final = 3
FAULT: Final = 4
LIMIT: Final = 5
BROKEN: Final = 70  # EX_SOFTWARE: our own bug
INTERRUPTED: Final = 130
PIPE: Final = 141  # as a shell tells of a process that SIGPIPE ended

UNWRITABLE: Final = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO)  # of a disk, not of a program's maps

_CODES: Final[tuple[tuple[type[EbpfvmError], str, int], ...]] = (
    (Rejected, "rejected", REJECTED), (UsageError, "usage", USAGE), (LoadError, "unreadable", UNREADABLE),
    (Fault, "fault", FAULT), (LimitError, "limit", LIMIT))

_COLOURS = {"red": "31", "green": "32", "yellow": "33", "bold": "1"}


def open_streams() -> None:
    """Give the process the standard streams that it was started without (`2>&-`); Python has None for them."""
    for name, mode in (("stdin", "r"), ("stdout", "w"), ("stderr", "w")):
        if getattr(sys, name) is None:
            setattr(sys, name, open(os.devnull, mode, encoding="utf-8"))  # noqa: SIM115 (open until the end)


def forget() -> None:
    """Nobody can take what is left of our output. The interpreter would flush once more at its end and complain."""
    with suppress(io.UnsupportedOperation):  # not a file, so nothing to flush into
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def exit_code(error: EbpfvmError) -> int:
    """The exit status that an error means."""
    return next((code for kind, _, code in _CODES if isinstance(error, kind)), BROKEN)


def paint(text: str, colour: str, stream: TextIO) -> str:
    """`text` in a colour if `stream` is a terminal and NO_COLOR is not set (no-color.org)."""
    if os.environ.get("NO_COLOR") or os.environ.get("TERM") == "dumb" or not stream.isatty():
        return text
    return f"\033[{_COLOURS[colour]}m{text}\033[0m"


def width() -> int:
    """Columns to fill: COLUMNS, or the terminal's; without either there is no need to cut anything."""
    return max(40, shutil.get_terminal_size((1000, 24)).columns)


def clean(text: str) -> str:
    """`text` without control characters: names and source lines come out of untrusted files."""
    return "".join(char if char.isprintable() or char in "\n\t" else f"\\x{ord(char):02x}" for char in text)


def say(text: str) -> None:
    """A message for people, on standard error."""
    print(clean(text), file=sys.stderr)


def put(text: str) -> None:
    """A result, on standard output."""
    print(clean(text))


def put_json(data: Mapping[str, Any]) -> None:
    """A result for programs: one object."""
    print(json.dumps(data, separators=(",", ":"), default=_plain))


def _plain(value: object) -> object:
    return value.hex() if isinstance(value, bytes) else str(value)


def describe(error: EbpfvmError) -> str:
    """One line for an error, in the shape `file.c:LINE: message` where the source is known."""
    if isinstance(error, Rejected):
        return rejection(error.verdict)
    if isinstance(error, Fault) and error.line:
        place, _, source = error.line.partition(": ")
        insn = f" at insn {error.pc}" + (f": {error.insn}" if error.insn else "") if error.pc is not None else ""
        return f"{place}: {error.kind} fault: {error.message}{insn}" + (f"\n    {source.strip()}" if source else "")
    return str(error)


def rejection(verdict: Any) -> str:
    """`file.c:LINE: message`, then the C line and one sentence that says why."""
    line = verdict.line
    lines = [f"{line}: {verdict.message}" if line is not None else verdict.message]
    if line is not None and line.text.strip():
        lines.append(f"    {line.text.strip()}")
    if verdict.explanation:
        lines.append(verdict.explanation)
    return "\n".join(lines)


def fail(error: EbpfvmError, as_json: bool) -> int:
    """Tell of an error; its exit status."""
    placed = isinstance(error, Rejected) or (isinstance(error, Fault) and error.line)
    say(describe(error) if placed else f"{paint('error', 'red', sys.stderr)}: {describe(error)}")
    code = exit_code(error)
    if as_json:
        kind = next((name for type_, name, _ in _CODES if isinstance(error, type_)), "internal")
        put_json({"schema": "ebpfvm.error/1", "ok": False, "kind": kind, "exit": code, "message": str(error)})
    return code


class Progress:
    """A bar on standard error, if that is a terminal, once a run has taken half a second.

    Args:
        total: packets, 0 if that is not known.
    """

    def __init__(self, total: int) -> None:
        self.total = total
        self.shown = False
        self._active = sys.stderr.isatty()
        self._next = time.monotonic() + 0.5

    def __call__(self, done: int) -> None:
        if not self._active or time.monotonic() < self._next:
            return
        self._next = time.monotonic() + 0.1
        self.shown = True
        if self.total:
            size = 30
            full = min(size, size * done // self.total)
            bar = f"[{'#' * full}{'.' * (size - full)}] {min(100, 100 * done // self.total):3d}% "
        else:
            bar = ""
        print(f"\r{bar}{done:,} packets", end="", file=sys.stderr, flush=True)

    def close(self) -> None:
        """Take the bar away."""
        if self.shown:
            print("\r\033[K", end="", file=sys.stderr, flush=True)
