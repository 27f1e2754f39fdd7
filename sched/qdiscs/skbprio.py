"""skbprio: the packets with the greatest skb->priority stay and leave first (net/sched/sch_skbprio.c, Linux 7.2)."""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, Final

from ebpfvm.sched.classful import ClassfulQdisc, QdiscClass, account_out
from ebpfvm.sched.qdisc_kind import QdiscKind, QdiscOption
from ebpfvm.sched.sch_generic import NET_XMIT_CN, NET_XMIT_DROP, NET_XMIT_SUCCESS, Stats
from ebpfvm.sched.shown import Part, worded

if TYPE_CHECKING:
    from collections.abc import Iterator

    from ebpfvm.sched.account import Packet
    from ebpfvm.sched.sch_generic import QdiscDevice

PRIORITIES: Final = 64  # SKBPRIO_MAX_PRIORITY
LIMIT: Final = 64


class Skbprio(ClassfulQdisc):
    """A full queue drops the newest packet of the lowest priority to make room for one of a higher priority.

    Args:
        dev, handle: as for `Qdisc`.
        limit: packets that may be queued.
    """

    kind = "skbprio"
    classes_count_sent = False

    def __init__(self, dev: QdiscDevice, handle: int = 0, limit: int = LIMIT) -> None:
        super().__init__(dev, handle)
        self.limit = limit
        self.queues: list[deque[Packet]] = [deque() for _ in range(PRIORITIES)]
        self.bands = [QdiscClass(handle | number + 1) for number in range(PRIORITIES)]

    def change(self, limit: int | None = None) -> None:
        """Set the limit for packets that arrive from now on."""
        self.limit = self.limit if limit is None else limit

    def find(self, classid: int) -> None:
        """Return None: commands cannot name a class (skbprio_find)."""

    def walk(self) -> Iterator[QdiscClass]:
        """Yield one class per priority, to which nothing can be attached."""
        return iter(self.bands)

    def class_stats(self, cl: QdiscClass) -> Stats:
        """Return the bytes that are queued and the drops of a priority; its packets are not counted."""
        queue = self.queues[(cl.classid & 0xFFFF) - 1]
        return Stats(drops=cl.stats.drops, overlimits=cl.stats.overlimits, backlog=sum(skb.wire_len for skb in queue))

    def _count_drop(self, prio: int) -> None:
        self.kernel_view.drops += 1
        self.bands[prio].stats.drops += 1
        self.bands[prio].stats.overlimits += 1

    def enqueue(self, skb: Packet, to_free: list[Packet]) -> int:
        """Queue the packet; over the limit, the lowest priority loses one (skbprio_enqueue)."""
        prio, stats = min(skb.priority, PRIORITIES - 1), self.kernel_view
        if stats.qlen < self.limit:
            self.queues[prio].append(skb)
            stats.qlen += 1
            stats.backlog += skb.wire_len
            return NET_XMIT_SUCCESS
        lowest = next((number for number, queue in enumerate(self.queues) if queue), PRIORITIES - 1)
        if prio <= lowest:
            self._count_drop(prio)
            to_free.append(skb)
            return NET_XMIT_DROP
        self.queues[prio].append(skb)
        victim = self.queues[lowest].pop()
        stats.backlog += skb.wire_len - victim.wire_len
        self._count_drop(lowest)
        to_free.append(victim)
        return NET_XMIT_CN

    def dequeue(self) -> Packet | None:
        """Return the oldest packet of the highest priority."""
        skb = next((queue.popleft() for queue in reversed(self.queues) if queue), None)
        if skb is not None:
            account_out(self, skb)
        return skb

    def reset(self) -> None:
        """Drop what is queued."""
        for queue in self.queues:
            while queue:
                self.dev.drop(queue.popleft(), self.holder)
        super().reset()

    def shown(self, details: bool = False) -> list[Part]:
        """Return the limit."""
        return [worded("limit", self.limit)]


SKBPRIO: Final = QdiscKind(
    name="skbprio", make=Skbprio, without_options=True,
    doc="64 priorities (skb->priority): the highest leaves first, and a full queue drops from the lowest.",
    options=(QdiscOption(word="limit", value="NUMBER", default=LIMIT, unit="packets",
                         doc="packets that may be queued"),))
