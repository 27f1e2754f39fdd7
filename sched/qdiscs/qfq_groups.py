"""The virtual time of qfq: aggregates of classes, sorted into slots of groups by their time stamps.

Times are fixed-point numbers. A group holds aggregates whose turns have about the same length in virtual time; each
group is in one of four states, and bit maps of groups find the next aggregate in constant time (Checconi, Rizzo,
Valente, "QFQ: Efficient Packet Scheduling with Tight Guarantees", 2013; net/sched/sch_qfq.c, Linux 7.2).
"""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from ebpfvm.sched.classful import QdiscClass

ONE: Final = 1 << 30
_FRAC_BITS: Final = 30
_SLOTS: Final = 32
_GROUPS: Final = 24
_MTU_SHIFT: Final = 16
READY, INELIGIBLE, BLOCKED, BOTH = range(4)


class QfqAggregate:
    """Classes of one weight and greatest packet that are scheduled as one.

    Attributes:
        weight, longest: of each of its classes.
        start, finish: its time stamps.
        classes: number of classes.
        active: those with packets.
        inverse: inverse of the weight of all.
        most, budget, initial: bytes that it may send at a time, what is left, and what it began with.
        group: number of its group, None until it has a class.
    """

    def __init__(self, weight: int, longest: int) -> None:
        self.weight, self.longest = weight, longest
        self.start = self.finish = self.classes = self.inverse = self.most = self.budget = self.initial = 0
        self.active: deque[QdiscClass] = deque()
        self.group: int | None = None

    def charge(self) -> None:
        """Let its time stamp follow what it has sent."""
        self.finish = self.start + min(self.most, self.initial - self.budget) * self.inverse

    def recharge(self) -> None:
        """Give it a whole budget."""
        self.initial = self.budget = self.most


class QfqGroup:
    """Aggregates in slots by their start times; the newest of a slot is its first."""

    def __init__(self, index: int, shift: int) -> None:
        self.index, self.shift = index, shift
        self.start = self.finish = 0
        self.slots: dict[int, list[QfqAggregate]] = {}

    def rounded(self, time: int) -> int:
        """Return a time rounded down to a slot."""
        return time >> self.shift << self.shift

    def set_start(self, start: int) -> None:
        """Set the times of the group by the start of its first slot."""
        self.start, self.finish = start, start + (2 << self.shift)

    def insert(self, agg: QfqAggregate, rounded: int) -> None:
        """Add an aggregate to the slot of its rounded start."""
        slot = rounded - self.start >> self.shift
        if slot > _SLOTS - 2:
            too_far = rounded - self.start - (_SLOTS - 2 << self.shift)
            agg.start -= too_far
            agg.finish -= too_far
            rounded -= too_far
        self.slots.setdefault(rounded, []).insert(0, agg)

    def first(self) -> QfqAggregate | None:
        """Return the aggregate that is first, None if there is none."""
        return self.slots[min(self.slots)][0] if self.slots else None

    def remove(self, agg: QfqAggregate) -> None:
        """Remove an aggregate."""
        for time, slot in list(self.slots.items()):
            if agg in slot:
                slot.remove(agg)
                if not slot:
                    del self.slots[time]


