"""`ebpfvm doc`: tables of the manual, made from what the program itself works with."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from ebpfvm.cli import output

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


TOPICS: Final[dict[str, tuple[str, Callable[[], str]]]] = {
    "isa": ("instructions: encoding, spelling in each dialect, meaning", _isa),
    "functions": ("map types, helpers and kernel functions: judged, run, or unsupported", _functions),
    "limits": ("what an object may use, and how to allow more", _limits)}


def add(subparsers: Any) -> None:
    """Declare the subcommand."""
    topics = "; ".join(f"{name}: {what}" for name, (what, _) in TOPICS.items())
    parser: argparse.ArgumentParser = subparsers.add_parser(
        "doc", help="print tables of the manual", description=f"Print a table of the manual in Markdown. {topics}.")
    parser.add_argument("topic", choices=tuple(TOPICS))


def run(args: argparse.Namespace) -> int:
    """Do it; the exit status."""
    output.put(TOPICS[args.topic][1]().rstrip("\n"))
    return output.GOOD
