"""pfifo, bfifo and pfifo_head_drop (net/sched/sch_fifo.c, Linux 7.2)."""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, Final

from ebpfvm.net import ETH_DATA_LEN
from ebpfvm.sched.classful import account_out, tree_reduce_backlog
from ebpfvm.sched.qdisc_kind import QdiscKind, QdiscOption
from ebpfvm.sched.sch_generic import NET_XMIT_CN, NET_XMIT_DROP, NET_XMIT_SUCCESS, Qdisc
from ebpfvm.sched.shown import Part, entry
from ebpfvm.sched.units import format_size

if TYPE_CHECKING:
    from ebpfvm.sched.account import Packet
    from ebpfvm.sched.sch_generic import QdiscDevice


def psched_mtu(dev: QdiscDevice) -> int:
    """Return the greatest frame of a device: MTU and link header, 1514 for Ethernet."""
    return (dev.link.mtu or ETH_DATA_LEN) + dev.hard_header_len


def tx_queue_len(dev: QdiscDevice) -> int:
    """Return the `txqueuelen` of a device, 1 if it is 0 (fifo_init)."""
    return dev.tx_queue_len or 1


class QueueQdisc(Qdisc):
    """A qdisc whose packets are in one queue.

    Attributes:
        queue: the packets.
    """

    def __init__(self, dev: QdiscDevice, handle: int = 0) -> None:
        super().__init__(dev, handle)
        self.queue: deque[Packet] = deque()

    def append(self, skb: Packet) -> int:
        """Append a packet, and return NET_XMIT_SUCCESS."""
        self.queue.append(skb)
        self.kernel_view.qlen += 1
        self.kernel_view.backlog += skb.wire_len
        return NET_XMIT_SUCCESS

    def refuse(self, skb: Packet, to_free: list[Packet]) -> int:
        """Drop a packet, and return NET_XMIT_DROP."""
        self.kernel_view.drops += 1
        to_free.append(skb)
        return NET_XMIT_DROP

    def dequeue(self) -> Packet | None:
        """Return the oldest packet."""
        if not self.queue:
            return None
        skb = self.queue.popleft()
        account_out(self, skb)
        return skb

    def peek(self) -> Packet | None:
        """Return the oldest packet without removing it (qdisc_peek_head)."""
        return self.queue[0] if self.queue else None

    def reset(self) -> None:
        """Drop what is queued (qdisc_reset_queue)."""
        while self.queue:
            self.dev.drop(self.queue.popleft(), self.holder)
        super().reset()


class Fifo(QueueQdisc):
    """Base of the three kinds.

    Args:
        dev, handle: as for `Qdisc`.
        limit: packets or bytes, None for the kind's default.

    Attributes:
        limit: the current limit.
    """

    def __init__(self, dev: QdiscDevice, handle: int = 0, limit: int | None = None) -> None:
        super().__init__(dev, handle)
        self.limit = 0
        self.change(self.default_limit() if limit is None else limit)

    def change(self, limit: int | None = None) -> None:
        """Set the limit, unless it is None; packets above it stay (fifo_change)."""
        self.limit = self.limit if limit is None else limit
        self.can_bypass = self.limit >= 1

    def default_limit(self) -> int:
        """Return the limit without options."""
        return tx_queue_len(self.dev)

    def has_room(self, skb: Packet) -> bool:
        """Return whether `skb` can be queued."""
        return self.kernel_view.qlen < self.limit

    def enqueue(self, skb: Packet, to_free: list[Packet]) -> int:
        """Append the packet, or drop it if there is no room."""
        return self.append(skb) if self.has_room(skb) else self.refuse(skb, to_free)

    def shown(self, details: bool = False) -> list[Part]:
        """Return the options, as in `limit 8p`."""
        return [entry("limit", self.limit, "limit {}p")]


class Pfifo(Fifo):
    """First in, first out, with at most `limit` packets (default: the device's txqueuelen)."""

    kind = "pfifo"


class Bfifo(Fifo):
    """First in, first out, with at most `limit` bytes (default: txqueuelen full frames)."""

    kind = "bfifo"

    def default_limit(self) -> int:
        """Return the bytes of txqueuelen frames of the greatest size."""
        return tx_queue_len(self.dev) * psched_mtu(self.dev)

    def change(self, limit: int | None = None) -> None:
        """Set the limit, unless it is None; a queue too short for one frame is never bypassed."""
        super().change(limit)
        self.can_bypass = self.limit >= psched_mtu(self.dev)

    def has_room(self, skb: Packet) -> bool:
        """Return whether the bytes of `skb` fit."""
        return self.kernel_view.backlog + skb.wire_len <= self.limit

    def shown(self, details: bool = False) -> list[Part]:
        """Return the options, as in `limit 3000b`, with a larger unit if that is exact enough."""
        return [Part(f"limit {format_size(self.limit)}", "limit", self.limit)]


class PfifoHeadDrop(Fifo):
    """A pfifo that drops its oldest packet if it is full, and returns NET_XMIT_CN."""

    kind = "pfifo_head_drop"

    def enqueue(self, skb: Packet, to_free: list[Packet]) -> int:
        """Append the packet, and drop the oldest if there is no room."""
        if not self.limit:
            return self.refuse(skb, to_free)
        if self.has_room(skb):
            return self.append(skb)
        before = self.kernel_view.backlog
        self.kernel_view.drops += 1  # even if all that fills the queue is a packet in front of it, which stays
        if self.queue:
            oldest = self.queue.popleft()
            self.kernel_view.qlen -= 1
            self.kernel_view.backlog -= oldest.wire_len
            to_free.append(oldest)
        self.append(skb)
        tree_reduce_backlog(self, 0, before - self.kernel_view.backlog)
        return NET_XMIT_CN


PFIFO: Final = QdiscKind(
    name="pfifo", make=Pfifo, without_options=True, doc="First in, first out, at most `limit` packets.",
    options=(QdiscOption(word="limit", value="SIZE", unit="packets", default="the device's txqueuelen",
                         doc="packets that may be queued"),))
BFIFO: Final = QdiscKind(
    name="bfifo", make=Bfifo, without_options=True, doc="First in, first out, at most `limit` bytes.",
    options=(QdiscOption(word="limit", value="SIZE", unit="bytes", default="txqueuelen full frames",
                         doc="bytes that may be queued"),))
PFIFO_HEAD_DROP: Final = QdiscKind(
    name="pfifo_head_drop", make=PfifoHeadDrop, without_options=True,
    doc="As pfifo, but a full queue drops its oldest packet to make room for the newest.", options=PFIFO.options)
