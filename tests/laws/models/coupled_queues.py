"""Models of disciplines that mark: the coupled dual queue (RFC 9332) and a small CAKE."""

from __future__ import annotations

from collections import deque

from tests.laws.models.bottleneck import Model, Packet
from tests.laws.models.one_queue import Codel


class DualPi2(Model):
    """DualPI2: RFC 9332, appendix A, which decides as packets arrive, from the wait of the first one of their queue.

    Waits are whole microseconds, and probabilities multiples of 1/25000000, so that 0.16 and 3.2 Hz are exact.
    """

    ONE = 25_000_000

    def __init__(self, limit: int = 10_000_000, target: int = 15_000, period: int = 16_000_000,
                 time_shift: int = 50_000, min_wait: int = 800, wait_range: int = 400, coupling: int = 2) -> None:
        super().__init__()
        self.limit, self.target, self.period, self.shift = limit, target, period, time_shift * 1000
        self.min_wait, self.range, self.k = min_wait, wait_range, coupling
        self.lq: deque[Packet] = deque()
        self.cq: deque[Packet] = deque()
        self.p, self.previous = 0, 0
        self.counts = {"l": 0, "c": 0}
        self.next_change: int | None = None

    @staticmethod
    def wait(queue: deque[Packet], now: int) -> int:
        return (now - queue[0].arrived) // 1000 if queue else 0

    def changes(self, now: int) -> None:
        if self.next_change is None:
            self.next_change = now + self.period
        while now >= self.next_change:
            self.next_change += self.period
            current = self.wait(self.cq, now)
            alpha, beta = .16 / 1e6 * self.ONE, 3.2 / 1e6 * self.ONE
            self.p += round(alpha * (current - self.target) + beta * (current - self.previous))
            self.p = min(max(self.p, 0), self.ONE)
            self.previous = current

    def recur(self, queue: str, likelihood: int) -> bool:
        self.counts[queue] += likelihood
        if self.counts[queue] > self.ONE:
            self.counts[queue] -= self.ONE
            return True
        return False

    def ramp(self, wait: int) -> int:
        part = (wait - self.min_wait) * self.ONE // self.range
        return min(max(part, 0), self.ONE)

    def enqueue(self, packet: Packet, now: int) -> None:
        self.changes(now)
        if sum(waiting.size for waiting in (*self.lq, *self.cq)) + packet.size > self.limit:
            self.drop(packet)
        elif packet.ecn % 2:
            if self.recur("l", max(self.ramp(self.wait(self.lq, now)), min(self.k * self.p, self.ONE))):
                self.mark(packet)
            self.lq.append(packet)
        elif self.recur("c", self.p ** 2 // self.ONE) and not self.mark(packet):
            self.drop(packet)
        else:
            self.cq.append(packet)

    def dequeue(self, now: int) -> Packet | None:
        self.changes(now)
        if self.lq and (not self.cq or now - self.lq[0].arrived + self.shift >= now - self.cq[0].arrived):
            return self.lq.popleft()
        return self.cq.popleft() if self.cq else None


class _Flow(Codel):
    """A flow of the small CAKE: CoDel judges its first packet before that leaves, and may let it pay with a mark."""

    def __init__(self, target: int, interval: int, mtu: int) -> None:
        super().__init__(target, interval, 1 << 40, mtu)
        self.deficit = self.host = self.owed = 0
        self.ect = False

    def signal(self, now: int) -> bool:
        """Return whether CoDel wants to signal with the first packet."""
        behind = sum(waiting.size for waiting in self.queue) - self.queue[0].size
        if now - self.queue[0].arrived < self.target or behind <= self.mtu:
            self.first_above, self.dropping = 0, False
            return False
        if not self.first_above:
            self.first_above = now + self.interval
        if now < self.first_above:
            self.dropping = False
            return False
        if self.dropping and now < self.drop_next:
            return False
        if self.dropping:
            self.count += 1
            self.drop_next = self.law(self.drop_next)
            return True
        delta = self.count - self.last_count
        self.count = self.last_count = delta if delta > 1 and now - self.drop_next < 16 * self.interval else 1
        self.dropping, self.drop_next = True, self.law(now)
        return True

    def choose(self, now: int) -> Packet | None:
        while self.queue:
            if not self.signal(now):
                return self.queue.popleft()
            if self.ect:
                self.owed += 1
                return self.queue.popleft()
            self.drop(self.queue.popleft())
        self.first_above, self.dropping = 0, False
        return None


class SmallCake(Model):
    """A shaper without a burst before flows in deficit round robin, whose hosts share the quantum."""

    def __init__(self, rate: int = 0, overhead: int = 0, quantum: int = 1514, limit: int = 1000, by_host: int = 1,
                 target: int = 5_000_000, interval: int = 100_000_000, mtu: int = 1514) -> None:
        super().__init__()
        self.pace, self.overhead, self.quantum, self.limit, self.by_host = rate, overhead, quantum, limit, by_host
        self.flows = [_Flow(target, interval, mtu) for _ in range(1024)]
        self.new: deque[_Flow] = deque()
        self.old: deque[_Flow] = deque()
        self.next_send = 0

    def share(self, flow: _Flow) -> int:
        load = sum(other.host == flow.host for other in (*self.new, *self.old)) if self.by_host else 1
        return max(1, self.quantum // max(load, 1))

    def held(self) -> int:
        return sum(len(flow.queue) for flow in (*self.new, *self.old))

    def enqueue(self, packet: Packet, now: int) -> None:
        flow = self.flows[packet.hash % 1024]
        if self.held() >= self.limit:
            longest = max(self.flows, key=lambda item: sum(waiting.size for waiting in item.queue))
            if longest.queue:
                self.drop(longest.queue.popleft())
        if self.held() >= self.limit:
            self.drop(packet)
            return
        flow.ect = packet.ecn != 0
        if flow.owed and flow.ect:
            self.mark(packet)
            flow.owed -= 1
        flow.queue.append(packet)
        if flow not in self.new and flow not in self.old:
            flow.host = packet.host
            self.new.append(flow)
            flow.deficit = self.share(flow)

    def dequeue(self, now: int) -> Packet | None:
        if not self.held():
            return None
        if self.pace and now < self.next_send:
            self.wake(self.next_send)
            return None
        while turns := self.new or self.old:
            flow = turns[0]
            if flow.deficit <= 0:
                flow.deficit += self.share(flow)
                turns.popleft()
                self.old.append(flow)
                continue
            packet = flow.choose(now)
            self.dropped += flow.dropped
            flow.dropped.clear()
            if packet is not None:
                flow.deficit -= packet.size
                if self.pace:
                    self.next_send = now + (packet.size + self.overhead) * 1_000_000_000 // self.pace
                return packet
            turns.popleft()
            if turns is self.new:
                self.old.append(flow)
        return None
