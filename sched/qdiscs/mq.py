"""mq: one child for each transmit queue of a device (net/sched/sch_mq.c, Linux 7.2).

A kernel hands each queue's packets to the hardware separately, and the hardware alternates between its queues. Here the
wire belongs to the device, and mq alternates.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from ebpfvm.errnos import EOPNOTSUPP
from ebpfvm.sched.classful import ClassfulQdisc, QdiscClass, account_out, dequeue_peeked, drop_count, qdisc_enqueue
from ebpfvm.sched.qdisc_kind import QdiscKind
from ebpfvm.sched.qdiscs.prio import PfifoFast
from ebpfvm.sched.sch_generic import NET_XMIT_SUCCESS, Qdisc
from ebpfvm.sched.tc.dissect import skb_get_hash

if TYPE_CHECKING:
    from collections.abc import Iterator

    from ebpfvm.sched.account import Packet
    from ebpfvm.sched.sch_generic import QdiscDevice


def pick_tx(skb: Packet, queues: int) -> int:
    """Return the transmit queue of a packet (netdev_pick_tx): the one that skbedit set, or one by the flow's hash."""
    if not skb.tx_queue_chosen:
        skb.queue_mapping = skb_get_hash(skb) * queues >> 32
    return skb.queue_mapping if skb.queue_mapping < queues else 0


class Mq(ClassfulQdisc):
    """Classes X:1 to X:n, one for each transmit queue; pfifo_fast at first.

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
        for cl in self.queues:
            self.graft(cl, None)

    def walk(self) -> Iterator[QdiscClass]:
        """Yield one class per queue."""
        return iter(self.queues)

    def graft(self, cl: QdiscClass, new: Qdisc | None) -> Qdisc | None:
        """Attach a qdisc to a queue, or pfifo_fast if there is none, and return the one that it replaces."""
        return super().graft(cl, new if new is not None else PfifoFast(self.dev))

    def enqueue(self, skb: Packet, to_free: list[Packet]) -> int:
        """Pass the packet to the qdisc of its queue."""
        child = self.queues[pick_tx(skb, len(self.queues))].child
        assert child is not None
        size = skb.len
        result = qdisc_enqueue(self, child, skb, to_free)
        if result == NET_XMIT_SUCCESS:
            self.kernel_view.backlog += size
            self.kernel_view.qlen += 1
        elif drop_count(result):
            self.kernel_view.drops += 1
        return result

    def dequeue(self) -> Packet | None:
        """Return a packet of the queue whose turn it is, or of the next that has one."""
        count = len(self.queues)
        for step in range(count):
            index = (self._next + step) % count
            child = self.queues[index].child
            skb = dequeue_peeked(self, child) if child is not None else None
            if skb is not None:
                self._next = (index + 1) % count
                account_out(self, skb)
                return skb
        return None


MQ: Final = QdiscKind(
    name="mq", make=Mq,
    doc="One class for each transmit queue of a device that has several; pfifo_fast in each at first.")
