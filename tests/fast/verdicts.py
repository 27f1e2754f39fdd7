"""Print what the verifier says of the objects of tests and samples; test_pure_and_compiled runs it on two packages."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from pathlib import Path

import ebpfvm
from ebpfvm.dialects import linux, rfc6
from ebpfvm.errors import EbpfvmError
from ebpfvm.loader import load
from ebpfvm.loader.object import Program
from ebpfvm.verifier import verify

ROOT = Path(__file__).resolve().parents[2]
DIALECTS = (linux((7, 2)), linux((6, 18)), rfc6((7, 2)))
MOST = 5000  # instructions; the logs of longer walks have hundreds of megabytes together


def programs() -> Iterator[tuple[str, Program]]:
    """Yield each program of the objects in tests and samples, with the object's path."""
    for path in sorted([*(ROOT / "tests").rglob("*.o"), *(ROOT / "samples").rglob("*.o")]):
        try:
            found = load(path).programs
        except EbpfvmError:
            continue  # some tests' objects are broken on purpose
        for program in found.values():
            yield str(path.relative_to(ROOT)), program


def said(program: Program) -> Iterator[str]:
    """Yield verdict, counters and the log (by its hash) of a program in each dialect, long programs in one only."""
    for dialect in DIALECTS:
        where = f"{dialect.name} {dialect.version}"
        try:
            verdict = verify(program, dialect, log_level=0)
            long = verdict.processed > MOST
            if not long:
                verdict = verify(program, dialect, log_level=2)
        except EbpfvmError as error:
            yield f"{where}: {type(error).__name__}: {error}"
            continue
        log = "\n".join(line for line in verdict.log.splitlines() if not line.startswith("verification time"))
        yield (f"{where}: {verdict.ok} {verdict.errno} {verdict.processed} {verdict.stats} "
               f"{hashlib.sha256(log.encode()).hexdigest()}")
        if long:
            return


if __name__ == "__main__":
    print(ebpfvm.__file__)
    for path, program in programs():
        for line in said(program):
            print(path, program.name, line, flush=True)
