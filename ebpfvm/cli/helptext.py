"""What the `--help` texts of all commands share: their layout, the examples, and wording that recurs.

Each help ends with two or three examples. They can be run unchanged from a checkout; a test runs them.
"""

from __future__ import annotations

import argparse
from typing import Any, Final

from ebpfvm.cli import output
from ebpfvm.contract.rules import KERNELS

EXIT_STATUS: Final = """exit status:
  0    success
  1    the verifier rejected a program
  2    the command line is wrong
  3    an object or a capture cannot be read
  4    a program did at run time what would crash a kernel
  5    a limit was reached (see `ebpfvm doc limits`)
  130  interrupted; 143 terminated
"""
KERNEL: Final = (f"kernel version whose rules apply: {KERNELS} (default: rfc6 for queueing disciplines of "
                 "the RFC, otherwise 7.2)")
ENGINE: Final = "engine that runs the programs (default: the fastest that is available)"
TYPE: Final = "program type: tc, xdp, socket_filter, qdisc/enqueue, ... (default: from the name of the section)"
JSON: Final = "print one JSON object on standard output"
UNVERIFIED: Final = "run the programs in the interpreter without verifying them"


def examples(*commands: str) -> str:
    """Return the last part of a help text, which shows how the command is used."""
    return "examples:\n" + "".join(f"  {command}\n" for command in commands)


def declare(subparsers: Any, name: str, *, brief: str, description: str, epilog: str) -> argparse.ArgumentParser:
    """Add the parser of a subcommand and return it.

    Args:
        subparsers: what `ArgumentParser.add_subparsers` returned.
        brief: what the command does, for the list of commands.
        description: the text above the options, printed as it is written.
        epilog: the text below them: what `examples` returned.
    """
    parser: argparse.ArgumentParser = subparsers.add_parser(
        name, help=brief, description=description, epilog=epilog, formatter_class=output.HelpFormatter)
    return parser
