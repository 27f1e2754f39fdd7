"""Errors that pass through generated code: which of its lines, and the fault that they are."""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING, Final

from ebpfvm.engine.place import locate
from ebpfvm.errors import Fault

if TYPE_CHECKING:
    from ebpfvm.kernel.program import LoadedProgram

OUT_OF_BOUNDS: Final = (struct.error, IndexError, AttributeError, ValueError, TypeError)
"""What Python raises where generated code accesses something that the program should not."""


def innermost_line(error: BaseException, file: str) -> int | None:
    """Return the number of the innermost line of `file` that `error` passed through."""
    found, tb = None, error.__traceback__
    while tb is not None:
        if tb.tb_frame.f_code.co_filename == file:
            found = tb.tb_lineno
        tb = tb.tb_next
    return found


def explained(error: Exception, prog: LoadedProgram, pc: int | None, file: str) -> Exception:
    """Return `error` with its place if it comes from the code in `file`, whose instruction there is `pc`.

    An invalid access there is one that the verifier accepted; any other error is our bug and is returned unchanged.
    """
    if isinstance(error, RecursionError):
        return Fault("call", "calls are nested too deeply")
    if not isinstance(error, Fault):
        tb = error.__traceback__
        while tb is not None and tb.tb_next is not None:
            tb = tb.tb_next
        if tb is None or tb.tb_frame.f_code.co_filename != file:
            return error
        error = Fault("memory", f"access out of bounds ({error})")
    return error if pc is None else locate(error, prog, pc)
