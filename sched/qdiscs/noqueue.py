"""noqueue and blackhole: no queue at all (net/sched/sch_generic.c and sch_blackhole.c, Linux 7.2).

A device with `noqueue` sends a packet at once, which a kernel's software devices can always do. The devices here have a
wire. While it is busy, a packet is dropped, as a kernel does if such a device refuses one ("Virtual device asks to
queue packet").
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from ebpfvm.sched.classful import NET_XMIT_BYPASS
from ebpfvm.sched.qdisc_kind import QdiscKind
from ebpfvm.sched.sch_generic import NET_XMIT_DROP, NET_XMIT_SUCCESS, Qdisc

if TYPE_CHECKING:
    from ebpfvm.sched.account import Packet
    from ebpfvm.sched.sch_generic import QdiscDevice


class NoQueue(Qdisc):
    """No queue: a packet is sent at once or dropped, and nothing is counted."""

    kind = "noqueue"

    def __init__(self, dev: QdiscDevice, handle: int = 0) -> None:
        super().__init__(dev, handle)
        self._packet: Packet | None = None

    def enqueue(self, skb: Packet, to_free: list[Packet]) -> int:
        """Take the packet if the wire is idle."""
        busy = getattr(self.dev, "sending", None) is not None  # a device without a wire has no such attribute
        if busy or self._packet is not None:
            to_free.append(skb)
            return NET_XMIT_DROP
        self._packet = skb
        return NET_XMIT_SUCCESS

    def dequeue(self) -> Packet | None:
        """Return the packet that has just come."""
        skb, self._packet = self._packet, None
        return skb

    def reset(self) -> None:
        """Drop the packet."""
        if self._packet is not None:
            self.dev.drop(self._packet, self.holder)
            self._packet = None
        super().reset()


class Blackhole(Qdisc):
    """Drops every packet, and the sender does not learn of it."""

    kind = "blackhole"

    def enqueue(self, skb: Packet, to_free: list[Packet]) -> int:
        """Drop the packet."""
        self.kernel_view.drops += 1
        to_free.append(skb)
        return NET_XMIT_SUCCESS | NET_XMIT_BYPASS

    def dequeue(self) -> None:
        """Return None."""

    def reset(self) -> None:
        """Reset the counters of what is queued; there is never a packet."""
        super().reset()


NOQUEUE: Final = QdiscKind(
    name="noqueue", make=NoQueue, without_options=True,
    doc="No queue, for the root only: a packet is sent at once, or dropped while the wire is busy.")
BLACKHOLE: Final = QdiscKind(
    name="blackhole", make=Blackhole, without_options=True,
    doc="Drops every packet, without telling the sender.")
