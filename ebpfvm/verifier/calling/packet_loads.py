"""The packet loads of classic BPF, which end the function if the byte is missing (check_ld_abs)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ebpfvm.errnos import EINVAL
from ebpfvm.isa import codes as c
from ebpfvm.verifier.calling import frames
from ebpfvm.verifier.machine import properties as p
from ebpfvm.verifier.machine import references
from ebpfvm.verifier.machine import regs as r
from ebpfvm.verifier.machine.regs import UNKNOWN_SCALAR, known
from ebpfvm.verifier.machine.signal import Refuse
from ebpfvm.verifier.memory.regions import unmodified
from ebpfvm.verifier.values.alu import unreadable

if TYPE_CHECKING:
    from ebpfvm.isa.insn import Insn
    from ebpfvm.verifier.machine.walk import Step, Walk


def build(w: Walk, pc: int, insn: Insn) -> Step:
    """Return the step of LD_ABS or LD_IND."""
    def step(w: Walk) -> int:
        if not w.env.prog_type.ld_abs:
            raise Refuse(p.LEGACY_PACKET_LOAD, EINVAL,
                         "BPF_LD_[ABS|IND] instructions not allowed for this program type")
        regs = w.regs
        context = regs[6]
        if context is None:
            raise unreadable(6)
        # A missing byte ends the whole program, so this is an exit too.
        references.check_leaks(w, "BPF_LD_[ABS|IND]")
        if context.type != r.CTX:
            raise Refuse(p.LEGACY_PACKET_LOAD, EINVAL, "at the time of BPF_LD_ABS|IND R6 != pointer to skb")
        if insn.code & 0xE0 == c.BPF_IND:
            if insn.src >= c.MAX_BPF_REG:
                raise Refuse(p.INVALID_INSN, EINVAL, f"R{insn.src} is invalid")
            if regs[insn.src] is None:
                raise unreadable(insn.src)
        unmodified(w, context, 6)
        if w.env.rules.bars_early_end and w.in_callback():
            raise Refuse(p.NOT_IN_CALLBACK, EINVAL, "cannot use BPF_LD_[ABS|IND] within callback")
        w.clobber(w.frame)
        regs[0] = UNKNOWN_SCALAR
        return frames.may_leave(w, pc + 1, known(0)) if w.env.rules.loads_return else pc + 1
    return step

