"""`ebpfvm sweep`: run one scenario with many values of its keys and several seeds, in many processes."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from ebpfvm.cli import helptext, output
from ebpfvm.errors import UsageError

if TYPE_CHECKING:
    import argparse
    from collections.abc import Callable

    from ebpfvm.sweeps.sweep_points import SweepPoint
    from ebpfvm.sweeps.sweep_summary import SweptTraffic
    from ebpfvm.sweeps.sweep_workers import Sweep

_DESCRIPTION: Final = """Run a scenario file with every combination of the values that --set names, each with
several seeds, and print one table: means with their 95 % confidence intervals.

Each result is kept in the folder as soon as its run has ended. The same command
continues a sweep that was stopped or killed; more values or repeats add to what is
there. The folder then also holds points.jsonl, points.csv and summary.csv."""
_EXAMPLES: Final = helptext.examples(
    'ebpfvm sweep samples/scenarios/marks.toml --set duration=100ms --set link.rate=10mbit,20mbit --repeat 2 '
    '--out "$(mktemp -d)"',
    'ebpfvm sweep samples/scenarios/office.toml --set duration=100ms --set \'qdisc=["pfifo limit 50","fq_codel"]\' '
    '--json --out "$(mktemp -d)"')
_LISTED: Final = 20  # failed points


def add(subparsers: Any) -> None:
    """Declare the subcommand."""
    parser = helptext.declare(subparsers, "sweep", brief="run a scenario with many values and seeds, in many processes",
                              description=_DESCRIPTION, epilog=_EXAMPLES)
    parser.add_argument("scenario", metavar="SCENARIO", help="scenario file")
    parser.add_argument("--set", metavar="KEY=VALUE,...", action="append", default=[], dest="choices",
                        help="values of a key of the scenario, as in link.rate=1mbit,10mbit, or as a TOML array in "
                             "brackets; may be repeated")
    parser.add_argument("--repeat", type=int, default=1, metavar="N",
                        help="runs of each combination, each with the next seed (default: 1)")
    parser.add_argument("--out", metavar="DIR", type=Path,
                        help="folder for the results (default: SCENARIO with .sweep instead of .toml, here)")
    where = parser.add_mutually_exclusive_group()
    where.add_argument("--jobs", type=int, metavar="N", help="number of processes (default: one for each processor)")
    where.add_argument("--scheduler", metavar="ADDRESS",
                       help="run on the Dask cluster of this scheduler, as in tcp://10.0.0.1:8786")
    shape = parser.add_mutually_exclusive_group()
    shape.add_argument("--json", action="store_true", help=helptext.JSON)
    shape.add_argument("--csv", action="store_true", help="print summary.csv")


def run(args: argparse.Namespace) -> int:
    """Run the command and return the exit status."""
    from ebpfvm.sweeps.sweep_folder import SweepFolder
    from ebpfvm.sweeps.sweep_points import sweep_points
    from ebpfvm.sweeps.sweep_summary import summarise
    from ebpfvm.sweeps.sweep_workers import Sweep
    if args.repeat < 1 or (args.jobs is not None and args.jobs < 1):
        raise UsageError("--repeat and --jobs: expected a number of at least 1")
    points = sweep_points(args.scenario, args.choices, args.repeat)
    folder = SweepFolder(args.out or Path(f"{Path(args.scenario).stem}.sweep"))
    sweep = Sweep(points, folder)
    try:
        code = _execute(args, sweep)
    finally:  # also if a second Ctrl-C gives up the runs
        summary = summarise(points, sweep.results)
        folder.write_tables(points, sweep.results, [row.flat() for row in summary])
    _print(args, folder.path, points, sweep, summary)
    return code or _failed(points, sweep)


def _execute(args: argparse.Namespace, sweep: Sweep) -> int:
    """Run what is missing and return the exit status of an interruption, or 0."""
    from ebpfvm.cli.interrupts import Interrupts
    from ebpfvm.sweeps.sweep_workers import LocalWorkers, dask_cluster

    def stop(word: str) -> None:
        sweep.stop()
        output.say(f"{word}: waiting for the runs that have begun; once more gives them up")

    with Interrupts() as interrupts:
        interrupts.watch(stop)
        with output.Progress(sweep.todo, lambda: (sweep.done, 0), _time_left(sweep.todo)):
            if not sweep.todo:
                pass
            elif args.scheduler is not None:
                with dask_cluster(args.scheduler) as (start, workers):
                    sweep.run(start, workers)
            else:
                jobs = min(args.jobs or os.cpu_count() or 1, sweep.todo)
                sweep.run(lambda: LocalWorkers(jobs), jobs)
    if interrupts.exit_code is not None:
        output.say(f"{sweep.done} of {sweep.todo} runs are finished and kept; the same command continues")
    return interrupts.exit_code or 0


def _time_left(total: int) -> Callable[[int, int], str]:
    """Return the function that says how far the sweep is, from the number of points that are done."""
    from time import monotonic
    began = monotonic()

    def words(done: int, _: int) -> str:
        if not done:
            return f"0 of {total} runs"
        seconds = round((monotonic() - began) / done * (total - done))
        hours, minutes = divmod(seconds // 60, 60)
        left = f"{hours}h {minutes}m" if hours else f"{minutes}m {seconds % 60}s" if minutes else f"{seconds}s"
        return f"{done} of {total} runs, {left} left"
    return words


def _print(args: argparse.Namespace, folder: Path, points: list[SweepPoint], sweep: Sweep,
           summary: list[SweptTraffic]) -> None:
    if args.json:
        failed = [{"settings": dict(point.settings), "repeat": point.repeat, **result["error"]}
                  for point in points if "error" in (result := sweep.results.get(point.key, {}))]
        output.put_json({"schema": "ebpfvm.sweep/1", "ok": not failed and len(sweep.results) == len(points),
                         "folder": str(folder), "summary": [row.flat() for row in summary], "failed": failed})
    elif args.csv:
        print((folder / "summary.csv").read_text(encoding="utf-8"), end="")
    else:
        from ebpfvm.sweeps.sweep_summary import summary_table
        output.put("\n".join([*summary_table(summary),
                              f"{len(sweep.results)} of {len(points)} runs ({sweep.done} now) in {folder}"]))
    sys.stdout.flush()  # messages on stderr follow it


def _failed(points: list[SweepPoint], sweep: Sweep) -> int:
    """Name the points that failed, and return the exit status of the first one, or 0."""
    errors = [(point, result["error"]) for point in points if "error" in (result := sweep.results.get(point.key, {}))]
    for point, error in errors[:_LISTED]:
        output.say(f"error: {point.name}: {error['message']}")
    if len(errors) > _LISTED:
        output.say(f"... and {len(errors) - _LISTED} more")
    return output.EXIT_CODES[errors[0][1]["kind"]] if errors else output.GOOD
