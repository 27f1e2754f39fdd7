"""One TCP connection: what is in flight, lost, to be sent again, and the timer; and its receiver.

The receiver acknowledges each segment, and tells which one it was and whether it was marked, as SACK (RFC 2018) and
accurate ECN would. Acknowledgments are never lost: they take the rest of the round-trip time. A transmission counts as
lost once one that left three or more later has arrived (as RACK, RFC 8985, with a reordering window of three segments)
or when the timer expires (RFC 6298, with Linux's least of 200 ms above the smoothed round-trip time).

Not modelled: the handshake, delayed acknowledgments, the receiver's window, tail loss probes, undoing of reductions.
"""

from __future__ import annotations

from collections import deque
from random import Random
from typing import TYPE_CHECKING, Any, Final, Protocol

from ebpfvm.errors import UsageError
from ebpfvm.ints import U32_MAX, s32
from ebpfvm.lazy_tuples import NamedTuple
from ebpfvm.sched.packet import build
from ebpfvm.sched.senders.congestion import Ack
from ebpfvm.sched.senders.control_laws import law_named
from ebpfvm.sched.senders.sender_report import SenderReport
from ebpfvm.sched.senders.tcp_flows import HEADERS, STAMP, Segments
from ebpfvm.sched.traffic import DESTINATION, FIRST_PORT, Frames, group_source
from ebpfvm.sched.units import NSEC_PER_SEC

if TYPE_CHECKING:
    from collections.abc import Callable

    from ebpfvm.sched.course import Course
    from ebpfvm.sched.events import EventLoop
    from ebpfvm.sched.flows import Flow
    from ebpfvm.sched.senders.congestion import Congestion
    from ebpfvm.sched.senders.tcp_flows import TcpSpec

_REORDERING: Final = 3  # transmissions
_FIRST_RTO: Final = NSEC_PER_SEC
_LEAST_RTO: Final = NSEC_PER_SEC // 5  # added to the smoothed round-trip time
_MOST_RTO: Final = 120 * NSEC_PER_SEC


class Road(Protocol):
    """What a connection sends through (`ebpfvm.sched.simulation.Simulation`).

    Attributes:
        loop: the event loop.
        course: the links that packets cross.
    """

    loop: EventLoop
    course: Course

    def offer(self, data: bytes, priority: int | None, receiver: Callable[[bytes, int], None]) -> Flow:
        """Let a packet arrive at the device now, and return its flow, whose packets `receiver` gets."""

    def acknowledge(self, data: bytes, receiver: Callable[[bytes, int], None]) -> None:
        """Let an acknowledgment arrive at the way back now; `receiver` gets it."""


class Sent(NamedTuple):
    """One transmission: of which segment, when (ns), and how many segments had been delivered then, the last when."""

    segment: int
    time: int
    before: int
    before_at: int


