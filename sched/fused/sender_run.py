"""A fused run whose senders react: the function asks them for segments, and tells them what has arrived.

Acknowledgments under way wait in a heap of the run, beside the event loop's, and the frames of segments are made when
somebody looks at them. What else senders wait for, timers and requests, are events of the loop.
"""

from __future__ import annotations

from collections import deque
from heapq import heappush
from typing import TYPE_CHECKING, Any, Final

from ebpfvm.sched.account import Packet
from ebpfvm.sched.fused.arrivals import EPOCH, InStep
from ebpfvm.sched.fused.fused_run import NEVER, STATE, FusedRun
from ebpfvm.sched.senders.connection import Connection
from ebpfvm.sched.senders.tcp_flows import Segments
from ebpfvm.sched.senders.video import Player

if TYPE_CHECKING:
    from ebpfvm.sched.flows import FlowLabel
    from ebpfvm.sched.sch_bpf import SchBpf
    from ebpfvm.sched.sch_struct_ops import SchStructOps
    from ebpfvm.sched.senders.connection import Told
    from ebpfvm.sched.simulation import Simulation

_SAME: Final = 38  # bytes: the headers up to the sequence number
AGAIN: Final = 0, 0, False
"""Stands for what a sender is told if it is only asked for its next segment."""
WOKEN: Final = 0, 0, True
"""Stands for what a sender is told when it asked to be woken."""


class Segment(Packet):
    """A packet of a fused run whose senders react.

    Attributes:
        sender: who has sent it, None for traffic that does not react.
        told: what its acknowledgment tells, as long as nobody changes its bytes.
    """

    __slots__ = ("sender", "told")
    sender: Connection | None
    told: Told | None

    def payload(self) -> bytes:
        """Return the packet's current bytes, which are made if it is a segment."""
        if self.told is None or self._packet is not None or self._bytes is not None:
            return super().payload()
        assert self.sender is not None
        return self.sender.frames.frame(self.told[0], self.told[1])

    def bytes_at(self, offset: int, size: int) -> bytes | None:
        """Return some of the packet's current bytes, None outside of it; those that all segments have need no frame."""
        if self.told is not None and 0 <= offset <= _SAME - size and self._packet is None and self._bytes is None:
            assert self.sender is not None
            return self.sender.frames.start[offset:offset + size]
        return super().bytes_at(offset, size)


class SenderRun(FusedRun):
    """See `FusedRun`; it is what the senders send through (`ebpfvm.sched.senders.connection.Road`).

    Attributes:
        acks: a heap of acknowledgments and wake-ups: (time, number, sender, what it is told).
        wanting: the senders that want to send now.
    """

    ordinal = "epoch"
    state = (*STATE, "epoch", "acked", "offered")
    packet = Segment

    def __init__(self, simulation: Simulation, qdisc: SchBpf | SchStructOps, until: int | None) -> None:
        self.acks: list[tuple[int, int, Connection, Told]] = []
        self.wanting: deque[Connection] = deque()
        self._epoch = simulation.account.in_packets
        self._acked = self._offered = 0
        super().__init__(simulation, qdisc, until)
        self.course = simulation.course
        self.cap = self.cap * 3 // 4  # each packet may be acknowledged, too
        road: Any = self  # there is no way back for acknowledgments
        for sender in simulation.connections:
            sender.road = road

    def _take(self) -> InStep | None:
        """Take the sources from the event loop."""
        self._take_all(self._taken())
        return None

    # ---- the state --------------------------------------------------------------------------------------------------

    def put(self, state: tuple[Any, ...]) -> None:
        """Write the variables of the function back."""
        *rest, self._epoch, self._acked, self._offered = state
        super().put(tuple(rest))
        self.loop.renumber((self._epoch << EPOCH) + 2)

    def get(self) -> tuple[Any, ...]:
        """Return the values of the function's variables."""
        return *super().get(), self._epoch, self._acked, self._offered

    @property
    def events(self) -> int:
        """The number of events that have run."""
        return super().events - self._offered + self._acked

    # ---- what senders ask for ---------------------------------------------------------------------------------------

    def serve(self, sender: Connection) -> None:
        """Let the function ask a sender for its segments, before anything else happens."""
        self.wanting.append(sender)

    def wake(self, time: int, sender: Connection) -> None:
        """Let the function ask a sender at `time` (ns)."""
        heappush(self.acks, (time, self.loop.number(), sender, WOKEN))

    def label(self, sender: Connection, told: Told) -> FlowLabel:
        """Return what a sender's packet implies."""
        found = self.simulation.label_of(sender, sender.frames.frame(told[0], told[1]))
        sender.flow = found.flow
        return found

    # ---- what is not frequent ---------------------------------------------------------------------------------------

    def told(self, skb: Packet, now: int, epoch: int) -> None:
        """Let whoever receives the packets of a flow read one that leaves at `now` (ns)."""
        receiver: Any = self.device.sink.receivers[skb.flow]
        sender: Connection = receiver.__self__
        heappush(self.acks, (now + self._link.delay + sender.back, epoch << EPOCH, sender,
                             Segments.read(skb.payload())))

    def goes_on(self) -> bool:
        """Return whether the run goes on though the wire is idle, and nothing is under way to anybody."""
        loop = self.loop
        return self.until != NEVER or len(loop) > loop.idle or any(
            timer.waits() for timer in loop.armed if isinstance(timer, Connection))

    def _is_ours(self, action: Any) -> bool:
        """Return whether an event is the qdisc's or a sender's, and no user's."""
        return super()._is_ours(action) or isinstance(getattr(action, "__self__", None), Connection | Player)

    # ---- the end ----------------------------------------------------------------------------------------------------

    def leave(self) -> None:
        """Let the event loop go on from here."""
        super().leave()
        for time, number, sender, what in self.acks:
            if what is WOKEN:
                self.loop.at_number(time, number, sender.woken)
            else:
                self.loop.at_number(time, number, sender.acknowledged, what)
        for sender in self.simulation.connections:
            sender.road = self.simulation

    def finish(self) -> None:
        """Let those send who were about to."""
        for sender in self.wanting:
            self.simulation.serve(sender)
