"""The sources of a run, taken from the event loop: when the next packet arrives, and what it is.

Events at the same time run in the order of their numbers, so each source keeps the number that the event of its next
packet would have. A number that is given out while packet N arrives is `N << EPOCH`: only the order matters, and events
that others add meanwhile have numbers above that.
"""

from __future__ import annotations

from heapq import heappop, heapreplace
from itertools import chain, islice
from typing import TYPE_CHECKING, Any, Final

from ebpfvm.sched.simulation import BOOT_NS
from ebpfvm.sched.traffic import cbr_times

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterator

    from ebpfvm.sched.flow_group import FlowGroup
    from ebpfvm.sched.flows import Flow
    from ebpfvm.sched.simulation import Feed, Simulation
    from ebpfvm.sched.traffic import Arrival

EPOCH: Final = 40
_SHOWN: Final = 256  # rounds after which the number of packets is shown to whoever looks

Arrived = tuple["bytes | None", int, "Flow", int, int]
"""The bytes of a packet if it has its own, and its length, flow, protocol and priority."""

Pending = list[tuple[int, int, Any]]
"""A heap of (time, number, source)."""


class GroupSource:
    """The flows of a group, one packet after the other."""

    __slots__ = ("_group", "_pending", "_simulation")

    def __init__(self, simulation: Simulation, group: FlowGroup, pending: Pending) -> None:
        self._simulation, self._group, self._pending = simulation, group, pending

    def arrive(self, ordinal: int) -> Arrived:
        """Return what is known of the next packet, and prepare the one after it."""
        group, index = self._group, self._group.index
        flow = group.flow()
        group.numbers[index] = ordinal << EPOCH
        for time, index in group.turns:
            group.index = index
            heapreplace(self._pending, (BOOT_NS + time, group.numbers[index], self))
            break
        else:
            heappop(self._pending)
        return None, group.size, flow, group.protocol, group.priority

    def give_back(self, time: int, number: int) -> None:
        """Let the event loop have the next packet."""
        self._simulation.expect(time, number, self._group)


class FeedSource:
    """A source of arrivals: a capture, or a flow by itself."""

    __slots__ = ("_feed", "_simulation", "arrive")

    def __init__(self, simulation: Simulation, feed: Feed, pending: Pending) -> None:
        self._simulation, self._feed = simulation, feed
        packets = self._packets(pending)
        next(packets)
        self.arrive: Callable[[int], Arrived] = packets.send

    def _packets(self, pending: Pending) -> Generator[Arrived, int, None]:
        """Take the number of each packet that arrives, prepare the one after it, and yield what is known of it."""
        feed, label, data = self._feed, self._simulation.flows.label, None
        head: Arrival | None = feed.head
        found: Any = None
        while head is not None:
            ordinal = yield found
            _, length, packet, priority = head
            if packet is not data:
                data = packet
                flow, protocol, usual = label(packet)
            head = next(feed.advance, None)
            if head is not None:
                feed.head = head
                heapreplace(pending, (BOOT_NS + head[0], ordinal << EPOCH, self))
            else:
                heappop(pending)
            found = packet, length, flow, protocol, usual if priority is None else priority
        yield found

    def give_back(self, time: int, number: int) -> None:
        """Let the event loop have the next packet."""
        self._simulation.expect(time, number, self._feed)


class OnlyFeed:
    """The one source of a run if that is no group: a capture, or a flow by itself.

    Args:
        number: the number of the event of its next packet, as long as none has arrived.
        until: the time before which packets arrive.

    Attributes:
        number: the same.
        head: the next packet.
    """

    def __init__(self, simulation: Simulation, feed: Feed, number: int, until: int) -> None:
        self._simulation, self._feed = simulation, feed
        self._last: Arrival = until - BOOT_NS, 0, b"", None
        self.number = number
        self.head = feed.head

    def heads(self) -> Iterator[Arrival]:
        """Yield the packets as the source does, and finally one at the end that stands for none."""
        return chain((self.head,), self._feed.advance, (self._last,))

    @property
    def over(self) -> bool:
        """Whether no packet is left."""
        return self.head is self._last

    def give_back(self, number: int) -> None:
        """Let the event loop have the next packet, as the event `number`."""
        if not self.over:
            self._feed.head = self.head
            self._simulation.expect(BOOT_NS + self.head[0], number, self._feed)


class InStep:
    """The one source of a run if that is a group of flows that send at the same times and have not begun.

    Attributes:
        group: the group.
        count: number of its flows.
        over: whether no packet is left.
        capped: whether so many packets have arrived that the event loop must count events itself.
    """

    def __init__(self, simulation: Simulation, group: FlowGroup, until: int, cap: int) -> None:
        self._simulation = simulation
        self._until, self._cap = until, cap
        self.capped = False
        self.group = group
        self.count = group.spec.count
        self.over = False
        self._begun = 0

    def rounds(self) -> Iterator[tuple[int, list[Flow | None]]]:
        """Yield the time and the flows of each round; finally the time after the end and None, or that of the cap."""
        until, flows, account = self._until, self.group.flows, self._simulation.account
        begun = account.in_packets
        for number, time in enumerate(cbr_times(self.group.spec)):
            time += BOOT_NS
            if time >= until:
                break
            if (number + 1) * self.count > self._cap:
                self.capped = True
                yield time, [None]
                return
            yield time, flows
            if not number % _SHOWN:
                account.in_packets = begun + (number + 1) * self.count
                account.kernel.clock = time
        self.over = True
        yield until, [None]

    def begin(self) -> Flow:
        """Return the flow that sends its first packet."""
        self.group.index = self._begun
        self._begun += 1
        return self.group.flow()

    def give_back(self, sent: int, ordinal: int) -> None:
        """Let the event loop have the packets after the first `sent`.

        Args:
            ordinal: number of the first packet that the group has sent in this run.
        """
        group, count = self.group, self.count
        numbers = group.numbers
        for index in range(min(count, sent)):
            numbers[index] = ordinal + (sent - 1 - index) // count * count + index << EPOCH
        done, index = divmod(sent, count)
        times = islice(cbr_times(group.spec), done, None)
        group.turns = ((time, flow) for number, time in enumerate(times)
                       for flow in range(0 if number else index, count))
        for time, flow in group.turns:
            group.index = flow
            self._simulation.expect(BOOT_NS + time, numbers[flow], group)
            break
