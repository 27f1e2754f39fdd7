"""Measure ebpfvm and print one table of figures, each the median of ratios to a named reference.

The contenders of a group take turns, and only their processor time counts. Nothing is asserted: compare figures of
one machine, before and after a change.

examples:
  python -m tests.bench
  python -m tests.bench --only engine --only start --rounds 9
  python -m tests.bench --quick --json figures.json
"""

from __future__ import annotations

import argparse
import datetime
import json
import os
import platform
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

from tests.bench import engines, footprint, traffic_runs, verifier_rate, whole_runs
from tests.bench.figures import HEAD, Group, Settings, block, measured

GROUPS: dict[str, Callable[[Settings], Group]] = {
    **{f"engine.{name}": partial(engines.group, name) for name in ("alu", "parse", "sort", "fifo")},
    "runs": whole_runs.runs, "struct_ops": whole_runs.struct_ops, "flows": whole_runs.flows,
    "senders": traffic_runs.senders, "shaper": traffic_runs.shaper, "replay": traffic_runs.replay,
    "verifier": verifier_rate.group,
    "memory": footprint.memory, "capture": footprint.capture, "start": footprint.start,
}


def processor() -> str:
    """Return the processor's name."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return platform.processor() or platform.machine()
    return next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")),
                platform.machine())


def about(settings: Settings) -> dict[str, Any]:
    """Return what the figures depend on."""
    return {"date": datetime.date.today().isoformat(), "python": platform.python_implementation() + " "
            + platform.python_version(), "processor": processor(), "cpus": os.cpu_count(),
            "system": f"{platform.system()} {platform.release()}", "load": os.getloadavg()[0], **settings._asdict()}


def chosen(words: list[str]) -> list[str]:
    """Return the groups whose names are, or begin with, one of `words`; all if there are none."""
    return [name for name in GROUPS if not words or any(name == word or name.startswith(word + ".") for word in words)]


def arguments(argv: list[str] | None) -> argparse.Namespace:
    first, _, rest = (__doc__ or "").partition("\n")
    parser = argparse.ArgumentParser("python -m tests.bench", description=first, epilog=rest,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", action="append", default=[], metavar="NAME",
                        help=f"measure only this group; may be repeated; groups: {', '.join(GROUPS)}; "
                             "`engine` means all four of them")
    parser.add_argument("--rounds", type=int, metavar="N", help="rounds of each contender (default: 5)")
    parser.add_argument("--quick", action="store_true",
                        help="tiny work loads and one round, to see that everything works; the figures mean little")
    parser.add_argument("--json", metavar="FILE", help="also write all figures and all rounds; - prints them instead")
    asked = parser.parse_args(argv)
    for word in asked.only:
        if not chosen([word]):
            parser.error(f"--only {word}: no such group; groups: {', '.join(GROUPS)}")
    if asked.rounds is not None and asked.rounds < 1:
        parser.error(f"--rounds {asked.rounds}: expected a number of at least 1")
    return asked


def main(argv: list[str] | None = None) -> int:
    """Run the command and return the exit status."""
    asked = arguments(argv)
    settings = Settings(asked.rounds or (1 if asked.quick else 5), asked.quick)
    machine, results, tell = about(settings), [], asked.json != "-"
    if tell:
        print(heading(machine))
    for name in chosen(asked.only):
        print(f"measuring {name} ...", file=sys.stderr, flush=True)
        results.append(measured(GROUPS[name](settings), settings.rounds))
        if tell:
            print(block(results[-1]), flush=True)
    figures = json.dumps({"about": machine, "results": results}, indent=1)
    if not tell:
        print(figures)
    elif asked.json:
        Path(asked.json).write_text(figures + "\n", encoding="utf-8")
    return 0


def heading(machine: dict[str, Any]) -> str:
    """Return what stands above the table: the machine, and how to read the columns."""
    return (f"{machine['date']}, {machine['python']}, {machine['processor']} ({machine['cpus']} CPUs, load "
            f"{machine['load']:.1f}), {machine['system']}, rounds: {machine['rounds']}"
            + (", QUICK: the figures mean little" if machine["quick"] else "")
            + "\nmedian: of the rounds; ratio: median of the ratios within rounds. 'x fast': so many times as fast as "
            "the\nreference (more is better); 'x cost': so many times the reference's cost (less is better).\n\n"
            + HEAD)


if __name__ == "__main__":
    sys.exit(main())
