"""Breakpoints: where a cursor stops on its way through a recording.

======================  ============================================================================================
`LINE`, `FILE:LINE`     before the first instruction of a C line
`*SLOT`                 before the instruction in a slot; `PROGRAM:*SLOT` for one program only
`call NAME`             before a call of a helper, kfunc or function
`map NAME`              after an instruction that changed a map
`packet N`              where a program begins to run on packet N
`run NAME`              where a program begins to run
`fault`                 before the instruction that faults, or that the verifier rejects
======================  ============================================================================================
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from ebpfvm.debugger.function_names import callee
from ebpfvm.errors import UsageError
from ebpfvm.lazy_dataclasses import dataclass

if TYPE_CHECKING:
    from collections.abc import Callable

    from ebpfvm.debugger.recording import Recording

    Test = Callable[[Recording, int], bool]

FORMS: Final = "LINE, FILE:LINE, *SLOT, PROGRAM:*SLOT, call NAME, map NAME, packet N, run NAME or fault"


@dataclass(frozen=True, slots=True)
class Stop:
    """A breakpoint.

    Attributes:
        text: as it was given.
        applies: returns whether it stops before a step of a recording, or at the end if that is the number of steps.
    """

    text: str
    applies: Test


def parse_stop(text: str) -> Stop:
    """Return the breakpoint that `text` describes.

    Raises:
        UsageError: there is no such form.
    """
    word, _, rest = text.strip().partition(" ")
    rest = rest.strip()
    named = {"call": _call, "map": _map, "run": _run}
    if word in named and rest:
        return Stop(text, named[word](rest))
    if word == "packet" and rest.isdecimal():
        return Stop(text, _packet(int(rest)))
    if text.strip() == "fault":
        return Stop(text, _fault)
    program, star, slot = text.strip().rpartition("*")
    if star and slot.isdecimal() and (not program or program.endswith(":")):
        return Stop(text, _slot(program[:-1], int(slot)))
    file, _, line = text.strip().rpartition(":")
    if line.isdecimal():
        return Stop(text, _line(file, int(line)))
    raise UsageError(f"break {text}: expected {FORMS}")


def _line(file: str, line: int) -> Test:
    def is_there(recording: Recording, at: int) -> bool:
        step = recording.steps[at]
        found = step.prog.program.line_at(step.pc)
        return found is not None and found.line == line and (not file or f"/{found.file}".endswith(f"/{file}"))

    def test(recording: Recording, at: int) -> bool:
        steps = recording.steps
        if at >= len(steps) or not is_there(recording, at):
            return False
        # A line is entered from elsewhere, or again from its own end.
        return not at or not is_there(recording, at - 1) or steps[at - 1].depth != steps[at].depth \
            or steps[at - 1].pc >= steps[at].pc
    return test


def _slot(program: str, pc: int) -> Test:
    def test(recording: Recording, at: int) -> bool:
        if at >= len(recording.steps):
            return False
        step = recording.steps[at]
        return step.pc == pc and (not program or step.prog.name == program)
    return test


def _call(name: str) -> Test:
    def test(recording: Recording, at: int) -> bool:
        if at >= len(recording.steps):
            return False
        step = recording.steps[at]
        return callee(step.prog, step.pc) == name
    return test


def _map(name: str) -> Test:
    def test(recording: Recording, at: int) -> bool:
        return at > 0 and any(key[:2] == ("map", name) for key, _, _ in recording.steps[at - 1].changes)
    return test


def _packet(number: int) -> Test:
    return lambda recording, at: any(run.first == at and run.packet == number for run in recording.runs)


def _run(name: str) -> Test:
    return lambda recording, at: any(run.first == at and run.prog.name == name for run in recording.runs)


def _fault(recording: Recording, at: int) -> bool:
    return (recording.fault is not None or recording.abstract) and at == len(recording.steps) - 1
