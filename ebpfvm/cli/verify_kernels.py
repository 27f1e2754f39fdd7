"""`ebpfvm verify --kernel all`: which of the described kernels accept the programs of an object."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any, Final

from ebpfvm.cli import output
from ebpfvm.cli.selection import needs_type, open_programs
from ebpfvm.compatibility import KernelVerdicts, deciding, word
from ebpfvm.contract.rules import VERSION_NAMES
from ebpfvm.errnos import EINVAL
from ebpfvm.errors import LoadError, UsageError
from ebpfvm.judging import verify
from ebpfvm.limits import Limits
from ebpfvm.loader.object import Program
from ebpfvm.verifier.report.verdict import Verdict

if TYPE_CHECKING:
    import argparse

ALL: Final = "all"
SCHEMA: Final = "ebpfvm.verify-kernels/1"
_COLOURS: Final = {"accepted": "green", "rejected": "red", "unsupported": "yellow", "unreadable": "red"}


def run_all(args: argparse.Namespace) -> int:
    """Verify the programs under the rules of each kernel, print a table, and return the exit status.

    Raises:
        UsageError: the types of one kernel are given.
    """
    if args.btf is not None:
        raise UsageError(f"--btf describes one kernel, and --kernel {ALL} asks for several; leave one of them out")
    found, programs = open_programs(args)
    limits = Limits.parse(args.limit)
    rows = [KernelVerdicts(program, {version: _judged(program, version, limits) for version in VERSION_NAMES})
            for program in programs]
    rows += [KernelVerdicts(Program(name, ()), dict.fromkeys(VERSION_NAMES, Verdict(False, EINVAL, str(error))))
             for name, error in found.broken.items()]
    if args.json:
        output.put_json({"schema": SCHEMA, "ok": all(row.ok for row in rows), "object": found.path,
                         "kernels": list(VERSION_NAMES), "programs": [_as_dict(row, limits) for row in rows]})
    else:
        _put_table(rows)
        for row in rows:
            _put_difference(row, limits, args.verbose)
    return output.GOOD if all(row.ok for row in rows) else output.REJECTED


def _judged(program: Program, version: str, limits: Limits) -> Verdict:
    try:
        needs_type(program)
        return verify(program, kernel=version, log_level=0, limits=limits)
    except (LoadError, UsageError) as error:
        return Verdict(False, EINVAL, str(error))


def _put_table(rows: list[KernelVerdicts]) -> None:
    """Print a row for each program and a column for each kernel."""
    names = [output.clean(row.program.name) for row in rows]
    width = max(map(len, ("program", *names)))
    column = max(map(len, _COLOURS))
    print("  ".join(["program".ljust(width), *(version.ljust(column) for version in VERSION_NAMES)]).rstrip())
    for name, row in zip(names, rows, strict=True):
        words = list(map(word, row.verdicts.values()))
        cells = [output.paint(text, _COLOURS[text], sys.stdout) + " " * (column - len(text)) for text in words]
        print("  ".join([name.ljust(width), *cells]).rstrip())


def _put_difference(row: KernelVerdicts, limits: Limits, verbose: int) -> None:
    """Print the first difference between kernels; a difference in messages alone only with `verbose`."""
    pair = row.first_difference()
    if pair is None:
        return
    words = [word(row.verdicts[version]) for version in pair]
    if words[0] == words[1] and not verbose:
        return
    print()
    what = "different messages" if words[0] == words[1] else f"{words[0]} in {pair[0]}, {words[1]} in {pair[1]}"
    output.put(f"{row.program.name}: {what}")
    for version in pair:
        verdict = row.verdicts[version]
        if not verdict.ok:
            output.put(f"    {version}: {_placed(verdict)}")
    for item in deciding(row.program, *pair, limits):
        output.put(f"    decided by {item.name}: {item.text}")


def _placed(verdict: Verdict) -> str:
    """Return a message after its C line, on one line."""
    text = "; ".join(verdict.message.splitlines())
    return f"{verdict.line}: {text}" if verdict.line is not None else text


def _as_dict(row: KernelVerdicts, limits: Limits) -> dict[str, Any]:
    pair = row.first_difference()
    return {"name": row.program.name, "section": row.program.section, "type": row.program.type, "ok": row.ok,
            "verdicts": {version: _verdict(verdict) for version, verdict in row.verdicts.items()},
            "difference": {"kernels": list(pair), "decided_by": [item._asdict() for item in
                                                                 deciding(row.program, *pair, limits)]}
            if pair is not None else None}


def _verdict(verdict: Verdict) -> dict[str, Any]:
    line = verdict.line
    return {"verdict": word(verdict), "ok": verdict.ok, "errno": verdict.errno, "property": verdict.property,
            "message": verdict.message, "processed": verdict.processed, "pc": verdict.pc,
            "file": line.file if line is not None else None, "line": line.line if line is not None else None}
