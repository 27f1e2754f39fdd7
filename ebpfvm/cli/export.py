"""`ebpfvm export`: convert a results file for other programs."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any, Final

from ebpfvm.cli import helptext, output
from ebpfvm.errors import UsageError

if TYPE_CHECKING:
    import argparse

    from ebpfvm.results.reading import RecordedRun

_DESCRIPTION: Final = """Convert what `ebpfvm run --results FILE` has recorded for other programs. Several forms may be
asked for at once; - as the name of a file is standard output."""
_EXAMPLES: Final = helptext.examples(
    "d=$(mktemp -d); ebpfvm run samples/rfc/wfq.o --flows tcp:n=2 --results $d/wfq.db && "
    "ebpfvm export $d/wfq.db --csv $d --jsonl -",
    "d=$(mktemp -d); ebpfvm run samples/rfc/wfq.o --flows tcp:n=2 --results $d/wfq.db --events && "
    "ebpfvm export $d/wfq.db --flent $d/wfq.flent.gz --perfetto $d/wfq.json")


def add(subparsers: Any) -> None:
    """Declare the subcommand."""
    parser = helptext.declare(subparsers, "export", description=_DESCRIPTION, epilog=_EXAMPLES,
                              brief="convert recorded results to CSV, JSON lines, Flent or Perfetto")
    parser.add_argument("results", metavar="RESULTS", help="a results file, also one that is still written")
    parser.add_argument("--csv", metavar="FOLDER", help="write each table to FOLDER/TABLE.csv")
    parser.add_argument("--jsonl", metavar="FILE", help="write one JSON object for each row of each table")
    parser.add_argument("--flent", metavar="FILE",
                        help="write a data file of Flent (https://flent.org), compressed if FILE ends in .gz")
    parser.add_argument("--perfetto", metavar="FILE",
                        help="write a trace for https://ui.perfetto.dev; the run must be recorded with --events")


def run(args: argparse.Namespace) -> int:
    """Run the command and return the exit status."""
    from ebpfvm.results.exporting import write_csv, write_jsonl
    from ebpfvm.results.reading import RecordedRun
    if args.csv is args.jsonl is args.flent is args.perfetto is None:
        raise UsageError("nothing to write; add --csv FOLDER, --jsonl FILE, --flent FILE or --perfetto FILE")
    with RecordedRun(args.results) as recorded:
        try:
            if args.csv is not None:
                for path in write_csv(recorded, args.csv):
                    output.say(f"wrote {path}")
            if args.jsonl is not None:
                with output.opened(args.jsonl) as file:
                    write_jsonl(recorded, file)
            _write_traces(args, recorded)
        except OSError as error:
            if error.filename is None:
                raise
            raise UsageError(f"{error.filename}: cannot be written: {error.strerror}") from None
    return output.GOOD


def _write_traces(args: argparse.Namespace, recorded: RecordedRun) -> None:
    if args.flent is not None:
        from ebpfvm.results.flent import flent_bytes
        data = flent_bytes(recorded, args.flent.endswith(".gz"))
        if args.flent == "-":
            sys.stdout.write(data.decode())
        else:
            with open(args.flent, "wb") as binary:
                binary.write(data)
    if args.perfetto is not None:
        from ebpfvm.results.perfetto import perfetto_text
        lines = perfetto_text(recorded)
        first = next(lines)
        with output.opened(args.perfetto) as file:
            file.write(first)
            file.writelines(lines)
