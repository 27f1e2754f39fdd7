"""Record a run while it goes on: backlog over time, time in queues, drops and their reasons, packets of each flow.

`RunRecorder` is told of each packet by the account (`RecordingAccount`) and the devices, counts what happens in
intervals of simulated time, and hands rows to whoever keeps them (`ebpfvm.results`). It adds no event to the run, so a
run is the same with and without it, and the rows are the same with every engine.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, Protocol

from ebpfvm.net import ETH_HLEN, ETH_P_8021AD, ETH_P_8021Q, RAW_ETH_P_IP, RAW_ETH_P_IPV6, VLAN_HLEN
from ebpfvm.sched.account import FREED, SENT, Account, Packet
from ebpfvm.sched.recorded_counts import FlowCounts, QueueCounts, Waiting, bucket_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ebpfvm.kernel.emulated import Kernel
    from ebpfvm.kernel.refs import RefCounted
    from ebpfvm.sched.device import NetDevice
    from ebpfvm.sched.flows import Flow
    from ebpfvm.sched.traffic_names import TrafficNames

    Row = tuple[Any, ...]

TOO_BIG: Final = "above the MTU"
REFUSED: Final = "refused on arrival"
PUSHED_OUT: Final = "pushed out by an arrival"
AT_DEQUEUE: Final = "at dequeue"
EMPTIED: Final = "queue emptied"
DOWN: Final = "device down"
FILTERED: Final = "filter or action"
REASONS: Final = (TOO_BIG, REFUSED, PUSHED_OUT, AT_DEQUEUE, EMPTIED, DOWN, FILTERED, FREED)
"""Why packets are dropped: the MTU of the link; the qdisc did not take the packet that arrived, or gave up another one
for it; it was dropped when the device asked for a packet (as CoDel does); its qdisc was reset, changed or deleted; its
device was down; a filter or an action; a program released the last reference."""

_ROWS: Final = 1024  # rows that wait at most, as far as a run goes on
_PACKETS: Final = 4096  # packets that arrive between two times at which rows are handed over


class RowKeeper(Protocol):
    """Who keeps the rows."""

    def keep(self, rows: dict[str, list[Row]]) -> None:
        """Keep rows, by the name of their table, at once and all of them or none."""


class Window(Protocol):
    """A sender that reacts.

    Attributes:
        flow: its flow; None until its first packet was sent.
    """

    flow: Flow | None

    @property
    def window(self) -> tuple[float, int]:
        """The congestion window in segments, and the smoothed round-trip time (ns)."""


class RecordingAccount(Account):
    """An account that tells a recorder of each packet."""

    __slots__ = ()

    def admit(self, data: bytes | None, length: int, flow: Flow, protocol: int, priority: int, holder: str) -> Packet:
        """Create a packet that enters the simulation, and count it."""
        packet = super().admit(data, length, flow, protocol, priority, holder)
        assert self.recorder is not None
        self.recorder.arrived(packet)
        return packet

    def dispose(self, packet: Packet, fate: str, holder: str) -> None:
        """Record that the layer `holder` has disposed of `packet`."""
        assert self.recorder is not None
        if fate is SENT:
            self.recorder.left(packet)
        else:
            self.recorder.dropped(packet)
        super().dispose(packet, fate, holder)

    def freed(self, packet: RefCounted) -> None:
        """Record that a program released the last reference."""
        super().freed(packet)
        assert self.recorder is not None and isinstance(packet, Packet)
        self.recorder.freed(packet)


class RunRecorder:
    """The recorder of one run.

    Args:
        keeper: gets the rows.
        interval: ns between two samples.
        events: whether to record each enqueue, dequeue, departure, drop and program run too.
        names: what the flows are called in comparisons.

    Attributes:
        senders: senders that react, whose windows are sampled.
    """

    def __init__(self, keeper: RowKeeper, interval: int, events: bool, names: TrafficNames) -> None:
        self._keeper, self._interval, self._events, self._names = keeper, interval, events, names
        self._next = interval
        self._packets = 0
        self._start = 0
        self._kernel: Any = None
        self._rows: dict[str, list[Row]] = {}
        self._queues: dict[NetDevice, QueueCounts] = {}
        self._flows: dict[Flow, FlowCounts] = {}
        self._changed: dict[FlowCounts, None] = {}
        self._waiting: dict[int, Waiting] = {}  # by the packet's serial number
        self._times: dict[tuple[int, int, int], int] = {}  # (queue, flow, bucket) -> packets, not yet handed over
        self._drops: dict[tuple[int, int, str], list[int]] = {}  # (queue, flow, reason) -> packets, bytes
        self._arriving: Packet | None = None  # what a qdisc is asked to take
        self.senders: Sequence[Window] = ()
        self._windows: dict[int, tuple[float, int]] = {}

    def account(self, kernel: Kernel, record: bool) -> Account:
        """Return the account of the run."""
        made = RecordingAccount(kernel, record)
        made.recorder = self
        self._kernel, self._start = kernel, made.start
        return made

    # ---- what happens to packets ----------------------------------------------------------------------------------

    def arrived(self, packet: Packet) -> None:
        """Count a packet that enters the simulation."""
        now = self._now()
        flow = self._flow(packet.flow)
        flow.in_packets += 1
        flow.in_bytes += packet.len
        self._changed[flow] = None
        self._packets += 1
        if self._packets >= _PACKETS:
            self._hand_over(now)

    def entered(self, device: NetDevice, packet: Packet) -> None:
        """Count a packet that the root qdisc of a device is asked to take."""
        self.copied(device, packet)
        self._arriving = packet

    def copied(self, device: NetDevice, packet: Packet) -> None:
        """Count a packet that a qdisc of a device has made of another one."""
        now = self._now()
        before = self._waiting.pop(packet.serial, None)
        if before is not None:  # a filter of its qdisc has sent it to another device
            before.queue.remove(packet.len)
        queue = self._queue(device)
        self._waiting[packet.serial] = Waiting(queue, now, packet.len, packet._bytes)
        queue.add(packet.len)
        if self._events:
            self._event(now, "enqueue", queue, packet)

    def queued(self) -> None:
        """Note that the qdisc has decided about the packet that `entered`, and what it gave up is dropped."""
        self._arriving = None

    def taken(self, device: NetDevice, packet: Packet) -> None:
        """Count a packet that a device puts on the wire."""
        now, queue = self._now(), self._queue(device)
        found = self._waiting.pop(packet.serial, None)
        flow = self._flow(packet.flow)
        if found is not None:
            found.queue.remove(found.size)
            waited = now - found.since
            flow.take(waited)
            key = queue.index, flow.index, bucket_of(waited)
            self._times[key] = self._times.get(key, 0) + 1
            self._changed[flow] = None
            if (packet._packet is not None or packet._bytes is not found.data) and _is_marked(packet.payload()) and \
                    not _is_marked(packet.flow.frame() if found.data is None else found.data):
                flow.marks += 1
        if self._events:
            self._event(now, "dequeue", queue, packet)

    def left(self, packet: Packet) -> None:
        """Count a packet whose last bit has left."""
        now, flow = self._now(), self._flow(packet.flow)
        flow.out_packets += 1
        flow.out_bytes += packet.len
        self._changed[flow] = None
        if self._events:
            self._event(now, "sent", self._queues.get(packet.dev), packet)

    def dropped(self, packet: Packet) -> None:
        """Count a packet that a layer drops."""
        self._lost(packet, self._why(packet))

    def freed(self, packet: Packet) -> None:
        """Count a packet whose last reference a program released."""
        self._lost(packet, FREED)

    def ran(self, event: str, packet: Packet | None, result: str) -> None:
        """Record an event of a device's observer: a run of an enqueue or a dequeue program."""
        if event in ("enqueue", "dequeue"):
            self.program(f"{event} {result}".rstrip(), packet)

    def program(self, what: str, packet: Packet | None) -> None:
        """Record a run of a program on a packet; `what` says which, and its result."""
        if self._events:
            now = self._now()
            flow = None if packet is None else self._flow(packet.flow).index
            self._rows.setdefault("events", []).append(
                (now, "program", None, None if packet is None else packet.id, flow, None, what))

    def _lost(self, packet: Packet, reason: str) -> None:
        now, flow = self._now(), self._flow(packet.flow)
        found = self._waiting.pop(packet.serial, None)
        queue = found.queue if found is not None else None if packet.dev is None else self._queue(packet.dev)
        if found is not None:
            found.queue.remove(found.size)
        flow.drops += 1
        self._changed[flow] = None
        counts = self._drops.setdefault((0 if queue is None else queue.index, flow.index, reason), [0, 0])
        counts[0] += 1
        counts[1] += packet.len
        if self._events:
            self._event(now, "drop", queue, packet, reason)

    def _why(self, packet: Packet) -> str:
        """Return the reason of a drop; what is going on tells it."""
        device, waiting = packet.dev, packet.serial in self._waiting
        if device.running and waiting:
            return AT_DEQUEUE
        if self._arriving is not None and waiting:
            return REFUSED if packet is self._arriving else PUSHED_OUT
        if waiting:
            return EMPTIED
        if device.room is not None and packet.len > device.room:
            return TOO_BIG
        return FILTERED if getattr(device, "up", True) else DOWN

    # ---- rows ---------------------------------------------------------------------------------------------------

    def _now(self) -> int:
        """Return the time since the beginning of the run, after taking the samples that are due."""
        now: int = self._kernel.clock - self._start
        if now >= self._next:
            self._sample(now)
        return now

    def _queue(self, device: NetDevice) -> QueueCounts:
        found = self._queues.get(device)
        if found is None:
            found = self._queues[device] = QueueCounts(len(self._queues) + 1)
            link = device.link
            self._rows.setdefault("queues", []).append((found.index, device.name, device.qdisc.kind, link.rate,
                                                        link.delay))
        return found

    def _flow(self, flow: Flow) -> FlowCounts:
        found = self._flows.get(flow)
        if found is None:
            found = self._flows[flow] = FlowCounts(len(self._flows) + 1)
            self._rows.setdefault("flows", []).append((found.index, flow.name, self._names.name(flow.key)))
        return found

    def index(self, flow: Flow) -> int:
        """Return the number of a flow."""
        return self._flow(flow).index

    def _event(self, now: int, event: str, queue: QueueCounts | None, packet: Packet, note: str = "") -> None:
        self._rows.setdefault("events", []).append(
            (now, event, None if queue is None else queue.index, packet.id, self._flow(packet.flow).index, packet.len,
             note))

    def _sample(self, now: int) -> None:
        """Make the samples that were due at or before `now`, of the state before what happens now."""
        first = self._next
        last = now - now % self._interval
        self._next = last + self._interval
        rows = self._rows.setdefault("backlog", [])
        for queue in self._queues.values():
            rows += queue.samples(first, last)
        self._rows.setdefault("rates", []).extend(flow.sample(first) for flow in self._changed)
        self._changed.clear()
        for index, sender in enumerate(self.senders, 1):
            window = sender.window
            if self._windows.get(index) != window and sender.flow is not None:
                self._windows[index] = window
                self._rows.setdefault("windows", []).append((first, self._flow(sender.flow).index, *window))
        if sum(map(len, self._rows.values())) >= _ROWS:
            self._hand_over(now)

    def _hand_over(self, now: int) -> None:
        """Let the keeper have everything so far."""
        self._packets = 0
        rows, self._rows = self._rows, {}
        rows["sojourn"] = [(*key, count) for key, count in self._times.items()]
        rows["drops"] = [(*key, *counts) for key, counts in self._drops.items()]
        rows["run"] = [("recorded", now)]
        self._times.clear()
        self._drops.clear()
        self._keeper.keep({table: found for table, found in rows.items() if found})

    def finish(self, end: int) -> None:
        """Give the keeper what is left; `end` is the length of the run (ns)."""
        self._sample(max(end, self._kernel.clock - self._start, self._next))
        self._hand_over(end)


def _is_marked(data: bytes) -> bool:
    """Return whether a frame is an IP packet with "congestion experienced"."""
    at = 12
    while int.from_bytes(data[at:at + 2], "big") in (ETH_P_8021Q, ETH_P_8021AD):
        at += VLAN_HLEN
    kind, at = data[at:at + 2], at + ETH_HLEN - 12
    if len(data) < at + 2:
        return False
    if kind == RAW_ETH_P_IP:
        return data[at + 1] & 3 == 3
    return kind == RAW_ETH_P_IPV6 and data[at + 1] >> 4 & 3 == 3
