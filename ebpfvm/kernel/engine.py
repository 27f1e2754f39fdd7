"""What a program, a map or a qdisc may know of an engine."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from ebpfvm.kernel.memory import Region
    from ebpfvm.kernel.program import LoadedProgram


class Thrown(Exception):
    """What bpf_throw does: it ends the program that runs, from any depth of its own functions.

    Attributes:
        cookie: what the program's exception callback gets, or else its result.
    """

    def __init__(self, cookie: int) -> None:
        super().__init__(cookie)
        self.cookie = cookie


class Context(Protocol):
    """What a program is run on: R1 is the address of its region."""

    @property
    def region(self) -> Region:
        """Its memory."""


class Runnable(Protocol):
    """A program in an engine, ready to run."""

    prog: LoadedProgram

    def __call__(self, ctx: Context) -> int:
        """Run it; r0 as unsigned 64 bits.

        Raises:
            Fault: it did what would crash a kernel, or ends holding a reference.
        """

    def tail(self, ctx: Context) -> int:
        """Run it in place of a running program: a tail call; the limit and the reference check are the caller's."""

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
