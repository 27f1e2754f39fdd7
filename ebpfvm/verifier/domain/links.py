"""Linked scalars: registers that hold the same unknown value, or that value plus a constant.

What a comparison reveals about one of them holds for all. The state records which values are linked; this module only
computes what a link implies for their numbers.

Source: `adjust_reg_min_max_vals` and `sync_linked_regs`, Linux 7.2 and 6.18.y `kernel/bpf/verifier.c` (6.18.0 knew
additions of width 64 only).
"""

from __future__ import annotations

from ebpfvm.verifier.domain.arithmetic import Arithmetic
from ebpfvm.verifier.domain.num import Num, const
from ebpfvm.verifier.domain.width import S32_MAX, S32_MIN, U32_MAX


def delta(op: str, width: int, before: Num, added: Num) -> int | None:
    """Return what ``r op= added`` adds to a linked scalar, or None if the link does not survive.

    A link survives one addition or subtraction of a constant that fits in 32 bits. A second one ends it, and so does a
    source operand that is the destination itself; the caller checks both. A 32-bit addition must not lose upper bits.

    Args:
        op: "add" or "sub"; any other operation ends the link.
        width: 64 or 32.
        before: the destination before the operation.
        added: the source operand.

    >>> delta("add", 64, const(0), const(5)), delta("sub", 64, const(0), const(5)), delta("mul", 64, const(0), const(5))
    (5, -5, None)
    """
    if op not in ("add", "sub") or added.mask & (U32_MAX if width == 32 else -1):
        return None
    if width == 32:
        if before.umax > U32_MAX:
            return None
        amount = added.s32_min
    else:
        amount = added.smin
    if not S32_MIN <= amount <= S32_MAX:
        return None
    if op == "sub":
        return None if amount == S32_MIN else -amount
    return amount


def follow(arithmetic: Arithmetic, learnt: Num, difference: int, width: int) -> Num:
    """Return what is known about a linked scalar after its relative is known to be `learnt`.

    Args:
        arithmetic: how the kernel computes.
        learnt: the relative.
        difference: the scalar's delta minus that of the relative.
        width: 32 if either delta came from a 32-bit addition, else 64. Scalars of different kinds are not related.

    >>> from ebpfvm.verifier.domain.arithmetic import CIRCLES
    >>> follow(CIRCLES, const(7), -2, 64) is const(5)
    True
    """
    return arithmetic.alu["add", width](learnt, const(difference))
