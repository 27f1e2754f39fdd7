"""What the generated function of a run calls: everything that is not frequent, on the objects of the pipeline."""

from __future__ import annotations

from array import array
from typing import TYPE_CHECKING, Any, ClassVar, Final

from ebpfvm.engine.translate.errors_in_code import OUT_OF_BOUNDS, explained, innermost_line
from ebpfvm.errors import Fault
from ebpfvm.kernel.refs import COUNT
from ebpfvm.lazy_tuples import NamedTuple
from ebpfvm.sched.account import SENT, Packet
from ebpfvm.sched.events import WATCH_EVERY, EventLoop
from ebpfvm.sched.fused.arrivals import EPOCH, FeedSource, GroupSource, InStep, OnlyFeed, Pending
from ebpfvm.sched.sch_bpf import SchBpf
from ebpfvm.sched.sch_generic import Watchdog
from ebpfvm.sched.simulation import Feed
from ebpfvm.sched.traffic import FlowSpec

if TYPE_CHECKING:
    from ebpfvm.sched.flow_group import FlowGroup
    from ebpfvm.sched.flows import Flow
    from ebpfvm.sched.sch_struct_ops import SchStructOps
    from ebpfvm.sched.simulation import Simulation
    from ebpfvm.sched.wire import Link

NEVER: Final = 1 << 62
"""A time after all others; an idle wire is free at `IDLE`."""
IDLE: Final = 1 << 63

STATE: Final = ("now", "ids", "sent", "dropped", "sending", "free_at", "last", "rest", "begun", "after", "mark", "odd",
                "in_bytes", "sent_bytes", "dropped_bytes", "armed", "rang", "woken")
"""The variables of the function that `FusedRun.put` writes back and `FusedRun.get` returns.

now: the clock; ids, sent, dropped, in_bytes, sent_bytes, dropped_bytes: what `Account` counts; sending: the packet on
the wire; free_at: when its last bit leaves; last: when that of the packet before left; rest: see `Link.rest`; begun,
after: how many packets had arrived, and the latest number of an event, when it was sent; mark: the latest number; odd:
whether there are problems with the ownership of packets; armed, rang: when the qdisc's watchdog fires, `NEVER` if the
function does not know of any, and the number of that event; woken: how often it has fired in the function.
"""


class LineOrigin(NamedTuple):
    """Where a line of the function comes from: an instruction of a program; the slot is -1 for what surrounds it."""

    program: Any
    slot: int


class SendingTimes(dict[int, tuple[int, int]]):
    """What `Link.occupied` returns, by the size of a packet, so that the function contains no call."""

    def __init__(self, link: Link) -> None:
        super().__init__()
        self._link = link

    def __missing__(self, size: int) -> tuple[int, int]:
        found = self[size] = self._link.occupied(size)
        return found


class _Unused(list[Any]):
    """A pool of packets that are not used again."""

    def append(self, item: object) -> None:
        """Forget the packet."""


