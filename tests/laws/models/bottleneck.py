"""What a bottleneck does to packets, computed twice: by a discipline in plain Python, and by a program in ebpfvm.

A model of a discipline is a subclass of `Model` with two methods, written from the idea of the discipline (a paper, an
RFC, the comments of a sample) and not from its code:

    class Lifo(Model):
        def __init__(self, limit: int = 1000) -> None:  # named and set as the variables of the program are
            super().__init__()
            self.stack: list[Packet] = []
            self.limit = limit

        def enqueue(self, packet: Packet, now: int) -> None:
            if len(self.stack) < self.limit:
                self.stack.append(packet)
            else:
                self.drop(packet)

        def dequeue(self, now: int) -> Packet | None:
            return self.stack.pop() if self.stack else None

`drop` may be called in both methods, and `wake` asks for another dequeue at a time, as a watchdog does. A reset makes a
new model take the place of the old one. Put the model into this folder, and name it in `shelf_pairs.py` with the object
and values for its variables: `tests/laws/test_shelf_models.py` sends random traffic (`traffic.py`) through the model
(`expected`) and the object (`actual`) in each engine and as a fused run, and the fate of every packet and the time at
which its last bit leaves have to be equal.

Times are ns of a clock that starts at `BOOT`, so that 0 is a time long ago, as it is for programs.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from heapq import heappop, heappush
from random import Random
from typing import TYPE_CHECKING, Any, NamedTuple

from ebpfvm.api import simulate
from ebpfvm.funcs.skb_meta import hash_of
from ebpfvm.net import ETH_HLEN
from ebpfvm.sched.fused.fusing import run_fused
from ebpfvm.sched.packet import build

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from ebpfvm.kernel import SkBuff
    from ebpfvm.loader.object import Object
    from ebpfvm.scenario import Scene

BOOT = 1_000_000_000
FIRST_PORT = 10_000
_TOS = ETH_HLEN + 1

WAYS = ("interp", "translate", "fused")
"""How a program is run: in each engine, and as one function with everything around it."""

Fate = tuple[str, int | None]
"""What became of a packet, "sent", "sent, marked" (ECN), "dropped" or "held", and when its last bit left (ns)."""


class Arrival(NamedTuple):
    """A packet of a source: when it arrives (ns from the beginning), and what it is.

    Attributes:
        time, size, priority: as in `ebpfvm.sched.traffic.Arrival`.
        flow: number of its flow.
        stamp: when it shall leave at the earliest (`skb->tstamp`), ns from the beginning; None for no such wish.
        ecn: the two bits of its IP header: 0 for no ECN, 1 or 2 if it may be marked, 3 if it is.
        host: number of its sender; all packets of a flow have the same.
    """

    time: int
    size: int
    flow: int = 0
    priority: int = 0
    stamp: int | None = None
    ecn: int = 0
    host: int = 0


@dataclass(frozen=True)
class Traffic:
    """What arrives, and the link.

    Attributes:
        rate: of the link, in bits per second.
        sources: arrivals in order of time; the next one of a source is planned when one arrives.
        resets: when the qdisc is reset, as when the link goes down and up again.
    """

    rate: int
    sources: tuple[tuple[Arrival, ...], ...]
    resets: tuple[int, ...] = ()


@dataclass(eq=False)
class Packet:
    """A packet as a model sees it; `hash`, `stamp` and `arrived` are what the kernel's fields are."""

    number: int
    size: int
    hash: int
    priority: int
    stamp: int
    arrived: int
    ecn: int = 0
    host: int = 0


class Model:
    """A discipline.

    Attributes:
        random: gives what bpf_get_prandom_u32 gives a program, with `getrandbits(32)`.
    """

    def __init__(self) -> None:
        self.random = Random(0)
        self.dropped: list[Packet] = []
        self.alarm: tuple[int, int] | None = None

    def enqueue(self, packet: Packet, now: int) -> None:
        """Queue or drop a packet."""
        raise NotImplementedError

    def dequeue(self, now: int) -> Packet | None:
        """Return the packet that the link sends next, None if none may be sent now."""
        raise NotImplementedError

    def drop(self, packet: Packet) -> None:
        """Drop a packet."""
        self.dropped.append(packet)

    def mark(self, packet: Packet) -> bool:
        """Mark congestion if the packet allows it; return whether it is marked."""
        packet.ecn = 3 if packet.ecn else 0
        return packet.ecn == 3

    def follow(self, before: Model) -> None:
        """Keep what a reset does not change: which random numbers come next."""
        self.random = before.random

    def wake(self, time: int, slack: int = 0) -> None:
        """Ask for a dequeue at `time`; a timer that is set to fire up to `slack` later stays as it is."""
        self.alarm = time, slack


