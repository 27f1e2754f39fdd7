"""`ebpfvm explain`: what a property of the verifier demands, with a broken and a mended program."""

from __future__ import annotations

import textwrap
from typing import TYPE_CHECKING, Any, Final

from ebpfvm.cli import helptext, output

if TYPE_CHECKING:
    import argparse

_DESCRIPTION: Final = """Explain a property that the verifier demands of programs: the rule, what usually helps, which
function of the kernel checks it, a program that violates it, and the same program
without the mistake. `ebpfvm verify` names the property that a rejected program
violates, and `ebpfvm doc properties` prints all of them."""
_EXAMPLES: Final = helptext.examples("ebpfvm explain packet-bounds", "ebpfvm explain reference-leak")


def add(subparsers: Any) -> None:
    """Declare the subcommand."""
    parser = helptext.declare(subparsers, "explain", brief="explain a rule of the verifier, with a broken and a mended "
                              "program", description=_DESCRIPTION, epilog=_EXAMPLES)
    parser.add_argument("id", metavar="ID", help="id of the property, such as packet-bounds")


def run(args: argparse.Namespace) -> int:
    """Run the command and return the exit status."""
    from ebpfvm.cli.doc_properties import about
    from ebpfvm.cli.property_programs import programs
    parts = [about(args.id).rstrip("\n")]
    for shown in programs(args.id):
        code = shown.code if shown.language == "text" else textwrap.indent(shown.code, "    ")
        parts += [f"{shown.heading}:", code]
    output.put("\n\n".join(parts))
    return output.GOOD