class Connection:
    """A sender and its receiver.

    Args:
        road: what it sends through.
        law: its congestion control.
        spec: its description.
        template: a frame with its headers.
        back: ns from the arrival of a segment to that of its acknowledgment; with `acks`, from when that has left the
            way back.
        acks: the frames of acknowledgments, if they are packets in a queue.

    Attributes:
        flow: its flow; None until its first packet was sent.
        done: called with the time (ns) when the sender knows that all it had to send has arrived; None if nobody wants
            to know.
    """

    def __init__(self, road: Road, law: Congestion, spec: TcpSpec, template: bytes, back: int,
                 acks: Segments | None = None) -> None:
        self._road, self._law, self._spec, self._back = road, law, spec, back
        self._segments = Segments(template)
        self._size = spec.size - HEADERS
        self._end = None if spec.total is None else -(-spec.total // self._size)
        self.flow: Flow | None = None
        self._begin = self._stop = road.loop.now
        self._una = self._next = 0  # the first segment that has not arrived; the first that was never sent
        self._got: set[int] = set()  # segments above `_una` that have arrived
        self._stamp = 0
        self._flight: dict[int, Sent] = {}  # by the number of the transmission
        self._order: deque[int] = deque()  # these numbers, and those of transmissions that have arrived
        self._again: dict[int, None] = {}  # lost segments, in order
        self._recover = 0  # the window is reduced once until this segment arrives
        self._quota = -1  # in a recovery from losses, how many segments may leave now
        self._prr_delivered = self._prr_out = 0  # segments that have arrived and left in this recovery
        self._restarting = False  # the timer has expired, and what was in flight then has not arrived yet
        self._delivered = self._repeated = self._timeouts = self._marks = 0
        self._delivered_at = 0
        self._srtt = self._rttvar = 0
        self._rto = _FIRST_RTO
        self._deadline = 0
        self._timer = self._waiting = False
        self._free_at = 0.0  # when pacing allows the next segment
        self._finished: int | None = None
        self.done: Callable[[int], None] | None = None
        self._acks = acks
        self._arrived: deque[tuple[int, int, bool]] = deque()  # what the sender has not been told
        self._confirmed = self._known = 0  # acknowledgments that were sent, and those that the sender knows

    def more(self, total: int) -> None:
        """Send so many bytes more, rounded up to full segments."""
        self._end = (self._next if self._end is None else self._end) + -(-total // self._size)
        self._finished = None
        self._send()

    def start(self, stop: int) -> None:
        """Begin to send, until the clock shows `stop` (ns)."""
        self._begin, self._stop = self._road.loop.now, stop
        self._road.loop.armed.add(self)
        self._send()

    def waits(self) -> bool:
        """Return whether the run has to go on for its timer."""
        return bool(self._flight or self._again)

    # ---- sending --------------------------------------------------------------------------------------------------

    def _send(self, _: Any = None) -> None:
        """Send what the window and the pacing allow."""
        now = self._road.loop.now
        while self._quota and len(self._flight) + 1 <= max(self._law.cwnd, 1.0):
            segment = self._choose(now)
            if segment is None:
                return
            if self._law.pacing and not self._paced(now):
                return
            if self._again.pop(segment, self) is self:
                self._next += 1
            else:
                self._repeated += 1
            self._transmit(segment, now)

    def _choose(self, now: int) -> int | None:
        """Return the segment that is to be sent next, None if there is none."""
        for segment in self._again:
            return segment
        if (self._end is not None and self._next >= self._end) or now >= self._stop:
            return None
        return self._next

    def _paced(self, now: int) -> bool:
        """Return whether a segment may leave now; otherwise come back when it may."""
        if now >= self._free_at:
            self._free_at = max(self._free_at, now - NSEC_PER_SEC / self._law.pacing) + NSEC_PER_SEC / self._law.pacing
            return True
        if not self._waiting:
            self._waiting = True
            self._road.loop.at(int(self._free_at) + 1, self._resume)
        return False

    def _resume(self, _: Any) -> None:
        self._waiting = False
        self._send()

    def _transmit(self, segment: int, now: int) -> None:
        self._stamp = stamp = self._stamp + 1
        if self._quota > 0:
            self._quota -= 1
            self._prr_out += 1
        self._flight[stamp] = Sent(segment, now, self._delivered, self._delivered_at or now)
        self._order.append(stamp)
        self._arm(now)
        data = self._segments.frame(segment * self._size & U32_MAX, stamp)
        self.flow = self._road.offer(data, self._spec.priority, self.receive)

    # ---- the timer ------------------------------------------------------------------------------------------------

    def _arm(self, now: int) -> None:
        self._deadline = now + self._rto
        if not self._timer:
            self._timer = True
            self._road.loop.at_idle(self._deadline, self._expire)

    def _expire(self, _: Any) -> None:
        """Take everything in flight for lost, unless there was progress since the timer was set."""
        now = self._road.loop.now
        self._timer = False
        if not self.waits():
            return
        if now < self._deadline:
            self._timer = True
            self._road.loop.at_idle(self._deadline, self._expire)
            return
        self._timeouts += 1
        lost = {sent.segment for sent in self._flight.values() if self._missing(sent.segment)}
        self._again = dict.fromkeys(sorted(lost | self._again.keys()))
        self._flight.clear()
        self._order.clear()
        self._law.timeout(now)
        self._recover = self._next
        self._restarting, self._quota = True, -1
        self._rto = min(2 * self._rto, _MOST_RTO)
        self._send()

    def _measure(self, rtt: int) -> None:
        """Take a round-trip time into account (RFC 6298, section 2)."""
        if not self._srtt:
            self._srtt, self._rttvar = rtt, rtt // 2
        else:
            self._rttvar += (abs(self._srtt - rtt) - self._rttvar) // 4
            self._srtt += (rtt - self._srtt) // 8
        self._rto = min(self._srtt + max(_LEAST_RTO, 4 * self._rttvar), _MOST_RTO)

    # ---- the receiver, and its acknowledgments ----------------------------------------------------------------------

    def receive(self, frame: bytes, arrival: int) -> None:
        """Let the receiver have a frame at `arrival` (ns), and acknowledge it."""
        if self._acks is None:
            self._road.loop.at(arrival + self._back, self._acknowledged, Segments.read(frame))
        else:
            self._road.loop.at(arrival, self._confirm, Segments.read(frame))

    def _confirm(self, what: tuple[int, int, bool]) -> None:
        """Send an acknowledgment, which tells everything that has arrived so far, as SACK does."""
        assert self._acks is not None
        self._arrived.append(what)
        self._confirmed += 1
        self._road.acknowledge(self._acks.frame(0, self._confirmed), self._take)

    def _take(self, frame: bytes, arrival: int) -> None:
        """Let the sender have an acknowledgment when it arrives, after the rest of the way."""
        self._road.loop.at(arrival + self._back, self._learn, Segments.read(frame)[1])

    def _learn(self, number: int) -> None:
        """Take in what an acknowledgment tells, with what those before it told that have not arrived."""
        while self._known < number:
            self._known += 1
            self._acknowledged(self._arrived.popleft())

    def _missing(self, segment: int) -> bool:
        return segment >= self._una and segment not in self._got

    def _acknowledged(self, what: tuple[int, int, bool]) -> None:
        sequence, stamp, marked = what
        now, in_flight = self._road.loop.now, len(self._flight)
        self._marks += marked
        first = self._una * self._size
        segment = (first + s32(sequence - first)) // self._size  # the frame has the low 32 bits
        sent, una = self._flight.pop(stamp, None), self._una
        fresh = self._missing(segment)
        if fresh:
            self._deliver(segment, now)
        if sent is None:  # it had been taken for lost, or is a copy
            self._conserve(fresh, False)
            self._send()
            return
        rtt = now - sent.time
        self._measure(rtt)
        self._arm(now)
        ack = Ack(now, rtt, marked, in_flight, sent.before, self._delivered, now - sent.before_at)
        lost = self._find_lost(stamp)
        self._react(ack, lost)
        self._conserve(fresh, self._una > una and not lost)
        self._send()

    def _deliver(self, segment: int, now: int) -> None:
        self._got.add(segment)
        self._again.pop(segment, None)
        self._delivered += 1
        self._delivered_at = now
        while self._una in self._got:
            self._got.remove(self._una)
            self._una += 1
        if self._una == self._end:
            self._finished = now
            self._flight.clear()  # copies that are still under way
            if self.done is not None:
                self.done(now)

    def _find_lost(self, stamp: int) -> bool:
        """Mark as lost what left well before `stamp`, which has arrived; return whether there was any."""
        lost = False
        order = self._order
        while order and order[0] <= stamp - _REORDERING:
            sent = self._flight.pop(order.popleft(), None)
            if sent is not None and self._missing(sent.segment):
                self._again[sent.segment] = None
                lost = True
        return lost

    def _react(self, ack: Ack, lost: bool) -> None:
        law = self._law
        law.seen(ack)
        if self._una < self._recover:
            if self._restarting and not lost:  # slow start (RFC 5681, section 3.1)
                law.acked(ack)
            return
        self._restarting = False
        if lost or ack.marked:
            self._recover = self._next
            law.lost(ack.now) if lost else law.marked(ack.now)
            if lost and not law.pacing:
                self._quota = self._prr_delivered = self._prr_out = 0
        else:
            law.acked(ack)

    def _conserve(self, fresh: bool, safe: bool) -> None:
        """Let as many segments leave in a recovery as arrive, one more if no loss shows (RFC 6937).

        Otherwise a window that does not fit would be sent again and again until the recovery ends, which it would
        prevent. That the window has been reduced keeps the sender silent at the beginning.

        Args:
            fresh: whether a segment has arrived for the first time.
            safe: whether the first of those that are missing has arrived, and no further loss has been found.
        """
        if self._una >= self._recover or self._quota < 0:
            self._quota = -1
            return
        self._prr_delivered += fresh
        self._quota = max(self._prr_delivered - self._prr_out, int(fresh)) + safe

    @property
    def window(self) -> tuple[float, int]:
        """The congestion window in segments, and the smoothed round-trip time (ns), 0 if none was measured."""
        return round(self._law.cwnd, 3), self._srtt

    # ---- the report -----------------------------------------------------------------------------------------------

    def report(self, start: int) -> SenderReport:
        """Return what it did; `start` is the clock (ns) at the beginning of the run."""
        end = self._road.loop.now if self._finished is None else self._finished
        spent = end - self._begin
        return SenderReport(
            self.flow.name if self.flow is not None else "", self._law.name,
            self._delivered * self._size * 8 * NSEC_PER_SEC // spent if spent > 0 else 0, self._delivered,
            self._repeated, self._timeouts, self._marks, self._srtt, round(self._law.cwnd, 3),
            None if self._finished is None else self._finished - start)


def open_connections(road: Road, spec: TcpSpec, seed: int, group: int, delay: int) -> list[Connection]:
    """Return the connections of a specification, which begin when the clock is at `spec.start` from now.

    The first begins exactly then, the others at random times within one round trip, because connections in lockstep
    would only show the artefacts of that.

    Args:
        road: what they send through.
        spec: their description.
        seed, group: as for `ebpfvm.sched.traffic.generate`.
        delay: propagation delay of the link (ns), which is a part of the round-trip time.

    Raises:
        UsageError: the round-trip time is shorter than the delay of the link, a frame is too short, or there is no such
            law.
    """
    dialer = Dialer(road, spec, group, delay)
    made, loop = [], road.loop
    for index in range(spec.count):
        connection = dialer.connection(index, spec)
        offset = Random(f"{seed}/{group}/{index}").randrange(spec.rtt + 1) if index else 0
        loop.at(dialer.zero + spec.start + offset, connection.start, dialer.zero + spec.stop)
        made.append(connection)
    return made


class Dialer:
    """Makes the connections of a specification; arguments and errors are those of `open_connections`.

    Attributes:
        zero: the clock at the beginning.
    """

    def __init__(self, road: Road, spec: TcpSpec, group: int, delay: int) -> None:
        back = road.course.back
        if back is not None:
            delay += back.delay
        if spec.rtt < delay:
            raise UsageError(f"tcp: rtt={spec.rtt}ns is shorter than the delay of the link, {delay}ns")
        self._group, self._dport = group, spec.dport
        if spec.size < HEADERS + STAMP:
            raise UsageError(f"tcp: size={spec.size}: a frame has at least {HEADERS + STAMP} bytes")
        self._road, self._back = road, spec.rtt - delay
        self._law = law_named(spec.law)
        self._frames = Frames(spec.frames(self._law().ecn if spec.ecn is None else spec.ecn), group)
        self.zero = road.loop.now

    def connection(self, index: int, spec: TcpSpec) -> Connection:
        """Return the connection with this number, whose own `spec` may say how much it sends."""
        return Connection(self._road, self._law(), spec, self._frames.frame(index), self._back, self._acks(index))

    def _acks(self, index: int) -> Segments | None:
        """Return the frames of the acknowledgments of a connection; None if they wait in no queue."""
        if self._road.course.back is None:
            return None
        return Segments(build("tcp", DESTINATION, group_source(self._group), self._dport, FIRST_PORT + index,
                              length=HEADERS + STAMP))
