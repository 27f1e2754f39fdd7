"""Record what a guest's kernel offers to each kind of section: helpers, kernel functions, and each byte of the context.

The answers have the form of tests/data/callable.json.gz and contexts.json.gz, for one version. It takes about ten
minutes.

examples:
  python -m tests.oracle tables --kernel 6.12 /tmp/offered_6_12.json.gz
  python -m tests.oracle tables --kernel 6.1 --timeout 120 /tmp/offered_6_1.json.gz
"""

from __future__ import annotations

import argparse
import gzip
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from ebpfvm.btf import types as t
from ebpfvm.btf.parse import parse
from ebpfvm.dialects import linux
from ebpfvm.isa.insn import Insn
from ebpfvm.loader.object import Program
from ebpfvm.loader.sections import classify
from tests.oracle import cache
from tests.oracle.guest import from_environment
from tests.oracle.requests import raw

DATA = Path(__file__).resolve().parents[1] / "data"
HELPERS = range(1, 212)
SIZES = {1: 0x10, 2: 0x08, 4: 0x00, 8: 0x18}
LETTERS = {"scalar": "s", "pkt": "p", "pkt_meta": "m", "pkt_end": "e", "sock_common_or_null": "c", "sock_or_null": "n",
           "sock": "k", "flow_keys": "f", "tp_buffer": "t", "ptr_": "b", "trusted_ptr_": "b"}
NOT_ABOUT_THE_ACCESS = re.compile(r"At program exit|R0 ")
EXIT = (Insn(0xB7, 0, 0, 0, 1), Insn(0x95))


def add(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    cache.add_kernel(parser)
    parser.add_argument("out", type=Path, help="file to write, which ends in .json.gz")
    parser.add_argument("--timeout", type=float, default=60,
                        help="seconds that one question may take in the guest (default: 60)")


def run(args: argparse.Namespace) -> None:
    """Ask everything, and write the answers."""
    cache.choose(args.kernel)
    functions = functions_of(cache.part("vmlinux.btf").read_bytes())
    lengths = {section: len(rows["r1"]) - 8 for section, rows in recorded("contexts")["7.2"].items()}
    found: dict[str, Any] = {}
    with from_environment(args.timeout) as guest:
        def ask(questions: list[Program], level: int = 1) -> list[dict[str, Any]]:
            return list(guest.ask_all(raw(program, linux(), level) for program in questions))

        for section, length in lengths.items():
            if not ask([program(section, *EXIT)])[0]["log"]:
                print(f"{section}: there is none", flush=True)
                continue
            calls = [program(section, Insn(0x85, 0, 0, 0, number), *EXIT) for number in HELPERS]
            helpers = [number for number, reply in zip(HELPERS, ask(calls), strict=True)
                       if not re.search("cannot use helper|unknown func|invalid func", reply["log"])]
            calls = [program(section, Insn(0x85, 0, 2, 0, 1), *EXIT, kfunc=name) for name in functions]
            kfuncs = ["-+"[not re.search("is not allowed", reply["log"])] + name
                      for name, reply in zip(functions, ask(calls), strict=True)]
            found[section] = {"helpers": helpers, "kfuncs": " ".join(kfuncs)}
            for way in ("r", "w"):
                for size in SIZES:
                    accesses = list(accesses_of(section, way, size, length))
                    replies = iter(ask([made for made in accesses if made is not None], 2))
                    found[section][f"{way}{size}"] = "".join(
                        " " if made is None else letter(next(replies), way) for made in accesses)
            print(f"{section}: {len(helpers)} helpers, {sum(name[0] == '+' for name in kfuncs)} kernel functions",
                  flush=True)
    text = json.dumps({"kernel": cache.about()["kernel"], "sections": found}, separators=(",", ":"))
    args.out.write_bytes(gzip.compress(text.encode(), mtime=0))


def recorded(name: str) -> dict[str, Any]:
    """Return a record of 6.18 and 7.2."""
    return json.loads(gzip.decompress((DATA / f"{name}.json.gz").read_bytes()))


def functions_of(data: bytes) -> list[str]:
    """Return the functions of a kernel that might be kernel functions: those that some version has."""
    btf = parse(data, check=False)
    names = {btf[number].name for number in btf.find_kind(t.Kind.FUNC)} if hasattr(btf, "find_kind") else {
        item.name for item in (btf[number] for number in range(1, len(btf))) if isinstance(item, t.Func)}
    known = {name for version in ((6, 18), (7, 2)) for name in (*linux(version).kfuncs, *linux(version).unmodelled)}
    return sorted(name for name in names if name in known or name.startswith("bpf_kptr_get"))


def program(section: str, *insns: Insn, kfunc: str = "") -> Program:
    """Return a program of a section."""
    kind = classify(section)
    return Program("p", insns, kind.type, section, kind.attach, "GPL", kfuncs={1: kfunc} if kfunc else {},
                   sleepable=kind.sleepable, flags=kind.flags, attach_type=kind.attach_type)


def accesses_of(section: str, way: str, size: int, length: int) -> Iterator[Program | None]:
    """Yield a program for each offset from -8 on, None for those that are not aligned."""
    for off in range(-8, length):
        if off % size:
            yield None
        elif way == "r":
            yield program(section, Insn(0x61 | SIZES[size], 2, 1, off), *EXIT)
        else:
            yield program(section, Insn(0xB7, 2), Insn(0x63 | SIZES[size], 1, 2, off), *EXIT)


def letter(reply: dict[str, Any], way: str) -> str:
    """Return the character for an access: "." if it is refused."""
    log = reply["log"]
    lines = [line for line in log.splitlines() if line and not line.startswith("processed ")]
    if reply["errno"] and not NOT_ABOUT_THE_ACCESS.search(lines[-1] if lines else ""):
        return "."
    if way == "w":
        return "w"
    found = re.search(r"R2(?:_w|_rw|_r)?=(P?-?\d+\b|inv|[a-z_]*)", log)
    word = found[1] if found else ""
    return LETTERS.get(word) or ("s" if word in ("inv", "") or word.lstrip("P-").isdigit() else
                                 "b" if word.startswith(("ptr_", "trusted_ptr_")) else "?")
