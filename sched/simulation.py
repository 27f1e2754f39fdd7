"""A bottleneck: traffic sources, a device with a qdisc, a link, and the other end.

>>> from ebpfvm.kernel import Kernel
>>> from ebpfvm.sched.wire import Link
>>> simulation = Simulation(Kernel(), Link(10_000_000))
>>> len(simulation.loop)
0
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, TypedDict, Unpack

from ebpfvm.checked import known
from ebpfvm.errors import LimitError, UsageError
from ebpfvm.funcs.timer import timers_of
from ebpfvm.kernel.objects_left import objects_left
from ebpfvm.net import ETH_HLEN
from ebpfvm.sched.account import Account
from ebpfvm.sched.collector import rare_collection
from ebpfvm.sched.course import BACK, Course
from ebpfvm.sched.device import NetDevice
from ebpfvm.sched.events import EventLoop
from ebpfvm.sched.flow_group import FlowGroup
from ebpfvm.sched.flow_report import FlowReports
from ebpfvm.sched.flows import FlowTable
from ebpfvm.sched.netdev import NetDev
from ebpfvm.sched.pcap import ETHERNET
from ebpfvm.sched.run_report import PacketRecord, Result
from ebpfvm.sched.run_watch import RunWatch
from ebpfvm.sched.sch_generic import Stats
from ebpfvm.sched.sink import Sink
from ebpfvm.sched.traffic import generate

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from ebpfvm.kernel.emulated import Kernel
    from ebpfvm.sched.account import Packet
    from ebpfvm.sched.flows import Flow, FlowLabel
    from ebpfvm.sched.pcap import PcapWriter
    from ebpfvm.sched.run_recorder import RunRecorder
    from ebpfvm.sched.sch_generic import Observer, Qdisc
    from ebpfvm.sched.senders.connection import Connection
    from ebpfvm.sched.senders.tcp_flows import TcpSpec
    from ebpfvm.sched.senders.video import Player
    from ebpfvm.sched.traffic import Arrival, FlowSpec
    from ebpfvm.sched.wire import Link

BOOT_NS: Final = 1_000_000_000
"""The clock at the beginning: a machine that has been up for one second. Programs use time 0 for "never"."""

AFTER_NS: Final = 1_000_000_000
"""How long timers go on after the last packet of a run without a duration."""

PROGRESS_EVERY: Final = 4095
"""A mask of packet numbers: progress is told for those in which all its bits are 0."""


class Feed:
    """A source and its next arrival, with the bytes of its latest packet and what they imply."""

    __slots__ = ("advance", "data", "flow", "head", "priority", "protocol")
    flow: Flow
    protocol: int
    priority: int

    def __init__(self, head: Arrival, advance: Iterator[Arrival]) -> None:
        self.head = head
        self.advance = advance
        self.data: bytes | None = None

    def packet(self, flows: FlowTable) -> tuple[bytes, int, Flow, int, int]:
        """Return bytes, length, flow, protocol and priority of the packet that arrives now."""
        _, length, data, priority = self.head
        if data is not self.data:  # a source may send the same bytes again and again
            self.data = data
            self.flow, self.protocol, self.priority = flows.label(data)
        return data, length, self.flow, self.protocol, self.priority if priority is None else priority


class SimulationOptions(TypedDict, total=False):
    """Options of a run.

    Attributes:
        link_type: link type of the packets, as in a capture.
        priority_rule: how a DSCP becomes skb->priority (`ebpfvm.sched.flow_key.priority_of`).
        writer: writes the packets that leave, with their departure times.
        epoch: time stamp (ns since 1970) of the beginning of the run, for `writer`.
        record: whether to keep a record of each packet (`Result.packets`).
        observer: see `NetDevice`.
        ingress: whether packets arrive at the device from the wire instead of being sent by it; it is then a `NetDev`.
        recorder: who is told of each packet; such a run is not fused.
    """

    link_type: int
    priority_rule: str
    writer: PcapWriter | None
    epoch: int
    record: bool
    observer: Observer | None
    ingress: bool
    recorder: RunRecorder | None


class Simulation:
    """A run.

    Args:
        kernel: where programs and maps live; its clock is set to `BOOT_NS`.
        link: the wire.
        options: see `SimulationOptions`.

    Attributes:
        loop, account, flows, sink, device: the parts. Give the device a qdisc before `run`.
        progress: see `run`.
        feeding: whether there are sources outside of the event loop that still have packets.
        fuse: called before the event loop runs, with the simulation and the clock at the end of the run (None for no
            end); it may run events itself (`ebpfvm.sched.fused`), and returns why it did not.
        unfused: what `fuse` has returned.
        connections: senders that react.
        players: players of video, for the report.
        course: the links that packets cross.
    """

    def __init__(self, kernel: Kernel, link: Link, **options: Unpack[SimulationOptions]) -> None:
        known("Simulation", options, SimulationOptions.__annotations__)
        kernel.clock = BOOT_NS
        link_type = options.get("link_type", ETHERNET)
        self._ingress = options.get("ingress", False)
        self.kernel = kernel
        self.loop = EventLoop(kernel)
        timers_of(kernel).loop = self.loop
        record, recorder = options.get("record", False), options.get("recorder")
        self.account = Account(kernel, record) if recorder is None else recorder.account(kernel, record)
        self.flows = FlowTable(self.account, link_type, options.get("priority_rule", "tos"))
        self.sink = Sink(options.get("writer"), options.get("epoch", 0) - BOOT_NS)
        self.device = NetDevice(self.loop, self.account, link, self.sink, ETH_HLEN if link_type == ETHERNET else 0)
        self.device.observer = options.get("observer")
        kernel.devices[self.device.ifindex] = self.device
        self.progress: Callable[[int], None] | None = None
        self._receive: Callable[[Packet], object] = self.device.xmit
        self._arrival = self._arrive_of  # bound once: each `self.method` that is not called makes a new object
        self._feeds = 0  # sources that still have packets
        self.feeding = False
        self.fuse: Callable[[Simulation, int | None], str] | None = None
        self.unfused = ""
        self.connections: list[Connection] = []
        self.players: list[Player] = []
        self.course = Course(link)
        if recorder is not None:
            recorder.senders = self.connections

    def add(self, source: Iterator[Arrival]) -> None:
        """Add a source, which yields packets in order of time."""
        head = next(source, None)
        if head is not None:
            self._feeds += 1
            self.loop.at(BOOT_NS + head[0], self._arrive, Feed(head, source))

    def add_flows(self, spec: FlowSpec, seed: int = 0, group: int = 0) -> None:
        """Add generated flows, as if each source that `generate` returns for the same arguments were added."""
        grouped = self.flows.ethernet and FlowGroup.grouped(spec)
        flows = FlowGroup(spec, seed, group, self.flows, self.account) if grouped else None
        if flows is None or not flows.admitted():
            for source in generate(spec, seed, group):
                self.add(source)
            return
        flows.numbers = [self.loop.number() for _ in range(spec.count)]
        for time, index in flows.turns:
            flows.index = index
            self._feeds += 1
            self.loop.at_number(BOOT_NS + time, flows.numbers[index], self._arrive_of, flows)
            break

    def add_tcp(self, spec: TcpSpec, seed: int = 0, group: int = 0) -> None:
        """Add TCP connections, which react to what happens to their packets.

        Raises:
            UsageError: their round-trip time is shorter than the delay of the link.
        """
        from ebpfvm.sched.senders.connection import open_connections
        self.add_senders(open_connections(self, spec, seed, group, self.course.delay(group)))

    def add_senders(self, senders: Sequence[Connection]) -> None:
        """Add connections, whose first packets are events already."""
        self.connections += senders

    def serve(self, sender: Connection) -> None:
        """Let the packets that a sender may send now arrive at the device, one after the other."""
        account, now = self.account, self.loop.now
        while True:
            segment = sender.pull(now)
            if segment is None:
                return
            data = sender.frames.frame(segment[0], segment[1])
            flow, protocol, priority = self.label_of(sender, data)
            packet = account.admit(data, sender.size, flow, protocol, priority, self.device.qdisc.holder)
            sender.flow = flow
            self._enter(packet)
            if not sender.more:
                return

    def wake(self, time: int, sender: Connection) -> None:
        """Let a sender go on at `time` (ns)."""
        self.loop.at(time, sender.woken)

    def label_of(self, sender: Connection, data: bytes) -> FlowLabel:
        """Return what a sender's packet implies, and let the sender have the packets of its flow that arrive."""
        if sender.label is not None:
            return sender.label
        found = self.flows.label(data)
        if sender.priority is not None:
            found = found._replace(priority=sender.priority)
        self.sink.receivers[found.flow] = sender.receive
        if self.flows.ethernet:  # otherwise there is no telling what is taken for a header
            sender.label = found
        return found

    def acknowledge(self, data: bytes, receiver: Callable[[bytes, int], None]) -> None:
        """Let an acknowledgment arrive at the way back now.

        Args:
            data: its bytes.
            receiver: as for `offer`.
        """
        flow, protocol, priority = self.flows.label(data)
        self.sink.receivers[flow] = receiver
        packet = self.account.admit(data, len(data), flow, protocol, priority, f"link {BACK}")
        if self.account.log is not None:
            self.account.log.append(packet)
        self.course.acknowledge(packet)

    def take_sources(self) -> list[tuple[int, int, FlowGroup | Feed]]:
        """Remove the next packet of each source from the event loop; return its time and number, and the source."""
        self._feeds = 0
        return [(time, number, source) for time, number, _, source in self.loop.take((self._arrive, self._arrive_of))]

    def expect(self, time: int, number: int, source: FlowGroup | Feed) -> None:
        """Let the next packet of a source arrive at `time`, as the event `number`."""
        self._feeds += 1
        action = self._arrive_of if isinstance(source, FlowGroup) else self._arrive
        self.loop.at_number(time, number, action, source)

    def run(self, qdisc: Qdisc, *, duration: int | None = None,
            progress: Callable[[int], None] | None = None, seed: int = 0) -> Result:
        """Run until only timers of programs are left, or until `loop.stop` is called.

        Timers that are armed at the end fire once more, if they expire within a second.

        Args:
            qdisc: root qdisc of the device.
            duration: stop after this many ns.
            progress: called at intervals with the number of packets that have arrived.
            seed: random seed, for the report.

        Raises:
            UsageError: no source has a packet.
            Fault: a program did what would crash a kernel, or throttles forever.
            LimitError: a limit of the kernel was reached; its `result` has the statistics up to that moment.
        """
        if not len(self.loop):
            raise UsageError("no traffic: no source has a packet")
        with rare_collection():
            return self._run(qdisc, duration, progress, seed)

    def _run(self, qdisc: Qdisc, duration: int | None, progress: Callable[[int], None] | None, seed: int) -> Result:
        self.device.qdisc = qdisc
        self.progress = progress
        self._receive = (self.device.receive if self._ingress and isinstance(self.device, NetDev) else
                         self.device.xmit if self.course.plain else self.course.enter)
        loop = self.loop
        loop.watch = RunWatch(loop, self.account, self.kernel.limits,
                              lambda: self.feeding or bool(self._feeds) or duration is not None)
        try:
            if not self.course.plain:
                self.unfused = "packets cross several links"
            elif self.fuse is not None:
                self.unfused = self.fuse(self, None if duration is None else BOOT_NS + duration)
            loop.run(None if duration is None else BOOT_NS + duration)
            end = loop.now
            if duration is None and not loop.stopped:
                timers_of(self.kernel).finish(end + AFTER_NS)
        except LimitError as error:
            error.result = self._result(qdisc, loop.now - BOOT_NS, True, seed, str(error))
            raise
        if progress is not None:
            progress(self.account.in_packets)
        whole = duration is None or bool(loop.stopped)
        return self._result(qdisc, end - BOOT_NS if whole or duration is None else duration, whole, seed, loop.stopped)

    def _arrive(self, feed: Feed) -> None:
        """Let the next packet of a source arrive."""
        packet = self.account.admit(*feed.packet(self.flows), self.device.qdisc.holder)
        head = next(feed.advance, None)
        if head is not None:
            feed.head = head
            self.loop.at(BOOT_NS + head[0], self._arrive, feed)
        else:
            self._feeds -= 1
        self._enter(packet)

    def _arrive_of(self, group: FlowGroup) -> None:
        """Let the next packet of a group of flows arrive: `_enter`, without a call for each."""
        loop, account, device, index = self.loop, self.account, self.device, group.index
        packet = account.admit(None, group.size, group.flows[index] or group.flow(), group.protocol, group.priority,
                               device.qdisc.holder)
        numbers = group.numbers
        numbers[index] = loop.latest = loop.latest + 1
        for time, index in group.turns:
            group.index = index
            loop.at_number(BOOT_NS + time, numbers[index], self._arrival, group)
            break
        else:
            self._feeds -= 1
        packet.dev = device
        if account.log is not None:
            account.log.append(packet)
        number, receive = packet.id, self._receive
        receive(packet)  # a local variable: CPython calls it faster than an attribute
        if not number & PROGRESS_EVERY and self.progress is not None:
            self.progress(number)

    def _enter(self, packet: Packet) -> None:
        device = self.device
        packet.dev = device
        log = self.account.log
        if log is not None:
            log.append(packet)
        number = packet.id
        self._receive(packet)
        if not number & PROGRESS_EVERY and self.progress is not None:
            self.progress(number)

    # ---- the report ---------------------------------------------------------------------------------------

    def _result(self, qdisc: Qdisc, end: int, whole: bool, seed: int, stopped: str) -> Result:
        account, device = self.account, self.device
        holders = account.close(device.sending, f"link {device.name}")
        if whole:
            end = max(self.sink.last - BOOT_NS, end)
        flows = FlowReports(self.flows.flows(), end)
        return Result(
            device=device.name, qdisc=_describe(qdisc, device), rate=device.link.rate, delay=device.link.delay,
            mtu=device.link.mtu, seed=seed, duration=end, in_packets=account.in_packets, in_bytes=account.in_bytes,
            out_packets=account.sent, out_bytes=account.sent_bytes, dropped=account.dropped,
            freed=account.freed_packets, held=sum(holders.values()), too_big=device.too_big, holders=holders,
            problems=tuple(account.problems), problem_count=account.problem_count, kernel_view=qdisc.shown_stats,
            truth=_truth(qdisc, account, device, self.course), flows=flows, fairness=flows.fairness,
            trace=tuple(self.kernel.trace), packets=_records(account), stopped=stopped,
            notes=tuple(self.kernel.notes), counting=qdisc.counting,
            senders=tuple(sender.report(BOOT_NS) for sender in self.connections),
            videos=tuple(player.report() for player in self.players),
            objects=objects_left(self.kernel) if self.kernel.graph.used else None)


