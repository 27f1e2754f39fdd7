"""Recordings for tests."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ebpfvm import load, simulate
from ebpfvm.debugger.recording import Recording, StepRecorder
from ebpfvm.errors import Fault
from ebpfvm.isa.asm import assemble
from ebpfvm.limits import DEFAULTS
from ebpfvm.loader.object import Program
from ebpfvm.testrun import Session
from tests.house.tree import ROOT

if TYPE_CHECKING:
    from ebpfvm.kernel import Kernel
    from ebpfvm.scenario import Scene


def assembled(text: str, type: str = "xdp") -> Program:
    """Return a program written in assembler."""
    return Program.from_bytes(b"".join(insn.encode() for insn in assemble(text)), type)


def of_test_run(program: Program, data: bytes = bytes(64)) -> Recording:
    """Return the recording of one run on a packet, whether or not the verifier accepts the program."""
    recorder = StepRecorder(DEFAULTS)
    try:
        result = Session(program, hooks=recorder, unverified=True).run(data)
    except Fault as fault:
        return recorder.end(str(fault), fault)
    return recorder.end(f"the program returned {result.retval}")


def of_qdisc(name: str, packets: int, folder: str = "rfc") -> tuple[Recording, Kernel]:
    """Return the recording of a run of a sample, with a link that is too slow, and the kernel."""
    recorder = StepRecorder(DEFAULTS)
    scenes: list[Scene] = []
    simulate(load(ROOT / "samples" / folder / f"{name}.o"), flows=[f"cbr:rate=8mbit,packets={packets}"], rate="1mbit",
             engine="interp", hooks=recorder, prepare=scenes.append)
    return recorder.end("done"), scenes[0].simulation.kernel
