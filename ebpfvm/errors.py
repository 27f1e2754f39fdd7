"""The exception hierarchy: what can go wrong, and who is responsible.

==================  =======================================================================
`LoadError`         an object or a capture is malformed; names section, offset and symbol
`Rejected`          the verifier rejected a program; carries the `Verdict`
`Fault`             a program did at run time what would crash a kernel
`UsageError`        the caller asked for something impossible
`LimitError`        a named limit of `ebpfvm.limits` was reached
`InternalError`     a bug in ebpfvm
==================  =======================================================================

Values that a *program* can see (an errno, NULL) are plain integers, never exceptions.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Mapping


class EbpfvmError(Exception):
    """Base class of all exceptions that ebpfvm raises on purpose."""


class LoadError(EbpfvmError):
    """An object file or a capture cannot be read.

    Args:
        message: what is wrong and, if known, what to do about it.
        path: the file.
        section: the ELF section (or pcap block) that is malformed.
        offset: byte offset in `section`, or in the file if there is no section.
        symbol: the symbol, map or type concerned.
    """

    def __init__(self, message: str, *, path: str | None = None, section: str | None = None,
                 offset: int | None = None, symbol: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.path = path
        self.section = section
        self.offset = offset
        self.symbol = symbol

    def __str__(self) -> str:
        place = [f"section {self.section}" if self.section else "",
                 f"offset {self.offset:#x}" if self.offset is not None else "",
                 f"symbol {self.symbol!r}" if self.symbol else ""]
        where = ", ".join(part for part in place if part)
        head = f"{self.path}: " if self.path else ""
        return f"{head}{self.message}" + (f" ({where})" if where else "")


class Rejected(EbpfvmError):
    """The verifier rejected a program; `verdict` holds the message, the errno and the whole log."""

    def __init__(self, verdict: Any) -> None:
        super().__init__(verdict.message)
        self.verdict = verdict


class Fault(EbpfvmError):
    """A program did what would crash or corrupt a kernel.

    Args:
        kind: a short, stable word: "memory", "leak", "use-after-free", "budget", "opcode", ...
        message: one sentence.
        pc: index (slot) of the faulting instruction, None outside of a program.
        insn: the disassembled instruction.
        line: `file.c:LINE: text` of the C source, if the object has line info.
        regs: the registers before that instruction, r0 first.
    """

    def __init__(self, kind: str, message: str, *, pc: int | None = None, insn: str | None = None,
                 line: str | None = None, regs: tuple[int, ...] = ()) -> None:
        super().__init__(message)
        self.kind = kind
        self.message = message
        self.pc = pc
        self.insn = insn
        self.line = line
        self.regs = regs

    def at(self, pc: int, insn: str | None = None, line: str | None = None,
           regs: tuple[int, ...] = ()) -> Fault:
        """Record where the fault occurred, unless an inner frame has already done so, and return self."""
        if self.pc is None:
            self.pc, self.insn, self.line, self.regs = pc, insn, line, regs
        return self

    def __str__(self) -> str:
        text = f"{self.kind} fault: {self.message}"
        if self.pc is not None:
            text += f" at insn {self.pc}" + (f": {self.insn}" if self.insn else "")
        return text + (f" ({self.line})" if self.line else "")


class UsageError(EbpfvmError, ValueError):
    """The caller asked for something impossible: a bad unit, an unknown type or option."""


class LimitError(EbpfvmError):
    """Loading, verification or a run reached a limit of `ebpfvm.limits.Limits`.

    Args:
        message: what reached the limit, and how to raise it.
        name: the limit, a field of `Limits`.
        value: its value.

    Attributes:
        result: for a simulation, its `ebpfvm.sched.run_report.Result` up to that moment; otherwise None.
    """

    def __init__(self, message: str, *, name: str, value: int) -> None:
        super().__init__(message)
        self.name = name
        self.value = value
        self.result: Any = None


class InternalError(EbpfvmError):
    """A bug in ebpfvm: please report it with the object that provoked it.

    Args:
        details: information that helps to reproduce the bug.
    """

    def __init__(self, message: str, details: Mapping[str, object] | None = None) -> None:
        super().__init__(message)
        self.details = dict(details or {})


_KINDS: Final = ((Rejected, "rejected"), (UsageError, "usage"), (LoadError, "unreadable"), (Fault, "fault"),
                 (LimitError, "limit"))


def cause_of(error: EbpfvmError) -> EbpfvmError:
    """Return what is wrong with what a script names: an object, a program or a run, rather than the script."""
    while isinstance(error, UsageError | LoadError):
        cause = error.__cause__
        if not isinstance(cause, Rejected | Fault | LimitError | LoadError):
            break
        error = cause
    return error


def kind_of(error: EbpfvmError) -> str:
    """Return the word for the kind of an error in JSON: rejected, usage, unreadable, fault, limit or internal."""
    cause = cause_of(error)
    return next((word for kind, word in _KINDS if isinstance(cause, kind)), "internal")
