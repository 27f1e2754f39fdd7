"""The tins of cake: classes of service with a rate of their own, and the flows in each.

Source: net/sched/sch_cake.c, Linux 7.2.
"""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, Final

from ebpfvm.sched.qdiscs.cake_law import Cobalt, CobaltParams
from ebpfvm.sched.units import NSEC_PER_SEC

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from ebpfvm.sched.account import Packet

QUEUES: Final = 1024
_WAYS: Final = 8
_LEAST_RATE: Final = 64
_FULL_QUANTUM, _LEAST_QUANTUM = 1514, 300
NONE, SPARSE, SPARSE_WAIT, BULK, DECAYING = range(5)
SRC, DST, FLOWS = 1, 2, 4  # what is isolated: hosts and flows

# Code points as RFC 2474, 2597, 3246, 5865 and 8622 name them.
_LE, _TOS2, _TOS4, _VA, _EF = 1, 2, 4, 44, 46
_CS: Final = tuple(range(0, 64, 8))
_AF: Final = {number: tuple(8 * number + 2 * part for part in (1, 2, 3)) for number in (1, 2, 3, 4)}
_VOICE: Final = (_CS[4], _CS[5], _CS[6], _CS[7], _VA, _EF)


class TinMode:
    """How packets are sorted into tins: code points of each tin (others are best effort), and shares.

    Attributes:
        tins: tin -> its code points.
        rest: the tin of the other code points.
        shares: threshold of each tin, as shifts of the rate; None for seven eighths of the tin before.
        quantum: of the first tin.
        order: the order in which tins are shown and numbered.
        titles: what they are called in the output.
    """

    def __init__(self, tins: Mapping[int, Sequence[int]], shares: Sequence[int] | None = None, quantum: int = 256,
                 titles: Sequence[str] = (), rest: int = 0) -> None:
        self.index = [rest] * 64
        for tin, points in tins.items():
            for point in points:
                self.index[point] = tin
        self.shares, self.quantum, self.titles = shares, quantum, titles
        count = len(shares) if shares is not None else 8
        self.order = (1, 0, *range(2, count)) if titles else tuple(range(count))

    def rates(self, rate: int) -> list[tuple[int, int]]:
        """Return rate and quantum of each tin."""
        if self.shares is not None:
            return [(rate >> shift, self.quantum >> shift) for shift in self.shares]
        found, quantum = [], self.quantum
        for _ in self.order:
            found.append((rate, max(1, quantum)))
            rate, quantum = rate * 7 >> 3, quantum * 7 >> 3
        return found


MODES: Final = {
    "besteffort": TinMode({}, (0,), 65535),
    "precedence": TinMode({tin: range(8 * tin, 8 * tin + 8) for tin in range(8)}),
    "diffserv8": TinMode({0: (_LE,), 1: (_CS[1], *_AF[1], _TOS2), 3: (_CS[3], *_AF[3], *_AF[4]),
                          4: (*_AF[2], _TOS4), 5: (_CS[2],), 6: (_CS[4], _CS[5], _VA, _EF), 7: (_CS[6], _CS[7])},
                         rest=2),
    "diffserv4": TinMode({1: (_LE, _CS[1]), 2: (_CS[2], _CS[3], *_AF[2], *_AF[3], *_AF[4], _TOS4), 3: _VOICE},
                         (0, 4, 1, 2), 1024, ("Bulk", "Best Effort", "Video", "Voice")),
    "diffserv3": TinMode({1: (_LE, _CS[1]), 2: (_CS[6], _CS[7], _VA, _EF, _TOS4)},
                         (0, 4, 2), 1024, ("Bulk", "Best Effort", "Voice"))}


class CakeFlow:
    """A flow: its packets with their arrival times and lengths on the link, and its state.

    Attributes:
        set: which rotation it is in: NONE, SPARSE, SPARSE_WAIT, BULK or DECAYING.
        src, dst: its hosts, as far as they count.
    """

    __slots__ = ("backlog", "cobalt", "deficit", "dropped", "dst", "index", "queue", "set", "src")

    def __init__(self, index: int) -> None:
        self.index = index
        self.queue: deque[tuple[Packet, int, int]] = deque()
        self.cobalt = Cobalt()
        self.backlog = self.deficit = self.dropped = 0
        self.set = NONE
        self.src = self.dst = 0


