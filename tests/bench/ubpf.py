"""uBPF's interpreter as a contender (optional): compiled with the machine's libubpf, with maps of our own in C."""

from __future__ import annotations

import json
import struct
import subprocess
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from ebpfvm.isa.insn import encode
from tests.bench.figures import Missing
from tests.bench.native import compiled

if TYPE_CHECKING:
    from collections.abc import Callable

    from ebpfvm.loader.object import Program

INSTALL = "install uBPF (github.com/iovisor/ubpf), so that the compiler finds ubpf.h and libubpf"
_MAP_TYPES = {"hash": 1, "array": 2, 1: 1, 2: 2}


def contestant(found: Program, packet: bytes) -> Callable[[int], tuple[int, float]]:
    """Return a function that runs `found` on `packet` so many times and returns (r0, microseconds per run).

    Raises:
        Missing: there is no libubpf, or it does not take the program.
    """
    binary = compiled("ubpf_run.c", "cc", ["-lubpf", "-lm"], INSTALL)
    question = _question(found, packet)

    def run(repeat: int) -> tuple[int, float]:
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "question"
            path.write_bytes(question)
            done = subprocess.run([binary, path, str(repeat)], capture_output=True, text=True, check=False)
        if done.returncode:
            raise Missing(f"libubpf: {done.stderr.strip() or 'the run failed'}")
        answer = json.loads(done.stdout)
        return answer["r0"], answer["seconds"] / repeat * 1e6
    return run


def _question(found: Program, packet: bytes) -> bytes:
    """Return program, maps and packet as tests/bench/ubpf_run.c reads them: three counts, then the parts."""
    insns = encode([insn._replace(src=0) if insn.is_ld_imm64 else insn for insn in found.insns])
    maps = b"".join(struct.pack("<IIII", _MAP_TYPES[spec.type], spec.key_size, spec.value_size, spec.max_entries)
                    for spec in found.maps)
    return struct.pack("<III", len(insns), len(found.maps), len(packet)) + insns + maps + packet
