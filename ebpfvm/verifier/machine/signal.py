"""The only way in which a check refuses a program."""

from __future__ import annotations

from ebpfvm.errnos import EOPNOTSUPP
from ebpfvm.verifier.machine import properties as p


class Refuse(Exception):
    """A check refuses the program; caught only in `ebpfvm.verifier.verify`.

    Args:
        property: what the program violates.
        errno: positive.
        lines: lines of the log, without line ends; the verdict's message is the last one, or the one before it.
        pc: the instruction, None for the current one of the walk.
        open_end: the kernel forgot the line end, so that the statistics follow on the same line.
        reg: the register that holds what is wrong, None if the instruction or its result is wrong.
    """

    def __init__(self, property: p.Property, errno: int, *lines: str, pc: int | None = None, source: bool = False,
                 open_end: bool = False, reg: int | None = None) -> None:
        super().__init__("\n".join(lines))
        self.property = property
        self.errno = errno
        self.lines = lines
        self.pc = pc
        self.source = source
        self.open_end = open_end
        self.reg = reg

    def about(self, reg: int) -> Refuse:
        """Return the refusal itself, about a register unless it says so already."""
        if self.reg is None:
            self.reg = reg
        return self


class Unsupported(Refuse):
    """The program needs something that is not modelled; no text of the kernel is added to the message."""


def unsupported(what: str, pc: int | None = None) -> Unsupported:
    """Return a refusal that says that the limit is ebpfvm's, not the kernel's."""
    return Unsupported(p.UNSUPPORTED, EOPNOTSUPP, f"{what} not supported by ebpfvm", pc=pc)
