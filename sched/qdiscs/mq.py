"""mq: one child for each transmit queue of a device (net/sched/sch_mq.c, Linux 7.2).

A kernel hands each queue's packets to the hardware separately, and the hardware alternates between its queues. Here the
wire belongs to the device, and mq alternates.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from ebpfvm.errnos import ENOMEM, EOPNOTSUPP
from ebpfvm.sched.classful import ClassfulQdisc, QdiscClass, dequeue_peeked, qdisc_enqueue
from ebpfvm.sched.qdisc_kind import QdiscKind
from ebpfvm.sched.sch_generic import Noop, Qdisc, Stats
from ebpfvm.sched.tc.dissect import skb_get_hash

if TYPE_CHECKING:
    from collections.abc import Iterator

    from ebpfvm.sched.account import Packet
    from ebpfvm.sched.sch_generic import QdiscDevice

_COUNTERS: Final = ("packets", "bytes", "drops", "overlimits", "requeues", "qlen", "backlog")


def pick_tx(skb: Packet, queues: int) -> int:
    """Return the transmit queue of a packet (netdev_pick_tx): the one that skbedit set, or one by the flow's hash."""
    if not skb.tx_queue_chosen:
        skb.queue_mapping = skb_get_hash(skb) * queues >> 32
    return skb.queue_mapping if skb.queue_mapping < queues else 0


class Mq(ClassfulQdisc):
    """Classes X:1 to X:n, one for each transmit queue; each has a qdisc of the default kind at first.

    A child is asked for packets once it got one or its watchdog fired, and until it has none to give. Those that have
    some take turns.

    Raises:
        OSError: EOPNOTSUPP if the device has only one queue.
    """

    kind = "mq"
    mq_root = True

    def __init__(self, dev: QdiscDevice, handle: int = 0) -> None:
        super().__init__(dev, handle)
        count = dev.num_tx_queues
        if count < 2:
            raise OSError(EOPNOTSUPP, f"mq needs a device with several transmit queues, {dev.name} has {count}")
        self.queues = [QdiscClass(handle | number) for number in range(1, count + 1)]
        self._next = 0
        self._scheduled: set[int] = set()  # the queues that have to be asked
        for cl in self.queues:
            super().graft(cl, self._first_child(cl))

    def _first_child(self, cl: QdiscClass) -> Qdisc:
        """Return a child of the default kind; as in mq_init, an error of its own is lost."""
        try:
            return self.dev.default_child(cl.classid, self)
        except OSError as error:
            for child in self.children():
                child.put()
            raise OSError(ENOMEM, f"Cannot allocate memory: no child of mq can be created: {error.strerror}") from error

    @property
    def kernel_view(self) -> Stats:
        """The sums of the children's counters (mq_dump)."""
        views = [child.kernel_view for child in self.children()]
        return Stats(**{name: sum(getattr(view, name) for view in views) for name in _COUNTERS})

    @kernel_view.setter
    def kernel_view(self, stats: Stats) -> None:
        """Do nothing: it has no counters of its own."""

    def walk(self) -> Iterator[QdiscClass]:
        """Yield one class per queue."""
        return iter(self.queues)

    def of_queues(self) -> list[Qdisc]:
        """Return the children."""
        return list(self.children())

    def graft(self, cl: QdiscClass, new: Qdisc | None) -> Qdisc | None:
        """Attach a qdisc to a queue, or one that drops everything, and return the one that it replaces."""
        if cl.child is not None:
            cl.child.gone = True
        self._scheduled.discard(self.queues.index(cl))
        return super().graft(cl, new if new is not None else Noop(self.dev, 0))

    def reset(self) -> None:
        """Do nothing to the children: the device resets those itself, once each."""
        Qdisc.reset(self)
        self._scheduled.clear()

    def enqueue(self, skb: Packet, to_free: list[Packet]) -> int:
        """Pass the packet to the qdisc of its queue."""
        index = skb.queue_mapping  # which the device has picked
        child = self.queues[index].child
        assert child is not None
        self._scheduled.add(index)
        return qdisc_enqueue(self, child, skb, to_free)

    def wake_child(self, child: Qdisc) -> None:
        """Note that `child` has to be asked."""
        self._scheduled.add(next(index for index, cl in enumerate(self.queues) if cl.child is child))

    def dequeue(self) -> Packet | None:
        """Return a packet of the queue whose turn it is, or of the next that has one."""
        count = len(self.queues)
        for index in sorted(self._scheduled, key=lambda index: (index - self._next) % count):
            child = self.queues[index].child
            assert child is not None
            skb = dequeue_peeked(self, child)
            if skb is not None:
                self._next = (index + 1) % count
                return skb
            self._scheduled.discard(index)
        return None


MQ: Final = QdiscKind(
    name="mq", make=Mq,
    doc="One class for each transmit queue of a device that has several; pfifo_fast in each at first.")
