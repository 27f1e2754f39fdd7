"""`ebpfvm compare`: run several queueing disciplines on the same traffic, and print one table."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any, Final

from ebpfvm.cli import helptext, output
from ebpfvm.cli.selection import add_scenario_options
from ebpfvm.limits import Limits
from ebpfvm.scenario import Scenario

if TYPE_CHECKING:
    import argparse

    from ebpfvm.comparing import ComparedTraffic
    from ebpfvm.scenario import CommandOption

_DESCRIPTION: Final = """Run several queueing disciplines on the same traffic and link, and print what each does to
each kind of traffic: packets out, share lost, throughput, delay, fairness among flows.

QDISC is an object, with values for its variables after commas (pfifo.o,limit=50), a
script that ends in .tc, or words of `tc qdisc add dev eth0 root`, quoted as one
argument. `ebpfvm run --help` describes traffic and link."""
_EXAMPLES: Final = helptext.examples(
    'ebpfvm compare samples/rfc/pfifo.o,limit=50 samples/rfc/wfq.o "fq_codel limit 100" '
    "--flows cbr:rate=20mbit --flows cbr:rate=1mbit",
    "ebpfvm compare pfifo fq_codel --flows tcp:n=2 --flows cbr:rate=80kbit,size=200b")
_GROUPS: Final = ("traffic", "link")
_NOT_HERE: Final = ("tc", "ingress")


def add(subparsers: Any) -> None:
    """Declare the subcommand."""
    parser = helptext.declare(subparsers, "compare", description=_DESCRIPTION, epilog=_EXAMPLES,
                              brief="run several queueing disciplines on the same traffic")
    parser.add_argument("qdisc", metavar="QDISC", nargs="+", help="an object, a script, or words of tc")
    groups = {name: parser.add_argument_group(name) for name in (*_GROUPS, "output")}
    add_scenario_options(groups, _options())
    output.add_limit(groups["output"])
    shape = groups["output"].add_mutually_exclusive_group()
    shape.add_argument("--json", action="store_true", help=helptext.JSON)
    shape.add_argument("--csv", action="store_true", help="print comma-separated values with a line of names")


def _options() -> list[tuple[str, object, CommandOption]]:
    return [(name, default, option) for name, default, option in Scenario.commands()
            if option.group in _GROUPS and name not in _NOT_HERE]


def run(args: argparse.Namespace) -> int:
    """Run the command and return the exit status."""
    from ebpfvm.comparing import SCHEMA, compare, comparison_table
    options = {name: getattr(args, name) for name, _, _ in _options()}
    rows = compare(args.qdisc, **options, limits=Limits.parse(args.limit))
    if args.json:
        output.put_json({"schema": SCHEMA, "ok": True, "rows": [row._asdict() for row in rows]})
    elif args.csv:
        _write(rows)
    else:
        output.put("\n".join(comparison_table(rows)))
    return output.GOOD


def _write(rows: list[ComparedTraffic]) -> None:
    import csv
    writer = csv.writer(sys.stdout, lineterminator="\n")
    writer.writerow(rows[0]._fields)
    writer.writerows(rows)
