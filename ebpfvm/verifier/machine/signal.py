"""The one way a check says no."""

from __future__ import annotations

from ebpfvm.errnos import EOPNOTSUPP


class Refuse(Exception):
    """Raised by any check, caught once in `ebpfvm.verifier.verify`.

    Args:
        errno: positive.
        lines: what the log says, without line ends; the last but not least line is the verdict's message.
        pc: the instruction, None for the one being walked.
        open_end: the kernel forgot the line end, so the statistics follow on the same line.
    """

    def __init__(self, errno: int, *lines: str, pc: int | None = None, source: bool = False,
                 open_end: bool = False) -> None:
        super().__init__("\n".join(lines))
        self.errno = errno
        self.lines = lines
        self.pc = pc
        self.source = source
        self.open_end = open_end


class Unsupported(Refuse):
    """Raised for what we do not model; no kernel's words are added to it."""


def unsupported(what: str, pc: int | None = None) -> Unsupported:
    """What we do not model is refused, and the message says that it is our limit, not the kernel's."""
    return Unsupported(EOPNOTSUPP, f"{what} not supported by ebpfvm", pc=pc)
