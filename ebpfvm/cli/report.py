"""`ebpfvm report`: show recorded runs as text, as a web page, or as an image."""

from __future__ import annotations

from contextlib import ExitStack
from typing import TYPE_CHECKING, Any, Final

from ebpfvm.cli import helptext, output
from ebpfvm.errors import UsageError

if TYPE_CHECKING:
    import argparse
    from collections.abc import Sequence

    from ebpfvm.results.reading import RecordedRun

_DESCRIPTION: Final = """Show what `ebpfvm run --results FILE` has recorded: of one run, or of several side by side.
The table and a line of the backlog over time are printed; -o writes a web page with
interactive plots, which needs no network."""
_EXAMPLES: Final = helptext.examples(
    "d=$(mktemp -d); ebpfvm run samples/rfc/pfifo.o --flows tcp:n=2 --results $d/pfifo.db && ebpfvm report $d/pfifo.db",
    "d=$(mktemp -d); ebpfvm compare pfifo fq_codel --flows tcp:n=2 --results $d && ebpfvm report $d/*.db")


def add(subparsers: Any) -> None:
    """Declare the subcommand."""
    parser = helptext.declare(subparsers, "report", description=_DESCRIPTION, epilog=_EXAMPLES,
                              brief="show recorded results as text, web page or image")
    parser.add_argument("results", metavar="RESULTS", nargs="+", help="a results file, also one that is still written")
    parser.add_argument("-o", "--html", metavar="FILE",
                        help="write a web page (needs Plotly: pip install 'ebpfvm[report]')")
    parser.add_argument("--png", metavar="FILE", help="write a PNG (needs matplotlib: pip install 'ebpfvm[plot]')")
    parser.add_argument("--svg", metavar="FILE", help="write an SVG (needs matplotlib)")


def run(args: argparse.Namespace) -> int:
    """Run the command and return the exit status."""
    from ebpfvm.results.reading import RecordedRun
    from ebpfvm.results.summary import summary_lines
    with ExitStack() as stack:
        runs = [stack.enter_context(RecordedRun(path)) for path in args.results]
        output.put("\n".join(summary_lines(runs, min(60, max(20, output.width() - 40)))))
        if args.html is not None:
            write_page(runs, args.html)
        for path in filter(None, (args.png, args.svg)):
            from ebpfvm.results.images import write_image
            write_image(runs, path)
            output.say(f"wrote {path}")
    return output.GOOD


def write_page(runs: Sequence[RecordedRun], path: str) -> None:
    """Write the web page of some runs.

    Raises:
        UsageError: Plotly is not installed, or the file cannot be written.
    """
    from ebpfvm.results.page import plotly_script, report_page
    text = report_page(runs, plotly_script())
    try:
        with output.opened(path) as file:
            file.write(text)
    except OSError as error:
        raise UsageError(f"{path}: cannot be written: {error.strerror}") from None
    if path != "-":
        output.say(f"wrote {path}")
