"""Names of functions: the one that an instruction belongs to, and the one that it calls."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ebpfvm.engine.place import namer
from ebpfvm.isa import codes as c

if TYPE_CHECKING:
    from ebpfvm.kernel.program import LoadedProgram


def callee(prog: LoadedProgram, pc: int) -> str:
    """Return the name of the helper, kfunc or function that slot `pc` calls, "" if it is no call."""
    program = prog.program
    insn = program.insns[pc]
    if insn.code != c.BPF_JMP | c.BPF_CALL:
        return ""
    if insn.src == c.BPF_PSEUDO_CALL:
        return program.function_at(pc + 1 + insn.imm)[1]
    return namer(prog)(insn) or ""
