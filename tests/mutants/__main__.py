"""Switch off single rules of ebpfvm, and report those that no fast test notices.

The job copies the tree. Each mutant is one change in that copy, and only the tests that execute the changed line are
run on it (`tox -e mutants`). The exit status is 0 whatever the job finds; the score is for people to judge.

examples:
  python -m tests.mutants --list --count 5
  python -m tests.mutants --only maps --count 20 --seed 1
"""

from __future__ import annotations

import argparse
import random
import shutil
import subprocess
import sys
import tempfile
from collections import Counter
from pathlib import Path

from tests.mutants.choosing import FAST, Choice, measure
from tests.mutants.sites import Mutant, mutants, mutated

ROOT = Path(__file__).parents[2]
PARTS = {"verifier": ("ebpfvm/verifier",), "maps": ("maps",), "engine": ("ebpfvm/engine", "ebpfvm/kernel"),
         "funcs": ("ebpfvm/funcs",), "tc": ("sched/tc",),
         "qdiscs": ("sched/qdiscs", "sched/sch_bpf.py", "sched/sch_generic.py", "sched/device.py")}
SECONDS = 120  # for one mutant, so that an endless loop is noticed too


def files(parts: list[str]) -> list[Path]:
    """Return the files that may be changed."""
    found: list[Path] = []
    for name in (place for part in parts for place in PARTS[part]):
        path = ROOT / name
        found += sorted(path.rglob("*.py")) if path.is_dir() else [path]
    return found


def tree(folder: Path) -> Path:
    """Copy what the tests need, links kept, and return the copy's root."""
    copied = folder / "tree"
    shutil.copytree(ROOT, copied, symlinks=True, ignore=shutil.ignore_patterns(
        ".git", ".venv", ".tox", ".hypothesis", "__pycache__", ".*_cache", "build", "*.egg-info"))
    return copied


def verdict(copied: Path, mutant: Mutant, tests: list[str], list_file: Path) -> str:
    """Return "untested", "noticed" or "survived"."""
    if not tests:
        return "untested"
    path = copied / mutant.path
    before = path.read_text(encoding="utf-8")
    path.write_text(mutated(path, mutant), encoding="utf-8")
    list_file.write_text("\n".join(tests))
    try:
        done = subprocess.run([sys.executable, "-m", "pytest", "-x", "-q", "-p", "no:cacheprovider", f"@{list_file}"],
                              cwd=copied, capture_output=True, timeout=SECONDS, check=False)
    except subprocess.TimeoutExpired:
        return "noticed"
    finally:
        path.write_text(before, encoding="utf-8")
    return "survived" if done.returncode == 0 else "noticed"


def chosen(args: argparse.Namespace) -> list[Mutant]:
    """Return the mutants to try, in the order of their places."""
    every = [mutant for path in files(args.only) for mutant in mutants(path, str(path.relative_to(ROOT)))]
    if args.places:
        return sorted(item for item in every if f"{item.path}:{item.line}" in args.places)
    return sorted(random.Random(args.seed).sample(every, min(args.count, len(every))))


def build_parser() -> argparse.ArgumentParser:
    """Return the parser of the command line."""
    parser = argparse.ArgumentParser(prog="python -m tests.mutants", description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--count", type=int, default=200, help="number of mutants to try (default: %(default)s)")
    parser.add_argument("--seed", type=int, default=0, help="random seed for choosing them (default: %(default)s)")
    parser.add_argument("--only", nargs="+", choices=tuple(PARTS), default=list(PARTS),
                        help="parts of the tree to change (default: all)")
    parser.add_argument("--tests", nargs="+", default=list(FAST), metavar="PATH",
                        help="tests that may notice a mutant (default: all fast ones)")
    parser.add_argument("--data", type=Path, metavar="FOLDER",
                        help="reuse the measurement that an earlier job on the same tree left in FOLDER")
    parser.add_argument("--list", action="store_true", help="print the chosen mutants without trying them")
    parser.add_argument("places", nargs="*", metavar="PATH:LINE", help="try all mutants of these lines instead")
    return parser


def main() -> None:
    """Run the job that the command line asks for."""
    args = build_parser().parse_args()
    todo = chosen(args)
    if args.list:
        print(*todo, sep="\n")
        return
    with tempfile.TemporaryDirectory() as scratch:
        copied = tree(Path(scratch))
        data = args.data or Path(scratch) / "measured"
        if not (data / "seconds.json").exists():
            measure(ROOT, data, args.tests)
        choice, counts = Choice(ROOT, data), Counter[str]()
        for mutant in todo:
            said = verdict(copied, mutant, choice.tests(mutant.path, mutant.line), Path(scratch) / "tests")
            counts[said] += 1
            if said != "noticed":
                print(f"{said}: {mutant}", flush=True)
    print(f"{len(todo)} mutants: {counts['noticed']} noticed, {counts['survived']} survived, "
          f"{counts['untested']} in lines that no fast test runs")


if __name__ == "__main__":
    main()
