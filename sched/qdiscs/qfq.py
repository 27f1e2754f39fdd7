"""qfq, quick fair queueing: classes by weight, near to an ideal share at each moment (sch_qfq.c, Linux 7.2)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from ebpfvm.errnos import EINVAL
from ebpfvm.sched.class_table import TableQdisc
from ebpfvm.sched.classful import QdiscClass, account_out, dequeue_peeked, drop_count, qdisc_enqueue
from ebpfvm.sched.qdisc_kind import QdiscKind, QdiscOption
from ebpfvm.sched.qdiscs.fifo import psched_mtu
from ebpfvm.sched.qdiscs.qfq_groups import ONE, QfqAggregate, QfqClock
from ebpfvm.sched.sch_generic import NET_XMIT_DROP, NET_XMIT_SUCCESS
from ebpfvm.sched.shown import Part, worded

if TYPE_CHECKING:
    from ebpfvm.sched.account import Packet
    from ebpfvm.sched.sch_generic import QdiscDevice

MAX_WEIGHT, MAX_WEIGHTS = 1 << 10, 64 * 1024
MIN_PACKET, MAX_PACKET = 512, 1 << 16
_CLASSES: Final = 8  # QFQ_MAX_AGG_CLASSES


class QfqClass(QdiscClass):
    """A class: its aggregate, and what is left of its turn in it."""

    __slots__ = ("agg", "deficit")

    def __init__(self, classid: int, agg: QfqAggregate) -> None:
        super().__init__(classid)
        self.agg = agg
        self.deficit = 0


class Qfq(TableQdisc):
    """Classes share the link by weight; a packet that no filter gives a class is dropped."""

    kind = "qfq"

    def __init__(self, dev: QdiscDevice, handle: int = 0) -> None:
        super().__init__(dev, handle)
        self.clock = QfqClock(min(dev.tx_queue_len + 1, _CLASSES))
        self.aggregates: list[QfqAggregate] = []

    def change_class(self, classid: int, parent: int, options: dict[str, Any], cl: QfqClass | None = None) -> QfqClass:
        """Create or change a class (qfq_change_class); what a change does not name goes back to its default.

        Raises:
            OSError: EINVAL if weight or packet size are out of range, or the id is not of this qdisc.
        """
        weight = options.get("weight", 1)
        longest = options.get("maxpkt", psched_mtu(self.dev))
        if not 1 <= weight <= MAX_WEIGHT:
            raise OSError(EINVAL, f"weight {weight} is out of range, 1 to {MAX_WEIGHT}")
        if not MIN_PACKET <= longest <= MAX_PACKET:
            raise OSError(EINVAL, f"maxpkt {longest} is out of range, {MIN_PACKET} to {MAX_PACKET}")
        weight = ONE // (ONE // weight)
        if self.clock.weights + weight - (cl.agg.weight if cl is not None else 0) > MAX_WEIGHTS:
            raise OSError(EINVAL, "Invalid argument: the weights of all classes are too great")
        if cl is None:
            self.check_new(classid)
            cl = QfqClass(classid, self._aggregate(weight, longest))
            self.graft(cl, None)
            self.classes.add(cl)
            self.clock.resize(cl.agg, cl.agg.classes + 1)
        elif (weight, longest) != (cl.agg.weight, cl.agg.longest):
            self._move(cl, weight, longest)
        return cl

    def _aggregate(self, weight: int, longest: int) -> QfqAggregate:
        """Return an aggregate that has room for a class."""
        found = next((agg for agg in self.aggregates if (agg.weight, agg.longest) == (weight, longest)
                      and agg.classes < self.clock.classes), None)
        if found is None:
            found = QfqAggregate(weight, longest)
            self.aggregates.append(found)
        return found

    def _leave(self, cl: QfqClass) -> None:
        self.qlen_notify(cl)
        self.clock.resize(cl.agg, cl.agg.classes - 1)
        if not cl.agg.classes:
            self.aggregates.remove(cl.agg)

    def _move(self, cl: QfqClass, weight: int, longest: int) -> None:
        """Move a class to another aggregate."""
        self._leave(cl)
        cl.agg = self._aggregate(weight, longest)
        self.clock.resize(cl.agg, cl.agg.classes + 1)
        if cl.child is not None and cl.child.kernel_view.qlen:
            self._activate(cl)

    def delete_class(self, cl: QfqClass) -> None:
        """Remove a class and what it holds; raise OSError, EBUSY, if a filter selects it."""
        super().delete_class(cl)
        self._leave(cl)

    def qlen_notify(self, cl: QfqClass) -> None:
        """Take a class whose queue has become empty out of its aggregate."""
        if cl in cl.agg.active:
            cl.agg.active.remove(cl)
            if not cl.agg.active:
                self.clock.deactivate(cl.agg)

    def _activate(self, cl: QfqClass) -> None:
        agg = cl.agg
        cl.deficit = agg.longest
        agg.active.append(cl)
        if agg.active[0] is cl and self.clock.serving is not agg:
            self.clock.activate(agg)

    def enqueue(self, skb: Packet, to_free: list[Packet]) -> int:
        """Queue the packet in its class (qfq_enqueue)."""
        hops, size = skb.hops, skb.wire_len
        cl, result = self.classify(skb)
        if cl is None or cl.child is None:
            return self.unclassified(skb, hops, result, to_free)
        if cl.agg.longest < size:
            if size > MAX_PACKET:
                self.kernel_view.drops += 1
                to_free.append(skb)
                return NET_XMIT_DROP
            self._move(cl, cl.agg.weight, max(size, MIN_PACKET))
        result = qdisc_enqueue(self, cl.child, skb, to_free)
        if result != NET_XMIT_SUCCESS:
            self.kernel_view.drops += drop_count(result)
            return result
        cl.stats.packets += 1
        cl.stats.bytes += size
        self.kernel_view.backlog += size
        self.kernel_view.qlen += 1
        active = cl.agg.active
        if cl not in active:
            self._activate(cl)
        elif cl.child.peek() is skb and active[0] is cl and cl.deficit < size:  # looking takes it from its flow
            active.rotate(-1)
        return result

    def dequeue(self) -> Packet | None:
        """Return a packet of the aggregate that is served, or of the next one if its budget is spent (qfq_dequeue)."""
        agg = self.clock.serving
        if agg is None:
            return None
        head = self._head(agg)
        if head is None or agg.budget < head.wire_len:
            agg.charge()
            agg.recharge()
            if agg.active:
                self.clock.requeue(agg)
            elif not self.kernel_view.qlen:
                self.clock.serving = None
                return None
            agg = self.clock.serving = self.clock.choose()
            head = self._head(agg) if agg is not None else None
        return self._take(agg) if agg is not None and head is not None else None

    @staticmethod
    def _head(agg: QfqAggregate) -> Packet | None:
        """Return the next packet of an aggregate."""
        child = agg.active[0].child if agg.active else None
        return child.peek() if child is not None else None

    def _take(self, agg: QfqAggregate) -> Packet | None:
        cl = agg.active[0]
        assert isinstance(cl, QfqClass) and cl.child is not None
        skb = dequeue_peeked(self, cl.child)
        if skb is None:
            return None
        cl.deficit -= skb.wire_len
        if not cl.child.kernel_view.qlen:
            agg.active.popleft()
        else:
            following = cl.child.peek()
            if following is not None and cl.deficit < following.wire_len:
                cl.deficit += agg.longest
                agg.active.rotate(-1)
        account_out(self, skb)
        self.clock.sent(agg, skb.wire_len)
        return skb

    def reset(self) -> None:
        """Drop what is queued."""
        for cl in self.classes:
            self.qlen_notify(cl)
        super().reset()

    def shown_class(self, cl: QfqClass, details: bool) -> list[Part]:
        """Return weight and greatest packet."""
        return [worded("weight", cl.agg.weight), worded("maxpkt", cl.agg.longest)]


QFQ: Final = QdiscKind(
    name="qfq", make=Qfq, without_options=True,
    doc="Quick fair queueing between classes that `tc class` adds; filters select the class of a packet.",
    class_options=(
        QdiscOption(word="weight", value="NUMBER", default=1, range=(1, MAX_WEIGHT), doc="share of the class"),
        QdiscOption(word="maxpkt", value="NUMBER", default="a full frame", range=(MIN_PACKET, MAX_PACKET),
                    unit="bytes", doc="greatest packet of the class; it grows if a greater one comes")))
