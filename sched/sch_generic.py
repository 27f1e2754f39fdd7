"""The interface of every queueing discipline: struct Qdisc as far as the emulated kernel has it (net/sch_generic.h).

A qdisc receives packets from its device and returns them on request. In the ledger of references, the packets that it
has received or just returned are listed under its name (`holder`). `QdiscDevice` defines what a qdisc may ask of its
device; `ebpfvm.sched.device` and `ebpfvm.sched.netdev` have the devices.
"""

from __future__ import annotations

import itertools
from collections import deque
from typing import TYPE_CHECKING, Any, Final, Protocol

from ebpfvm.errnos import ENOSYS
from ebpfvm.errors import Fault
from ebpfvm.ints import U32_MAX, U64_MAX
from ebpfvm.lazy_dataclasses import dataclass, replace
from ebpfvm.net import NET_XMIT_CN as NET_XMIT_CN  # what qdiscs return, for them too
from ebpfvm.net import NET_XMIT_DROP as NET_XMIT_DROP
from ebpfvm.net import NET_XMIT_STOLEN as NET_XMIT_STOLEN
from ebpfvm.net import NET_XMIT_SUCCESS as NET_XMIT_SUCCESS
from ebpfvm.sched.shown import Part, shown_text

if TYPE_CHECKING:
    from collections.abc import Callable

    from ebpfvm.sched.account import Account, Packet
    from ebpfvm.sched.events import EventLoop
    from ebpfvm.sched.size_table import SizeTable
    from ebpfvm.sched.wire import Link

    Observer = Callable[[str, int, Packet | None, str, Any], None]

# include/net/sch_generic.h
TCQ_F_ONETXQUEUE: Final = 0x10  # it feeds only one transmit queue
TCQ_F_NOPARENT: Final = 0x40  # nobody above it counts its packets

DEFAULT_TX_QUEUE_LEN: Final = 1000  # txqueuelen of a device for which none is set

TC_H_ROOT: Final = U32_MAX
TC_H_MAJ_MASK: Final = 0xFFFF0000

MAX_IDLE_WAKEUPS: Final = 100_000
"""Watchdogs in a row without a packet after which a run is given up: the program would throttle for ever."""

_SERIALS = itertools.count(1)  # only their order matters


def handle_text(handle: int) -> str:
    """Return a qdisc or class id as `tc` writes it.

    >>> handle_text(0x80010000), handle_text(0x80010003)
    ('8001:', '8001:3')
    """
    minor = handle & 0xFFFF
    return f"{handle >> 16:x}:{minor:x}" if minor else f"{handle >> 16:x}:"


@dataclass(slots=True)
class Stats:
    """The counters that `tc -s qdisc show` prints (gnet_stats_basic and gnet_stats_queue)."""

    packets: int = 0
    bytes: int = 0
    drops: int = 0
    overlimits: int = 0
    requeues: int = 0
    qlen: int = 0
    backlog: int = 0

    def unsigned(self) -> Stats:
        """Return the same with length and backlog as a kernel has them, whose 32 bits wrap below zero."""
        if self.qlen >= 0 <= self.backlog:
            return self
        return replace(self, qlen=self.qlen & U32_MAX, backlog=self.backlog & U32_MAX)


class QdiscDevice(Protocol):
    """The device of a qdisc, as far as qdiscs know it.

    Attributes:
        loop, account, link, name: see `ebpfvm.sched.device.NetDevice`.
        observer: called for each event, unless it is None.
        qdisc: the root qdisc.
        dequeued: number of packets that the root qdisc has returned.
        tx_queue_len: `txqueuelen`, the default length of queues.
        hard_header_len: bytes of the link-layer header.
        num_tx_queues: number of transmit queues.
    """

    loop: EventLoop
    account: Account
    link: Link
    name: str
    observer: Observer | None
    qdisc: Qdisc
    dequeued: int
    tx_queue_len: int
    hard_header_len: int
    num_tx_queues: int

    def run(self) -> None:
        """Send packets as long as there are any."""

    def drop(self, skb: Packet, holder: str) -> None:
        """Drop a packet that `holder` holds."""

    def clone(self, skb: Packet, holder: str) -> Packet:
        """Return a copy of a packet, which `holder` holds."""

    def default_child(self, parent: int, upper: Qdisc) -> Qdisc:
        """Return the qdisc that a class of mq has at first."""

    def observe(self, event: str, skb: Packet | None, result: str, ctx: Any) -> None:
        """Call the observer, which must exist."""


