"""The interpreter, which favours clarity over speed, can be observed, and also runs unverified programs.

A program becomes a list with one closure per slot. A closure executes its instruction on the list of registers and
returns the next slot, -1 at the end of a function. Every access is checked against the region that it refers to, so
that a faulty program ends in a `Fault` that says what it did and where, and never harms anything else.

`Hooks` observe each step, each memory access and each call. Programs are only built with observed steps if there are
hooks, so that observation costs nothing when it is not used.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from ebpfvm.engine import handlers
from ebpfvm.engine.interp_run import Hooks, InterpreterRun

if TYPE_CHECKING:
    from ebpfvm.kernel.program import LoadedProgram


class Interpreter:
    """The interpreting engine.

    Args:
        budget: number of instructions that one frame of a run, and the run as a whole, may execute (default: the
            kernel's limit `run_instructions`).
        hooks: the observer.
    """

    checks: Final = True

    def __init__(self, budget: int | None = None, hooks: Hooks | None = None) -> None:
        self.budget = budget
        self.hooks = hooks

    def load(self, prog: LoadedProgram) -> InterpreterRun:
        """Prepare `prog` and set `prog.runnable`."""
        run = InterpreterRun(prog, self.budget or prog.kernel.limits.run_instructions, self.hooks)
        run.steps = handlers.build(run)
        prog.runnable = run
        return run
