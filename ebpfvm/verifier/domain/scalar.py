"""`Scalar`: a number in a register, with what ties it to other registers.

Copies of a scalar share an `id`, so that what a later comparison says of one is learnt for all. A copy to which a
constant was added stays in the group with its `delta`. `precise` says that the exact number has mattered for the
safety of the program; only the pruning of states asks for it.

Source: `assign_scalar_id_before_mov`, `adjust_reg_min_max_vals`, `sync_linked_regs`, Linux 6.18 and 7.2
`kernel/bpf/verifier.c`.
"""

from __future__ import annotations

from typing import NamedTuple

from ebpfvm.verifier.domain import format as fmt
from ebpfvm.verifier.domain.num import UNKNOWN, Num, const
from ebpfvm.verifier.domain.rules import Rules
from ebpfvm.verifier.domain.width import S32_MAX, S32_MIN, U32_MAX


class Scalar(NamedTuple):
    """A scalar register or spilled scalar. Immutable; `_replace` gives a changed copy.

    Attributes:
        num: which numbers it may be.
        id: group of linked scalars, 0 for none.
        link: 0 if it equals its group's base; 64 or 32 if `delta` was added to it by an addition of that width.
        delta: what was added; 0 if `link` is 0.
        precise: the exact number has mattered.
    """

    num: Num
    id: int = 0
    link: int = 0
    delta: int = 0
    precise: bool = False

    def __str__(self) -> str:
        return fmt.format_scalar(self.num, self.id, self.delta if self.link else None, self.precise)


UNKNOWN_SCALAR = Scalar(UNKNOWN)


def known(value: int) -> Scalar:
    """The scalar `value`, linked to nothing."""
    return Scalar(const(value))


def unlinked(scalar: Scalar) -> Scalar:
    """`scalar` outside any group (`clear_scalar_id`)."""
    return scalar if not scalar.id else Scalar(scalar.num, precise=scalar.precise)


def needs_id(scalar: Scalar) -> bool:
    """Has `scalar` to get a new id before ``r1 = r2`` copies it? Constants need none: they are known anyway.

    A scalar that already carries a delta starts a new group, since groups have one base.
    """
    return scalar.num.mask != 0 and (not scalar.id or scalar.link != 0)


def with_id(scalar: Scalar, id: int) -> Scalar:
    """`scalar` as the base of the new group `id`."""
    return Scalar(scalar.num, id, precise=scalar.precise)


def after_add(rules: Rules, old: Scalar, num: Num, op: str, width: int, added: Num, itself: bool = False) -> Scalar:
    """The destination of ``r += x`` or ``r -= x``: it stays linked if x is a constant that fits.

    Args:
        rules: the kernel version.
        old: the destination before.
        num: its number after.
        op: "add" or "sub"; any other operation ends the link.
        width: 64 or 32.
        added: x.
        itself: x is the destination itself.
    """
    delta = None if itself or not old.id or old.link else _delta(rules, old.num, op, width, added)
    if delta is None:
        return Scalar(num, precise=old.precise)
    return Scalar(num, old.id, width, delta, old.precise)


def _delta(rules: Rules, before: Num, op: str, width: int, added: Num) -> int | None:
    """What ``op`` with `added` adds, if the kernel remembers it."""
    if op not in ("add", "sub"):
        return None
    if rules.version == "6.18":
        if op == "sub" or width == 32 or added.mask or added.value > S32_MAX:
            return None
        return added.value
    if added.mask & (U32_MAX if width == 32 else -1):
        return None
    if width == 32:
        delta = added.s32_min
        if before.umax > U32_MAX:
            return None
    else:
        delta = added.smin
        if not S32_MIN <= delta <= S32_MAX:
            return None
    if op == "sub":
        return None if delta == S32_MIN else -delta
    return delta


def sync_linked(rules: Rules, scalar: Scalar, learnt: Scalar) -> Scalar:
    """`scalar` of the same group as `learnt`, after a comparison has told something of `learnt`.

    With equal deltas it becomes a copy; else its number is that of `learnt` with the difference of the deltas added.
    Returns `scalar` itself where the two are not in one group.
    """
    if not learnt.id or scalar.id != learnt.id or {scalar.link, learnt.link} == {32, 64}:
        return scalar
    if (not scalar.link and not learnt.link) or scalar.delta == learnt.delta:
        return learnt
    width = 32 if 32 in (scalar.link, learnt.link) else 64
    difference = const(scalar.delta - learnt.delta)
    return learnt._replace(num=rules.alu["add", width](learnt.num, difference), link=scalar.link, delta=scalar.delta)