class Watchdog:
    """The one timer of a qdisc (qdisc_watchdog, net/sched/sch_api.c).

    The latest call decides when it fires, and it wakes the qdisc at the top (decision D20). It keeps a run alive only
    while packets wait: a program may poll an empty queue forever.

    Attributes:
        expires: when it fires (ns), None while it is not armed.
        idle: how often in a row it has fired and no packet was sent, although there were some or no time had passed.
    """

    __slots__ = ("_fruitless", "_qdisc", "_since", "expires", "idle")

    def __init__(self, qdisc: Qdisc) -> None:
        self._qdisc = qdisc
        self.expires: int | None = None
        self.idle = 0
        self._since = 0  # when the first of these happened
        self._fruitless = -1  # progress of the account when it turned out that none of the packets waits here

    def schedule(self, expires: int) -> None:
        """Fire at `expires` (u64 ns), or at once if that has passed or is negative as a ktime_t."""
        loop = self._qdisc.dev.loop
        now = loop.now
        expires &= U64_MAX
        time = now if expires < now or expires >> 63 else expires
        if self.expires != time:
            self.expires = time
            loop.armed.add(self)
            loop.at_idle(time, self.fire, time)

    def schedule_range(self, expires: int, delta: int) -> None:
        """Fire at `expires` (u64 ns), unless the timer is set to fire up to `delta` later.

        A time that is negative as a ktime_t never comes, since its range ends at KTIME_MAX; see
        qdisc_watchdog_schedule_range_ns.
        """
        if self.expires is not None and (self.expires - expires) & U64_MAX <= delta:
            return
        if expires >> 63:
            self.cancel()
            self.expires = expires
        else:
            self.schedule(expires)

    def cancel(self) -> None:
        """Cancel the timer."""
        if self.expires is not None:
            self.expires = None
            self._qdisc.dev.loop.armed.discard(self)

    def waits(self) -> bool:
        """Return whether packets may wait for the timer."""
        account = self._qdisc.dev.account
        return account.inside > 0 and account.progress != self._fruitless

    @property
    def gave_up(self) -> bool:
        """Whether it has turned out that packets in the network do not wait for it."""
        return self._fruitless >= 0

    def fire(self, time: int) -> None:
        """Send packets, if the timer is still armed for `time`."""
        if self.expires != time:
            return  # re-armed or cancelled since
        self.cancel()
        dev = self._qdisc.dev
        before = dev.dequeued
        self._qdisc.wake()
        self.woken(dev.dequeued != before)

    def woken(self, sent: bool) -> None:
        """Count in a row how often the timer has fired and no packet was sent."""
        if sent:
            self.idle = 0
            return
        dev = self._qdisc.dev
        if not self.idle or (not dev.account.inside and dev.loop.now != self._since):
            self.idle, self._since = 0, dev.loop.now
        self.idle += 1
        if self.idle > MAX_IDLE_WAKEUPS:
            self._give_up(dev)

    def _give_up(self, dev: QdiscDevice) -> None:
        """Raise Fault if the time has stood still, or if a packet of the device has waited all the time.

        Packets elsewhere do not wait for this one.
        """
        waiting = (packet.dev is dev and packet.arrival <= self._since for packet in dev.account.waiting())
        if dev.loop.now == self._since or any(waiting):
            raise Fault("livelock", f"{MAX_IDLE_WAKEUPS} watchdogs in a row found nothing to send: "
                                    "the program throttles and never returns a packet")
        self.idle, self._fruitless = 0, dev.account.progress


class Parked:
    """Packets that a device has taken from its root qdisc in advance; they wait for their turn and count as queued.

    Attributes:
        requeued: what the wire did not take.
        other: a packet of another queue than those before it (skb_bad_txq).
    """

    __slots__ = ("other", "requeued")

    def __init__(self) -> None:
        self.requeued: deque[Packet] = deque()
        self.other: deque[Packet] = deque()


