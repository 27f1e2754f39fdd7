"""Models of disciplines that decide whom to let into one queue: by bytes, at random (RED), by a control loop (PIE)."""

from __future__ import annotations

from tests.laws.models.bottleneck import Model, Packet
from tests.laws.models.one_queue import Fifo

MILLISECOND = 1_000_000
ONE = 1 << 32  # 1 in the scale of a chance


class Bfifo(Fifo):
    """First in, first out, with room for `limit` bytes."""

    def __init__(self, limit: int = 100 * 1514) -> None:
        super().__init__(limit)

    def enqueue(self, packet: Packet, now: int) -> None:
        if sum(waiting.size for waiting in self.queue) + packet.size <= self.limit:
            self.queue.append(packet)
        else:
            self.drop(packet)


class Red(Fifo):
    """Random early detection: figure 2 of the paper of 1993, with averages in units of 2^-16 packets, rounded down.

    The chance p_b / (1 - count p_b) is that of a random number of 32 bits, and p_b is rounded down to 32 bits, too.

    While the queue is empty, the average falls with each `packet_ns`; what is left of the time counts later.
    A packet that is chosen at random is marked if it allows that; one above `max_packets` is dropped (RFC 3168).
    """

    ecn = False

    def __init__(self, min_packets: int = 5, max_packets: int = 15, one_in: int = 50, weight: int = 9,
                 packet_ns: int = 1_200_000, limit: int = 100) -> None:
        super().__init__(limit)
        self.low, self.high, self.one_in, self.weight = min_packets << 16, max_packets << 16, one_in, weight
        self.packet_ns = packet_ns
        self.average, self.count, self.idle_rest = 0, -1, 0
        self.empty_since: int | None = None

    def enqueue(self, packet: Packet, now: int) -> None:
        if self.empty_since is not None:
            steps, self.idle_rest = divmod(now - self.empty_since + self.idle_rest, self.packet_ns)
            self.average = int(self.average * (1 - 2 ** -self.weight) ** steps)
            self.empty_since = None
        else:
            self.average += ((len(self.queue) << 16) - self.average) // 2 ** self.weight
        forced = self.average >= self.high
        chosen = not forced and self.chosen()
        if forced or self.average < self.low:
            self.count = 0 if forced else -1
        full = len(self.queue) >= self.limit
        if forced or full or (chosen and not (self.ecn and self.mark(packet))):
            self.drop(packet)
        else:
            self.queue.append(packet)

    def chosen(self) -> bool:
        """Return whether an arrival is chosen at random: the chance grows with the arrivals since the last one."""
        if self.average < self.low:
            return False
        self.count += 1
        p_b = (self.average - self.low) * ONE // ((self.high - self.low) * self.one_in)
        if self.count * p_b < ONE and self.random.getrandbits(32) * (ONE - self.count * p_b) >= p_b * ONE:
            return False
        self.count = 0
        return True

    def dequeue(self, now: int) -> Packet | None:
        packet = super().dequeue(now)
        if packet is None and self.empty_since is None:
            self.empty_since = now
        return packet


class MarkingRed(Red):
    """RED with marks."""

    def __init__(self, ecn: int = 1, **variables: int) -> None:
        super().__init__(**variables)
        self.ecn = bool(ecn)


class Pie(Fifo):
    """Proportional integral controller enhanced: RFC 8033, sections 4.1 to 4.4, in seconds and floating point.

    The waiting time is that of the latest packet that left, 0 if none is left. Changes that are due are made before
    anything else happens to a packet.
    """

    mark_below = 0.

    def __init__(self, target: int = 15 * MILLISECOND, period: int = 15 * MILLISECOND,
                 max_burst: int = 150 * MILLISECOND, mean_packet: int = 1024, limit: int = 1000) -> None:
        super().__init__(limit)
        self.reference, self.period, self.max_burst = target / 1e9, period, max_burst
        self.mean_packet = mean_packet
        self.probability = self.delay = self.old_delay = 0.
        self.burst = max_burst
        self.next_change: int | None = None

    def change(self) -> None:
        p = .125 * (self.delay - self.reference) + 1.25 * (self.delay - self.old_delay)
        for bound, divisor in ((1e-6, 2048), (1e-5, 512), (1e-4, 128), (1e-3, 32), (1e-2, 8), (1e-1, 2)):
            if self.probability < bound:
                p /= divisor
                break
        self.probability = max(0., self.probability + p)
        if self.delay == 0 and self.old_delay == 0:
            self.probability *= .98
        self.probability = min(1., self.probability)
        self.old_delay = self.delay
        self.burst = max(0, self.burst - self.period)
        if self.probability == 0 and self.delay < self.reference / 2 and self.old_delay < self.reference / 2:
            self.burst = self.max_burst

    def changes(self, now: int) -> None:
        if self.next_change is None:
            self.next_change = now + self.period
        while now >= self.next_change:
            self.next_change += self.period
            self.change()

    def drop_early(self) -> bool:
        if self.burst > 0 or (self.old_delay < self.reference / 2 and self.probability < .2):
            return False
        if sum(waiting.size for waiting in self.queue) <= 2 * self.mean_packet:
            return False
        return self.random.getrandbits(32) / 2 ** 32 < self.probability

    def enqueue(self, packet: Packet, now: int) -> None:
        self.changes(now)
        full = len(self.queue) >= self.limit
        if full or (self.drop_early() and not (self.probability < self.mark_below and self.mark(packet))):
            self.drop(packet)
        else:
            self.queue.append(packet)

    def dequeue(self, now: int) -> Packet | None:
        self.changes(now)
        packet = super().dequeue(now)
        self.delay = (now - packet.arrived) / 1e9 if packet is not None else 0.
        return packet


class MarkingPie(Pie):
    """PIE with marks (section 5.1), while the probability is below so many percent."""

    def __init__(self, mark_below: int = 10, **variables: int) -> None:
        super().__init__(**variables)
        self.mark_below = mark_below / 100


class Tbf(Model):
    """Two token buckets in a row, whose tokens are the ns in which they come in, and room for `limit` bytes."""

    def __init__(self, rate: int = 250_000, burst: int = 10_000, peakrate: int = 0, mtu: int = 2000,
                 limit: int = 100 * 1514) -> None:
        super().__init__()
        self.queue = Bfifo(limit)
        self.buckets = [(rate, burst), *([(peakrate, mtu)] if peakrate else [])]
        self.tokens = [self.price(index, size) for index, (_, size) in enumerate(self.buckets)]
        self.at = 0

    def price(self, bucket: int, size: int) -> int:
        return size * 1_000_000_000 // self.buckets[bucket][0]

    def enqueue(self, packet: Packet, now: int) -> None:
        if any(packet.size > size for _, size in self.buckets):
            self.drop(packet)
            return
        self.queue.enqueue(packet, now)
        self.dropped += self.queue.dropped
        self.queue.dropped.clear()

    def dequeue(self, now: int) -> Packet | None:
        if not self.queue.queue:
            return None
        first = self.queue.queue[0]
        after = [min(self.price(index, size), self.tokens[index] + now - self.at) - self.price(index, first.size)
                 for index, (_, size) in enumerate(self.buckets)]
        if min(after) < 0:
            self.wake(now - min(after))
            return None
        self.tokens, self.at = after, now
        return self.queue.dequeue(now)
