"""drr, deficit round robin between classes (Shreedhar and Varghese, 1995; net/sched/sch_drr.c, Linux 7.2)."""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, Any, Final

from ebpfvm.errnos import EINVAL
from ebpfvm.sched.class_table import TableQdisc
from ebpfvm.sched.classful import QdiscClass, account_out, dequeue_peeked, drop_count, qdisc_enqueue
from ebpfvm.sched.qdisc_kind import QdiscKind, QdiscOption
from ebpfvm.sched.qdiscs.fifo import psched_mtu
from ebpfvm.sched.sch_generic import NET_XMIT_SUCCESS
from ebpfvm.sched.shown import Part
from ebpfvm.sched.units import format_size

if TYPE_CHECKING:
    from ebpfvm.sched.account import Packet
    from ebpfvm.sched.sch_generic import QdiscDevice

MIN_QUANTUM, MAX_QUANTUM = 256, 1 << 20


class DrrClass(QdiscClass):
    """A class: what it may send in a round, and what is left of that."""

    __slots__ = ("deficit", "quantum")

    def __init__(self, classid: int, quantum: int) -> None:
        super().__init__(classid)
        self.quantum = quantum
        self.deficit = 0


def usable_quantum(quantum: int) -> int:
    """Return the quantum that a kernel takes for the one that is given."""
    return min(max(quantum, MIN_QUANTUM), MAX_QUANTUM)


class Drr(TableQdisc):
    """Classes take turns; in each, a class may send as many bytes as its quantum and what it saved.

    A packet that no filter gives a class is dropped.
    """

    kind = "drr"

    def __init__(self, dev: QdiscDevice, handle: int = 0) -> None:
        super().__init__(dev, handle)
        self.active: deque[DrrClass] = deque()

    def change_class(self, classid: int, parent: int, options: dict[str, Any], cl: DrrClass | None = None) -> DrrClass:
        """Create or change a class (drr_change_class).

        Raises:
            OSError: EINVAL if the quantum is 0, or the id is not of this qdisc.
        """
        quantum = options.get("quantum")
        if quantum == 0:
            raise OSError(EINVAL, "Specified DRR quantum cannot be zero")
        if cl is None:
            self.check_new(classid)
            cl = DrrClass(classid, psched_mtu(self.dev))
            self.graft(cl, None)
            self.classes.add(cl)
        cl.quantum = usable_quantum(cl.quantum if quantum is None else quantum)
        return cl

    def qlen_notify(self, cl: DrrClass) -> None:
        """Take a class whose queue has become empty out of the round."""
        if cl in self.active:
            self.active.remove(cl)

    def enqueue(self, skb: Packet, to_free: list[Packet]) -> int:
        """Queue the packet in its class (drr_enqueue)."""
        hops = skb.hops
        cl, result = self.classify(skb)
        if cl is None:
            return self.unclassified(skb, hops, result, to_free)
        size = skb.wire_len
        result = qdisc_enqueue(self, cl.child, skb, to_free)
        if result != NET_XMIT_SUCCESS:
            self.kernel_view.drops += drop_count(result)
            return result
        if cl not in self.active:
            self.active.append(cl)
            cl.deficit = cl.quantum
        self.kernel_view.backlog += size
        self.kernel_view.qlen += 1
        return result

    def dequeue(self) -> Packet | None:
        """Return a packet of the class whose turn it is, as long as its deficit lasts (drr_dequeue)."""
        while self.active:
            cl = self.active[0]
            assert cl.child is not None
            head = cl.child.peek()
            if head is None:
                return None
            if head.wire_len <= cl.deficit:
                return self._take(cl)
            cl.deficit += cl.quantum
            self.active.rotate(-1)
        return None

    def _take(self, cl: DrrClass) -> Packet | None:
        assert cl.child is not None
        skb = dequeue_peeked(self, cl.child)
        if skb is None:
            return None
        cl.deficit -= skb.wire_len
        if not cl.child.kernel_view.qlen:
            self.qlen_notify(cl)
        cl.stats.packets += 1
        cl.stats.bytes += skb.wire_len
        account_out(self, skb)
        return skb

    def reset(self) -> None:
        """Drop what is queued."""
        self.active.clear()
        super().reset()

    def shown_class(self, cl: DrrClass, details: bool) -> list[Part]:
        """Return the quantum."""
        return [Part(f"quantum {format_size(cl.quantum)} ", "quantum", cl.quantum)]

    def class_xstats(self, cl: DrrClass) -> list[Part]:
        """Return what is left of the class's turn, which is nothing for one that has no packets."""
        deficit = cl.deficit if cl in self.active else 0
        return [Part(f"\n deficit {format_size(deficit)} ", "deficit", deficit)]


DRR: Final = QdiscKind(
    name="drr", make=Drr, without_options=True,
    doc="Deficit round robin between classes that `tc class` adds; filters select the class of a packet.",
    class_options=(QdiscOption(word="quantum", value="SIZE", default="a full frame",
                               range=(MIN_QUANTUM, MAX_QUANTUM), unit="bytes",
                               doc="bytes that the class may send in a round; less counts as the least"),))
