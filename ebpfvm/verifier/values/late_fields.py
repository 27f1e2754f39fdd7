"""Encodings that are checked only when the walk reaches an instruction (do_check_insn, kernel/bpf/verifier.c).

6.18 checks unused fields and register numbers there, in the order in which the operands are read; 7.2 only the
operation of an atomic instruction. So dead code may contain invalid instructions.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from ebpfvm.errnos import EINVAL
from ebpfvm.isa import codes as c
from ebpfvm.isa.legality import check_fields
from ebpfvm.verifier.machine import properties as p
from ebpfvm.verifier.machine.signal import Refuse
from ebpfvm.verifier.values.alu import unreadable

if TYPE_CHECKING:

    from ebpfvm.isa.insn import Insn
    from ebpfvm.verifier.machine.env import Env
    from ebpfvm.verifier.machine.walk import Step, Walk

_JUMPS = frozenset({c.BPF_JMP, c.BPF_JMP32})
_NO_OPERANDS = frozenset({c.BPF_JA, c.BPF_CALL, c.BPF_EXIT, c.BPF_JCOND})
_SOURCE_FIRST = frozenset({c.BPF_LDX, c.BPF_STX})
_COMPUTING = frozenset({c.BPF_ALU, c.BPF_ALU64})


def late(env: Env, insn: Insn) -> Step | None:
    """Return a step that refuses the instruction when it is walked, or None if its encoding is correct."""
    if env.rules.fields_checked_early and not insn.is_atomic:
        return None
    if insn.code & 7 == c.BPF_LD and not insn.is_ld_imm64 and not env.prog_type.ld_abs:
        return None  # an instruction that the type lacks is reported first
    problem = check_fields(insn, env.rules.lacks)
    branches = insn.code & 7 in _JUMPS and insn.code & 0xF0 not in _NO_OPERANDS
    if problem is not None and not branches:
        return _refusing(problem)
    read_before: int | None = None
    for number in _operands(insn):
        if number >= c.MAX_BPF_REG:
            return _refusing(f"R{number} is invalid", read_before)
        if problem is not None:  # a branch reads its first operand before it looks at its other fields
            return _refusing(problem, number)
        read_before = number
    return None


def _operands(insn: Insn) -> tuple[int, ...]:
    """Return the registers of an instruction in the order in which they are checked."""
    cls = insn.code & 7
    if cls == c.BPF_LD and not insn.is_ld_imm64:
        return ()  # LD_IND names its register only after R6 has been checked
    if cls in _SOURCE_FIRST or (cls in _COMPUTING and insn.code & c.BPF_X):
        return insn.src, insn.dst
    return (insn.dst, insn.src) if cls in _JUMPS and insn.code & c.BPF_X else (insn.dst,)


def _refusing(problem: str, read_first: int | None = None) -> Step:
    def step(w: Walk) -> int:
        if read_first is not None and w.regs[read_first] is None:
            raise unreadable(read_first)
        raise Refuse(p.INVALID_INSN, EINVAL, problem)
    return step