class Bottleneck:
    """A discipline before a link: events in the order of their times, and of planning if the times are equal.

    Attributes:
        fates: of each packet, in the order of their arrival.
        seen: how each packet had its fate: "dropped on arrival", "dropped later", "reset", "marked", "overtaken" by one
            that arrived later, "sent by a timer".
    """

    def __init__(self, make: Callable[[], Model], traffic: Traffic, hashes: list[int]) -> None:
        self.make, self.model = make, make()
        self.rate = traffic.rate
        self.hashes = hashes
        self.events: list[tuple[int, int, Callable[[Any], None], Any]] = []
        self.planned = self.now = 0
        self.fates: list[Fate] = []
        self.busy: Packet | None = None
        self.began = self.bits = self.free = 0  # of the link's busy period: its begin, what was sent, its end
        self.timer: int | None = None
        self.packets: list[Packet] = []
        self.colours: list[int] = []  # ECN bits as they arrived
        self.seen: list[set[str]] = []
        self.latest = -1  # number of the packet that has left last
        for source in traffic.sources:
            self.follow(iter(source))
        for time in traffic.resets:
            self.plan(BOOT + time, self.reset, None)

    def plan(self, time: int, action: Callable[[Any], None], what: Any) -> None:
        self.planned += 1
        heappush(self.events, (time, self.planned, action, what))

    def follow(self, source: Iterator[Arrival]) -> None:
        for arrival in source:
            self.plan(BOOT + arrival.time, self.arrive, (arrival, source))
            return

    def arrive(self, what: tuple[Arrival, Iterator[Arrival]]) -> None:
        arrival, source = what
        number = len(self.fates)
        self.fates.append(("held", None))
        self.seen.append(set())
        self.follow(source)
        stamp = 0 if arrival.stamp is None else BOOT + arrival.stamp
        packet = Packet(number, arrival.size, self.hashes[arrival.flow], arrival.priority, stamp, self.now,
                        arrival.ecn, arrival.host)
        self.packets.append(packet)
        self.colours.append(packet.ecn)
        self.model.enqueue(packet, self.now)
        self.settle(number)
        self.serve()

    def reset(self, _: None) -> None:
        """Drop what waits, and begin again with a new model."""
        for packet in self.packets:
            if self.fates[packet.number][0] == "held" and packet is not self.busy:
                self.model.drop(packet)
                self.seen[packet.number].add("reset")
        self.settle()
        made = self.make()
        made.follow(self.model)
        self.model, self.timer = made, None

    def settle(self, arriving: int = -1) -> None:
        """Note what the discipline has dropped, and set its timer."""
        for packet in self.model.dropped:
            self.fates[packet.number] = "dropped", None
            self.seen[packet.number].add("dropped on arrival" if packet.number == arriving else "dropped later")
        self.model.dropped.clear()
        if self.model.alarm is None:
            return
        time, slack = self.model.alarm
        self.model.alarm = None
        if self.timer is None or not time <= self.timer <= time + slack:
            self.timer = max(time, self.now)
            self.plan(self.timer, self.fire, self.timer)

    def fire(self, time: int) -> None:
        if self.timer == time:
            self.timer = None
            before = self.latest
            self.serve()
            if self.busy is not None and before != self.latest:
                self.seen[self.busy.number].add("sent by a timer")

    def serve(self) -> None:
        if self.busy is not None:
            return
        packet = self.model.dequeue(self.now)
        self.settle()
        if packet is None:
            return
        self.busy = packet
        self.seen[packet.number] |= {"overtaken"} if packet.number < self.latest else set()
        self.latest = max(self.latest, packet.number)
        if self.now > self.free:
            self.began, self.bits = self.now, 0
        self.bits += 8 * packet.size
        self.free = self.began + self.bits * 1_000_000_000 // self.rate
        self.plan(self.free, self.sent, packet)

    def sent(self, packet: Packet) -> None:
        self.fates[packet.number] = "sent, marked" if packet.ecn == 3 else "sent", self.now - BOOT
        self.seen[packet.number] |= {"marked"} if packet.ecn != self.colours[packet.number] else set()
        self.busy = None
        self.serve()

    def run(self) -> Bottleneck:
        while self.events:
            self.now, _, action, what = heappop(self.events)
            action(what)
        return self


