"""More plain Python loops without eBPF: the replay of a capture, and a token bucket that has the link wait."""

from __future__ import annotations

import struct
import time
from collections import deque
from collections.abc import Iterator
from heapq import heappop, heappush
from pathlib import Path
from typing import Any

from tests.bench.plain_loop import BIT_NS, Fifo, Outcome, Packet

NS = 1_000_000_000
_WINDOW = 1 << 20
_HEADER, _RECORD = 24, struct.Struct("<IIII")
_ADDRESSES = slice(26, 38)  # of an Ethernet frame with IPv4: addresses and ports


def frames(path: Path) -> Iterator[tuple[int, int, bytes]]:
    """Yield time (ns), length and captured bytes of each packet of a nanosecond capture, read in windows."""
    with path.open("rb") as file:
        file.read(_HEADER)
        data, at = file.read(_WINDOW), 0
        while True:
            if at + _RECORD.size > len(data) or \
                    at + _RECORD.size + (found := _RECORD.unpack_from(data, at))[2] > len(data):
                more = file.read(_WINDOW)
                if not more:
                    return
                data, at = data[at:] + more, 0
                continue
            seconds, fraction, captured, length = found
            at += _RECORD.size
            yield seconds * NS + fraction, length, data[at:at + captured]
            at += captured


def run_replay(path: Path, *, limit: int, rate: int, delay: int) -> Outcome:
    """Replay a capture into a queue in front of one link, with the delays of each flow for a report."""
    queue = Fifo(limit)
    put, get = queue.put, queue.get
    link: deque[tuple[int, Packet]] = deque()  # what is on its way, by the time when it arrives
    flows: dict[bytes, int] = {}
    delays: list[list[int]] = []
    offered = dropped = received = free_at = 0
    idle = True
    begin = time.process_time()

    def depart(until: int) -> None:
        """Send what the link has sent by `until`."""
        nonlocal free_at, idle, received
        while not idle and free_at <= until:
            packet = get()
            idle = packet is None
            if packet is not None:
                free_at += packet.length * BIT_NS // rate
                link.append((free_at + delay, packet))
        while link and link[0][0] <= until:
            at, packet = link.popleft()
            received += 1
            delays[packet.flow].append(at - packet.born)

    for now, length, frame in frames(path):
        depart(now)
        key = frame[_ADDRESSES]
        flow = flows.get(key)
        if flow is None:
            flow = flows[key] = len(flows)
            delays.append([])
        offered += 1
        if not put(Packet(flow, length, now)):
            dropped += 1
        elif idle:
            idle, free_at = False, now
            depart(now)
    depart(1 << 62)
    return Outcome(offered, dropped, received, time.process_time() - begin)


class Bucket:
    """A token bucket as the sample `shaper`: each packet has its time of departure, and waits for it."""

    def __init__(self, limit: int, rate: int, burst: int) -> None:
        self.packets: deque[tuple[int, Packet]] = deque()
        self.limit, self.rate, self.saved, self.full_at = limit, rate, burst * NS // rate, 0

    def put(self, packet: Packet, now: int) -> bool:
        if len(self.packets) >= self.limit:
            return False
        self.full_at = max(self.full_at, now) + packet.length * NS // self.rate
        self.packets.append((max(self.full_at - self.saved, 0), packet))
        return True

    def get(self, now: int) -> Packet | int | None:
        """Return the first packet, or in how many ns its time comes."""
        if not self.packets:
            return None
        departure, packet = self.packets[0]
        if departure > now:
            return departure - now
        self.packets.popleft()
        return packet


def run_shaper(bucket: Bucket, *, sources: int, length: int, flow_rate: int, rate: int, delay: int,
               stop: int) -> Outcome:
    """Run constant-rate sources in front of a shaper and one link, as `run_plain` does, with a watchdog."""
    gap, sending_time = length * BIT_NS, length * BIT_NS // rate
    put, get = bucket.put, bucket.get
    heap: list[tuple[int, int, Any, Any]] = []
    number = now = offered = dropped = received = 0
    busy, alarm = False, -1
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
        if not put(Packet(flow, length, now), now):
            dropped += 1
        if not busy:
            send()

    def send() -> None:
        nonlocal busy, number, alarm
        packet = get(now)
        busy = isinstance(packet, Packet)
        if busy:
            number += 1
            heappush(heap, (now + sending_time, number, sent, packet))
        elif packet is not None and alarm != now + packet:
            number, alarm = number + 1, now + packet
            heappush(heap, (alarm, number, wake, alarm))

    def wake(at: int) -> None:
        if not busy and at == alarm:
            send()

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
