"""Names of functions: the one that an instruction belongs to, and the one that it calls."""

from __future__ import annotations

from bisect import bisect_right
from typing import TYPE_CHECKING

from ebpfvm.engine.place import namer
from ebpfvm.isa import codes as c

if TYPE_CHECKING:
    from ebpfvm.kernel.program import LoadedProgram
    from ebpfvm.loader.object import Program


def function_at(program: Program, pc: int) -> str:
    """Return the name of the function that slot `pc` belongs to."""
    starts = sorted(program.func_names)
    at = bisect_right(starts, pc) - 1
    return program.func_names[starts[at]] if at >= 0 and starts[at] else program.name


def callee(prog: LoadedProgram, pc: int) -> str:
    """Return the name of the helper, kfunc or function that slot `pc` calls, "" if it is no call."""
    program = prog.program
    insn = program.insns[pc]
    if insn.code != c.BPF_JMP | c.BPF_CALL:
        return ""
    if insn.src == c.BPF_PSEUDO_CALL:
        return function_at(program, pc + 1 + insn.imm)
    return namer(prog)(insn) or ""
