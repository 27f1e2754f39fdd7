"""A network device with a root qdisc and a link: dev_queue_xmit and qdisc_run (net/core/dev.c, sch_generic.c).

A packet for the device goes to the qdisc's enqueue; when the wire is idle, the qdisc is asked for a packet. It is asked
again when a packet's last bit has left and when a watchdog fires.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypedDict

from ebpfvm.errors import UsageError
from ebpfvm.net import ETH_HLEN, VLAN_HLEN
from ebpfvm.sched.account import DROPPED, SENT
from ebpfvm.sched.bulk import bulk_dequeue
from ebpfvm.sched.sch_generic import DEFAULT_TX_QUEUE_LEN

if TYPE_CHECKING:
    from ebpfvm.sched.account import Account, Packet
    from ebpfvm.sched.events import EventLoop
    from ebpfvm.sched.sch_generic import Observer, Qdisc
    from ebpfvm.sched.sink import Sink
    from ebpfvm.sched.wire import Link



class DeviceParts(TypedDict, total=False):
    """Optional parts of a new device.

    Attributes:
        link: the wire; by default a fast one.
        sink: the other end of the wire; by default the namespace's.
        ifindex: its interface number; by default the next free one.
        observer: see `NetDevice`.
        hard_header_len: bytes of its link-layer header; by default Ethernet's.
    """

    link: Link | None
    sink: Sink | None
    ifindex: int | None
    observer: Observer | None
    hard_header_len: int


class NetDevice:
    """A device.

    Args:
        loop: the event loop.
        account: where fates are recorded.
        link: the wire.
        sink: the other end.
        hard_header_len: length of the link-layer header in bytes, 0 for bare IP.

    Attributes:
        name, ifindex: as in the kernel.
        observer: called as `observer(event, time, packet, result, ctx)` for each enqueue, dequeue, drop and departure;
            None if nothing observes the device.
        tx_queue_len: `txqueuelen`.
        num_tx_queues: number of transmit queues.
        qdisc: the root qdisc; set it before the first packet.
        room: bytes of the largest frame that may pass, None for no limit.
        too_big: number of packets larger than the MTU; they are dropped before they reach the qdisc.
        dequeued: number of packets that the qdisc has returned.
        running: whether the qdisc is asked for a packet right now.
        sending: the packet on the wire, None if the wire is idle.
    """

    __slots__ = ("_clock", "_missed", "_sent", "_several", "account", "dequeued", "hard_header_len", "ifindex",
                 "link", "loop", "name", "num_tx_queues", "observer", "qdisc", "room", "running", "sending",
                 "sink", "too_big", "tx_queue_len")
    qdisc: Qdisc

    def __init__(self, loop: EventLoop, account: Account, link: Link, sink: Sink,
                 hard_header_len: int = ETH_HLEN) -> None:
        self.loop = loop
        self.account = account
        self._clock = account.kernel
        self._sent = self.sent  # bound once: each `self.method` that is not called makes a new object
        self.link = link
        self.sink = sink
        self.hard_header_len = hard_header_len
        self.name = "sim0"
        self.ifindex = 2
        self.observer: Observer | None = None
        self.tx_queue_len = DEFAULT_TX_QUEUE_LEN
        self.num_tx_queues = 1
        self.sending: Packet | None = None
        self.too_big = self.dequeued = 0
        self.running = self._missed = self._several = False
        self.room = None if link.mtu is None else link.mtu + hard_header_len + VLAN_HLEN  # is_skb_forwardable

    def xmit(self, skb: Packet) -> int:
        """Send a packet, which the root qdisc then holds (dev_queue_xmit), and return NET_XMIT_*."""
        qdisc = self.qdisc
        if self.room is not None and skb.len > self.room:
            self.too_big += 1
            self.drop(skb, qdisc.holder)
            return 1  # NET_XMIT_DROP
        recorder = self.account.recorder
        if recorder is not None:
            recorder.entered(self, skb)
        to_free: list[Packet] = []
        result = qdisc.enqueue(skb, to_free)
        for packet in to_free:
            self.drop(packet, qdisc.holder)
        if recorder is not None:
            recorder.queued()
        if self.sending is None:
            self.run()
        return result

    def run(self) -> None:
        """Put the qdisc's next packet on the wire, if the wire is idle and there is a packet (qdisc_run)."""
        if self.sending is not None:
            return
        if self.running:  # a dequeue program sends to its own device (__QDISC_STATE_RUNNING)
            self._missed = True
            return
        qdisc = self.qdisc
        self.running = True
        try:
            skb = self._take(qdisc) if self._several else (
                qdisc.dequeue() if qdisc.gso_skb is None else qdisc.dequeue_peeked())
        finally:
            self.running = False
        if skb is None and self._missed:
            self.loop.at(self._clock.clock, lambda _: self.run())
        self._missed = False
        if skb is not None:
            self.dequeued += 1
            if self.account.recorder is not None:
                self.account.recorder.taken(self, skb)
            self.sending = skb
            self.loop.at(self.link.send(self._clock.clock, skb.len), self._sent, skb)

    def _take(self, qdisc: Qdisc) -> Packet | None:
        """Return the next packet for one of several transmit queues."""
        return qdisc.dequeue() if qdisc.mq_root else bulk_dequeue(qdisc)

    def sent(self, skb: Packet) -> None:
        """Finish sending `skb`, whose last bit has left."""
        skb.departure = now = self._clock.clock
        if self.observer is not None:
            self.observe("sent", skb, "", None)
        self.sink.receive(skb, now + self.link.delay)
        self.account.dispose(skb, SENT, self.qdisc.holder)
        self.sending = None
        self.run()

    def drop(self, skb: Packet, holder: str) -> None:
        """Drop a packet that `holder` holds."""
        if self.observer is not None:
            self.observe("drop", skb, "", None)
        self.account.dispose(skb, DROPPED, holder)

    def clone(self, skb: Packet, holder: str) -> Packet:
        """Return a copy of a packet, which `holder` holds.

        Raises:
            UsageError: the device belongs to no namespace, so the copy could not be counted.
        """
        raise UsageError(f"device {self.name}: a qdisc that copies packets needs a device of a namespace")

    def default_child(self, parent: int, upper: Qdisc) -> Qdisc:
        """Return the qdisc that a class of mq has at first.

        Raises:
            UsageError: the device belongs to no namespace, so no kind is the default.
        """
        raise UsageError(f"device {self.name}: mq needs a device of a namespace")

    def observe(self, event: str, skb: Packet | None, result: str, ctx: Any) -> None:
        """Call the observer, which must exist."""
        assert self.observer is not None
        self.observer(event, self.loop.now, skb, result, ctx)
