"""The scenario as one writes it in plain Python without eBPF: a heap of events, a deque, and a few functions."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable
from heapq import heappop, heappush
from typing import Any, NamedTuple, Protocol

BIT_NS = 8_000_000_000


class Outcome(NamedTuple):
    """What a run counts: packets offered, dropped at the queue, and received; processor seconds of the run alone."""

    offered: int
    dropped: int
    received: int
    seconds: float


class Packet:
    __slots__ = ("born", "flow", "length")

    def __init__(self, flow: int, length: int, born: int) -> None:
        self.flow = flow
        self.length = length
        self.born = born


class Queue(Protocol):
    """A scheduler; `put` says whether there was room."""

    def put(self, packet: Packet) -> bool: ...

    def get(self) -> Packet | None: ...


class Fifo:
    def __init__(self, limit: int) -> None:
        self.packets: deque[Packet] = deque()
        self.limit = limit

    def put(self, packet: Packet) -> bool:
        if len(self.packets) >= self.limit:
            return False
        self.packets.append(packet)
        return True

    def get(self) -> Packet | None:
        return self.packets.popleft() if self.packets else None


class Drr:
    """Deficit round robin with one queue for each flow and a common limit."""

    QUANTUM = 1500

    def __init__(self, limit: int, flows: int) -> None:
        self.queues: list[deque[Packet]] = [deque() for _ in range(flows)]
        self.deficit = [0] * flows
        self.active: deque[int] = deque()
        self.length, self.limit = 0, limit

    def put(self, packet: Packet) -> bool:
        if self.length >= self.limit:
            return False
        flow = packet.flow
        if not self.queues[flow]:
            self.active.append(flow)
            self.deficit[flow] = self.QUANTUM
        self.queues[flow].append(packet)
        self.length += 1
        return True

    def get(self) -> Packet | None:
        while self.active:
            flow = self.active[0]
            queue = self.queues[flow]
            if self.deficit[flow] < queue[0].length:
                self.deficit[flow] += self.QUANTUM
                self.active.rotate(-1)
                continue
            packet = queue.popleft()
            self.length -= 1
            self.deficit[flow] -= packet.length
            if not queue:
                self.active.popleft()
            return packet
        return None


def run_plain(queue: Queue, *, sources: int, length: int, flow_rate: int, rate: int, delay: int,
              stop: int) -> Outcome:
    """Run constant-rate sources in front of one link; the times are those of ebpfvm's `cbr` flows.

    Closures instead of an object with methods, because that is how one writes such a loop if it has to be fast.
    """
    gap, sending_time = length * BIT_NS, length * BIT_NS // rate
    put, get = queue.put, queue.get
    heap: list[tuple[int, int, Callable[[Any], None], Any]] = []
    number = now = offered = dropped = received = 0
    busy = False
    delays: list[list[int]] = [[] for _ in range(sources)]
    sent_by = [0] * sources

    def arrive(flow: int) -> None:
        nonlocal number, offered, dropped
        offered += 1
        sent_by[flow] = count = sent_by[flow] + 1
        following = count * gap // flow_rate
        if following < stop:
            number += 1
            heappush(heap, (following, number, arrive, flow))
        if not put(Packet(flow, length, now)):
            dropped += 1
        if not busy:
            send()

    def send() -> None:
        nonlocal busy, number
        packet = get()
        busy = packet is not None
        if busy:
            number += 1
            heappush(heap, (now + sending_time, number, sent, packet))

    def sent(packet: Packet) -> None:
        nonlocal number
        number += 1
        heappush(heap, (now + delay, number, receive, packet))
        send()

    def receive(packet: Packet) -> None:
        nonlocal received
        received += 1
        delays[packet.flow].append(now - packet.born)

    for flow in range(sources):
        number += 1
        heappush(heap, (0, number, arrive, flow))
    begin = time.process_time()
    while heap:
        now, _, action, argument = heappop(heap)
        action(argument)
    return Outcome(offered, dropped, received, time.process_time() - begin)
