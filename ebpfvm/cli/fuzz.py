"""`ebpfvm fuzz`: hold many random programs to the laws, to both engines, to a kernel, or to a command."""

from __future__ import annotations

import shlex
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from ebpfvm.cli import helptext, output
from ebpfvm.errors import LoadError, UsageError

if TYPE_CHECKING:
    import argparse

    from ebpfvm.testing.fuzzing import CampaignState, Fuzzer, FuzzTarget

_DESCRIPTION: Final = """Look for bugs with random programs. Each case has a number, from which program and inputs
follow. --against says what the cases are held to:

  laws     the laws of ebpfvm's verifier and engines (docs/howto/testing.md)
  engines  both engines do the same with accepted programs, and nothing faults
  kernel   the verdicts of the running kernel, through bpf(2); nothing is attached
  command  the verdicts of a command: exit status 0 for accepted, 1 for rejected

A program that shows a difference is reduced to the smallest one that shows it, and saved as
assembler text. --state makes a campaign resumable: run the same command again. The exit
status is 1 if there are differences."""
_EXAMPLES: Final = helptext.examples(
    "ebpfvm fuzz --count 20",
    "ebpfvm fuzz --against engines --type xdp --kernel 6.18 --count 20 --seed 1000",
    "ebpfvm fuzz --against command --command 'sh -c \"exit 2\" {program} {type}' --count 2")


def add(subparsers: Any) -> None:
    """Declare the subcommand."""
    parser = helptext.declare(subparsers, "fuzz", brief="look for bugs with random programs",
                              description=_DESCRIPTION, epilog=_EXAMPLES)
    parser.add_argument("--against", choices=("laws", "engines", "kernel", "command"), default="laws",
                        help="what the cases are held to (default: laws)")
    parser.add_argument("--count", type=int, default=1000, metavar="N", help="number of cases (default: 1000)")
    parser.add_argument("--seed", type=int, default=0, metavar="N", help="number of the first case (default: 0)")
    parser.add_argument("--time", metavar="TIME", help="stop after this time, as in 90s")
    parser.add_argument("--type", metavar="TYPE", action="append", default=[],
                        help="program type, as in xdp; may be repeated (default: several)")
    parser.add_argument("--kernel", metavar="VERSION", help="kernel version whose rules apply (default: each in turn)")
    parser.add_argument("--command", metavar="WORDS", dest="judge",
                        help="command that judges; {program} is a file with the instructions, {type} the type")
    parser.add_argument("--out", metavar="FOLDER", help="write differences there (default: print them)")
    parser.add_argument("--state", metavar="FILE", help="keep the state of the campaign there, and continue from it")
    parser.add_argument("--replay", metavar="FILE", help="hold the case of a file that --out wrote to the target again")
    parser.add_argument("--json", action="store_true", help=helptext.JSON)


def run(args: argparse.Namespace) -> int:
    """Run the command and return the exit status."""
    from ebpfvm.testing.fuzzing import CampaignState, FuzzTarget
    if args.count < 1 or args.seed < 0:
        raise UsageError("--count: expected a number of at least 1, and --seed one of at least 0")
    seconds = _seconds(args.time) if args.time is not None else None
    target = FuzzTarget(args.against, _types(args.type), _version(args.kernel), shlex.split(args.judge or ""))
    try:
        if args.replay is not None:
            return _replay(target, Path(args.replay), args.json)
        options = {"against": args.against, "types": args.type, "kernel": args.kernel, "command": args.judge,
                   "seed": args.seed}
        state = CampaignState.load(Path(args.state), options) if args.state else CampaignState(options, args.seed)
        return _campaign(args, target, state, seconds)
    finally:
        target.close()


def _campaign(args: argparse.Namespace, target: FuzzTarget, state: CampaignState, seconds: float | None) -> int:
    from ebpfvm.cli.interrupts import Interrupts
    from ebpfvm.testing.fuzzing import Fuzzer
    first, before = state.next, len(state.findings)
    fuzzer = Fuzzer(target, state, Path(args.out) if args.out else None)
    end = args.seed + args.count

    def stop(word: str) -> None:
        fuzzer.stopped = True
    with Interrupts() as interrupts:
        interrupts.watch(stop)
        with output.Progress(end - first, lambda: (state.next - first, 0), lambda done, _: (
                f"{done:,} of {end - first:,} cases, {len(state.findings)} differences")):
            fuzzer.run(end, seconds, Path(args.state) if args.state else None)
    if args.json:
        output.put_json({"schema": "ebpfvm.fuzz/1", "ok": not state.findings, "next": state.next,
                         "counts": dict(sorted(state.counts.items())), "findings": state.findings})
    else:
        for row in state.findings[before:]:
            _show(row, fuzzer)
        counts = ", ".join(f"{count} {name}" for name, count in sorted(state.counts.items())) or "no case"
        output.put(f"cases {args.seed} to {state.next - 1}: {counts}" if state.next > args.seed else counts)
    return interrupts.exit_code or (output.REJECTED if state.findings else output.GOOD)


def _show(row: dict[str, Any], fuzzer: Fuzzer) -> None:
    word = output.paint("different", "red", sys.stdout)
    print(f"{word}: case {row['number']}, {output.clean(row['law'])}: {row['size']} instructions, reduced to "
          f"{row['reduced']}" + (f": {output.clean(row['file'])}" if row["file"] else ""))
    if not row["file"]:
        output.put(fuzzer.texts[row["number"]])


def _replay(target: FuzzTarget, path: Path, as_json: bool) -> int:
    from ebpfvm.testing import case_files
    found = target.hold(case_files.read(path))
    if as_json:
        output.put_json({"schema": "ebpfvm.fuzz/1", "ok": not found.law, "law": found.law, "answer": found.word,
                         "answers": found.answers})
    else:
        output.put("\n".join([f"{path}: {found.word}" + (f", {found.law}" if found.law else ""),
                              *(f"  {name}: {text}" for name, text in found.answers.items())]))
    return output.REJECTED if found.law else output.GOOD


def _types(words: list[str]) -> tuple[str, ...]:
    from ebpfvm.cli.selection import split_type
    from ebpfvm.testing.generate import NETWORKING
    names = tuple(split_type(word)[0] for word in words)
    for name in names:
        if name not in NETWORKING:
            raise UsageError(f"--type {name}: no programs of this type are generated; there are: "
                             f"{', '.join(NETWORKING)}")
    return names


def _version(text: str | None) -> tuple[int, int] | None:
    from ebpfvm.dialects import dialect
    return dialect(text).version if text is not None else None


def _seconds(text: str) -> float:
    from ebpfvm import arguments
    try:
        return arguments.time("--time", text) / 1e9
    except LoadError as error:
        raise UsageError(str(error)) from error
