"""`ebpfvm compare`: run several queueing disciplines on the same traffic, and print one table."""

from __future__ import annotations

import os
import sys
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Final

from ebpfvm.cli import helptext, output
from ebpfvm.cli.selection import add_scenario_options, given_options, read_scenario_for
from ebpfvm.errors import UsageError
from ebpfvm.limits import Limits
from ebpfvm.scenario import Scenario

if TYPE_CHECKING:
    import argparse
    from collections.abc import Iterator

    from ebpfvm.comparing import ComparedTraffic
    from ebpfvm.scenario import CommandOption

_DESCRIPTION: Final = """Run several queueing disciplines on the same traffic and link, and print what each does to
each kind of traffic: packets out, share lost, throughput, delay, fairness among flows.

QDISC is an object, with values for its variables after commas (pfifo.o,limit=50), a
script that ends in .tc, or words of `tc qdisc add dev eth0 root`, quoted as one
argument. `ebpfvm run --help` describes traffic and link. If the first is a scenario
file that ends in .toml, traffic and link are its, and the options change it; without
another QDISC, its own is run."""
_EXAMPLES: Final = helptext.examples(
    'ebpfvm compare samples/rfc/pfifo.o,limit=50 samples/rfc/wfq.o "fq_codel limit 100" '
    "--flows cbr:rate=20mbit --flows cbr:rate=1mbit",
    "ebpfvm compare pfifo fq_codel --flows tcp:n=2 --flows cbr:rate=80kbit,size=200b",
    "ebpfvm compare samples/scenarios/office.toml pfifo fq_codel --set link.rate=5mbit")
_GROUPS: Final = ("traffic", "link")
_NOT_HERE: Final = ("tc", "ingress")


def add(subparsers: Any) -> None:
    """Declare the subcommand."""
    parser = helptext.declare(subparsers, "compare", description=_DESCRIPTION, epilog=_EXAMPLES,
                              brief="run several queueing disciplines on the same traffic")
    parser.add_argument("qdisc", metavar="QDISC", nargs="+", help="an object, a script, or words of tc")
    groups = {name: parser.add_argument_group(name) for name in (*_GROUPS, "output")}
    add_scenario_options(groups, _options())
    groups["traffic"].add_argument("--set", metavar="KEY=VALUE", action="append", default=[], dest="variables",
                                   help="change a key of the scenario file, as in --set traffic[0].n=4; may be "
                                        "repeated")
    output.add_limit(groups["output"])
    groups["output"].add_argument(
        "--report", metavar="FILE", help="write a web page that shows the runs side by side (needs Plotly: pip install "
                                         "'ebpfvm[report]')")
    groups["output"].add_argument(
        "--results", metavar="FOLDER", help="keep a results file of each run: FOLDER/1.db and so on")
    shape = groups["output"].add_mutually_exclusive_group()
    shape.add_argument("--json", action="store_true", help=helptext.JSON)
    shape.add_argument("--csv", action="store_true", help="print comma-separated values with a line of names")


def _options() -> list[tuple[str, CommandOption]]:
    return [(name, option) for name, option in Scenario.commands()
            if option.group in _GROUPS and name not in _NOT_HERE]


def run(args: argparse.Namespace) -> int:
    """Run the command and return the exit status."""
    from ebpfvm.comparing import SCHEMA, compare, comparison_table
    qdiscs, options = _asked(args)
    options.pop("results", None)  # a scenario file's name is for one run
    with _folder(args) as folder:
        rows = compare(qdiscs, folder, **options)
        if args.report is not None and folder is not None:
            _report(args.report, folder, len(qdiscs))
    if args.json:
        output.put_json({"schema": SCHEMA, "ok": True, "rows": [row._asdict() for row in rows]})
    elif args.csv:
        _write(rows)
    else:
        output.put("\n".join(comparison_table(rows)))
    return output.GOOD


def _asked(args: argparse.Namespace) -> tuple[list[str], dict[str, Any]]:
    """Return the disciplines, and the options of the runs."""
    given = given_options(args, _options())
    first, *others = args.qdisc
    if not first.endswith(".toml"):
        if args.variables:
            raise UsageError(f"--set {args.variables[0]}: changes a scenario file; write the value of a variable "
                             "behind its object, as in pfifo.o,limit=50")
        return args.qdisc, {**given, "limits": Limits.parse(args.limit)}
    file = read_scenario_for(args, first, given)
    own = file.discipline
    if not others and not own:
        raise UsageError(f"{first}: names no queueing discipline; add a table [qdisc], or name one behind it")
    options = file.options()
    own_options = ("enqueue", "dequeue", "unverified", "ingress", "define")
    for name in ("source", "tc", "title", *(own_options if others else ())):
        options.pop(name, None)
    return others or [own], options


@contextmanager
def _folder(args: argparse.Namespace) -> Iterator[str | None]:
    """Give the folder for results files; one that was not asked for is removed in the end."""
    if args.results is not None:
        try:
            os.makedirs(args.results, exist_ok=True)
        except OSError as error:
            raise UsageError(f"--results {args.results}: cannot be made: {error.strerror}") from None
        yield args.results
    elif args.report is None:
        yield None
    else:
        import tempfile
        with tempfile.TemporaryDirectory(prefix="ebpfvm-") as folder:
            yield folder


def _report(path: str, folder: str, count: int) -> None:
    from contextlib import ExitStack

    from ebpfvm.cli.report import write_page
    from ebpfvm.results.reading import RecordedRun
    with ExitStack() as stack:
        write_page([stack.enter_context(RecordedRun(os.path.join(folder, f"{index}.db")))
                    for index in range(1, count + 1)], path)


def _write(rows: list[ComparedTraffic]) -> None:
    import csv
    writer = csv.writer(sys.stdout, lineterminator="\n")
    writer.writerow(rows[0]._fields)
    writer.writerows(rows)
