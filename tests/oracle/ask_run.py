"""Run a program of an object in the guest with BPF_PROG_TEST_RUN, and print what it returns.

Each --data starts one run. The runs follow each other on the same maps, and --ctx applies to all of them. Prints one
JSON line: object, program, runs [{errno, retval, data, ctx, ns}] and the maps' contents afterwards. With "-", each
input line is {"object": PATH, "program": NAME, "runs": [{"data":, "ctx":, "repeat":}], "maps": {NAME: {KEY: VALUE}}}.
struct_ops programs have no test run (errno 524).

examples:
  python -m tests.oracle run samples/tc/dscp.o --data 0123456789ab0123456789ab08004500001c
  python -m tests.oracle run - < requests.jsonl
"""

from __future__ import annotations

import argparse
import base64
import json
import sys
from collections.abc import Iterator
from pathlib import Path

from tests.oracle.guest import from_environment


def add(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument("object", help="OBJECT[:PROGRAM], or - for JSON lines on standard input")
    parser.add_argument("--data", action="append",
                        help="packet, as hexadecimal bytes or @FILE; may be repeated (default: 64 zero bytes)")
    parser.add_argument("--ctx", help="context, as hexadecimal bytes")
    parser.add_argument("--repeat", type=int, default=1, help="runs for each packet (default: %(default)s)")
    parser.add_argument("--map", action="append", default=[], metavar="NAME:KEY=VALUE",
                        help="set an entry before the first run, in hexadecimal; may be repeated")
    parser.add_argument("--timeout", type=float, default=60,
                        help="seconds that one object may take in the guest (default: %(default)s)")


def run(args: argparse.Namespace) -> None:
    """Ask, and print the answers."""
    given = [json.loads(x) for x in sys.stdin if x.strip()] if args.object == "-" else [one(args)]
    with from_environment(args.timeout) as guest:
        for case, reply in zip(given, guest.ask_all(requests(given)), strict=True):
            print(json.dumps({"object": case["object"], "program": case.get("program"), **reply}), flush=True)


def one(args: argparse.Namespace) -> dict:
    path, _, program = args.object.partition(":")
    maps: dict[str, dict[str, str]] = {}
    for text in args.map:
        name, _, pair = text.rpartition(":")
        key, _, value = pair.partition("=")
        maps.setdefault(name, {})[key] = value
    packets = [Path(x[1:]).read_bytes().hex() if x.startswith("@") else x for x in args.data or ["00" * 64]]
    runs = [{"data": data, "repeat": args.repeat, **({"ctx": args.ctx} if args.ctx else {})} for data in packets]
    return {"object": path, "program": program or None, "runs": runs, "maps": maps}


def requests(given: list[dict]) -> Iterator[dict]:
    for case in given:
        path = Path(case["object"])
        yield {
            "op": "run",
            **case,
            "object": base64.b64encode(path.read_bytes()).decode(),
            "name": path.name.split(".")[0],
        }