class QfqClock:
    """The groups, the virtual time, and the aggregate that is being served."""

    def __init__(self, classes: int) -> None:
        self.classes = 1 << classes.bit_length() - 1  # of an aggregate at most
        self.shift = _FRAC_BITS + _MTU_SHIFT + self.classes.bit_length() - 1 - _GROUPS
        self.groups = [QfqGroup(index, self.shift + index) for index in range(_GROUPS + 1)]
        self.maps = [0, 0, 0, 0]
        self.now = self.before = self.weights = 0
        self.serving: QfqAggregate | None = None

    def group_of(self, agg: QfqAggregate) -> QfqGroup:
        """Return the group of an aggregate, which is chosen when it is first needed."""
        if agg.group is None:
            size = agg.most * agg.inverse
            index = (size >> self.shift).bit_length()
            agg.group = max(index - (index > 0 and size == 1 << index + self.shift - 1), 0)
        return self.groups[agg.group]

    def resize(self, agg: QfqAggregate, classes: int) -> None:
        """Set the number of classes of an aggregate."""
        self.weights += agg.weight * (classes - agg.classes)
        agg.classes = classes
        if classes:
            agg.most, agg.inverse = classes * agg.longest, ONE // (agg.weight * classes)
            self.group_of(agg)

    def sent(self, agg: QfqAggregate, size: int) -> None:
        """Let an aggregate's budget and the virtual time follow a packet."""
        agg.budget = max(0, agg.budget - size)
        self.now += size * (ONE // self.weights)

    # ---- time stamps ------------------------------------------------------------------------------------------

    def activate(self, agg: QfqAggregate) -> None:
        """Start to serve an aggregate that has packets now, or schedule it."""
        agg.recharge()
        self._set_start(agg)
        agg.finish = agg.start + agg.most * agg.inverse
        if self.serving is None:
            self.serving = agg
            self.before = self.now = agg.start
        elif agg is not self.serving:
            self._schedule(agg)

    def requeue(self, agg: QfqAggregate) -> None:
        """Schedule the aggregate that was served, which still has packets."""
        agg.start = agg.finish
        agg.finish = agg.start + agg.most * agg.inverse
        self._schedule(agg)

    def _set_start(self, agg: QfqAggregate) -> None:
        group = self.group_of(agg)
        rounded = group.rounded(agg.finish)
        limit = group.rounded(self.now) + (1 << group.shift)
        if agg.finish > self.now and rounded <= limit:
            agg.start = agg.finish
            return
        ready = self._from(READY, group.index)
        following = self._lowest(ready) if ready else None
        if following is not None and rounded > following.finish:
            agg.start = following.finish if limit > following.finish else limit
        else:
            agg.start = self.now

    def _schedule(self, agg: QfqAggregate) -> None:
        group = self.group_of(agg)
        rounded = group.rounded(agg.start)
        if not group.slots or group.start > agg.start:
            if group.slots:
                self._clear(group, INELIGIBLE, BOTH)
            elif not self.maps[READY] and rounded > self.now and self.serving is None:
                self.now = rounded
            group.set_start(rounded)
            self._set(group)
        group.insert(agg, rounded)

    # ---- groups and their states ------------------------------------------------------------------------------

    def _from(self, state: int, index: int) -> int:
        return self.maps[state] >> index << index

    def _lowest(self, bits: int) -> QfqGroup:
        return self.groups[(bits & -bits).bit_length() - 1]

    def _set(self, group: QfqGroup) -> None:
        state = INELIGIBLE if group.start > self.now else READY
        ready = self._from(READY, group.index)
        if ready and group.finish > self._lowest(ready).finish:
            state |= BLOCKED
        self.maps[state] |= 1 << group.index

    def _clear(self, group: QfqGroup, *states: int) -> None:
        for state in states:
            self.maps[state] &= ~(1 << group.index)

    def _move(self, mask: int, source: int, target: int) -> None:
        self.maps[target] |= self.maps[source] & mask
        self.maps[source] &= ~mask

    def _update_eligible(self) -> None:
        waiting = self.maps[INELIGIBLE] | self.maps[BOTH]
        if not waiting:
            return
        if not self.maps[READY]:
            self.now = max(self.now, self._lowest(waiting).start)
        changed = self.now >> self.shift ^ self.before >> self.shift
        if changed:
            mask = (1 << changed.bit_length()) - 1
            self._move(mask, INELIGIBLE, READY)
            self._move(mask, BOTH, BLOCKED)

    def _unblock(self, index: int, finish: int) -> None:
        following = self._from(READY, index + 1)
        if following and self._lowest(following).finish <= finish:
            return
        mask = (1 << index) - 1
        self._move(mask, BLOCKED, READY)
        self._move(mask, BOTH, INELIGIBLE)

    def choose(self) -> QfqAggregate | None:
        """Take the next aggregate to serve out of the schedule (qfq_choose_next_agg)."""
        self._update_eligible()
        self.before = self.now
        if not self.maps[READY]:
            return None
        group = self._lowest(self.maps[READY])
        finish, agg = group.finish, group.first()
        assert agg is not None
        group.remove(agg)
        following = group.first()
        if following is None:
            self._clear(group, READY)
        else:
            rounded = group.rounded(following.start)
            if rounded == group.start:
                return agg
            group.set_start(rounded)
            self._clear(group, READY)
            self._set(group)
        self._unblock(group.index, finish)
        return agg

    def deactivate(self, agg: QfqAggregate) -> None:
        """Take an aggregate without packets out of service or out of the schedule (qfq_deactivate_agg)."""
        if agg is self.serving:
            agg.charge()
            self.serving = self.choose()
            return
        group = self.group_of(agg)
        agg.finish = agg.start
        group.remove(agg)
        following = group.first()
        if following is None:
            self._clear(group, INELIGIBLE, BOTH, BLOCKED)
            if self.maps[READY] >> group.index & 1 and group.finish <= self.now:
                lower = self.maps[READY] & (1 << group.index) - 1
                mask = ~((1 << lower.bit_length() - 1) - 1) if lower else -1
                self._move(mask, BLOCKED, READY)
                self._move(mask, BOTH, INELIGIBLE)
            self._clear(group, READY)
        elif group.rounded(following.start) != group.start:
            self._clear(group, READY, INELIGIBLE, BLOCKED, BOTH)
            group.set_start(group.rounded(following.start))
            self._set(group)
