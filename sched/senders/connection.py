"""One TCP connection: what is in flight, lost, to be sent again, and the timer; and its receiver.

The receiver acknowledges each segment, and tells which one it was and whether it was marked, as SACK (RFC 2018) and
accurate ECN would. Acknowledgments are never lost: they take the rest of the round-trip time. A transmission counts as
lost once one that left three or more later has arrived (as RACK, RFC 8985, with a reordering window of three segments)
or when the timer expires (RFC 6298, with Linux's least of 200 ms above the smoothed round-trip time).

Not modelled: the handshake, delayed acknowledgments, the receiver's window, tail loss probes, undoing of reductions.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from random import Random
from typing import TYPE_CHECKING, Any, Final, Protocol

from ebpfvm.errors import UsageError
from ebpfvm.ints import U32_MAX, s32
from ebpfvm.sched.packet import build
from ebpfvm.sched.senders.congestion import Ack
from ebpfvm.sched.senders.control_laws import law_named
from ebpfvm.sched.senders.sender_report import SenderReport
from ebpfvm.sched.senders.tcp_flows import HEADERS, STAMP, Segments
from ebpfvm.sched.traffic import DESTINATION, FIRST_PORT, Frames, group_source
from ebpfvm.sched.units import NSEC_PER_SEC

if TYPE_CHECKING:
    from ebpfvm.sched.course import Course
    from ebpfvm.sched.events import EventLoop
    from ebpfvm.sched.flows import Flow, FlowLabel
    from ebpfvm.sched.senders.congestion import Congestion
    from ebpfvm.sched.senders.tcp_flows import TcpSpec

_new: Final[Callable[[type[Ack], tuple[int, ...]], Ack]] = tuple.__new__  # skips a function, for each packet
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

    def serve(self, sender: Connection) -> None:
        """Let the packets that a sender may send now arrive at the device, one after the other."""

    def wake(self, time: int, sender: Connection) -> None:
        """Let `sender.woken` be called at `time` (ns)."""

    def acknowledge(self, data: bytes, receiver: Callable[[bytes, int], None]) -> None:
        """Let an acknowledgment arrive at the way back now; `receiver` gets it."""


Sent = tuple[int, int, int, int, int]
"""One transmission: of which segment, when (ns), how many segments had been delivered then, the last when, and the low
32 bits of the sequence number. A plain tuple, because one is made for each packet."""

Told = tuple[int, int, bool]
"""The low 32 bits of a sequence number, the number of a transmission, and whether it is marked."""


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
        road, back: the same.
        frames: its frames.
        size, priority: length of its frames, and their skb->priority; None for that of their DSCP.
        flow: its flow; None until its first packet was sent.
        label: what its headers imply, kept by the road.
        more: whether the window may allow another segment after the one that `pull` has returned.
        done: called with the time (ns) when the sender knows that all it had to send has arrived; None if nobody wants
            to know.
    """

    __slots__ = ("_acks", "_again", "_arrived", "_begin", "_confirmed", "_deadline", "_delivered", "_delivered_at",
                 "_end", "_finished", "_flight", "_free_at", "_got", "_known", "_law", "_marks", "_next", "_order",
                 "_prr_delivered", "_prr_out", "_quota", "_recover", "_repeated", "_restarting", "_rto", "_rttvar",
                 "_size", "_srtt", "_stamp", "_stop", "_timeouts", "_timer", "_una", "_waiting", "back", "done",
                 "flow", "frames", "label", "more", "priority", "road", "size")

    def __init__(self, road: Road, law: Congestion, spec: TcpSpec, template: bytes, back: int,
                 acks: Segments | None = None) -> None:
        self.road, self._law, self.back = road, law, back
        self.size, self.priority = spec.size, spec.priority
        self.frames = Segments(template)
        self._size = spec.size - HEADERS
        self._end = None if spec.total is None else -(-spec.total // self._size)
        self.flow: Flow | None = None
        self.label: FlowLabel | None = None
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
        self._timer = self._waiting = self.more = False
        self._free_at = 0.0  # when pacing allows the next segment
        self._finished: int | None = None
        self.done: Callable[[int], None] | None = None
        self._acks = acks
        self._arrived: deque[Told] = deque()  # what the sender has not been told
        self._confirmed = self._known = 0  # acknowledgments that were sent, and those that the sender knows

    def extend(self, total: int) -> None:
        """Send so many bytes more, rounded up to full segments."""
        self._end = (self._next if self._end is None else self._end) + -(-total // self._size)
        self._finished = None
        self.road.serve(self)

    def start(self, stop: int) -> None:
        """Begin to send, until the clock shows `stop` (ns)."""
        self._begin, self._stop = self.road.loop.now, stop
        self.road.loop.armed.add(self)
        self.road.serve(self)

    def waits(self) -> bool:
        """Return whether the run has to go on for its timer."""
        return bool(self._flight or self._again)

    # ---- sending --------------------------------------------------------------------------------------------------

    def pull(self, now: int) -> Told | None:
        """Return the segment that leaves now, and take it for sent; None if window, pacing or data allow none."""
        law, flight, again, segment = self._law, self._flight, self._again, self._next
        most = law.cwnd if law.cwnd > 1.0 else 1.0
        if not self._quota or len(flight) + 1 > most:
            return None
        if again:
            segment = next(iter(again))
        elif (self._end is not None and segment >= self._end) or now >= self._stop:
            return None
        if law.pacing and not self._paced(now):
            return None
        if again:
            del again[segment]
            self._repeated += 1
        else:
            self._next = segment + 1
        self._stamp = stamp = self._stamp + 1
        if self._quota > 0:
            self._quota -= 1
            self._prr_out += 1
        sequence = segment * self._size & U32_MAX
        flight[stamp] = segment, now, self._delivered, self._delivered_at or now, sequence
        self._order.append(stamp)
        self._deadline = now + self._rto
        if not self._timer:
            self._arm()
        self.more = self._quota != 0 and len(flight) + 1 <= most
        return sequence, stamp, self.frames.marked

    def _paced(self, now: int) -> bool:
        """Return whether a segment may leave now; otherwise come back when it may."""
        if now >= self._free_at:
            self._free_at = max(self._free_at, now - NSEC_PER_SEC / self._law.pacing) + NSEC_PER_SEC / self._law.pacing
            return True
        if not self._waiting:
            self._waiting = True
            self.road.wake(int(self._free_at) + 1, self)
        return False

    def woken(self, _: Any = None) -> None:
        """Send on, now that pacing allows the next segment."""
        self.resume()
        self.road.serve(self)

    def resume(self) -> None:
        """Take it that pacing allows the next segment."""
        self._waiting = False

    # ---- the timer ------------------------------------------------------------------------------------------------

    def _arm(self) -> None:
        self._timer = True
        self.road.loop.at_idle(self._deadline, self._expire)

    def _expire(self, _: Any) -> None:
        """Take everything in flight for lost, unless there was progress since the timer was set."""
        now = self.road.loop.now
        self._timer = False
        if not self.waits():
            return
        if now < self._deadline:
            self._arm()
            return
        self._timeouts += 1
        lost = {sent[0] for sent in self._flight.values() if self._missing(sent[0])}
        self._again = dict.fromkeys(sorted(lost | self._again.keys()))
        self._flight.clear()
        self._order.clear()
        self._law.timeout(now)
        self._recover = self._next
        self._restarting, self._quota = True, -1
        self._rto = min(2 * self._rto, _MOST_RTO)
        self.road.serve(self)

    def _measure(self, rtt: int) -> None:
        """Take a round-trip time into account (RFC 6298, section 2)."""
        srtt = self._srtt
        if not srtt:
            self._srtt, self._rttvar = srtt, more = rtt, rtt // 2
        else:
            off = rtt - srtt
            self._rttvar = more = self._rttvar + ((off if off >= 0 else -off) - self._rttvar) // 4
            self._srtt = srtt = srtt + off // 8
        rto = srtt + (4 * more if 4 * more > _LEAST_RTO else _LEAST_RTO)
        self._rto = rto if rto < _MOST_RTO else _MOST_RTO

    # ---- the receiver, and its acknowledgments ----------------------------------------------------------------------

    def receive(self, frame: bytes, arrival: int) -> None:
        """Let the receiver have a frame at `arrival` (ns), and acknowledge it."""
        if self._acks is None:
            self.road.loop.at(arrival + self.back, self.acknowledged, Segments.read(frame))
        else:
            self.road.loop.at(arrival, self._confirm, Segments.read(frame))

    def _confirm(self, what: Told) -> None:
        """Send an acknowledgment, which tells everything that has arrived so far, as SACK does."""
        assert self._acks is not None
        self._arrived.append(what)
        self._confirmed += 1
        self.road.acknowledge(self._acks.frame(0, self._confirmed), self._take)

    def _take(self, frame: bytes, arrival: int) -> None:
        """Let the sender have an acknowledgment when it arrives, after the rest of the way."""
        self.road.loop.at(arrival + self.back, self._learn, Segments.read(frame)[1])

    def _learn(self, number: int) -> None:
        """Take in what an acknowledgment tells, with what those before it told that have not arrived."""
        while self._known < number:
            self._known += 1
            self.acknowledged(self._arrived.popleft())

    def _missing(self, segment: int) -> bool:
        return segment >= self._una and segment not in self._got

    def acknowledged(self, what: Told) -> None:
        """Take an acknowledgment in, and send what it allows."""
        self.take_in(what, self.road.loop.now)
        self.road.serve(self)

    def take_in(self, what: Told, now: int) -> None:
        """Take an acknowledgment in, which comes at `now` (ns)."""
        sequence, stamp, marked = what
        flight, una, order = self._flight, self._una, self._order
        in_flight, sent = len(flight), flight.pop(stamp, None)
        if marked:
            self._marks += 1
        if sent is not None and sent[4] == sequence:
            segment = sent[0]
        else:
            first = una * self._size
            segment = (first + s32(sequence - first)) // self._size  # the frame has the low 32 bits
        fresh = segment >= una and segment not in self._got
        if fresh:
            self._deliver(segment, now)
        if sent is None:  # it had been taken for lost, or is a copy
            if self._quota >= 0:
                self._conserve(fresh, False)
            return
        rtt = now - sent[1]
        self._measure(rtt)
        self._deadline = now + self._rto
        if not self._timer:
            self._arm()
        lost = self._find_lost(stamp) if order and order[0] <= stamp - _REORDERING else False
        ack = _new(Ack, (now, rtt, marked, in_flight, sent[2], self._delivered, now - sent[3]))
        self._law.seen(ack)
        if lost or marked or self._una < self._recover:
            self._react(ack, lost)
        else:
            self._restarting = False
            self._law.acked(ack)
        if self._quota >= 0:
            self._conserve(fresh, self._una > una and not lost)

    def _deliver(self, segment: int, now: int) -> None:
        self._delivered += 1
        self._delivered_at = now
        if self._again:
            self._again.pop(segment, None)
        got = self._got
        if segment != self._una:
            got.add(segment)
            return
        segment += 1
        while segment in got:
            got.remove(segment)
            segment += 1
        self._una = segment
        if segment == self._end:
            self._finished = now
            self._flight.clear()  # copies that are still under way
            if self.done is not None:
                self.done(now)

    def _find_lost(self, stamp: int) -> bool:
        """Mark as lost what left well before `stamp`, which has arrived; return whether there was any."""
        lost = False
        order, flight = self._order, self._flight
        while order and order[0] <= stamp - _REORDERING:
            sent = flight.pop(order.popleft(), None)
            if sent is not None and self._missing(sent[0]):
                self._again[sent[0]] = None
                lost = True
        return lost

    def _react(self, ack: Ack, lost: bool) -> None:
        """Let the law react to what was lost or marked, or to what arrives in a recovery."""
        law = self._law
        if self._una < self._recover:
            if self._restarting and not lost:  # slow start (RFC 5681, section 3.1)
                law.acked(ack)
            return
        self._restarting = False
        self._recover = self._next
        law.lost(ack.now) if lost else law.marked(ack.now)
        if lost and not law.pacing:
            self._quota = self._prr_delivered = self._prr_out = 0

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
        end = self.road.loop.now if self._finished is None else self._finished
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
        self.road, self._back = road, spec.rtt - delay
        self._law = law_named(spec.law)
        self._frames = Frames(spec.frames(self._law().ecn if spec.ecn is None else spec.ecn), group)
        self.zero = road.loop.now

    def connection(self, index: int, spec: TcpSpec) -> Connection:
        """Return the connection with this number, whose own `spec` may say how much it sends."""
        return Connection(self.road, self._law(), spec, self._frames.frame(index), self._back, self._acks(index))

    def _acks(self, index: int) -> Segments | None:
        """Return the frames of the acknowledgments of a connection; None if they wait in no queue."""
        if self.road.course.back is None:
            return None
        return Segments(build("tcp", DESTINATION, group_source(self._group), self._dport, FIRST_PORT + index,
                              length=HEADERS + STAMP))
