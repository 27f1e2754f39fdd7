"""The path on which the verifier rejects a program, as text: what it knew before each step."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ebpfvm.lazy_dataclasses import dataclass
from ebpfvm.verifier.report import show

if TYPE_CHECKING:
    from collections.abc import Iterator

    from ebpfvm.contract.rules import Rules
    from ebpfvm.verifier.explanation.path_record import FrameRecord, PathRecorder, StepRecord


@dataclass(frozen=True, slots=True)
class WalkedStep:
    """One step of the path.

    Attributes:
        pc: slot of the instruction.
        depth: number of frames, the one that executes it included.
        known: (number of the frame, name as "R1" or "fp-8") -> what the verifier knew of it before the step, as the
            kernel's log prints it; (0, "references") are those that the program holds.
    """

    pc: int
    depth: int
    known: dict[tuple[int, str], str]


def steps(recorder: PathRecorder, rules: Rules, most: int) -> list[WalkedStep]:
    """Return the last steps of the recorded path, the oldest first, at most `most`."""
    found: list[WalkedStep] = []
    texts: dict[tuple[int, int], tuple[FrameRecord, dict[tuple[int, str], str]]] = {}
    at = recorder.last
    while at is not None and len(found) < most:
        known: dict[tuple[int, str], str] = {}
        for number, frame in enumerate(at.frames):
            key = number, id(frame)
            if key not in texts:
                texts[key] = frame, dict(_frame(frame, number, rules))
            known |= texts[key][1]
        known |= _references(at)
        found.append(WalkedStep(at.pc, len(at.frames), known))
        at = at.before
    return found[::-1]


def _frame(frame: FrameRecord, number: int, rules: Rules) -> Iterator[tuple[tuple[int, str], str]]:
    for register, value in enumerate(frame.regs):
        if value is not None:
            yield (number, f"R{register}"), show.reg(value, rules, number)
    for index, item in frame.stack.items():
        name, _, text = show.slot(index, item, rules, number).partition("=")
        if name:
            yield (number, name), text


def _references(step: StepRecord) -> dict[tuple[int, str], str]:
    ids = ", ".join(str(ref.id) for ref in step.refs if ref.id)
    return {(0, "references"): ids} if ids else {}
