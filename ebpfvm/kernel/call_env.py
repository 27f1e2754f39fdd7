"""The environment that the body of a helper or kfunc receives as its first argument."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ebpfvm.errors import Fault, UsageError
from ebpfvm.kernel.program import LoadedProgram

if TYPE_CHECKING:
    from collections.abc import Callable

    from ebpfvm.kernel.emulated import Kernel
    from ebpfvm.kernel.memory import Memory
    from ebpfvm.kernel.refs import Refs


class CallEnv:
    """The environment of a running program.

    Attributes:
        kernel, memory, refs: the program's kernel, and its memory and references.
        prog: the program.
        ctx: its context object.
        pc: slot of the call in progress, for messages; -1 if an engine does not track it.
    """

    __slots__ = ("ctx", "kernel", "memory", "pc", "prog", "refs")

    def __init__(self, prog: LoadedProgram, ctx: Any = None) -> None:
        self.kernel: Kernel = prog.kernel
        self.memory: Memory = prog.kernel.memory
        self.refs: Refs = prog.kernel.refs
        self.prog = prog
        self.ctx = ctx
        self.pc = -1

    def call(self, func_ptr: int, *args: int) -> int:
        """Call a function of the program by its address `func_ptr`.

        Returns:
            r0 as unsigned 64 bits.

        Raises:
            Fault: it is not a function, or the function itself faults.
        """
        return self.function(func_ptr)(*args)

    def function(self, func_ptr: int) -> Callable[..., int]:
        """Return the function at `func_ptr`, for a helper that calls it repeatedly; it behaves like `call`.

        Raises:
            Fault: it is not a function.
        """
        region = self.memory.region(func_ptr)
        target = region.owner
        if not isinstance(target, LoadedProgram):
            raise Fault("call", f"callback {func_ptr:#x} is in {region}, which is not a function")
        if target.runnable is None:
            raise UsageError(f"program {target.name} was never loaded into an engine")
        callback, pc = target.runnable.callback, func_ptr - region.base
        return lambda *args: callback(pc, args)
