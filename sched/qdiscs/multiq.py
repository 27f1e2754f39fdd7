"""multiq: a class for each transmit queue of the device, served in turn (net/sched/sch_multiq.c, Linux 7.2)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from ebpfvm.errnos import EOPNOTSUPP
from ebpfvm.sched.banded import BandedQdisc
from ebpfvm.sched.classful import QdiscClass, dequeue_peeked, drop_count, qdisc_enqueue
from ebpfvm.sched.classify import taken, tcf_classify
from ebpfvm.sched.qdisc_kind import QdiscKind
from ebpfvm.sched.sch_generic import NET_XMIT_SUCCESS
from ebpfvm.sched.shown import Part, entry
from ebpfvm.sched.tc.tc_verdict import TcfResult

if TYPE_CHECKING:
    from ebpfvm.sched.account import Packet
    from ebpfvm.sched.sch_generic import QdiscDevice


class Multiq(BandedQdisc):
    """A band for each transmit queue; skb->queue_mapping selects it, which filters set by `action skbedit`.

    Raises:
        OSError: EOPNOTSUPP if the device has one queue.
    """

    kind = "multiq"

    def __init__(self, dev: QdiscDevice, handle: int = 0) -> None:
        super().__init__(dev, handle)
        if dev.num_tx_queues < 2:
            raise OSError(EOPNOTSUPP, "Operation not supported: multiq needs a device with several transmit queues, "
                                      "as by ip link add NAME numtxqueues 4 type dummy")
        self._current = 0
        self.change()

    def change(self) -> None:
        """Make a band for each queue (multiq_tune)."""
        self.resize(self.dev.num_tx_queues, QdiscClass)

    def classify(self, skb: Packet) -> tuple[int, int]:
        """Return the band of a packet, -1 for none, and what enqueue then returns (multiq_classify)."""
        result = taken(tcf_classify(skb, self.block, TcfResult()))
        if result:
            return -1, result
        return (skb.queue_mapping if skb.queue_mapping < len(self.bands) else 0), 0

    def enqueue(self, skb: Packet, to_free: list[Packet]) -> int:
        """Pass the packet to the qdisc of its queue (multiq_enqueue)."""
        hops = skb.hops
        band, result = self.classify(skb)
        if band < 0:
            return self.unclassified(skb, hops, result, to_free)
        result = qdisc_enqueue(self, self.bands[band].child, skb, to_free)
        if result == NET_XMIT_SUCCESS:
            self.kernel_view.qlen += 1
        elif drop_count(result):
            self.kernel_view.drops += 1
        return result

    def dequeue(self) -> Packet | None:
        """Return a packet of the next band that has one."""
        for _ in self.bands:
            self._current = (self._current + 1) % len(self.bands)
            skb = dequeue_peeked(self, self.bands[self._current].child)
            if skb is not None:
                self.kernel_view.packets += 1
                self.kernel_view.bytes += skb.wire_len
                self.kernel_view.qlen -= 1
                return skb
        return None

    def peek(self) -> Packet | None:
        """Return what `dequeue` would return, without removing it."""
        count = len(self.bands)
        order = (self.bands[(self._current + step) % count] for step in range(1, count + 1))
        return next((skb for cl in order if (skb := cl.child.peek()) is not None), None)

    def reset(self) -> None:
        """Drop what is queued, and begin with the first queue."""
        super().reset()
        self._current = 0

    def shown(self, details: bool = False) -> list[Part]:
        """Return the number of bands, and of queues."""
        return [entry("bands", len(self.bands), "bands {}/"), entry("max_bands", self.dev.num_tx_queues)]


MULTIQ: Final = QdiscKind(
    name="multiq", make=Multiq, without_options=True,
    doc="A class for each transmit queue of the device, served in turn; skb->queue_mapping selects it.")