def expected(make: Callable[[], Model], traffic: Traffic, hashes: list[int]) -> Bottleneck:
    """Return what a model does to the packets.

    Args:
        make: returns a new model.
        hashes: the hash of each flow, as `actual` returns it: a kernel's hash has a secret key, so no model knows it.
    """
    return Bottleneck(make, traffic, hashes).run()


class Ran(NamedTuple):
    """What a program has done.

    Attributes:
        fates: of the packets, in the order of their arrival.
        hashes: of each flow.
        fused: how many packets arrived in the function of a fused run.
    """

    fates: list[Fate]
    hashes: list[int]
    fused: int


def actual(found: Object, traffic: Traffic, way: str) -> Ran:
    """Return what a program does to the packets in ebpfvm.

    Args:
        way: one of `WAYS`. What cannot be fused runs in the pipeline of objects, as it does for users.
    """
    hashes: dict[int, int] = {}
    made: list[Any] = []
    fused: list[int] = [0]

    def fuse(simulation: Any, until: int | None) -> str:
        refusal = run_fused(simulation, until)
        fused.append(simulation.account.in_packets)
        return refusal

    def prepare(scene: Scene) -> None:
        simulation = scene.simulation
        if way == "fused":
            simulation.fuse = fuse
        made.append(simulation)
        for source in traffic.sources:
            if any(arrival.stamp is not None for arrival in source):
                _plan(simulation, iter(source))
            else:
                simulation.add((arrival.time, arrival.size, _frame(arrival), arrival.priority) for arrival in source)
        for time in traffic.resets:
            simulation.loop.at(BOOT + time, _reset, simulation)

    engine = "interp" if way == "interp" else "translate"
    result = simulate(found, rate=traffic.rate, engine=engine, record=True, prepare=prepare)
    assert not result.problems and result.packets is not None
    for packet in made[0].account.log:
        hashes[packet.flow.key.sport - FIRST_PORT] = hash_of(packet)
    fates = [(_fate(packet.fate, skb), packet.departure)
             for packet, skb in zip(result.packets, made[0].account.log, strict=True)]
    return Ran(fates, [hashes.get(flow, 0) for flow in range(1 + max(hashes))], fused[-1])


def _reset(simulation: Any) -> None:
    simulation.device.qdisc.reset()


def _fate(fate: str, skb: SkBuff) -> str:
    if fate.startswith("freed"):
        return "dropped"
    return "sent, marked" if fate == "sent" and skb.payload()[_TOS] & 3 == 3 else fate


def _frame(arrival: Arrival) -> bytes:
    return _bytes(arrival.host, arrival.flow, arrival.size, arrival.ecn)


@lru_cache(4096)
def _bytes(host: int, flow: int, size: int, ecn: int) -> bytes:
    return build(src=f"10.0.0.{1 + host}", sport=FIRST_PORT + flow, length=size, tos=ecn)


def _plan(simulation: Any, source: Iterator[Arrival]) -> None:
    """Let packets arrive whose time stamps are set, in the order of events that `Bottleneck` has."""

    def arrive(arrival: Arrival) -> None:
        device, account = simulation.device, simulation.account
        data = _frame(arrival)
        flow, protocol, _ = simulation.flows.label(data)
        packet = account.admit(data, arrival.size, flow, protocol, arrival.priority, device.qdisc.holder)
        if arrival.stamp is not None:
            packet.tstamp = BOOT + arrival.stamp
        packet.dev = device
        account.log.append(packet)
        follow()
        device.xmit(packet)

    def follow() -> None:
        for arrival in source:
            simulation.loop.at(BOOT + arrival.time, arrive, arrival)
            return

    follow()
