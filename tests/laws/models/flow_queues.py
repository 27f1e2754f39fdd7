"""Models of disciplines that have a queue for each class or flow: bands by priority, turns, and turns with pacing."""

from __future__ import annotations

from bisect import insort
from collections import deque
from dataclasses import dataclass, field

from tests.laws.models.bottleneck import Model, Packet
from tests.laws.models.one_queue import SECOND

NEVER = 2**64 - 1
CONTROL = 7


class Prio(Model):
    """Three bands, each with room for `limit` packets; one is served when those before it are empty."""

    BANDS = (1, 2, 2, 2, 1, 2, 0, 0, 1, 1, 1, 1, 1, 1, 1, 1)  # of each priority

    def __init__(self, limit: int = 1000) -> None:
        super().__init__()
        self.limit = limit
        self.bands: list[deque[Packet]] = [deque() for _ in range(3)]

    def enqueue(self, packet: Packet, now: int) -> None:
        band = self.bands[self.BANDS[packet.priority % 16]]
        if len(band) < self.limit:
            band.append(packet)
        else:
            self.drop(packet)

    def dequeue(self, now: int) -> Packet | None:
        return next((band.popleft() for band in self.bands if band), None)


class Drr(Model):
    """Deficit round robin: the first flow in line sends as long as its deficit covers its packets, then goes last.

    A flow that goes last gets `quantum` bytes, as one does that comes with its first packet.
    """

    def __init__(self, limit: int = 10_000, flow_limit: int = 100, quantum: int = 1514, flows: int = 1024) -> None:
        super().__init__()
        self.limit, self.flow_limit, self.quantum, self.flows = limit, flow_limit, quantum, flows
        self.queues: dict[int, deque[Packet]] = {}  # in the order of their turns
        self.deficit: dict[int, int] = {}

    def enqueue(self, packet: Packet, now: int) -> None:
        flow = packet.hash % self.flows
        if len(self.queues.get(flow, ())) >= self.flow_limit or sum(map(len, self.queues.values())) >= self.limit:
            return self.drop(packet)
        if flow not in self.queues:
            self.queues[flow] = deque()
            self.deficit[flow] = self.quantum
        self.queues[flow].append(packet)
        return None

    def dequeue(self, now: int) -> Packet | None:
        while self.queues:
            flow, queue = next(iter(self.queues.items()))
            if queue[0].size <= self.deficit[flow]:
                packet = queue.popleft()
                self.deficit[flow] -= packet.size
                if not queue:
                    del self.queues[flow]
                return packet
            self.deficit[flow] += self.quantum
            self.queues[flow] = self.queues.pop(flow)
        return None


@dataclass(eq=False)
class Flow:
    """A flow of `Fq`: packets in the order in which they are due, and where it waits (None for nowhere)."""

    credit: int
    idle_since: int
    packets: list[tuple[int, int, Packet]] = field(default_factory=list)
    next: int = 0
    place: str | None = None


class Fq(Model):
    """Fair queueing with pacing, as the comment of the sample describes it.

    Flows with a new packet come first, then those that have had a turn. A turn lasts until the credit is used up; the
    flow then gets `quantum` bytes and goes last. A flow whose first packet is not due waits aside, and comes back as
    one that has had a turn. One that has run empty is forgotten at once if no other flow waits for a turn, since
    otherwise it could always come back as a new one. Packets of priority `CONTROL` go before all. As in the kernel, a
    qdisc without packets does nothing, so a flow that has run empty keeps its place until there are packets again.
    """

    def __init__(self, limit: int = 10_000, flow_limit: int = 100, quantum: int = 18_000, initial_credit: int = 90_000,
                 flow_rate: int = NEVER, refill_after: int = 40_000_000, horizon: int = 10 * SECOND,
                 slack: int = 10_000) -> None:
        super().__init__()
        self.limit, self.flow_limit, self.quantum, self.initial_credit = limit, flow_limit, quantum, initial_credit
        self.flow_rate, self.refill_after, self.horizon, self.slack = flow_rate, refill_after, horizon, slack
        self.flows: dict[int, Flow] = {}
        self.control: list[tuple[int, int, Packet]] = []
        self.fresh: deque[Flow] = deque()
        self.old: deque[Flow] = deque()
        self.aside: list[tuple[int, int, Flow]] = []
        self.set_aside = self.queued = 0

    # ---- enqueue ------------------------------------------------------------------------------------------

    def enqueue(self, packet: Packet, now: int) -> None:
        due = packet.stamp or now
        if self.queued >= self.limit or due > now + self.horizon:
            return self.drop(packet)
        control = packet.priority % 16 == CONTROL
        flow = None if control else self.flows.setdefault(packet.hash, Flow(self.initial_credit, now))
        packets = self.control if flow is None else flow.packets
        if len(packets) >= self.flow_limit:
            return self.drop(packet)
        insort(packets, (due, packet.number, packet))
        self.queued += 1
        if flow is not None and flow.place is None:
            if now - flow.idle_since > self.refill_after:
                flow.credit = max(flow.credit, self.quantum)
            flow.place = "fresh"
            self.fresh.append(flow)
        return None

    # ---- dequeue ------------------------------------------------------------------------------------------

    def dequeue(self, now: int) -> Packet | None:
        if not self.queued:
            return None
        packet = self.control.pop(0)[2] if self.control else None
        if packet is None:
            self.come_back(now)
            while packet is None and (self.fresh or self.old):
                packet = self.turn(now)
        if packet is not None:
            self.queued -= 1
        elif self.aside:
            self.wake(self.aside[0][0], self.slack)
        return packet

    def come_back(self, now: int) -> None:
        while self.aside and self.aside[0][0] <= now:
            _, _, flow = self.aside.pop(0)
            flow.place = "old"
            self.old.append(flow)

    def turn(self, now: int) -> Packet | None:
        """Let the first flow in line send, and return what it sends."""
        line = self.fresh or self.old
        flow = line[0]
        if flow.credit <= 0:
            flow.credit += self.quantum
            line.popleft()
            self.old.append(flow)
        elif not flow.packets:
            line.popleft()
            if line is self.fresh and self.old:
                self.old.append(flow)
            else:
                flow.place, flow.idle_since = None, now
        elif (due := max(flow.packets[0][0], flow.next)) > now:
            line.popleft()
            flow.place, flow.next = "aside", due
            self.set_aside += 1
            insort(self.aside, (due, self.set_aside, flow))
        else:
            packet = flow.packets.pop(0)[2]
            self.charge(flow, packet, now)
            return packet
        return None

    def charge(self, flow: Flow, packet: Packet, now: int) -> None:
        """Take the bytes from the credit. Without credit and with a rate, the flow pauses for a quantum at once."""
        flow.credit -= packet.size
        if self.flow_rate != NEVER and flow.credit <= 0:
            flow.next = now + min(max(packet.size, self.quantum) * SECOND // self.flow_rate, SECOND)
