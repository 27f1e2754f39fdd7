"""tbf, the token bucket filter (net/sched/sch_tbf.c, Linux 7.2). Tokens are nanoseconds of sending time."""

from __future__ import annotations

import errno
from typing import TYPE_CHECKING

from ebpfvm.sched.classful import ClassfulQdisc, QdiscClass, account_out, dequeue_peeked, drop_count, qdisc_enqueue
from ebpfvm.sched.qdisc import NET_XMIT_DROP, NET_XMIT_SUCCESS, Qdisc
from ebpfvm.sched.qdiscs.fifo import Bfifo, Fifo
from ebpfvm.sched.units import NSEC_PER_SEC, format_rate, format_size, format_time

if TYPE_CHECKING:
    from collections.abc import Iterator

    from ebpfvm.sched.account import Packet
    from ebpfvm.sched.device import NetDevice


def send_time(rate: int, size: int) -> int:
    """Nanoseconds that `size` bytes take at `rate` bytes a second (psched_l2t_ns)."""
    return size * NSEC_PER_SEC // rate


class Tbf(ClassfulQdisc):
    """A shaper: packets leave as tokens come in. One class, X:1, a bfifo at first.

    Args:
        dev, handle: as of `Qdisc`.
        rate: bytes a second.
        burst: bytes of the bucket; longer packets are dropped.
        limit: bytes that the child may queue.
        peakrate: bytes a second that are never exceeded, 0 for none.
        mtu: bytes of the second bucket, needed with `peakrate`.

    Raises:
        OSError: EINVAL, no rate or burst, a peak rate without MTU or not above the rate.
    """

    kind = "tbf"

    def __init__(self, dev: NetDevice, handle: int = 0, *, rate: int, burst: int, limit: int, peakrate: int = 0,
                 mtu: int = 0) -> None:
        super().__init__(dev, handle)
        self.leaf = QdiscClass(handle | 1)
        self.change(rate=rate, burst=burst, limit=limit, peakrate=peakrate, mtu=mtu)
        self.graft(self.leaf, Bfifo(dev, 0, limit))
        self._fill()

    def change(self, *, rate: int, burst: int, limit: int, peakrate: int = 0, mtu: int = 0) -> None:
        """Other parameters, and a full bucket (tbf_change)."""
        if rate < 1 or burst < 1:
            raise OSError(errno.EINVAL, "tbf needs a rate and a burst")
        if peakrate and (not mtu or peakrate <= rate):
            raise OSError(errno.EINVAL, "tbf needs an mtu with peakrate, and a peakrate above the rate")
        self.rate, self.burst, self.limit, self.peakrate, self.mtu = rate, burst, limit, peakrate, mtu
        self.buffer = send_time(rate, burst)
        self.peak_buffer = send_time(peakrate, mtu) if peakrate else 0
        self.max_size = min(burst, mtu) if peakrate else burst
        if isinstance(self.leaf.child, Fifo):
            self.leaf.child.change(limit)
        self._fill()

    def _fill(self) -> None:
        self.time = self.dev.loop.now
        self.tokens = self.buffer
        self.peak_tokens = self.peak_buffer

    def walk(self) -> Iterator[QdiscClass]:
        """The one class."""
        return iter((self.leaf,))

    def graft(self, cl: QdiscClass, new: Qdisc | None) -> Qdisc | None:
        """Another child; without one the bfifo again."""
        return super().graft(cl, new if new is not None else Bfifo(self.dev, 0, self.limit))

    def enqueue(self, skb: Packet, to_free: list[Packet]) -> int:
        """Queue it in the child, unless it could never be sent (tbf_enqueue)."""
        size = skb.len
        if size > self.max_size:
            self.kernel_view.drops += 1
            to_free.append(skb)
            return NET_XMIT_DROP
        assert self.leaf.child is not None
        result = qdisc_enqueue(self, self.leaf.child, skb, to_free)
        if result == NET_XMIT_SUCCESS:
            self.kernel_view.backlog += size
            self.kernel_view.qlen += 1
        elif drop_count(result):
            self.kernel_view.drops += 1
        return result

    def dequeue(self) -> Packet | None:
        """The child's next packet if there are tokens for it, else a timer for when there will be (tbf_dequeue)."""
        child = self.leaf.child
        skb = child.peek() if child is not None else None
        if skb is None or child is None:
            return None
        now = self.dev.loop.now
        tokens = min(now - self.time, self.buffer)
        peak = 0
        if self.peakrate:
            peak = min(tokens + self.peak_tokens, self.peak_buffer) - send_time(self.peakrate, skb.len)
        tokens = min(tokens + self.tokens, self.buffer) - send_time(self.rate, skb.len)
        if tokens < 0 or peak < 0:
            self.watchdog.schedule(now + max(-tokens, -peak))
            self.kernel_view.overlimits += 1
            return None
        skb = dequeue_peeked(self, child)
        if skb is None:
            return None
        self.time, self.tokens, self.peak_tokens = now, tokens, peak
        account_out(self, skb)
        return skb

    def reset(self) -> None:
        """Drop what is queued and fill the bucket."""
        super().reset()
        self._fill()

    def options(self) -> str:
        """Rate, burst and the latency that the limit means."""
        latency = send_time(self.rate, max(self.limit - self.burst, 0))
        peak = ""
        if self.peakrate:
            peak = f"peakrate {format_rate(8 * self.peakrate)} minburst {format_size(self.mtu)} "
            latency = max(latency, send_time(self.peakrate, max(self.limit - self.mtu, 0)))
        return f"rate {format_rate(8 * self.rate)} burst {format_size(self.burst)} {peak}lat {format_time(latency)} "
