"""Play schedules through a root qdisc over a wire that holds one packet, and record each step.

SCHEDULE.json is a case or a list of cases:

  {"qdisc": "pfifo limit 8",              as tc writes it, or "kind": "bpf_x" with "options": HEX (raw TCA_OPTIONS)
   "objects": ["fifo.o"],                 struct_ops objects to load and register first, relative to the schedule
   "setup": ["class add dev DEV ..."],    tc commands after that; DEV stands for the device
   "mtu": 9000, "hash": "mark"|"kernel",  with "mark" bpf_skb_get_hash() gives the packet's mark
   "xstats": true, "times": true,         record xstats (hex) and microseconds with each event
   "events": [{"send": {"id": 1, "len": 100, "mark": 0, "priority": 0, "tos": 0, "sport": 1000, "dport": 2000,
                        "txtime_ms": 5}},
              {"recv": true}, {"recv": true, "wait_ms": 200}, {"sleep_ms": 5},
              {"tc": "qdisc change dev DEV root pfifo limit 4"}, {"options": HEX, "kind": "bpf_x"}]}

Only "id" and "len" (at least 32 bytes, an IP packet without link header) must be given. A trace is a schedule, too: it
can be played again. Prints one JSON line for each case: the case without its objects' bytes, where each event also has

  dropped   of a send: enqueue gave NET_XMIT_DROP (the sender saw ENOBUFS); errno if the sender saw an error
  recv      of a recv: {"id", "len", "tos" if not 0} of the frame that left the wire, or null
  steps     what the kernel did, each with microseconds since the start: [us, "queue", id], [us, "enqueue", id],
            [us, "dequeue", id or null], [us, "wire", id] (handed to the device), [us, "free", id, reason]
  classes   with "classes": true: [bytes, packets, qlen, backlog, drops, overlimits] of each class
  stats     the root qdisc's counters after the event

and "options" (what the qdisc dumps as TCA_OPTIONS), "show" (text of tc -s -d qdisc, class and filter show), "end"
(packets freed when the qdisc was taken away), or "error". Further settings of a case: "clock": "tai" with
"deadline": true for etf, "tcindex": true (tc_index = mark & 15). Under $ORACLE_VIRTUAL_TIME=1, $ORACLE_SEED (1) seeds
the machine: record with two seeds and keep what is equal.

examples:
  python -m tests.oracle qdisc schedule.json
  ORACLE_VIRTUAL_TIME=1 python -m tests.oracle qdisc schedule.json --timeout 60
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
    parser.add_argument("schedule", type=Path, metavar="SCHEDULE.json", help="one case or a list of cases")
    parser.add_argument("--timeout", type=float, default=300,
                        help="seconds that one case may take in the guest (default: %(default)s)")


def run(args: argparse.Namespace) -> None:
    """Ask, and print the answers."""
    given = json.loads(args.schedule.read_text())
    cases = given if isinstance(given, list) else [given]
    with from_environment(args.timeout) as guest:
        for case, reply in zip(cases, guest.ask_all(requests(cases, args.schedule.parent)), strict=True):
            print(json.dumps({**case, **reply}), flush=True)


def requests(cases: list[dict], base: Path) -> Iterator[dict]:
    for case in cases:
        objects = [base64.b64encode((base / path).read_bytes()).decode() for path in case.get("objects", ())]
        yield {"op": "qdisc", **case, "objects": objects}
