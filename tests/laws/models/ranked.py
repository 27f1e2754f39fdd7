"""Models of disciplines that are a choice of rank, and of those that hold packets back until a time."""

from __future__ import annotations

from bisect import insort
from collections import defaultdict

from tests.laws.models.bottleneck import Model, Packet
from tests.laws.models.queue_management import Red

MILLISECOND = 1_000_000
SECOND = 1_000_000_000
UNIT = 1 << 16  # of virtual time, for each byte


class Pifo(Model):
    """Packets sorted by rank, and by arrival among equal ranks, with room for `limit`."""

    def __init__(self, limit: int = 1000) -> None:
        super().__init__()
        self.limit = limit
        self.queue: list[tuple[int, int, Packet]] = []

    def rank(self, packet: Packet, now: int) -> int:
        raise NotImplementedError

    def enqueue(self, packet: Packet, now: int) -> None:
        if len(self.queue) >= self.limit:
            self.drop(packet)
        else:
            insort(self.queue, (self.rank(packet, now), packet.number, packet))

    def dequeue(self, now: int) -> Packet | None:
        return self.queue.pop(0)[2] if self.queue else None


class Lstf(Pifo):
    """Least slack time first: what is left when the last bit would leave now, the less the sooner."""

    def __init__(self, limit: int = 1000, link_rate: int = 1_250_000, slack_unit: int = MILLISECOND) -> None:
        super().__init__(limit)
        self.link_rate, self.unit = link_rate, slack_unit

    def rank(self, packet: Packet, now: int) -> int:
        return now + packet.priority * self.unit + packet.size * SECOND // self.link_rate


class Edf(Pifo):
    """Earliest deadline first; what is late is dropped."""

    def __init__(self, limit: int = 1000, drop_late: int = 1, deadline_unit: int = 5 * MILLISECOND) -> None:
        super().__init__(limit)
        self.drop_late, self.unit = drop_late, deadline_unit

    def rank(self, packet: Packet, now: int) -> int:
        return now + (packet.priority + 1) * self.unit

    def dequeue(self, now: int) -> Packet | None:
        while self.drop_late and self.queue and self.queue[0][0] < now:
            self.drop(self.queue.pop(0)[2])
        return super().dequeue(now)


class Priority(Pifo):
    """The smallest priority first, or the greatest."""

    def __init__(self, limit: int = 100, greater_first: int = 0) -> None:
        super().__init__(limit)
        self.sign = -1 if greater_first else 1

    def rank(self, packet: Packet, now: int) -> int:
        return self.sign * packet.priority


class Srpt(Pifo):
    """Shortest remaining time first: the packet says as its priority what remains."""

    def rank(self, packet: Packet, now: int) -> int:
        return packet.priority


class Stfq(Pifo):
    """Start-time fair queueing: a packet starts when its flow's last one ends, and not before the one sent last."""

    def __init__(self, limit: int = 1000, weighted: int = 0) -> None:
        super().__init__(limit)
        self.virtual, self.weighted = 0, weighted
        self.ends: dict[int, int] = defaultdict(int)

    def rank(self, packet: Packet, now: int) -> int:
        flow = packet.hash % 1024
        start = max(self.virtual, self.ends[flow])
        weight = max(1, packet.priority) if self.weighted else 1
        self.ends[flow] = start + packet.size * UNIT // weight
        return start

    def dequeue(self, now: int) -> Packet | None:
        if self.queue:
            self.virtual = self.queue[0][0]
        return super().dequeue(now)


class Hpfq(Pifo):
    """Hierarchical fair queueing: a PIFO of classes over a PIFO of packets in each of four classes."""

    def __init__(self, limit: int = 1000, weight0: int = 1, weight1: int = 1, weight2: int = 1,
                 weight3: int = 1) -> None:
        super().__init__(limit)
        self.weights = [weight0, weight1, weight2, weight3]
        self.classes = [Stfq(1 << 40) for _ in range(4)]
        self.virtual = 0
        self.ends = [0] * 4

    def rank(self, packet: Packet, now: int) -> int:
        number = packet.priority % 4
        self.classes[number].enqueue(packet, now)
        start = max(self.virtual, self.ends[number])
        self.ends[number] = start + packet.size * UNIT // self.weights[number]
        return start

    def dequeue(self, now: int) -> Packet | None:
        if not self.queue:
            return None
        self.virtual, _, entry = self.queue.pop(0)
        return self.classes[entry.priority % 4].dequeue(now)


