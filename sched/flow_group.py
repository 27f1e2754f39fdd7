"""The generated flows of one specification as one source of packets, so that a run with very many flows stays cheap.

Each flow could be a source of its own (`ebpfvm.sched.traffic.generate`), but the event loop would then have an event
for each, and the memory of 50,000 of them does not fit in a processor's caches. A group has one event: its next packet.
Which flow's turn it is follows from the times, and among packets of the same nanosecond from the numbers that the event
loop would have given to the flows' own events. So every tie, also with others' events, falls as without a group.
"""

from __future__ import annotations

from random import Random
from typing import TYPE_CHECKING, Final

from ebpfvm.sched.traffic import Frames, cbr_times, poisson_times

if TYPE_CHECKING:
    from collections.abc import Iterator

    from ebpfvm.sched.flows import FlowLabel
    from ebpfvm.sched.traffic import FlowSpec

_SHORT: Final = 32  # packets of a flow whose times are drawn at once
_INDEX: Final = 16  # bits that a flow's index needs


class FlowGroup:
    """The flows of a specification.

    Args:
        spec: the specification.
        seed: random seed of the run.
        group: number of the specification in the run (see `ebpfvm.sched.traffic.generate`).

    Attributes:
        priority: skb->priority of the packets, None if it follows from their headers.
        numbers: for each flow, the number of its next event; to be set by the event loop.
        turns: (time, index of the flow) of each packet, in order. The numbers of all flows that had their turn must be
            set before the next is taken.
        index: the flow whose turn it is.
        labels: for each flow, the label of its packets; None until it had its first turn.
        first_label: the label of the flow that came first.
    """

    __slots__ = ("_frames", "_kept", "first_label", "index", "labels", "numbers", "priority", "turns")

    def __init__(self, spec: FlowSpec, seed: int = 0, group: int = 0) -> None:
        self._frames = Frames(spec, group)
        self._kept: list[bytes | None] = [None] * spec.count
        self.priority = spec.priority
        self.numbers: list[int] = []
        self.labels: list[FlowLabel | None] = [None] * spec.count
        self.first_label: FlowLabel | None = None
        self.index = 0
        self.turns = self._in_step(spec) if spec.kind == "cbr" else self._mixed(spec, f"{seed}/{group}/")

    def frame(self) -> bytes:
        """Return the bytes of the packet whose turn it is."""
        index = self.index
        found = self._kept[index]
        if found is None:
            found = self._kept[index] = self._frames.frame(index)
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
        order = [time << _INDEX | index for index in range(spec.count)
                 for time in poisson_times(spec, Random(f"{seed}{index}"))]
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
