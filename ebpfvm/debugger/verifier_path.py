"""The path on which the verifier rejects a program, as a recording: instead of values, what the verifier knew."""

from __future__ import annotations

from itertools import zip_longest
from typing import TYPE_CHECKING

from ebpfvm.debugger.recording import Executed, ProgramRun, Recording, difference
from ebpfvm.kernel import Kernel, LoadedProgram
from ebpfvm.verifier.check import walk_to_refusal

if TYPE_CHECKING:
    from ebpfvm.contract.dialect import Dialect
    from ebpfvm.debugger.watched import State
    from ebpfvm.limits import Limits
    from ebpfvm.verifier.explanation.refused_path import WalkedStep
    from ebpfvm.verifier.report.verdict import Verdict


def recording_of(verdict: Verdict, dialect: Dialect, limits: Limits) -> Recording:
    """Return the path on which a rejected program is rejected; without steps if no instruction is to blame."""
    program = verdict.program
    assert program is not None
    walked = walk_to_refusal(program, dialect, limits=limits, most=limits.debug_steps)
    prog = LoadedProgram(Kernel(dialect), program, [None] * len(program.maps))
    found = Recording(outcome=verdict.message, abstract=True)
    if walked:
        found.runs.append(ProgramRun(prog, 0, 0, 0))
        found.start.update(_state(walked[0]))
    for step, following in zip_longest(walked, walked[1:]):
        changes = difference(_state(step), _state(following)) if following is not None else ()
        found.steps.append(Executed(0, prog, step.pc, step.depth, (), changes))
    return found


def _state(step: WalkedStep) -> State:
    return {("known", frame, name): text for (frame, name), text in step.known.items()}
