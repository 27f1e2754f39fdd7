"""The command `ebpfvm`.

Each subcommand is a module of this package with two functions: `add(subparsers)` declares its parser, and `run(args)`
does the work and returns the exit status. Expensive imports belong inside `run`, so that `--help` answers at once.

`helptext.EXIT_STATUS` lists the exit statuses.
"""

from __future__ import annotations

import argparse
import atexit
import gc
import os
import sys
from importlib import import_module
from typing import TYPE_CHECKING, Final

from ebpfvm._version import __version__
from ebpfvm.cli import helptext, output
from ebpfvm.errors import EbpfvmError, InternalError, UsageError

if TYPE_CHECKING:
    from collections.abc import Sequence

_DESCRIPTION: Final = """Run, verify and understand eBPF queueing disciplines offline, without a kernel.

`ebpfvm COMMAND --help` describes each command."""
_EXAMPLES: Final = helptext.examples(
    "ebpfvm run samples/rfc/pfifo.o --flows cbr:rate=2mbit,n=3 --rate 4mbit",
    "ebpfvm verify samples/broken/leak.o  # exit status 1",
    "ebpfvm dis samples/rfc/prio.o --syntax kernel")
_YOUNG: Final = 50_000  # objects between collections: with fewer, they take 5 to 10 % of a short command's time
COMMANDS: Final = ("run", "compare", "sweep", "report", "export", "map", "verify", "explain", "test", "prog", "debug",
                   "dis", "asm", "conformance", "fuzz", "samples", "doc", "completion")


def build_parser(names: Sequence[str] = COMMANDS) -> argparse.ArgumentParser:
    """Return the parser with these subcommands."""
    parser = output.Parser(
        prog="ebpfvm", formatter_class=output.HelpFormatter, description=_DESCRIPTION,
        epilog=f"{helptext.EXIT_STATUS}\n{_EXAMPLES}")
    parser.add_argument("--version", action="version", version=f"ebpfvm {__version__}")
    subparsers = parser.add_subparsers(dest="command", metavar="COMMAND", required=True)
    for name in names:
        import_module(f"ebpfvm.cli.{name}").add(subparsers)
    return parser


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line `argv` (by default that of the process) and return the exit status."""
    gc.set_threshold(_YOUNG)
    atexit.register(gc.freeze)  # nothing has to be searched for cycles when all of it is given up
    output.open_streams()
    argv = sys.argv[1:] if argv is None else argv
    try:
        try:
            code = _run(build_parser(_needed(argv)).parse_args(argv))
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


def _needed(argv: Sequence[str]) -> Sequence[str]:
    """Return the subcommands to import: the one that is run, or all of them for the help and for a wrong command."""
    return argv[:1] if argv and argv[0] in COMMANDS else COMMANDS


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
