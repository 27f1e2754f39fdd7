"""Runs on either engine: entry, tail calls, callbacks, and the cleanup of ledger and stack when a run ends."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ebpfvm.errors import Fault
from ebpfvm.kernel.call_env import CallEnv
from ebpfvm.kernel.program import Thrown
from ebpfvm.kernel.refs import CTX_HOLDER, PROGRAM, RefCounted

if TYPE_CHECKING:
    from ebpfvm.kernel.program import Context, LoadedProgram


class Run:
    """A program in an engine.

    Attributes:
        prog: the program.
        env: the environment that the bodies of helpers and kfuncs receive.
    """

    def __init__(self, prog: LoadedProgram) -> None:
        self.prog = prog
        self.env = CallEnv(prog)
        self._kernel = prog.kernel

    def enter(self, ctx: Context, pc: int, args: tuple[int, ...]) -> int:
        """Run the function at slot `pc`; the program itself (slot 0) gets the address of `ctx`."""
        raise NotImplementedError

    def caught(self, thrown: Thrown, ctx: Context) -> int:
        """Return the result of a program that has thrown: that of its exception callback, or the cookie itself."""
        if self.prog.catches:
            return self.enter(ctx, self.prog.catches, (thrown.cookie,))
        return thrown.cookie

    def __call__(self, ctx: Context) -> int:
        """Run the program and return r0 as unsigned 64 bits.

        Raises:
            Fault: with the place; a reference that is still held at the end is a "leak".
        """
        kernel = self._kernel
        tail_calls, kernel.tail_calls = kernel.tail_calls, 0
        result = self._guarded(ctx, 0, ())
        kernel.tail_calls = tail_calls
        return result

    def tail(self, ctx: Context) -> int:
        """Run the program in place of another one (a tail call); its frame replaces the caller's."""
        return self.enter(ctx, 0, ())

    def callback(self, pc: int, args: tuple[int, ...]) -> int:
        """Call the function at slot `pc`; it must release the references that it acquires before it returns.

        Raises:
            Fault: there is no such slot, or the function itself faults.
        """
        if not 0 <= pc < len(self.prog.program.insns):
            raise Fault("call", f"callback to slot {pc}, which the program does not have")
        return self._guarded(self.env.ctx, pc, args)

    def leave(self, held: int, result: int, pc: int = 0) -> None:
        """Check the references that the program holds at its end; what it should return passes to its caller.

        Raises:
            Fault: "leak", as `Refs.program_exit` does.
        """
        refs, kind = self._kernel.refs, self.prog.type
        if kind is not None and kind.gives and not pc and result:
            found = self._kernel.memory.owner(result)
            if isinstance(found, RefCounted):
                refs.move(found, PROGRAM, CTX_HOLDER)
        refs.program_exit(held, self.prog.name)

    def _guarded(self, ctx: Context, pc: int, args: tuple[int, ...]) -> int:
        """Run the program, and restore stack and ledger afterwards."""
        kernel = self._kernel
        refs, stack = kernel.refs, kernel.stack
        held, depth = refs.held, stack.depth
        try:
            result = self.enter(ctx, pc, args)
            if refs.held > held:
                self.leave(held, result, pc)
        except (Fault, RecursionError) as error:
            refs.abandon(held, self.prog.name)
            stack.pop(depth)
            if isinstance(error, RecursionError):
                raise Fault("call", "calls are nested too deeply") from None
            raise
        if not depth and (kernel.memory.retired or kernel.memory.retired_bytes):
            kernel.memory.quiesce()
        return result
