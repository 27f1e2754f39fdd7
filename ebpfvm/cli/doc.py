"""`ebpfvm doc`: print reference tables, generated from the declarations that ebpfvm itself works with."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from ebpfvm.cli import helptext, output
from ebpfvm.errors import UsageError

if TYPE_CHECKING:
    import argparse
    from collections.abc import Callable


def _isa() -> str:
    from ebpfvm.isa.manual import isa_tables
    return isa_tables()


def _limits() -> str:
    from ebpfvm.limits import Limits
    rows = [f"| `{name}` | {default:,} | {unit} | {what} |" for name, default, unit, what in Limits.table()]
    return "\n".join(["| limit | default | unit | what it bounds |", "|---|---:|---|---|", *rows])


def _functions() -> str:
    from ebpfvm.cli.doc_functions import functions
    return functions()


def _qdiscs() -> str:
    from ebpfvm.cli.doc_qdiscs import qdiscs
    return qdiscs()


def _properties() -> str:
    from ebpfvm.cli.doc_properties import properties
    return properties()


def _lints() -> str:
    from ebpfvm.cli.doc_lints import lints
    return lints()


def _tc_words() -> str:
    from ebpfvm.cli.doc_tc_words import tc_words
    return tc_words()


def _scenarios() -> str:
    from ebpfvm.cli.doc_scenarios import scenario_tables
    return scenario_tables()


def _schema() -> str:
    from json import dumps

    from ebpfvm.scenario_keys import scenario_schema
    return dumps(scenario_schema(), indent=1)


TOPICS: Final[dict[str, tuple[str, Callable[[], str]]]] = {
    "isa": ("the instruction set: encoding, syntax in each dialect, semantics", _isa),
    "functions": ("map types, helpers and kfuncs, and how far each is supported", _functions),
    "qdiscs": ("kinds of qdiscs, and the options that tc commands give them", _qdiscs),
    "tc-words": ("the words of tc(8), and which of them work", _tc_words),
    "scenarios": ("the tables and keys of scenario files, and of --flows", _scenarios),
    "scenario-schema": ("the JSON schema of scenario files", _schema),
    "properties": ("the properties whose violation the verifier reports, by id", _properties),
    "lints": ("the mistakes in qdiscs that Linux accepts and ebpfvm reports, by id", _lints),
    "limits": ("the limits on what an object may use, with their defaults", _limits)}
_EXAMPLES: Final = helptext.examples(
    "ebpfvm doc limits", "ebpfvm doc isa | less", "ebpfvm doc properties packet-bounds")


def add(subparsers: Any) -> None:
    """Declare the subcommand."""
    topics = "\n".join(f"  {name:15} {what}" for name, (what, _) in TOPICS.items())
    parser = helptext.declare(
        subparsers, "doc", brief="print reference tables of the manual", epilog=_EXAMPLES,
        description="Print one of the manual's reference tables in Markdown, or a schema in JSON.\n\n"
                    f"topics:\n{topics}")
    parser.add_argument("topic", choices=tuple(TOPICS), help="table to print")
    parser.add_argument("id", metavar="ID", nargs="?", help="print only this property (topic properties only)")


def run(args: argparse.Namespace) -> int:
    """Run the command and return the exit status."""
    if args.id is not None:
        output.put(_one(args.topic, args.id).rstrip("\n"))
        return output.GOOD
    output.put(TOPICS[args.topic][1]().rstrip("\n"))
    return output.GOOD


def _one(topic: str, id: str) -> str:
    from ebpfvm.cli.doc_properties import about
    if topic != "properties":
        raise UsageError(f"the topic {topic!r} is printed as a whole; remove {id!r}")
    return about(id)
