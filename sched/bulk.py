"""How a device with several transmit queues takes packets from a root qdisc that feeds all of them.

Linux asks such a qdisc for up to nine packets of one queue at a time (try_bulk_dequeue_skb_slow). Here the wire takes
one, so the others go back to the qdisc (dev_requeue_skb) and leave before it is asked again. A packet of another queue
ends the batch, and begins the next one. A qdisc with one queue is asked for one packet at a time, because drivers
without byte queue limits are.

Source: dequeue_skb, net/sched/sch_generic.c, Linux 7.2.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from ebpfvm.sched.sch_generic import Parked

if TYPE_CHECKING:
    from collections import deque

    from ebpfvm.sched.account import Packet
    from ebpfvm.sched.sch_generic import Qdisc

MORE: Final = 8  # packets after the first


def bulk_dequeue(qdisc: Qdisc) -> Packet | None:
    """Return the next packet of a qdisc that feeds several queues."""
    if qdisc.parked is None:
        qdisc.parked = Parked()
    parked = qdisc.parked
    if parked.requeued:
        return _unpark(qdisc, parked.requeued)
    first = _unpark(qdisc, parked.other) if parked.other else qdisc.dequeue()
    if first is None:
        return None
    batch: list[Packet] = []
    for _ in range(MORE):
        skb = qdisc.dequeue()
        if skb is None:
            break
        if skb.queue_mapping != first.queue_mapping:
            _park(qdisc, parked.other, skb)
            break
        batch.append(skb)
    for skb in batch:
        _park(qdisc, parked.requeued, skb)
        qdisc.kernel_view.requeues += 1
    return first


def _park(qdisc: Qdisc, queue: deque[Packet], skb: Packet) -> None:
    queue.append(skb)
    qdisc.kernel_view.qlen += 1
    qdisc.kernel_view.backlog += skb.wire_len


def _unpark(qdisc: Qdisc, queue: deque[Packet]) -> Packet:
    skb = queue.popleft()
    qdisc.kernel_view.qlen -= 1
    qdisc.kernel_view.backlog -= skb.wire_len
    return skb
