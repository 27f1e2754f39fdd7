"""Models of disciplines whose packets leave in the order in which they came, at most with some missing."""

from __future__ import annotations

from collections import deque
from math import isqrt

from tests.laws.models.bottleneck import Model, Packet

SECOND = 1_000_000_000


class Fifo(Model):
    """First in, first out, with room for `limit` packets."""

    def __init__(self, limit: int = 1000) -> None:
        super().__init__()
        self.limit = limit
        self.queue: deque[Packet] = deque()

    def enqueue(self, packet: Packet, now: int) -> None:
        if len(self.queue) < self.limit:
            self.queue.append(packet)
        else:
            self.drop(packet)

    def dequeue(self, now: int) -> Packet | None:
        return self.queue.popleft() if self.queue else None


class ShortFifo(Fifo):
    """First in, first out, with little room unless it is asked for."""

    def __init__(self, limit: int = 100) -> None:
        super().__init__(limit)


class Pacer(Fifo):
    """A fifo that keeps the link for as long as a link of `rate` bytes a second would need for each packet."""

    def __init__(self, rate: int = 250_000, limit: int = 1000) -> None:
        super().__init__(limit)
        self.pace = rate
        self.next = 0

    def dequeue(self, now: int) -> Packet | None:
        if not self.queue:
            return None
        if now < self.next:
            self.wake(self.next)
            return None
        packet = self.queue.popleft()
        self.next = now + packet.size * SECOND // self.pace
        return packet


class Codel(Fifo):
    """Controlled delay, as RFC 8289 has it in section 5, with integers: the root is rounded down at 8 bits.

    Times are signed here. A packet has waited too long if it and those after it have waited for `target` in each
    moment of an `interval`; then one is dropped, and the n-th after that an interval / sqrt(n) later.
    """

    def __init__(self, target: int = 5_000_000, interval: int = 100_000_000, limit: int = 1000,
                 mtu: int = 1514) -> None:
        super().__init__(limit)
        self.target, self.interval, self.mtu = target, interval, mtu
        self.first_above = self.drop_next = 0
        self.count = self.last_count = 0
        self.dropping = False

    def law(self, time: int) -> int:
        return time + (self.interval << 8) // isqrt(self.count << 16)

    def take(self, now: int) -> tuple[Packet | None, bool]:
        """Return the next packet, and whether it may be dropped."""
        if not self.queue:
            self.first_above = 0
            return None, False
        packet = self.queue.popleft()
        backlog = sum(waiting.size for waiting in self.queue)
        if now - packet.arrived < self.target or backlog <= self.mtu:
            self.first_above = 0
            return packet, False
        if self.first_above == 0:
            self.first_above = now + self.interval
            return packet, False
        return packet, now >= self.first_above

    def dequeue(self, now: int) -> Packet | None:
        packet, ok_to_drop = self.take(now)
        if packet is None:
            self.dropping = False
        elif self.dropping:
            if not ok_to_drop:
                self.dropping = False
            while self.dropping and now >= self.drop_next:
                assert packet is not None
                self.drop(packet)
                self.count += 1
                packet, ok_to_drop = self.take(now)
                if ok_to_drop:
                    self.drop_next = self.law(self.drop_next)
                else:
                    self.dropping = False
        elif ok_to_drop:
            self.drop(packet)
            packet, _ = self.take(now)
            self.dropping = True
            delta = self.count - self.last_count
            self.count = delta if delta > 1 and now - self.drop_next < 16 * self.interval else 1
            self.drop_next = self.law(now)
            self.last_count = self.count
        return packet
