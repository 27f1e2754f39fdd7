"""A program in the interpreter: its registers, its frames, and the loop over the closures that `handlers` makes."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Final

from ebpfvm.engine.common import used_up
from ebpfvm.engine.place import locate
from ebpfvm.engine.run import Run
from ebpfvm.errors import Fault
from ebpfvm.kernel.emulated import BPF_MAX_LOOPS, FRAME_SIZE
from ebpfvm.kernel.program import Thrown

if TYPE_CHECKING:
    from ebpfvm.kernel.program import Context, LoadedProgram

LOOPS: Final = 11  # index, after the registers, of the remaining may_goto iterations of this frame

Step = Callable[[list[int]], int]
"""Execute an instruction on the registers and return the next slot, -1 at the end of a function."""


class Hooks:
    """The observer of a run: override the methods that you need. `regs` is r0 to r10 and may be changed."""

    def before(self, run: InterpreterRun, pc: int, regs: list[int]) -> None:
        """Observe the state before the instruction at slot `pc`."""

    def after(self, run: InterpreterRun, pc: int, regs: list[int], next_pc: int) -> None:
        """Observe the state after the instruction; `next_pc` is -1 at the end of a function."""

    def memory(self, run: InterpreterRun, kind: str, ptr: int, size: int, value: int) -> None:
        """Observe a completed "load" or "store" of an instruction; `ptr` has not been checked before."""

    def call(self, run: InterpreterRun, name: str, args: tuple[int, ...], result: int) -> None:
        """Observe a helper or kfunc that has returned."""


class InterpreterRun(Run):
    """A program that is ready to run in the interpreter.

    Attributes:
        steps: one closure for each slot, and one after the last; the engine fills them in.
        executed: number of instructions since it was loaded.
        frames: number of frames that the current call uses.
    """

    def __init__(self, prog: LoadedProgram, budget: int, hooks: Hooks | None) -> None:
        super().__init__(prog)
        self.budget = budget
        self.hooks = hooks
        self.executed = 0
        self.frames = 0
        self._limit = 0
        self.steps: list[Step] = []

    def __call__(self, ctx: Context) -> int:
        """Run the program as `Run.__call__` does; if it runs inside itself, with separate frames."""
        frames, self.frames = self.frames, 0
        try:
            return super().__call__(ctx)
        finally:
            self.frames = frames

    def enter(self, ctx: Context, pc: int, args: tuple[int, ...]) -> int:
        """Run the function at slot `pc`."""
        env = self.env
        outer, frames, limit = env.ctx, self.frames, self._limit
        if not frames:
            self._limit = self.executed + self.budget
        env.ctx = ctx
        stack = self.prog.kernel.stack
        depth = stack.depth
        try:
            return self.function(pc, args if pc else (ctx.region.base,))
        except Thrown as thrown:
            if pc:
                raise
            stack.pop(depth)
            self.frames = frames
            return self.caught(thrown, ctx)
        finally:
            env.ctx = outer
            self.frames = frames
            self._limit = limit

    def tail(self, ctx: Context) -> int:
        """Run the program as the target of a tail call, whose frame replaces the caller's."""
        frames, self.frames = self.frames, 0
        try:
            return self.enter(ctx, 0, ())
        finally:
            self.frames = frames

    def function(self, pc: int, args: tuple[int, ...] | list[int]) -> int:
        """Run one function in a new frame and return r0.

        Raises:
            Fault: there are more frames than the kernel allows, or the function itself faults.
        """
        kernel = self.prog.kernel
        if self.frames >= kernel.dialect.rules.call_frames:
            raise Fault("call", f"{self.frames + 1} frames deep; {kernel.dialect.rules.call_frames} are allowed")
        stack = kernel.stack
        depth = stack.depth
        frame = stack.push()
        regs = [0] * 12
        regs[1:1 + len(args)] = args
        regs[10] = frame.base + FRAME_SIZE
        regs[LOOPS] = BPF_MAX_LOOPS
        self.frames += 1
        self._loop(pc, regs)
        self.frames -= 1
        stack.pop(depth)
        return regs[0]

    def _loop(self, pc: int, regs: list[int]) -> None:
        steps = self.steps
        limit = self._limit - self.executed
        n = 0
        try:
            if self.hooks is not None:
                n = self._watched(pc, regs, limit)
            else:
                for n in range(1, limit + 1):  # noqa: B007 (counted for `executed`)
                    pc = steps[pc](regs)
                    if pc < 0:
                        break
                else:
                    pc = min(pc, len(self.prog.program.insns))
                    raise used_up(self.budget)
        except Fault as fault:
            raise locate(fault, self.prog, pc, tuple(regs[:11])) from None
        finally:
            self.executed += n

    def _watched(self, pc: int, regs: list[int], limit: int) -> int:
        """Execute the loop with hooks around each step, and return the number of steps."""
        hooks, steps = self.hooks, self.steps
        assert hooks is not None
        for n in range(1, limit + 1):
            hooks.before(self, pc, regs)
            try:
                following = steps[pc](regs)
            except Fault as fault:
                raise locate(fault, self.prog, pc, tuple(regs[:11])) from None
            hooks.after(self, pc, regs, following)
            if following < 0:
                return n
            pc = following
        raise locate(used_up(self.budget),
                     self.prog, pc, tuple(regs[:11]))
