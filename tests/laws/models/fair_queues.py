"""Models of disciplines that give each flow a queue: FlowQueue-CoDel and SFQ (turns), and fair queueing by tags."""

from __future__ import annotations

from bisect import insort
from collections import deque

from tests.laws.models.bottleneck import Model, Packet
from tests.laws.models.one_queue import Codel

_NEVER_FULL = 1 << 40


class FqCodel(Model):
    """FlowQueue-CoDel: RFC 8290, section 4, with a CoDel (RFC 8289) in each of 1024 flows."""

    FLOWS = 1024

    def __init__(self, limit: int = 10240, quantum: int = 1514, drop_batch: int = 64, target: int = 5_000_000,
                 interval: int = 100_000_000, mtu: int = 1514) -> None:
        super().__init__()
        self.limit, self.quantum, self.drop_batch = limit, quantum, drop_batch
        self.flows = [Codel(target, interval, _NEVER_FULL, mtu) for _ in range(self.FLOWS)]
        self.credits = [0] * self.FLOWS
        self.new: deque[int] = deque()
        self.old: deque[int] = deque()

    def enqueue(self, packet: Packet, now: int) -> None:
        index = packet.hash % self.FLOWS
        self.flows[index].enqueue(packet, now)
        if index not in self.new and index not in self.old:
            self.new.append(index)
            self.credits[index] = self.quantum
        if sum(len(flow.queue) for flow in self.flows) > self.limit:
            self.make_room()

    def make_room(self) -> None:
        """Drop from the head of the flow that holds most bytes, until half of them are gone."""
        fattest = max(self.flows, key=lambda flow: sum(packet.size for packet in flow.queue))
        half, dropped = sum(packet.size for packet in fattest.queue) // 2, 0
        for _ in range(self.drop_batch):
            packet = fattest.queue.popleft()
            self.drop(packet)
            dropped += packet.size
            if dropped >= half:
                break

    def dequeue(self, now: int) -> Packet | None:
        while self.new or self.old:
            turns = self.new or self.old
            index = turns[0]
            if self.credits[index] <= 0:
                self.credits[index] += self.quantum
                turns.popleft()
                self.old.append(index)
                continue
            packet = self.flows[index].dequeue(now)
            self.dropped += self.flows[index].dropped
            self.flows[index].dropped.clear()
            if packet is not None:
                self.credits[index] -= packet.size
                return packet
            turns.popleft()
            if turns is self.new:
                self.old.append(index)
        return None


class Sfq(Model):
    """Stochastic fairness queueing: 128 flows, turns of `quantum` bytes, and the longest flow loses its last packet."""

    def __init__(self, limit: int = 127, depth: int = 127, quantum: int = 1514, perturb: int = 0) -> None:
        super().__init__()
        self.limit, self.depth, self.quantum, self.perturb = limit, depth, quantum, perturb
        self.flows: list[deque[Packet]] = [deque() for _ in range(128)]
        self.allot = [0] * 128
        self.turns: deque[int] = deque()
        self.salt = self.salted_at = 0

    def follow(self, before: Model) -> None:
        super().follow(before)
        assert isinstance(before, Sfq)
        self.salt, self.salted_at = before.salt, before.salted_at

    def index(self, packet: Packet, now: int) -> int:
        if self.perturb and now - self.salted_at >= self.perturb:
            self.salt, self.salted_at = self.random.getrandbits(32), now
        return ((packet.hash ^ self.salt) * 0x9E3779B1 & 0xFFFFFFFF) >> 25

    def enqueue(self, packet: Packet, now: int) -> None:
        index = self.index(packet, now)
        if len(self.flows[index]) >= self.depth:
            self.drop(packet)
            return
        self.flows[index].append(packet)
        if index not in self.turns:
            self.turns.append(index)
            self.allot[index] = self.quantum
        if sum(map(len, self.flows)) > self.limit:
            self.drop(max(self.flows, key=len).pop())

    def dequeue(self, now: int) -> Packet | None:
        while self.turns:
            index = self.turns[0]
            if self.allot[index] <= 0:
                self.allot[index] += self.quantum
                self.turns.rotate(-1)
            elif not self.flows[index]:
                self.turns.popleft()
            else:
                packet = self.flows[index].popleft()
                self.allot[index] -= packet.size
                if not self.flows[index]:
                    self.turns.popleft()
                return packet
        return None


class Wfq(Model):
    """Self-clocked fair queueing (Golestani, 1994): the least tag leaves first, and it is the virtual time then.

    A packet's tag is its size more than that of the packet before it in its queue, or than the virtual time.
    """

    def __init__(self, flow_limit: int = 32) -> None:
        super().__init__()
        self.limit = flow_limit
        self.queue: list[tuple[int, int, int, Packet]] = []
        self.tags = [0] * 8
        self.virtual = 0

    def enqueue(self, packet: Packet, now: int) -> None:
        flow = packet.hash % 8
        if sum(item[1] == flow for item in self.queue) >= self.limit:
            self.drop(packet)
            return
        self.tags[flow] = max(self.tags[flow], self.virtual) + packet.size
        insort(self.queue, (self.tags[flow], flow, packet.number, packet))

    def dequeue(self, now: int) -> Packet | None:
        if not self.queue:
            return None
        self.virtual, _, _, packet = self.queue.pop(0)
        return packet
