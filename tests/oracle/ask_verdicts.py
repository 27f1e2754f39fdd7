"""Load the programs of objects in the guest, and print the kernel's verdicts.

Prints one JSON line for each program: object, program, section, type, verdict ("accept", "reject", "not loaded"),
errno, log, and, where something went wrong, libbpf's own lines. Then one line for each struct_ops variable whose
programs were all accepted: struct_ops, verdict and errno of registering it (it is taken out again at once). An object
that libbpf cannot open gives one line with verdict "not opened". The exit status is 0 unless the guest crashed.

examples:
  python -m tests.oracle verdicts samples/rfc/pfifo.o samples/tc/dscp.o
  python -m tests.oracle verdicts --log-level 2 samples/tc/dscp.o
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
    parser.add_argument("objects", nargs="+", metavar="OBJECT", type=Path, help="eBPF objects to load")
    parser.add_argument(
        "--log-level", type=int, default=1,
        help="1 for the log up to the error, 2 for all states, 4 for statistics only (default: %(default)s)",
    )
    parser.add_argument("--program", action="append", help="load only this program; may be repeated (default: all)")
    parser.add_argument("--no-register", action="store_true", help="do not register struct_ops variables")
    parser.add_argument("--timeout", type=float, default=120,
                        help="seconds that one object may take in the guest (default: %(default)s)")


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