class CakeTin:
    """A tin.

    Attributes:
        rate: bytes a second, 0 for unlimited.
        params: of COBALT.
        next_time: when its next packet is scheduled (ns).
        deficit, quantum: its turns in unlimited mode.
        flow_quantum: of its flows.
        sparse, bulk, decaying: numbers of flows in these sets.
        hosts: number of bulk flows of each host, sources and destinations apart.
    """

    def __init__(self) -> None:
        self.flows: dict[int, CakeFlow] = {}
        self.tags: dict[int, int] = {}
        self.new: deque[CakeFlow] = deque()
        self.old: deque[CakeFlow] = deque()
        self.decaying_flows: deque[CakeFlow] = deque()
        self.next_time = self.deficit = self.backlog = self.packets = self.bytes = self.max_len = 0
        self.sparse = self.bulk = self.decaying = self.unresponsive = self.acks_dropped = self.dropped = self.marked = 0
        self.hits = self.misses = self.collisions = self.average = self.peak = self.base = 0
        self.hosts: tuple[dict[int, int], dict[int, int]] = ({}, {})
        self.set_rate(0, 0, 1514, 0, 0)

    def set_rate(self, rate: int, quantum: int, mtu: int, target: int, interval: int) -> None:
        """Set rate, quantum and what follows from them; `target` and `interval` are in ns (cake_set_rate)."""
        self.rate, self.quantum, self.flow_quantum = rate, quantum, _FULL_QUANTUM
        self._time = self._shift = 0
        if rate:
            self.flow_quantum = max(min(rate >> 12, _FULL_QUANTUM), _LEAST_QUANTUM)
            self._shift = 34
            self._time = (NSEC_PER_SEC << 34) // max(_LEAST_RATE, rate)
            while self._time >> 34:
                self._time, self._shift = self._time >> 1, self._shift - 1
        frame = self.time_of(mtu)
        least = max(frame * 3 // 2, target)
        self.params = CobaltParams(least, max(interval + least - target, least * 2), frame)

    def time_of(self, size: int) -> int:
        """Return the ns that bytes take at the tin's rate."""
        return size * self._time >> self._shift

    @property
    def waiting(self) -> bool:
        """Whether flows may have packets."""
        return self.sparse + self.bulk > 0

    def measure(self, delay: int) -> None:
        """Let the averages of delay follow a packet's."""
        self.average = _ewma(self.average, delay, 8)
        self.peak = _ewma(self.peak, delay, 2 if delay > self.peak else 8)
        self.base = _ewma(self.base, delay, 2 if delay < self.base else 8)

    # ---- flows ------------------------------------------------------------------------------------------------

    def flow_of(self, flow_hash: int, hosts: tuple[int, int], mode: int) -> CakeFlow:
        """Return the flow of a hash: its own queue, or one of the eight of its set (cake_hash)."""
        place = flow_hash % QUEUES
        found = self.flows.get(place)
        if found is not None and found.set and self.tags.get(place, 0) == flow_hash:
            return found
        first = place % _WAYS
        ways = [place - first + (first + way) % _WAYS for way in range(_WAYS)]
        own = next((way for way in ways if self.tags.get(way, 0) == flow_hash), None)
        free = next((way for way in ways if not self._taken(way)), None)
        fresh = True
        if own is not None:
            self.hits += own != place
            place, fresh = own, not self._taken(own)
        elif free is not None:
            self.misses += 1
            place = free
        else:
            self.collisions += 1
            if self.flows[place].set == BULK:
                self.count_hosts(self.flows[place], mode, -1)
        flow = self.flows.setdefault(place, CakeFlow(place))
        self.tags[place] = flow_hash
        if fresh:
            flow.src, flow.dst = hosts
            if flow.set == BULK:
                self.count_hosts(flow, mode, 1)
        return flow

    def _taken(self, place: int) -> bool:
        return place in self.flows and self.flows[place].set != NONE

    def count_hosts(self, flow: CakeFlow, mode: int, step: int) -> None:
        """Count a bulk flow of its hosts, as far as the mode shares between hosts."""
        for side, host, counts in ((SRC, flow.src, self.hosts[0]), (DST, flow.dst, self.hosts[1])):
            if mode & (side | FLOWS) == side | FLOWS:
                counts[host] = max(0, counts.get(host, 0) + step)

    def quantum_of(self, flow: CakeFlow, mode: int) -> int:
        """Return the bytes that a flow may send in a turn: less if its host has several bulk flows."""
        load = 1
        for side, host, counts in ((SRC, flow.src, self.hosts[0]), (DST, flow.dst, self.hosts[1])):
            if mode & (side | FLOWS) == side | FLOWS:
                load = max(load, counts.get(host, 0))
        return self.flow_quantum // load

    def arrived(self, flow: CakeFlow, mode: int) -> None:
        """Put a flow that got a packet into its rotation."""
        if flow.set in (NONE, DECAYING):
            if flow.set == DECAYING:
                self.decaying -= 1
                self.decaying_flows.remove(flow)
            self.new.append(flow)
            flow.set = SPARSE
            self.sparse += 1
            flow.deficit = self.quantum_of(flow, mode)
        elif flow.set == SPARSE_WAIT:
            self._to_bulk(flow, mode)

    def _to_bulk(self, flow: CakeFlow, mode: int) -> None:
        flow.set = BULK
        self.sparse -= 1
        self.bulk += 1
        self.count_hosts(flow, mode, 1)

    def next_turn(self, flow: CakeFlow, heads: deque[CakeFlow], mode: int) -> None:
        """Give a flow without deficit its next turn, after the others."""
        if flow.set == SPARSE:
            if flow.queue:
                self._to_bulk(flow, mode)
            else:
                flow.set = SPARSE_WAIT
        flow.deficit += self.quantum_of(flow, mode)
        heads.popleft()
        self.old.append(flow)

    def emptied(self, flow: CakeFlow, heads: deque[CakeFlow], now: int, mode: int) -> None:
        """Take an empty flow out of the rotation, or let it decay as long as COBALT has a state for it."""
        self.unresponsive -= flow.cobalt.empty(self.params, now)
        heads.popleft()
        if flow.set == BULK:
            self.bulk -= 1
            self.count_hosts(flow, mode, -1)
        elif flow.set != DECAYING:
            self.sparse -= 1
        cobalt = flow.cobalt
        if cobalt.p_drop or cobalt.count or now < cobalt.drop_next:
            self.decaying += flow.set != DECAYING
            self.decaying_flows.append(flow)
            flow.set = DECAYING
        else:
            self.decaying -= flow.set == DECAYING
            flow.set = NONE

    def heads(self, first: bool) -> deque[CakeFlow] | None:
        """Return the flows of which one is served next, the decaying ones only the first time."""
        if first and self.decaying_flows:
            return self.decaying_flows
        return self.new or self.old or self.decaying_flows or None


def _ewma(average: int, sample: int, shift: int) -> int:
    return average - (average >> shift) + (sample >> shift)