class Etf(Pifo):
    """Earliest time first: a packet leaves `delta` before its time, or not at all if that has passed."""

    def __init__(self, limit: int = 1000, delta: int = 0) -> None:
        super().__init__(limit)
        self.delta = delta

    def rank(self, packet: Packet, now: int) -> int:
        return packet.stamp

    def enqueue(self, packet: Packet, now: int) -> None:
        if packet.stamp < now:
            self.drop(packet)
        else:
            super().enqueue(packet, now)

    def dequeue(self, now: int) -> Packet | None:
        while self.queue and self.queue[0][0] < now:
            self.drop(self.queue.pop(0)[2])
        if self.queue and self.queue[0][0] > now + self.delta:
            self.wake(self.queue[0][0] - self.delta)
            return None
        return super().dequeue(now)


class Netem(Pifo):
    """A network that loses packets, and delays the others by a time that varies evenly."""

    def __init__(self, limit: int = 1000, delay: int = 10 * MILLISECOND, jitter: int = 0, loss: int = 0) -> None:
        super().__init__(limit)
        self.delay, self.jitter, self.loss = delay, jitter, loss

    def rank(self, packet: Packet, now: int) -> int:
        more = self.random.getrandbits(32) * (2 * self.jitter + 1) // 2 ** 32 - self.jitter if self.jitter else 0
        return now + self.delay + more

    def enqueue(self, packet: Packet, now: int) -> None:
        if self.loss and self.random.getrandbits(32) / 2 ** 32 * 1_000_000 < self.loss:
            self.drop(packet)
        else:
            super().enqueue(packet, now)

    def dequeue(self, now: int) -> Packet | None:
        if self.queue and self.queue[0][0] > now:
            self.wake(self.queue[0][0])
            return None
        return super().dequeue(now)


class Shaper(Pifo):
    """A token bucket, full at first: a packet leaves when the bucket has its bytes, at `rate` bytes a second."""

    def __init__(self, limit: int = 1000, rate: int = 250_000, burst: int = 10_000) -> None:
        super().__init__(limit)
        self.pace, self.saved = rate, burst * SECOND // rate
        self.full_at = 0

    def rank(self, packet: Packet, now: int) -> int:
        self.full_at = max(self.full_at, now) + packet.size * SECOND // self.pace
        return self.full_at - self.saved

    def dequeue(self, now: int) -> Packet | None:
        if self.queue and self.queue[0][0] > now:
            self.wake(self.queue[0][0])
            return None
        return super().dequeue(now)


class Pfabric(Pifo):
    """pFabric: drop the packet with the most left, and send the first one of the flow with the least."""

    def __init__(self, limit: int = 24) -> None:
        super().__init__(limit)

    def enqueue(self, packet: Packet, now: int) -> None:
        if len(self.queue) >= self.limit:
            if not self.queue or self.queue[-1][0] <= packet.priority:
                self.drop(packet)
                return
            self.drop(self.queue.pop()[2])
        insort(self.queue, (packet.priority, packet.number, packet))

    def dequeue(self, now: int) -> Packet | None:
        if not self.queue:
            return None
        flow = self.queue[0][2].hash
        first = min((item for item in self.queue if item[2].hash == flow), key=lambda item: item[1])
        self.queue.remove(first)
        return first[2]


class Choke(Red):
    """CHOKe: an arrival meets a packet of the queue, and both are dropped if they are of one flow; else it is RED.

    The queue has gaps where packets were dropped; who meets one tries again, three times in all.
    """

    def __init__(self, **variables: int) -> None:
        super().__init__(**variables)
        self.places: list[Packet | None] = []

    def enqueue(self, packet: Packet, now: int) -> None:
        before = len(self.dropped)
        super().enqueue(packet, now)
        refused = len(self.dropped) > before
        held = [place for place in self.places if place is not None]
        if held and self.average >= self.low:
            for _ in range(3):
                index = self.random.getrandbits(32) * len(self.places) // 2 ** 32
                met = self.places[index]
                if met is None:
                    continue
                if met.hash == packet.hash:
                    self.places[index] = None
                    self.queue.remove(met)
                    self.drop(met)
                    if not refused:
                        self.queue.remove(packet)
                        self.drop(packet)
                    return
                break
        if not refused:
            self.places.append(packet)

    def dequeue(self, now: int) -> Packet | None:
        packet = super().dequeue(now)
        while self.places and self.places[0] is not packet:
            self.places.pop(0)
        if packet is not None:
            self.places.pop(0)
        return packet
