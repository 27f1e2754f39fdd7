"""Decide comparisons by constants before the walk (prune_dead_branches, kernel/bpf/const_fold.c, Linux 7.x).

Such a comparison becomes a plain jump, to its target or to the next instruction. Paths that are then never taken have
nevertheless been considered for the constants.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from ebpfvm.ints import U64_MAX
from ebpfvm.isa import codes as c
from ebpfvm.isa.insn import Insn
from ebpfvm.isa.table import row_of
from ebpfvm.lazy_dataclasses import replace
from ebpfvm.verifier.domain import Arithmetic, arithmetic_of
from ebpfvm.verifier.domain.num import const
from ebpfvm.verifier.passes.const_regs import number

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from ebpfvm.verifier.machine.env import Env
    from ebpfvm.verifier.passes.const_regs import Value

_JUMPS: Final = frozenset({c.BPF_JMP, c.BPF_JMP32})
_PLAIN: Final = frozenset({c.BPF_JA, c.BPF_CALL, c.BPF_EXIT, c.BPF_JCOND})
_GOTO: Final = c.BPF_JMP | c.BPF_JA


def fold(env: Env, consts: Mapping[int, Sequence[Value | None]]) -> None:
    """Replace decided comparisons in the program that is walked.

    Args:
        consts: what registers hold before each comparison (`ebpfvm.verifier.passes.const_regs.compute`).
    """
    insns = list(env.program.insns)
    arithmetic = arithmetic_of(env.rules.circular_numbers, env.rules.coarse, mixed=env.rules.mixes_bounds)
    for pc, regs in consts.items():
        insn = insns[pc]
        if insn[0] & 7 in _JUMPS and insn[0] & 0xF0 not in _PLAIN:
            taken = _taken(arithmetic, insn, regs)
            if taken >= 0:
                insns[pc] = Insn(_GOTO, 0, 0, insn.off if taken else 0, 0)
    if tuple(insns) != env.program.insns:
        env.program = replace(env.program, insns=tuple(insns))


def _taken(arithmetic: Arithmetic, insn: Insn, regs: Sequence[Value | None]) -> int:
    """Return 1 for always, 0 for never, -1 for a jump that depends on the values."""
    a = number(regs[insn.dst]) if insn.dst < len(regs) else None
    b = insn.imm & U64_MAX
    if insn.code & c.BPF_X:
        known = number(regs[insn.src]) if insn.src < len(regs) else None
        if known is None:
            return -1
        b = known
    row = row_of(insn)
    if a is None or row is None:
        return -1
    return arithmetic.branch[row.op, row.width](const(a), const(b))[0]
