"""The generated flows of one specification as one source of packets, so that a run with very many flows stays cheap.

Each flow could be a source of its own (`ebpfvm.sched.traffic.generate`), but the event loop would then have an event
for each, and the memory of 50,000 of them does not fit in a processor's caches. A group has one event: its next packet.
Which flow's turn it is follows from the times, and among packets of the same nanosecond from the numbers that the event
loop would have given to the flows' own events. So every tie, also with others' events, falls as without a group.
"""

from __future__ import annotations

from random import Random
from typing import TYPE_CHECKING, Final

from ebpfvm.sched.flows import FlowSource
from ebpfvm.sched.traffic import FIRST_PORT, Frames, cbr_times, random_times

if TYPE_CHECKING:
    from collections.abc import Iterator

    from ebpfvm.sched.flows import Fates, Flow, FlowTable
    from ebpfvm.sched.traffic import FlowSpec

_SHORT: Final = 32  # packets of a flow whose times are drawn at once
_INDEX: Final = 16  # bits that a flow's index needs
_KEPT: Final = 1 << 22  # bytes of frames


class FlowGroup(FlowSource):
    """The flows of a specification. They are made when their first packet arrives, and the bytes when somebody looks.

    Args:
        spec: the specification.
        seed: random seed of the run.
        group: number of the specification in the run (see `ebpfvm.sched.traffic.generate`).
        table: the flows of the run.

    Attributes:
        spec: the specification.
        protocol, priority: skb->protocol and skb->priority of the packets.
        numbers: for each flow, the number of its next event; to be set by the event loop.
        turns: (time, index of the flow) of each packet, in order. The numbers of all flows that had their turn must be
            set before the next is taken.
        index: the flow whose turn it is.
        flows: the flows by their index; None until one had its first turn.
    """

    __slots__ = ("_frames", "_kept", "_table", "flows", "index", "numbers", "priority", "protocol", "spec", "turns")

    def __init__(self, spec: FlowSpec, seed: int, group: int, table: FlowTable, account: Fates) -> None:
        self._table = table
        self.spec = spec
        self._frames = Frames(spec, group)
        self._kept: dict[int, bytes] = {}
        headers, self.protocol, self.priority = table.read(self._frames.frame(0))
        super().__init__(account, spec.size, headers.flow._replace(sport=0))
        if spec.priority is not None:
            self.priority = spec.priority
        self.numbers: list[int] = []
        self.flows: list[Flow | None] = [None] * spec.count
        self.index = 0
        self.turns = self._in_step(spec) if spec.kind == "cbr" else self._mixed(spec, f"{seed}/{group}/")

    def admitted(self) -> bool:
        """Return whether its flows belong to it alone, so that it may make them."""
        return self.common is not None and self._table.admit(self.common, self)

    def flow(self) -> Flow:
        """Return the flow whose turn it is."""
        index = self.index
        return self.flows[index] or self._new(index)

    def flow_at(self, sport: int) -> Flow | None:
        """Return the flow with this source port, None if there is none."""
        index = sport - FIRST_PORT
        if not 0 <= index < len(self.flows):
            return None
        return self.flows[index] or self._new(index)

    def _new(self, index: int) -> Flow:
        flow = self.flows[index] = self._table.new(self, FIRST_PORT + index)
        return flow

    def frame_of(self, member: int) -> bytes:
        """Return the bytes of each packet of the flow with this source port; those of some flows are kept."""
        found = self._kept.get(member)
        if found is None:
            if len(self._kept) * self.size >= _KEPT:
                self._kept.clear()
            found = self._kept[member] = self._frames.frame(member - FIRST_PORT)
        return found

    @staticmethod
    def grouped(spec: FlowSpec) -> bool:
        """Return whether flows are better off as a group: random times of long flows would take too much memory."""
        return spec.kind == "cbr" or spec.expected <= _SHORT * spec.count

    def _in_step(self, spec: FlowSpec) -> Iterator[tuple[int, int]]:
        """Yield the turns of flows that send at the same times, in the order in which they began."""
        indexes = range(spec.count)
        return ((time, index) for time in cbr_times(spec) for index in indexes)

    def _mixed(self, spec: FlowSpec, seed: str) -> Iterator[tuple[int, int]]:
        """Yield the turns of flows that send at random times, which are drawn now."""
        draw, order = Random(), []
        for index in range(spec.count):
            draw.seed(f"{seed}{index}")  # as a new generator, which would cost as much again
            order += [time << _INDEX | index for time in random_times(spec, draw)]
        order.sort()
        return self._by_number(order)

    def _by_number(self, order: list[int]) -> Iterator[tuple[int, int]]:
        mask = (1 << _INDEX) - 1
        at, count = 0, len(order)
        order.append(-1)
        while at < count:
            time = order[at] >> _INDEX
            if order[at + 1] >> _INDEX != time:
                yield time, order[at] & mask
                at += 1
                continue
            tied = []
            while order[at] >> _INDEX == time:
                tied.append(order[at] & mask)
                at += 1
            for index in self._tie(tied):
                yield time, index

    def _tie(self, tied: list[int]) -> Iterator[int]:
        """Yield the flows of one nanosecond by the numbers of their events; who has two turns gets in line again."""
        line = sorted(set(tied), key=self.numbers.__getitem__)
        left = {index: tied.count(index) for index in line}
        while line:
            yield from line
            for index in line:
                left[index] -= 1
            line = [index for index in line if left[index]]
