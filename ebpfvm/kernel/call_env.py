"""What the body of a helper or kfunc receives first."""

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
    """The surroundings of a running program.

    Attributes:
        kernel, memory, refs: of the program's kernel.
        prog: the program.
        ctx: its context object.
        pc: slot of the running call, for messages; -1 where an engine does not keep it.
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
        """Call back into a program: `func_ptr` is the address of one of its functions.

        Returns:
            r0 as unsigned 64 bits.

        Raises:
            Fault: not a function; or what the function does.
        """
        return self.function(func_ptr)(*args)

    def function(self, func_ptr: int) -> Callable[..., int]:
        """The function at `func_ptr`, for a helper that calls it again and again; takes and returns what `call` does.

        Raises:
            Fault: not a function.
        """
        region = self.memory.region(func_ptr)
        target = region.owner
        if not isinstance(target, LoadedProgram):
            raise Fault("call", f"callback {func_ptr:#x} is in {region}, which is not a function")
        if target.runnable is None:
            raise UsageError(f"program {target.name} was never loaded into an engine")
        callback, pc = target.runnable.callback, func_ptr - region.base
        return lambda *args: callback(pc, args)