class FusedRun:
    """One fused run.

    Attributes:
        simulation, qdisc: what runs.
        until: the time before which arrivals are fused; no later event is run.
        in_step, only: the only source, if it can be iterated directly; else None, and the sources are in `pending`.
        file, origins: name of the generated code, and where each line comes from.
        pool: packets that have left the network and may be used again.
        away: whether the objects, and not the function's variables, have the state.
        stale: whether the code assumes what is no longer so.
        others, woken: events that were neither arrivals nor departures: those that were called, and watchdogs.
        watchdog: the qdisc's, None if the function does not know of it.
        folds: whether the function does not count the references that programs hold.
        cap: how many packets may arrive before the event loop must count events itself.
        ordinal: the variable of the function from whose value numbers of events follow.
        state: the names of the variables of `put` and `get`.
        packet: what the class of packets is derived from.
    """

    ordinal: ClassVar[str] = "ids"
    state: ClassVar[tuple[str, ...]] = STATE
    packet: ClassVar[type[Packet]] = Packet

    def __init__(self, simulation: Simulation, qdisc: SchBpf | SchStructOps, until: int | None) -> None:
        self.simulation, self.qdisc = simulation, qdisc
        self.device, self.account, self.loop = simulation.device, simulation.account, simulation.loop
        self.kernel = simulation.kernel
        self.folds = isinstance(qdisc, SchBpf)
        self._to_free = None if isinstance(qdisc, SchBpf) else qdisc.to_free
        self.until = NEVER if until is None else until + 1
        self.heap = self.loop.waiting()
        self.file = ""
        self.origins: list[LineOrigin | None] = []
        self.away = True
        self.others = self.woken = 0
        self.stale = False
        self._start = self.loop.events
        self._rounds = self._start // WATCH_EVERY
        self._first = self.account.in_packets
        self._foreign = 0
        self._sent = self.account.sent
        self._dequeued = self.device.dequeued - self.account.sent - (self.device.sending is not None)
        self._departure = IDLE, 0, 0
        self._sending: Packet | None = None  # what is on the wire according to the function
        self._classes = qdisc.classes if isinstance(qdisc, SchBpf) else {}
        self.watchdog = qdisc.watchdog if isinstance(qdisc, SchBpf) and not self._classes else None
        self._armed: int | None = None  # the time of the watchdog that `get` has given to the function
        self._programs = qdisc.programs
        self._link = self.device.link
        self._last = self._link.free_at
        limits = simulation.kernel.limits
        # Each packet that arrives may be sent, and a watchdog may have fired before.
        self._most = limits.events - 4 * WATCH_EVERY
        self.cap = max(0, (limits.events - self._start) // 3 - 4 * WATCH_EVERY)
        self._bare: list[Flow] = []  # flows of which no packet has arrived
        self.pending: Pending = []
        self.only: OnlyFeed | None = None
        self.in_step = self._take()
        self.pool = self.kernel.refs.pool
        self.kernel.refs.reused = True

    def _take(self) -> InStep | None:
        """Take the sources from the event loop."""
        simulation, taken = self.simulation, self._taken()
        if len(taken) == 1:
            source = taken[0][2]
            fresh = not self._first and not self.kernel.refs.live() and self.device.sending is None
            if not isinstance(source, Feed) and source.spec.kind == "cbr" and fresh and not any(source.flows):
                return InStep(simulation, source, self.until, self.cap)
            if isinstance(source, Feed):
                self.only = OnlyFeed(simulation, source, taken[0][1], self.until)
                return None
        self._take_all(taken)
        return None

    def _taken(self) -> list[tuple[int, int, FlowGroup | Feed]]:
        self.simulation.feeding = True
        return self.simulation.take_sources()

    def _take_all(self, taken: list[tuple[int, int, FlowGroup | Feed]]) -> None:
        """Let several sources take turns."""
        simulation = self.simulation
        for time, number, source in taken:
            made = FeedSource(simulation, source, self.pending) if isinstance(source, Feed) else \
                GroupSource(simulation, source, self.pending)
            self.pending.append((time, number, made))

    @property
    def first_packet(self) -> int:
        """How many packets had arrived before."""
        return self._first

    @property
    def spec(self) -> FlowSpec | None:
        """The specification of the only source."""
        return None if self.in_step is None else self.in_step.group.spec

    # ---- the state ------------------------------------------------------------------------------------------------

    def put(self, state: tuple[Any, ...]) -> None:
        """Write the variables of the function back."""
        self.away = True
        (now, ids, sent, dropped, sending, free_at, last, rest, begun, after, mark, _, in_bytes, sent_bytes,
         dropped_bytes, armed, rang, self.woken) = state
        account, device = self.account, self.device
        self.kernel.clock = now
        if self.folds:
            self.kernel.refs.held = 0
        account.in_packets, account.sent, account.dropped = ids, sent, dropped
        account.in_bytes, account.sent_bytes, account.dropped_bytes = in_bytes, sent_bytes, dropped_bytes
        if self.in_step is not None:
            self._derive(ids, sent, dropped)
        device.sending = self._sending = sending
        device.dequeued = self._dequeued + sent + (sending is not None)
        self._departure, self._last = (free_at, begun, after), last
        self._link.resume(last if sending is None else free_at, rest)
        if sent > self._sent:
            device.sink.last = last + self._link.delay
        self.loop.renumber(max((ids << EPOCH) + 2, mark, 0 if sending is None else self.number_of(begun, after)))
        self._put_watchdog(armed, rang)

    def _derive(self, ids: int, sent: int, dropped: int) -> None:
        """Set the bytes, which follow from the packets where all have one size."""
        size, account = self.in_step.group.spec.size, self.account  # type: ignore[union-attr]
        account.in_bytes, account.sent_bytes, account.dropped_bytes = ids * size, sent * size, dropped * size

    def _put_watchdog(self, armed: int, rang: int) -> None:
        watchdog = self.watchdog
        if watchdog is None:
            return
        if armed != NEVER:
            watchdog.expires = armed
            self.loop.armed.add(watchdog)
            self.loop.give_idle(armed, rang, watchdog.fire, armed)
        elif self._armed is not None and watchdog.expires == self._armed:
            watchdog.cancel()  # it has fired
        self._armed = None

    def _get_watchdog(self) -> tuple[int, int]:
        """Return when the watchdog fires and the number of that event, which is removed from the event loop."""
        watchdog = self.watchdog
        if watchdog is None or watchdog.expires is None or watchdog.expires >= NEVER:
            return NEVER, 0  # one that is so late stays in the event loop
        number = self.loop.take_idle(watchdog.expires, watchdog.fire)
        if number is None:
            return NEVER, 0
        self._armed = watchdog.expires
        return watchdog.expires, number

    def get(self) -> tuple[Any, ...]:
        """Return the values of the function's variables."""
        account, device, link = self.account, self.device, self._link
        sending = device.sending
        free_at, begun, after = self._departure
        if sending is None:
            free_at = IDLE
        elif sending is not self._sending:  # an event has put it on the wire
            for time, number, _, _ in self.loop.take((device.sent,)):
                free_at, begun, after = time, account.in_packets, number - 1
        armed, rang = self._get_watchdog()
        mark = self.loop.renumber(0)
        self.heap = self.loop.waiting()
        self.away = False
        if self._to_free is not None:
            self._to_free.running = True  # the function is what calls enqueue
        return (self.kernel.clock, account.in_packets, account.sent, account.dropped, sending, free_at, self._last,
                link.rest, begun, after, mark, bool(account.problem_count), account.in_bytes, account.sent_bytes,
                account.dropped_bytes, armed, rang, self.woken)

    # ---- what is not frequent ---------------------------------------------------------------------------------------

    def begin(self) -> Flow | None:
        """Return the flow of a group that sends its first packet; None if the event loop must go on from here."""
        assert self.in_step is not None
        if self.in_step.capped:
            return None
        flow = self.in_step.begin()
        self.watch_flow(flow)
        return flow

    def watch_flow(self, flow: Flow) -> None:
        """Let the function append to a flow's delays."""
        if not flow.delays:
            flow.delays = array("q")
            self._bare.append(flow)

    def enqueued(self, skb: Packet, result: int, classid: int, delay: int) -> None:
        """Do what the enqueue program asks for."""
        to_free: list[Packet] = []
        assert isinstance(self.qdisc, SchBpf)
        self.qdisc.enqueued(skb, result, classid, delay, to_free)
        for packet in to_free:
            self.device.drop(packet, self.qdisc.holder)

    def disposed(self, skb: Packet) -> None:
        """Record that a packet was sent."""
        self.account.dispose(skb, SENT, self.qdisc.holder)

    def first(self, arrival: tuple[int, int], free_at: int, begun: int, after: int, watchdog: tuple[int, int]) -> int:
        """Return which is next: 0 the first event of the heap, 1 the departure, 2 the arrival, 3 the watchdog."""
        head = self.heap[0][:2] if self.heap else (NEVER + 1, 0)
        departure = free_at, self.number_of(begun, after)
        candidates = (head, departure, arrival, watchdog)
        first = min(candidates)
        return 2 if first[0] >= self.until else candidates.index(first)

    def fruitless(self) -> None:
        """Record that the watchdog has fired and no packet was sent."""
        assert self.watchdog is not None
        self.watchdog.woken(False)
        self.look()

    def ends(self, inside: int) -> bool:
        """Return whether there is nothing left but events that no packet waits for, or that only the loop can judge.

        Args:
            inside: the number of packets that have no fate, but for those that programs have freed.
        """
        assert self.watchdog is not None
        return bool(self.heap) or inside <= self.account.freed_packets or self.watchdog.gave_up

    @staticmethod
    def number_of(begun: int, after: int) -> int:
        """Return the number of the event of a departure."""
        return max(after + 1, (begun << EPOCH) + 1)

    def other(self) -> bool:
        """Run the first event of the heap; return whether the run may go on in the function."""
        time, _, action, argument = self.heap[0]
        if time < 0 or time >= self.until:
            return False
        inner = argument[0] if getattr(action, "__func__", None) is EventLoop.idle_event else action
        if not self._is_ours(inner):  # anybody else may look, and remember packets
            self.settle()
            self.pool.clear()
            self.pool = _Unused()
        arrived = self.account.in_packets
        self.loop.step()
        self.others += 1
        # A packet that came from elsewhere may be of any size and flow, and waits among the others from now on.
        self._foreign = self.account.in_packets - arrived
        self.look()
        device, qdisc = self.device, self.qdisc
        same = (not self._foreign and device.qdisc is qdisc and qdisc.programs is self._programs
                and device.observer is None and device.link is self._link
                and self.simulation.kernel.devices.get(device.ifindex) is device)
        same = same and (self.watchdog is None or not self._classes)  # of which one might count what is throttled
        return same and not self.stale and self.events < self._most

    def _is_ours(self, action: Any) -> bool:
        """Return whether an event is the qdisc's, and no user's."""
        return getattr(action, "__func__", None) is Watchdog.fire

    def forget(self) -> None:
        """Leave the function soon, because what it assumes of maps has ceased to be so."""
        self.stale = True

    @property
    def _arrived(self) -> int:
        """The number of packets that the sources have sent in the function."""
        return self.account.in_packets - self._first - self._foreign

    @property
    def events(self) -> int:
        """The number of events that have run."""
        account = self.account
        return self._start + self._arrived + account.sent - self._sent + self.others + self.woken

    def look(self) -> None:
        """Call the loop's `watch` as the loop would have done."""
        source = self.in_step or self.only
        self.simulation.feeding = bool(self.pending) if source is None else not source.over
        rounds, more = divmod(self.events, WATCH_EVERY)
        if rounds != self._rounds:
            self._rounds = rounds
            watch: Any = self.loop.watch
            if watch is not None:
                watch(rounds * WATCH_EVERY)
                if more:
                    watch.forget()

    # ---- the end --------------------------------------------------------------------------------------------------

    def settle(self) -> None:
        """Set the counters of flows that follow from others, where the function does not count them."""
        source = self.in_step
        if source is None:
            return
        arrived, count = self._arrived, source.count
        for index, flow in enumerate(source.group.flows):
            if flow is not None:
                flow.in_packets = arrived // count + (index < arrived % count)

    def leave(self) -> None:
        """Let the event loop go on from here."""
        assert self.away
        if self._to_free is not None:
            self._to_free.running = False
        self.settle()
        for flow in self._bare:
            if not flow.delays:
                flow.delays = ()
        device, simulation = self.device, self.simulation
        free_at, begun, after = self._departure
        if device.sending is not None:
            planned = self.loop.take((device.sent,))  # the latest event may have put a packet on the wire
            time, number = planned[0][:2] if planned else (free_at, self.number_of(begun, after))
            self.loop.at_number(time, number, device.sent, device.sending)
        self.look()
        simulation.feeding = False
        if self.in_step is not None:
            self.in_step.give_back(self._arrived, self._first + 1)
        if self.only is not None:
            arrived = self.account.in_packets
            self.only.give_back(arrived << EPOCH if arrived > self._first else self.only.number)
        for time, number, source in self.pending:
            source.give_back(time, number)
        self.loop.skip(self.events)

    def finish(self) -> None:
        """Do what is left to do at once, after `leave`."""

    def ended(self, error: BaseException) -> None:
        """Explain an error of a program: raise it with its place.

        Any other error is left to the caller.
        """
        line = innermost_line(error, self.file)
        origin = self.origins[line - 1] if line is not None else None
        if origin is None or not isinstance(error, (Fault, RecursionError, *OUT_OF_BOUNDS)):
            return
        prog = origin.program.prog
        refs = self.kernel.refs
        if self.folds:
            refs.held = sum(obj.refs & COUNT for obj in refs.live())
        refs.abandon(0, prog.name)
        self.kernel.stack.depth = 0
        raise explained(error, prog, origin.slot, self.file) from error
