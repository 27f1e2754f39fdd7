"""Load bare instructions in the guest, print the kernel's verdicts, and run what is accepted.

One call can ask thousands of lines; the answers come in the same order. A line is {"insns": HEX, ...} with any of

  type           "sched_cls" (default), "xdp", "socket_filter", "struct_ops", ... or a number
  license        "GPL"
  log_level      1 (default), 2, 4, 0
  maps           [{"type": "array", "key": 4, "value": 8, "entries": 1, "flags": 0, "extra": 0, "name": "",
                   "contents": {KEY: VALUE}, "frozen": false, "inner": {...}, "btf": HEX, "key_type", "value_type"}]
                 An ld_imm64 with src_reg 1 (map) or 2 (value) names a map by its index here, in imm.
  kfuncs         ["bpf_obj_new_impl", ...]: a call with src_reg 2 names one by its index, in imm
  attach_type, attach_btf_id, prog_flags
                 numbers; attach_struct: "Qdisc_ops" (then attach_type is the member's index)
  btf, func_info, line_info
                 HEX, as BPF_BTF_LOAD and BPF_PROG_LOAD take them
  runs           [{"data": HEX, "ctx": HEX, "repeat": 1}]: BPF_PROG_TEST_RUN, where accepted
  anything else  (an id, a name) is handed through

An answer has the line's other fields and verdict, errno, log; with runs, also runs [{errno, retval, data, ctx, ns}] and
maps.

examples:
  python -m tests.oracle raw programs.jsonl
  echo '{"insns": "b7000000000000009500000000000000"}' | python -m tests.oracle raw
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterator

from tests.oracle.guest import from_environment

KNOWN = {
    "insns",
    "type",
    "license",
    "log_level",
    "maps",
    "kfuncs",
    "attach_type",
    "attach_btf_id",
    "prog_flags",
    "attach_struct",
    "btf",
    "func_info",
    "line_info",
    "runs",
}


def add(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument("file", nargs="?", type=argparse.FileType("r"), default=sys.stdin,
                        help="lines to ask (default: standard input)")
    parser.add_argument("--timeout", type=float, default=60,
                        help="seconds that one program may take in the guest (default: %(default)s)")


def run(args: argparse.Namespace) -> None:
    """Ask, and print the answers."""
    others: list[dict] = []

    def requests() -> Iterator[dict]:
        for line in args.file:
            if line.strip():
                given = json.loads(line)
                others.append({k: v for k, v in given.items() if k not in KNOWN})
                yield {"op": "raw", **{k: v for k, v in given.items() if k in KNOWN}}

    with from_environment(args.timeout) as guest:
        for number, reply in enumerate(guest.ask_all(requests())):
            if "error" in reply:
                reply = {"verdict": "no answer", **reply}
            print(json.dumps({**others[number], **reply}), flush=True)
