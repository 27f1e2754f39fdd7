"""`ebpfvm explain`: what a property of the verifier demands, with a broken and a mended program."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from ebpfvm.cli import helptext, output

if TYPE_CHECKING:
    import argparse

_DESCRIPTION: Final = """Explain a property that the verifier demands of programs: the rule, what usually helps, which
function of the kernel checks it, and, for most properties, a program that violates
it and the same program without the mistake. `ebpfvm verify --json` names the property
that a rejected program violates, and `ebpfvm doc properties` lists all of them."""
_EXAMPLES: Final = helptext.examples("ebpfvm explain packet-bounds", "ebpfvm explain reference-leak")


def add(subparsers: Any) -> None:
    """Declare the subcommand."""
    parser = helptext.declare(subparsers, "explain", brief="explain a rule of the verifier, with a broken and a mended "
                              "program", description=_DESCRIPTION, epilog=_EXAMPLES)
    parser.add_argument("id", metavar="ID", help="id of the property, such as packet-bounds")


def run(args: argparse.Namespace) -> int:
    """Run the command and return the exit status."""
    from ebpfvm.cli.doc_properties import about
    from ebpfvm.cli.property_examples import EXAMPLES
    from ebpfvm.cli.rarer_examples import RARER
    parts = [about(args.id).rstrip("\n")]
    example, rarer = EXAMPLES.get(args.id), RARER.get(args.id)
    if example is not None:
        parts += [f"Broken (program type {example.type}):", _code(example.broken), "Mended:", _code(example.mended)]
    elif rarer is not None:
        parts += [f"Broken (program {rarer.words()}):", _code(rarer.broken), f"Mended{rarer.mended_words()}:",
                  _code(rarer.mended)]
    output.put("\n\n".join(parts))
    return output.GOOD


def _code(text: str) -> str:
    return "\n".join(line if line.endswith(":") else f"    {line}" for line in text.splitlines())
