"""The interface of an engine, as far as a program, a map or a qdisc may know it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from ebpfvm.kernel.memory import Region
    from ebpfvm.kernel.program import LoadedProgram


class Thrown(Exception):
    """Raised by bpf_throw: it ends the running program from any depth of its own functions.

    Attributes:
        cookie: argument of the program's exception callback, or the program's result if it has none.
    """

    def __init__(self, cookie: int) -> None:
        super().__init__(cookie)
        self.cookie = cookie


class Context(Protocol):
    """What a program runs on: R1 is the address of its region."""

    @property
    def region(self) -> Region:
        """The memory of the context."""


class Runnable(Protocol):
    """A program in an engine, ready to run."""

    prog: LoadedProgram

    def __call__(self, ctx: Context) -> int:
        """Run the program and return r0 as unsigned 64 bits.

        Raises:
            Fault: it did what would crash a kernel, or ends while it holds a reference.
        """

    def tail(self, ctx: Context) -> int:
        """Run the program in place of a running one (a tail call); the caller checks the limit and the references."""

    def callback(self, pc: int, args: tuple[int, ...]) -> int:
        """Call the function that starts at slot `pc` with up to five arguments."""


class Engine(Protocol):
    """Makes loaded programs runnable.

    Attributes:
        checks: it checks every access, so it may run programs that were not verified.
    """

    @property
    def checks(self) -> bool: ...

    def load(self, prog: LoadedProgram) -> Runnable:
        """Prepare `prog` and set `prog.runnable`."""
