"""`ebpfvm verify`: would a kernel load these programs?"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

from ebpfvm.cli import output
from ebpfvm.errors import UsageError

if TYPE_CHECKING:
    import argparse

    from ebpfvm.loader.object import Object, Program

SCHEMA = "ebpfvm.verify/1"


def add(subparsers: Any) -> None:
    """Declare the subcommand."""
    parser: argparse.ArgumentParser = subparsers.add_parser(
        "verify", help="judge programs as the kernel's verifier would",
        description="Judge each program of an object (or one of them). Exit status 0: all are accepted; 1: some are "
                    "not, each with the kernel's message, the C line and one sentence that says why.")
    parser.add_argument("object", metavar="OBJECT[:PROGRAM]", help="eBPF object, and a program of it")
    parser.add_argument("-v", "--verbose", action="count", default=0,
                        help="the verifier's log; twice: with all states (log level 2)")
    parser.add_argument("--kernel", metavar="VERSION", help="whose rules: 7.2 (default), 6.18, rfc6")
    parser.add_argument("--json", action="store_true", help="one JSON object on standard output")


def run(args: argparse.Namespace) -> int:
    """Do it; the exit status."""
    from ebpfvm.api import kernel_of, verify
    found, programs = open_programs(args.object)
    kernel = kernel_of(found, args.kernel)
    for note in found.notes:
        output.say(f"note: {note}")
    judged = [(program, verify(program, kernel=kernel, log_level=2 if args.verbose > 1 else 1))
              for program in programs]
    if args.json:
        output.put_json({"schema": SCHEMA, "ok": all(verdict.ok for _, verdict in judged), "object": found.path,
                         "programs": [_as_dict(program, verdict) for program, verdict in judged]})
    else:
        for program, verdict in judged:
            _show(program, verdict, args.verbose)
    return output.GOOD if all(verdict.ok for _, verdict in judged) else output.REJECTED


def open_programs(word: str) -> tuple[Object, list[Program]]:
    """The object, and the programs, that `OBJECT[:PROGRAM]` names.

    Raises:
        LoadError: the object cannot be read.
        UsageError: it holds no such program, or none at all.
    """
    import os

    from ebpfvm.loader.open import load
    path, colon, name = word.rpartition(":")
    if not colon or os.path.exists(word):
        path, name = word, ""
    found = load(path)
    if name and name not in found.programs:
        raise UsageError(f"{path}: no program {name!r}; it has: {', '.join(found.programs) or 'none'}")
    if not found.programs:
        raise UsageError(f"{path}: the object holds no program")
    return found, [found.programs[name]] if name else list(found.programs.values())


def _show(program: Program, verdict: Any, verbose: int) -> None:
    if verbose and verdict.log:
        output.put(verdict.log.rstrip("\n"))
    if verdict.ok:
        word = output.paint("accepted", "green", sys.stdout)
        print(f"{output.clean(program.name)}: {word}, {verdict.processed} instructions processed")
        return
    word = output.paint("rejected", "red", sys.stdout)
    print(f"{output.clean(program.name)}: {word} (errno {verdict.errno})")
    output.put(output.rejection(verdict))


def _as_dict(program: Program, verdict: Any) -> dict[str, Any]:
    line = verdict.line
    return {"name": program.name, "section": program.section, "type": program.type, "ok": verdict.ok,
            "errno": verdict.errno, "message": verdict.message, "processed": verdict.processed, "pc": verdict.pc,
            "file": line.file if line is not None else None, "line": line.line if line is not None else None,
            "explanation": verdict.explanation, "log": verdict.log}
