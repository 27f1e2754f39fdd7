"""Decide whether a kept state subsumes the current one (states_equal and what it calls; kernel/bpf/states.c).

There are three comparisons. `NOT_EXACT`: the old state subsumes the current one, where imprecise numbers are not
compared. `WITHIN`: the same with imprecise numbers compared, inside of loops that are not finished. `EXACT`: both
states are the same, to find endless loops.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from ebpfvm.verifier.machine import regs as r
from ebpfvm.verifier.machine.regs import ADD_CONST, SCALAR, UNKNOWN_SCALAR, Reg
from ebpfvm.verifier.machine.state import (
    ALL_SPILL,
    DYN,
    INVALID,
    IRQ,
    ITER,
    MISC,
    POISON,
    SPILL,
    DynptrState,
    IterState,
    Slot,
)

if TYPE_CHECKING:
    from ebpfvm.contract.rules import Rules
    from ebpfvm.verifier.domain.arithmetic import Arithmetic
    from ebpfvm.verifier.machine.state import Frame, State

NOT_EXACT, EXACT, WITHIN = 0, 1, 2
Place = tuple[int, int]
"""A frame, and in it a register or an inverted slot (~slot)."""
NOWHERE: Final = (-1, 0)  # no place in particular
_MEMORY = frozenset({r.MAP_KEY, r.MAP_VALUE, r.MEM, r.BUF, r.TP_BUFFER})
_EMPTY = bytes(8)
_POISON, _INVALID = bytes([POISON]), bytes([INVALID])
_PLAIN = frozenset({MISC, INVALID, POISON})
_NOTHING = Slot(_EMPTY)
_ANYTHING = frozenset(bytes([kind] * 8) for kind in _PLAIN)  # most slots without information; see `_slot`
_KEPT: Final = 1024
_same_kinds: dict[tuple[bytes, bytes], bool] = {}  # only saves work


class Ids:
    """The correspondence between ids of the old and of the current state, which is one to one (check_ids)."""

    __slots__ = ("map", "used")

    def __init__(self) -> None:
        self.map: dict[int, int] = {}
        self.used: set[int] = set()

    def same(self, old: int, cur: int) -> bool:
        """Return whether both are none, or both are the same thing."""
        if not old or not cur:
            return old == cur
        known = self.map.get(old)
        if known is not None:
            return known == cur
        if cur in self.used:
            return False
        self.map[old] = cur
        self.used.add(cur)
        return True


class Comparison(Ids):
    """One comparison of two states, with the ids that have been found to correspond; reused for later comparisons.

    Attributes:
        arithmetic: how numbers are compared.
        exact: NOT_EXACT, WITHIN or EXACT.
        lone: whether numbers without an id in the old state may be linked to anything now.
        halves: whether halves of slots are compared separately.
        parents: whether the dynptr that a slice was taken from is compared like other ids, and not literally.
        depths: whether the stacks now must be as deep, because nobody may read below.
        kinds: whether registers without a value, and the kinds of all bytes of the stack, must be the same.
    """

    __slots__ = ("_fresh", "_strict", "arithmetic", "depths", "exact", "halves", "kinds", "lone", "parents")

    def __init__(self, arithmetic: Arithmetic, rules: Rules) -> None:
        super().__init__()
        self.arithmetic = arithmetic
        self.lone = rules.clears_lone_ids
        self.halves = rules.compares_halves
        self.depths = not rules.reads_grow_stack
        self.parents = rules.reference_tree
        self._strict = rules.strict_in_loops
        self.ask(NOT_EXACT, 0)

    def ask(self, exact: int, fresh: int) -> None:
        """Start a comparison of two other states; `fresh` is above all ids that are in use."""
        self.exact = exact
        self.kinds = self._strict and exact != NOT_EXACT
        self._fresh = fresh
        if self.map:
            self.forget()

    def forget(self) -> None:
        """Forget which ids correspond."""
        self.map.clear()
        self.used.clear()

    def same_scalar(self, old: int, cur: int) -> bool:
        """Return whether scalars that were linked in the old state are linked now (check_scalar_ids).

        Scalars that were linked to nothing may be linked now: to anything if `lone`, otherwise each to a different
        id (6.18).
        """
        if not old:
            if self.lone or not cur:
                return True
            self._fresh += 1
            old = self._fresh
        if not cur:
            self._fresh += 1
            cur = self._fresh
        if not self.same(old, cur):
            return False
        return not old & ADD_CONST or self.same(old & ~ADD_CONST, cur & ~ADD_CONST)


def differs(how: Comparison, live: list[tuple[int, ...]], old: State, cur: State, place: Place) -> bool:
    """Return whether the value at `place` alone shows that `old` does not subsume `cur`; no ids may correspond yet.

    Args:
        live: numbers of the registers of each frame that are read later.
        old, cur: states that came through the same calls.
    """
    at, number = place
    if at >= len(live):
        return False
    a, b = old.frames[at], cur.frames[at]
    if number >= 0:
        was = a.regs[number]
        if was is None and (how.kinds or how.exact == EXACT):
            return False
        if number not in live[at]:
            return False
        found = not safe(how, was, b.regs[number], bool(a.precise_regs >> number & 1))
    else:
        slot = a.stack.get(~number)
        if slot is None or slot.types in _ANYTHING:
            return False
        found = not _slot(how, slot, b.stack.get(~number), bool(a.precise_stack >> ~number & 1))
    if how.map:
        how.forget()
    return found


def difference(how: Comparison, live: list[tuple[int, ...]], old: State, cur: State) -> Place | None:
    """Return None if `old` subsumes `cur`, as the module describes; otherwise a place where they differ.

    Args:
        live: numbers of the registers of each frame that are read later.
        old, cur: states that came through the same calls.
    """
    if old.in_sleepable != cur.in_sleepable or not _refs(how, old, cur):
        return NOWHERE
    for at, (a, b, numbers) in enumerate(zip(old.frames, cur.frames, live, strict=True)):
        if a.callback_depth > b.callback_depth:
            return NOWHERE
        found = _registers(how, numbers, a, b)
        if found is None:
            found = _stack(how, a, b)
        if found is not None:
            return at, found
    return None


def _refs(how: Comparison, old: State, cur: State) -> bool:
    if len(old.refs) != len(cur.refs) or old.locks != cur.locks or old.preempt != cur.preempt or old.rcu != cur.rcu:
        return False
    if (old.irq_id or cur.irq_id) and not how.same(old.irq_id, cur.irq_id):
        return False
    (lock, owner), (lock_now, owner_now) = old.active_lock, cur.active_lock
    if owner is not owner_now or ((lock or lock_now) and not how.same(lock, lock_now)):
        return False
    for a, b in zip(old.refs, cur.refs, strict=True):
        if a.kind != b.kind or a.ptr is not b.ptr or not how.same(a.id, b.id):
            return False
        if bool(a.parent) != bool(b.parent) or not how.same(a.parent, b.parent):
            return False
    return True


def _registers(how: Comparison, live: tuple[int, ...], a: Frame, b: Frame) -> int | None:
    """Return the register that differs, or None."""
    old_regs, cur_regs, precise = a.regs, b.regs, a.precise_regs
    for number in live:
        old, cur = old_regs[number], cur_regs[number]
        if old is cur and (old is None or not (old.id or old.ref)):
            continue
        if not safe(how, old, cur, bool(precise >> number & 1)):
            return number
    return None


def safe(how: Comparison, old: Reg | None, cur: Reg | None, precise: bool) -> bool:
    """Return whether an old value subsumes a current one (regsafe)."""
    if how.exact == EXACT:
        return _same(how, old, cur)
    if old is None:
        return not how.kinds or cur is None
    if cur is None or old.type != cur.type:
        return False
    type = old.type
    if type == SCALAR:
        if not precise and how.exact == NOT_EXACT:
            return True
        old_id, cur_id = old.id, cur.id
        if (old_id or not how.lone) and old_id & ADD_CONST != cur_id & ADD_CONST:
            return False
        if old_id & ADD_CONST and old.off != cur.off:
            return False
        return how.same_scalar(old_id, cur_id) and how.arithmetic.within(old.num, cur.num)
    base = type & r.BASE
    if base in _MEMORY:
        if old.aux != cur.aux and not (base == r.MEM and how.parents and how.same(old.aux, cur.aux)):
            return False
        return (old.off == cur.off and old.what == cur.what
                and how.arithmetic.within(old.num, cur.num) and how.same(old.id, cur.id) and how.same(old.ref, cur.ref))
    if base in r.PKT_TYPES:
        if old.what < 0 or cur.what < 0:
            if old.what != cur.what:
                return False
        elif old.what > cur.what:
            return False
        return (old.off == cur.off and how.same(old.id, cur.id) and how.same(old.aux, cur.aux)
                and how.arithmetic.within_packet(old.num, cur.num))
    if base == r.ARENA:
        return True
    return _same(how, old, cur)


def _same(how: Comparison, old: Reg | None, cur: Reg | None) -> bool:
    if old is None or cur is None:
        return old is cur
    return (old.type == cur.type and old.off == cur.off and old.num == cur.num and old.what == cur.what
            and old.aux == cur.aux and how.same(old.id, cur.id) and how.same(old.ref, cur.ref))


# -- stack ----------------------------------------------------------------------------------------------------------


def _stack(how: Comparison, a: Frame, b: Frame) -> int | None:
    """Return the slot that differs, inverted, or None."""
    old_stack, cur_stack, precise = a.stack, b.stack, a.precise_stack
    if how.depths and a.allocated > b.allocated:
        return ~64
    if old_stack is cur_stack and how.exact == NOT_EXACT and not precise and _only_plain(old_stack):
        return None
    if how.exact == EXACT and _kinds(old_stack) != _kinds(cur_stack, a.allocated >> 3):
        return ~64
    if how.kinds and (a.allocated > b.allocated or _kinds(old_stack) != _kinds(cur_stack, a.allocated >> 3)):
        return ~64
    for index, old in old_stack.items():
        if old.types in _ANYTHING:
            continue
        cur = cur_stack.get(index)
        if old is cur and (old.reg is None or (isinstance(old.reg, Reg) and not old.reg.id and not old.reg.ref)):
            continue
        if index * 8 >= b.allocated and not _PLAIN.issuperset(old.types):
            return ~index  # the frame is not that deep
        if not _slot(how, old, cur, bool(precise >> index & 1)):
            return ~index
    return None


def _only_plain(stack: dict[int, Slot]) -> bool:
    return all(slot.reg is None for slot in stack.values())


def _kinds(stack: dict[int, Slot], count: int = 64) -> dict[int, bytes]:
    # Bytes that were never written and dead bytes count as the same.
    found = {index: slot.types.replace(_POISON, _INVALID) for index, slot in stack.items() if index < count}
    return {index: types for index, types in found.items() if types != _EMPTY}


def _slot(how: Comparison, old: Slot, cur: Slot | None, precise: bool) -> bool:
    types = old.types
    if types == ALL_SPILL and cur is not None and cur.types == ALL_SPILL:
        return safe(how, old.reg, cur.reg, precise)  # by far the most common ones
    if _PLAIN.issuperset(types):
        return True  # nothing, or bytes of any content: root may read what was never written
    if cur is None:
        cur = _NOTHING
    first = 0
    while first < 8 and types[first] in _PLAIN:
        first += 1
    # A slot that is a number, or the half of one, is compared as what a load would give.
    for start in (0, 4) if how.halves else (0,):
        if first <= start:
            old_reg, cur_reg = _as_scalar(old, start), _as_scalar(cur, start)
            if old_reg is not None and cur_reg is not None:
                return (start == 0 or _same_bytes(types[:4], cur.types[:4])) and safe(
                    how, old_reg, cur_reg, precise and old_reg is old.reg)
    return _same_bytes(types, cur.types) and _content(how, old, cur, precise)


def _same_bytes(types: bytes, now: bytes) -> bool:
    if types == now:
        return True
    found = _same_kinds.get((types, now))
    if found is None:
        found = all(kind == other or kind in _PLAIN for kind, other in zip(types, now, strict=True))
        if len(_same_kinds) >= _KEPT:
            _same_kinds.clear()
        _same_kinds[types, now] = found
    return found


def _content(how: Comparison, old: Slot, cur: Slot, precise: bool) -> bool:
    kind = old.types[7]
    if kind == SPILL:
        return safe(how, old.reg, cur.reg, precise)
    if kind == DYN:
        return _dynptr(how, old.reg, cur.reg)
    if kind == ITER:
        return _iterator(how, old.reg, cur.reg)
    if kind == IRQ:
        return bool(how.same(old.reg.ref, cur.reg.ref) and old.reg.kind == cur.reg.kind)
    return True


def _dynptr(how: Comparison, a: DynptrState, b: DynptrState) -> bool:
    return (a.kind == b.kind and a.first == b.first and how.same(a.ref, b.ref) and how.same(a.id, b.id)
            and how.same(a.parent, b.parent))


def _iterator(how: Comparison, a: IterState, b: IterState) -> bool:
    # Depth is not compared: it would keep loops from converging.
    return a.kind == b.kind and a.active == b.active and a.first == b.first and how.same(a.ref, b.ref)


def _as_scalar(slot: Slot, start: int) -> Any:
    """Return the scalar that a load of the slot (`start` 0) or of its upper half (4) would yield, or None."""
    types = slot.types
    if types[start] == SPILL and slot.reg.type == SCALAR:
        return slot.reg
    return UNKNOWN_SCALAR if _PLAIN.issuperset(types[start:]) else None
