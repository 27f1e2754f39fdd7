"""The command `ebpfvm`.

Each subcommand is a module beside this one with two functions: `add(subparsers)` makes its parser, and `run(args)`
does the work and returns the exit status. Heavy imports belong into `run`, so that `--help` answers at once.

Exit status: 0 good, 1 rejected by the verifier, 2 wrong usage, 3 an object or capture that cannot be read, 4 a fault
at run time, 5 a limit was reached, 130 interrupted, 143 terminated.
"""

from __future__ import annotations

import argparse
import os
import sys
from importlib import import_module
from typing import TYPE_CHECKING, Final

from ebpfvm._version import __version__
from ebpfvm.cli import output
from ebpfvm.errors import EbpfvmError, InternalError, UsageError

if TYPE_CHECKING:
    from collections.abc import Sequence

COMMANDS: Final = ("run", "map", "verify", "prog", "dis", "asm", "conformance", "doc")


def build_parser() -> argparse.ArgumentParser:
    """The parser with all subcommands."""
    parser = output.Parser(
        prog="ebpfvm", description="Run, verify and understand eBPF queueing disciplines, offline.",
        epilog="exit status: 0 good, 1 rejected by the verifier, 2 usage, 3 unreadable object or capture, "
               "4 fault at run time, 5 a limit was reached, 130 interrupted, 143 terminated")
    parser.add_argument("--version", action="version", version=f"ebpfvm {__version__}")
    subparsers = parser.add_subparsers(dest="command", metavar="COMMAND", required=True)
    for name in COMMANDS:
        import_module(f"ebpfvm.cli.{name}").add(subparsers)
    return parser


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line `argv` (by default that of the process) and return the exit status."""
    output.open_streams()
    try:
        try:
            code = _run(build_parser().parse_args(argv))
        finally:  # argparse leaves by SystemExit after --help
            sys.stdout.flush()
    except BrokenPipeError:
        output.forget()
        return output.PIPE
    except KeyboardInterrupt:
        output.say("interrupted")
        return output.INTERRUPTED
    except OSError as error:
        if error.errno not in output.UNWRITABLE:
            raise
        output.forget()
        return output.fail(UsageError(f"the output cannot be written: {error.strerror}"), as_json=False)
    return code


def _run(args: argparse.Namespace) -> int:
    try:
        code: int = import_module(f"ebpfvm.cli.{args.command}").run(args)
        return code
    except (BrokenPipeError, KeyboardInterrupt):
        raise
    except EbpfvmError as error:
        return output.fail(error, getattr(args, "json", False))
    except Exception as error:
        if isinstance(error, OSError) and error.errno in output.UNWRITABLE:
            raise
        if os.environ.get("EBPFVM_DEBUG"):
            raise
        wrapped = InternalError(f"{type(error).__name__}: {error} (a bug in ebpfvm; EBPFVM_DEBUG=1 shows where)")
        return output.fail(wrapped, getattr(args, "json", False))