class Qdisc:
    """A queueing discipline on a device.

    Args:
        dev: its device.
        handle: 32-bit id with minor 0.

    Attributes:
        kind: name of the kind in `tc`.
        kernel_view: the counters as the kernel keeps them.
        holder: its name in the ledger of references.
        gso_skb: a packet that `peek` took out and that leaves next.
        parked: packets that a device with several queues has taken in advance, None if there never were any.
        parent: id of the class that it is attached to, `TC_H_ROOT` for a root qdisc.
        upper: the qdisc of that class, None for a root qdisc.
        serial: number among the qdiscs of the namespace: later ones have greater numbers.
        can_bypass: whether a packet may pass it without being queued while it is empty (TCQ_F_CAN_BYPASS).
        counting: who keeps the counters of `kernel_view`, in a few words.
        mq_root: whether it only assigns its children to the device's queues (TCQ_F_MQROOT).
        flags: TCQ_F_*, as far as programs can tell.
        gone: whether nothing refers to it any more.
        listed: whether it is shown although no command made it.
        stab: what its packets count, None for their length.
    """

    kind = ""
    parent: int = TC_H_ROOT
    upper: Qdisc | None = None
    can_bypass: bool = False
    mq_root: bool = False
    flags: int = 0
    gone: bool = False
    listed: bool = False
    stab: SizeTable | None = None
    counting = "the RFC leaves statistics to maps"

    def __init__(self, dev: QdiscDevice, handle: int) -> None:
        self.dev = dev
        self.handle = handle
        self.holder = f"qdisc {handle_text(handle)}"
        self.kernel_view = Stats()
        self.gso_skb: Packet | None = None
        self.parked: Parked | None = None
        self.watchdog = Watchdog(self)
        self.serial = next(_SERIALS)

    def wake(self) -> None:
        """Let the device ask for packets: below mq, it asks only the queues that have to be (__netif_schedule)."""
        found = self
        while (upper := found.upper) is not None:
            upper.wake_child(found)
            found = upper
        self.dev.run()

    def wake_child(self, child: Qdisc) -> None:
        """Note that `child` has to be asked, if the children of this kind are asked separately."""

    def enqueue(self, skb: Packet, to_free: list[Packet]) -> int:
        """Take `skb`, whose reference the qdisc holds from then on; packets to drop are appended to `to_free`.

        Returns:
            NET_XMIT_*.
        """
        raise NotImplementedError

    def dequeue(self) -> Packet | None:
        """Return the next packet, still held by the qdisc, or None if there is none now."""
        raise NotImplementedError

    def peek(self) -> Packet | None:
        """Return the packet that `dequeue_peeked` will return (qdisc_peek_dequeued), and park it."""
        if self.gso_skb is None:
            self.gso_skb = skb = self.dequeue()
            if skb is not None:  # it is still part of the queue
                self.kernel_view.qlen += 1
                self.kernel_view.backlog += skb.wire_len
        return self.gso_skb

    def dequeue_peeked(self) -> Packet | None:
        """Return the parked packet or the next one (qdisc_dequeue_peeked)."""
        skb = self.gso_skb
        if skb is None:
            return self.dequeue()
        self.gso_skb = None
        self.kernel_view.qlen -= 1
        self.kernel_view.backlog -= skb.wire_len
        return skb

    def reset(self) -> None:
        """Drop what is queued (qdisc_reset): stop the timer, free what was taken in advance, zero qlen and backlog."""
        self.watchdog.cancel()
        if self.gso_skb is not None:
            peeked, self.gso_skb = self.gso_skb, None
            self.dev.drop(peeked, self.holder)
        if self.parked is not None:
            parked, self.parked = self.parked, None
            for skb in (*parked.requeued, *parked.other):
                self.dev.drop(skb, self.holder)
        self.kernel_view.qlen = self.kernel_view.backlog = 0

    def destroy(self) -> None:
        """Delete the qdisc."""
        self.watchdog.cancel()

    def put(self) -> None:
        """Release the last reference (qdisc_put): drop what is queued, and delete the qdisc."""
        self.gone = True
        self.reset()
        self.destroy()

    def child_emptied(self, classid: int) -> None:
        """Note that the queue of a class has become empty, other than by `dequeue`."""

    def bind_filter(self) -> None:
        """Note that the qdisc has got a filter."""

    @property
    def refcnt(self) -> int:
        """The number of references: the root has one from each transmit queue, and one from the device."""
        if self.gone:
            return 0
        is_root = not self.mq_root and getattr(self.dev, "qdisc", None) is self
        return self.dev.num_tx_queues + 1 if is_root else 1

    def of_queues(self) -> list[Qdisc]:
        """Return the qdisc of each transmit queue, for the root of a device."""
        return [self] * self.dev.num_tx_queues

    def change(self, *args: Any, **options: Any) -> None:
        """Change the options, whose names depend on the kind.

        Raises:
            OSError: ENOSYS if the kind cannot be changed; EINVAL if the kind refuses an option.
        """
        if args or options:
            raise OSError(ENOSYS, "Change operation not supported by specified qdisc")

    @property
    def shown_stats(self) -> Stats:
        """The counters that `tc -s` shows."""
        return self.kernel_view.unsigned()

    def shown(self, details: bool = False) -> list[Part]:
        """Return the options that `tc qdisc show` prints after the parent, with more of them for `tc -d`."""
        return []

    def counted(self) -> list[Part]:
        """Return the counters that `tc -s qdisc show` prints among the options."""
        return []

    def options(self) -> str:
        """Return the options as text."""
        return shown_text(self.shown())

    def xstats(self) -> list[Part]:
        """Return what `tc -s qdisc show` prints below the counters; each line begins with its newline."""
        return []


class Noop(Qdisc):
    """What a queue of mq has after its qdisc was deleted: it drops every packet (noop_qdisc), and is never shown."""

    kind = "noop"

    def enqueue(self, skb: Packet, to_free: list[Packet]) -> int:
        """Drop the packet."""
        to_free.append(skb)
        return NET_XMIT_CN

    def dequeue(self) -> None:
        """Return None."""
