"""A network device with a root qdisc and a link behind it: what dev_queue_xmit and qdisc_run do (net/core/dev.c,
net/sched/sch_generic.c).

A packet for the device goes to the qdisc's enqueue; when the wire is free the qdisc is asked for a packet. It is
asked again when a packet's last bit has left and when a watchdog fires.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ebpfvm.sched.account import DROPPED, SENT
from ebpfvm.sched.packet import ETH_HLEN

if TYPE_CHECKING:
    from collections.abc import Callable

    from ebpfvm.sched.account import Account, Packet
    from ebpfvm.sched.events import EventLoop
    from ebpfvm.sched.sch_generic import Qdisc
    from ebpfvm.sched.sink import Sink
    from ebpfvm.sched.wire import Link

    Observer = Callable[[str, int, Packet | None, str, Any], None]

_VLAN_HLEN = 4  # a tag may come on top of the MTU (is_skb_forwardable, net/core/dev.c)


class NetDevice:
    """A device.

    Args:
        loop: the event loop.
        account: where fates are recorded.
        link: the wire.
        sink: the other end.
        name, ifindex: as in the kernel.
        hard_header_len: bytes of the link layer's header, 0 for bare IP.
        observer: called as `observer(event, time, packet, result, ctx)` for each enqueue, dequeue, drop and departure.

    Attributes:
        qdisc: the root qdisc; set it before the first packet.
        too_big: packets above the MTU, dropped before they reach the qdisc.
        dequeued: packets the qdisc has given out.
        sending: the packet on the wire, None when it is free.
    """

    __slots__ = ("_clock", "_missed", "_room", "_running", "account", "dequeued", "ifindex", "link", "loop", "name",
                 "observer", "qdisc", "sending", "sink", "too_big")
    qdisc: Qdisc

    def __init__(self, loop: EventLoop, account: Account, link: Link, sink: Sink, *, name: str = "sim0",
                 ifindex: int = 2, hard_header_len: int = ETH_HLEN,
                 observer: Observer | None = None) -> None:
        self.loop = loop
        self.account = account
        self._clock = account.kernel
        self.link = link
        self.sink = sink
        self.name = name
        self.ifindex = ifindex
        self.observer = observer
        self.sending: Packet | None = None
        self.too_big = self.dequeued = 0
        self._running = self._missed = False
        self._room = None if link.mtu is None else link.mtu + hard_header_len + _VLAN_HLEN

    def xmit(self, skb: Packet) -> int:
        """Send a packet, which the root qdisc holds (dev_queue_xmit); NET_XMIT_*."""
        qdisc = self.qdisc
        if self._room is not None and skb.len > self._room:
            self.too_big += 1
            self.drop(skb, qdisc.holder)
            return 1  # NET_XMIT_DROP
        to_free: list[Packet] = []
        result = qdisc.enqueue(skb, to_free)
        for packet in to_free:
            self.drop(packet, qdisc.holder)
        if self.sending is None:
            self.run()
        return result

    def run(self) -> None:
        """Put the qdisc's next packet on the wire, if that is free and there is one (qdisc_run)."""
        if self.sending is not None:
            return
        if self._running:  # a dequeue program sends to its own device (__QDISC_STATE_RUNNING)
            self._missed = True
            return
        qdisc = self.qdisc
        self._running = True
        try:
            skb = qdisc.dequeue() if qdisc.gso_skb is None else qdisc.dequeue_peeked()
        finally:
            self._running = False
        if skb is None and self._missed:
            self.loop.at(self._clock.clock, lambda _: self.run())
        self._missed = False
        if skb is not None:
            self.dequeued += 1
            self.sending = skb
            self.loop.at(self.link.send(self._clock.clock, skb.len), self._sent, skb)

    def _sent(self, skb: Packet) -> None:
        """The last bit of `skb` has left."""
        skb.departure = now = self._clock.clock
        if self.observer is not None:
            self.observe("sent", skb, "", None)
        self.sink.receive(skb, now + self.link.delay)
        self.account.dispose(skb, SENT, self.qdisc.holder)
        self.sending = None
        self.run()

    def drop(self, skb: Packet, holder: str) -> None:
        """Free a packet that `holder` holds, as a drop."""
        if self.observer is not None:
            self.observe("drop", skb, "", None)
        self.account.dispose(skb, DROPPED, holder)

    def observe(self, event: str, skb: Packet | None, result: str, ctx: Any) -> None:
        """Tell the observer, which must be there."""
        assert self.observer is not None
        self.observer(event, self.loop.now, skb, result, ctx)