def _describe(qdisc: Qdisc, device: NetDevice) -> str:
    return f"qdisc {qdisc.kind} {qdisc.holder.removeprefix('qdisc ')} dev {device.name} root refcnt 2 {qdisc.options()}"


def _truth(qdisc: Qdisc, account: Account, device: NetDevice, course: Course) -> Stats:
    """Return the counters as they would be if the qdisc knew what its programs do (decision D7)."""
    sending = device.sending
    if not course.plain:
        inside = [packet for packet in account.waiting() if packet.dev is device and packet is not sending
                  and packet.holders[0] == qdisc.holder]
        return Stats(packets=course.passed or account.sent, bytes=course.passed_bytes or account.sent_bytes,
                     overlimits=qdisc.kernel_view.overlimits,
                     drops=account.dropped - device.too_big + account.freed_packets - course.dropped_behind(),
                     qlen=len(inside), backlog=sum(packet.len for packet in inside))
    return Stats(packets=account.sent, bytes=account.sent_bytes, overlimits=qdisc.kernel_view.overlimits,
                 drops=account.dropped - device.too_big + account.freed_packets,
                 qlen=max(0, account.inside - (sending is not None)),
                 backlog=max(0, account.inside_bytes - (sending.len if sending is not None else 0)))


def _records(account: Account) -> tuple[PacketRecord, ...] | None:
    if account.log is None:
        return None
    start = account.start
    names = {flow: flow.name for flow in {packet.flow for packet in account.log}}
    return tuple(PacketRecord(packet.id, names[packet.flow], packet.len, packet.arrival - start,
                              packet.departure - start if packet.departure else None, packet.fate or "held")
                 for packet in account.log)
