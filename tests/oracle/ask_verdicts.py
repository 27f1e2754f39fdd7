"""What a kernel says of the programs of objects.

usage: python -m tests.oracle verdicts [--log-level N] [--program NAME] [--no-register] OBJECT... > verdicts.jsonl

Prints one JSON line for each program: object, program, section, type, verdict ("accept", "reject", "not loaded"),
errno, log, and, where something went wrong, libbpf's own lines. Then one line for each struct_ops variable whose
programs were all accepted: struct_ops, verdict and errno of registering it (it is taken out again at once). An object
that libbpf cannot open gives one line with verdict "not opened". Exit status: 0 unless the guest died on an object.
"""

from __future__ import annotations

import argparse
import base64
import json
from collections.abc import Iterator
from pathlib import Path

from tests.oracle.guest import from_environment


def add(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument("objects", nargs="+", metavar="OBJECT", type=Path)
    parser.add_argument(
        "--log-level", type=int, default=1, help="1 up to the error (default), 2 all states, 4 statistics only"
    )
    parser.add_argument("--program", action="append", help="only this program; may be repeated")
    parser.add_argument("--no-register", action="store_true", help="do not register struct_ops variables")
    parser.add_argument("--timeout", type=float, default=120, help="seconds in the guest for one object")


def run(args: argparse.Namespace) -> None:
    """Ask, and print the answers."""
    status = 0
    with from_environment(args.timeout) as guest:
        for path, reply in zip(args.objects, guest.ask_all(requests(args)), strict=True):
            for line in lines(path, reply):
                print(json.dumps(line), flush=True)
            status |= "error" in reply
    if status:
        raise SystemExit(status)


def requests(args: argparse.Namespace) -> Iterator[dict]:
    for path in args.objects:
        yield {
            "op": "verdicts",
            "object": base64.b64encode(path.read_bytes()).decode(),
            "name": path.name.split(".")[0],
            "log_level": args.log_level,
            "only": args.program,
            "register": not args.no_register,
        }


def lines(path: Path, reply: dict) -> Iterator[dict]:
    if "error" in reply:
        yield {"object": str(path), "verdict": "no answer", **reply}
    elif "open_errno" in reply:
        yield {"object": str(path), "verdict": "not opened", "errno": reply["open_errno"], "libbpf": reply["libbpf"]}
    else:
        for found in [*reply["programs"], *reply.get("struct_ops", ())]:
            yield {"object": str(path), **found}
