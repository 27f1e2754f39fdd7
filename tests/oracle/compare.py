"""`python -m tests.oracle compare`: put programs before a kernel and before ebpfvm, and count where they differ.

    python -m tests.oracle compare --programs 20000 [--seed N] [--here] [--objects FILE...]

--here asks this machine's own kernel through bpf(2) (Linux 6.18); otherwise the guest is asked. The programs are those
of `ebpfvm.testing.campaign` (generated, and generated and changed), or the programs of objects.
"""

from __future__ import annotations

import argparse
import errno
import json
import platform
import re
import time
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import replace
from itertools import islice
from pathlib import Path
from typing import NamedTuple

from ebpfvm import dialects
from ebpfvm.contract import Dialect
from ebpfvm.errors import EbpfvmError, LimitError
from ebpfvm.limits import Limits
from ebpfvm.loader.object import Program
from ebpfvm.loader.open import load
from ebpfvm.loading import prepare
from ebpfvm.testing import campaign
from ebpfvm.testing.kload import ObjectOracle, same_message
from ebpfvm.testing.oracle import OBJECT_TYPES, TYPES
from ebpfvm.verifier import Verdict, verify
from tests.oracle import cache
from tests.oracle.guest import from_environment
from tests.oracle.requests import raw

BATCH = 500
_PROCESSED = re.compile(r"processed (\d+) insns \(limit")


class Judged(NamedTuple):
    """A program and ebpfvm's verdict on it."""

    name: str
    program: Program
    ours: Verdict


class Answer(NamedTuple):
    """What a kernel said; `problem` if it could not be asked."""

    errno: int
    log: str
    problem: str = ""

    @property
    def processed(self) -> int:
        """Instructions processed, 0 where the log does not say."""
        found = _PROCESSED.search(self.log)
        return int(found[1]) if found else 0


def add(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument("--programs", type=int, default=1000, help="generated programs; default %(default)s")
    parser.add_argument("--seed", type=int, default=0, help="number of the first program")
    parser.add_argument("--here", action="store_true", help="ask this machine's kernel")
    parser.add_argument("--objects", nargs="+", type=Path, help="the programs of these objects instead")
    parser.add_argument("--seconds", type=int, default=2, help="processor time for one program; longer ones are left "
                                                               "out; default %(default)s")
    parser.add_argument("--timeout", type=float, default=120, help="seconds in the guest for one program")
    parser.add_argument("--out", type=Path, help="write each difference as a line of JSON")


def run(args: argparse.Namespace) -> None:
    """Compare, and print the counts and the differences."""
    release = platform.release() if args.here else cache.about()["kernel"]
    version = ".".join(release.split(".")[:2])
    dialect = dialects.dialect(version)
    every = from_objects(args.objects, dialect) if args.objects else generated(args.seed, args.programs, dialect)
    counts, seconds, processed = Counter[str](), [0.0], [0, 0]
    judged = judged_here(every, dialect, Limits(verifier_seconds=args.seconds), counts, seconds)
    with open(args.out or "/dev/null", "w", encoding="utf-8") as out:
        for name, ours, answer in asked(judged, dialect, args):
            if answer.problem:
                counts["not asked"] += 1
                print(f"not asked: {name}: {answer.problem[:200]}", flush=True)
                continue
            kind = compared(ours.errno, ours.message, answer)
            counts[kind] += 1
            if kind == "agreed":
                processed[0] += ours.processed
                processed[1] += answer.processed
                counts["of them with equal count"] += ours.processed == answer.processed
                if ours.processed != answer.processed:
                    print(f"count: {name}: ours {ours.processed}, theirs {answer.processed}", flush=True)
                continue
            last = [line for line in answer.log.splitlines() if line and not line.startswith("processed ")][-1:]
            print(f"{kind}: {name}: ours {ours.errno} {ours.message!r}, theirs {answer.errno} {last}", flush=True)
            out.write(json.dumps({"kind": kind, "name": name, "ours": [ours.errno, ours.message],
                                  "errno": answer.errno, "log": answer.log[-4000:]}) + "\n")
    print(f"Linux {release}: " + ", ".join(f"{count} {kind}" for kind, count in sorted(counts.items())))
    print(f"instructions processed: {processed[0]} by ebpfvm, {processed[1]} by the kernel; {seconds[0]:.0f} s of "
          "processor time in ebpfvm")


def judged_here(programs: Iterable[tuple[str, Program]], dialect: Dialect, limits: Limits, counts: Counter[str],
                seconds: list[float]) -> Iterator[Judged]:
    """Yield each program with ebpfvm's verdict; those that take too long are counted and left out."""
    for name, program in programs:
        began = time.process_time()
        try:
            yield Judged(name, program, verify(program, dialect, log_level=1, limits=limits))
        except LimitError:
            counts["long, not asked"] += 1
        finally:
            seconds[0] += time.process_time() - began


def compared(code: int, message: str, answer: Answer) -> str:
    """Return how two verdicts differ, "agreed" if they do not."""
    if "verifier bug" in answer.log:
        return "kernel's own bug"
    if bool(code) != bool(answer.errno):
        return "false reject" if code else "false accept"
    if "not supported by ebpfvm" in message:
        return "unsupported, refused by the kernel too"
    if code != answer.errno:
        return "errno"
    return "agreed" if not code or same_message(answer.log, message) else "message"


def generated(seed: int, count: int, dialect: Dialect) -> Iterator[tuple[str, Program]]:
    """Yield the programs of a campaign that are for this kernel."""
    for number in range(seed, seed + count):
        yield f"case {number}", campaign.case(number, types=tuple(TYPES), versions=(dialect.version,)).program


def from_objects(paths: list[Path], dialect: Dialect) -> Iterator[tuple[str, Program]]:
    """Yield the programs of objects whose types can be loaded without effect, each once.

    A program that was compiled to the same instructions, with the same maps, is the same program.
    """
    known: set[int] = set()
    for path in paths:
        try:
            found = load(path)
        except EbpfvmError as error:
            print(f"not read: {error}")
            continue
        for program in found.programs.values():
            if not program.type or dialect.prog_type(program.type).name not in OBJECT_TYPES:
                continue
            maps = [replace(spec, btf=None, key_type=0, value_type=0, inner=None) for spec in program.maps]
            same = hash((program.insns, program.type, program.attach_type, repr(maps)))
            if same not in known:
                known.add(same)
                yield f"{path.name}:{program.name}", prepare(program, dialect)


def asked(programs: Iterable[Judged], dialect: Dialect,
          args: argparse.Namespace) -> Iterator[tuple[str, Verdict, Answer]]:
    """Yield each program's name with ebpfvm's verdict and what the kernel says of it."""
    if args.here:
        with ObjectOracle(dialect) as oracle:
            for name, program, ours in programs:
                try:
                    judged = oracle.judge(program)
                    yield name, ours, Answer(judged.errno, judged.log)
                except EbpfvmError as error:
                    yield name, ours, Answer(0, "", str(error))
        return
    source = iter(programs)
    with from_environment(args.timeout) as guest:
        while batch := list(islice(source, BATCH)):
            replies = guest.ask_all(raw(program, dialect) for _, program, _ in batch)
            for (name, program, ours), reply in zip(batch, list(replies), strict=True):
                if reply.get("errno") == errno.ENOSPC:  # the log did not fit, which took the place of the verdict
                    reply = guest.ask(raw(program, dialect, log_level=4))
                answer = Answer(0, "", reply["error"]) if "error" in reply else Answer(reply["errno"], reply["log"])
                yield name, ours, answer
