"""netem: delay, jitter, loss and a limit (net/sched/sch_netem.c, Linux 7.2). Chance comes from the run's one seed."""

from __future__ import annotations

from bisect import insort
from typing import TYPE_CHECKING

from ebpfvm.sched.classful import NET_XMIT_BYPASS
from ebpfvm.sched.qdisc import NET_XMIT_DROP, NET_XMIT_SUCCESS, Qdisc
from ebpfvm.sched.units import format_time

if TYPE_CHECKING:
    from ebpfvm.sched.account import Packet
    from ebpfvm.sched.device import NetDevice


class Netem(Qdisc):
    """Emulates a path. Packets leave in order of their times, so jitter may reorder them.

    Args:
        dev, handle: as of `Qdisc`.
        limit: packets.
        delay, jitter: ns; each packet waits `delay` plus something even between -jitter and +jitter.
        loss: probability from 0 to 1; a lost packet counts as a drop, and its sender is told nothing.
    """

    kind = "netem"

    def __init__(self, dev: NetDevice, handle: int = 0, *, limit: int = 1000, delay: int = 0, jitter: int = 0,
                 loss: float = 0.0) -> None:
        super().__init__(dev, handle)
        self._queue: list[tuple[int, int, Packet]] = []
        self._count = 0
        self.change(limit=limit, delay=delay, jitter=jitter, loss=loss)

    def change(self, *, limit: int = 1000, delay: int = 0, jitter: int = 0, loss: float = 0.0) -> None:
        """Other parameters for packets that come from now on."""
        self.limit, self.delay, self.jitter, self.loss = limit, delay, jitter, loss

    def enqueue(self, skb: Packet, to_free: list[Packet]) -> int:
        """Lose it, drop it because of the limit, or queue it by its time (netem_enqueue)."""
        random = self.dev.account.kernel.random
        if self.loss and random.random() < self.loss:
            self.kernel_view.drops += 1
            to_free.append(skb)
            return NET_XMIT_SUCCESS | NET_XMIT_BYPASS
        if len(self._queue) >= self.limit:
            self.kernel_view.drops += 1
            to_free.append(skb)
            return NET_XMIT_DROP
        delay = self.delay + (random.randrange(-self.jitter, self.jitter) if self.jitter else 0)
        self._count += 1
        insort(self._queue, (self.dev.loop.now + max(delay, 0), self._count, skb), key=lambda item: item[:2])
        self.kernel_view.qlen += 1
        self.kernel_view.backlog += skb.len
        return NET_XMIT_SUCCESS

    def dequeue(self) -> Packet | None:
        """The packet whose time has come, or a timer for the first (netem_dequeue)."""
        if not self._queue:
            return None
        time, _, skb = self._queue[0]
        if time > self.dev.loop.now:
            self.watchdog.schedule(time)
            return None
        del self._queue[0]
        stats = self.kernel_view
        stats.qlen -= 1
        stats.backlog -= skb.len
        stats.packets += 1
        stats.bytes += skb.len
        return skb

    def reset(self) -> None:
        """Drop what is queued."""
        for _, _, skb in self._queue:
            self.dev.drop(skb, self.holder)
        self._queue.clear()
        super().reset()

    def options(self) -> str:
        """What is set."""
        text = f"limit {self.limit}"
        if self.delay or self.jitter:
            text += f" delay {format_time(self.delay)}" + (f"  {format_time(self.jitter)}" if self.jitter else "")
        return text + (f" loss {100 * self.loss:g}%" if self.loss else "")
