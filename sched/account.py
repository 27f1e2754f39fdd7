"""Account for every packet of a simulation: in = out + dropped + freed by programs + held; anything else is an error.

Two things are compared. The *fate* of a packet is what a layer did with it (the link sent it, the device dropped it).
The kernel's ledger of references (`ebpfvm.kernel.refs`) records who holds it. A packet that has no fate and that
nothing references any more is lost; a packet with two fates was disposed of twice.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, Protocol

from ebpfvm.kernel.refs import CTX_HOLDER, LEAKED, PROGRAM, RefCounted
from ebpfvm.kernel.skb import SkBuff
from ebpfvm.lazy_dataclasses import dataclass

if TYPE_CHECKING:
    from collections.abc import Iterator

    from ebpfvm.kernel.emulated import Kernel
    from ebpfvm.sched.flows import Flow

SENT: Final = "sent"
DROPPED: Final = "dropped"
FREED: Final = "freed by the program"

LOST: Final = "lost by "  # name of a holder that can no longer release its reference
_bare: Final = object.__new__
_MAX_PROBLEMS = 1000  # a faulty program fails for every packet, so further problems are only counted


class Packet(SkBuff):
    """A packet of a simulation. There may be very many, so it has no slots for what its flow or its device knows.

    Attributes:
        flow: the flow that it belongs to.
        fate: `SENT`, `DROPPED`, `FREED`, or None while it is in the network.
        departure: time in ns at which its last bit left; 0 until then.
        hops: how often a filter has sent it to another device; each time, its previous holder stops holding it.
        redirected_from: the device that it came from, and whether from its ingress; None if it was never redirected.
        tx_queue_chosen: whether `queue_mapping` applies (netdev_xmit_skip_txqueue).
        tc_skip_classify: whether the next hook for filters skips it (skb->tc_skip_classify).
    """

    __slots__ = ("departure", "fate")
    departure: int
    fate: str | None
    flow: Flow

    hops: int = 0
    redirected_from: Any = None
    _ifindex: int = 0
    tx_queue_chosen: bool = False
    tc_skip_classify: bool = False

    @property
    def kernel(self) -> Kernel:
        """The kernel that it belongs to."""
        return self.flow.source.account.kernel

    @property
    def ifindex(self) -> int:
        """The interface number of the device that it is on, or was given before it came to one."""
        return self._ifindex if self.dev is None else self.dev.ifindex

    @ifindex.setter
    def ifindex(self, value: int) -> None:
        self._ifindex = value

    def destroy(self) -> None:
        """Record the fate of the packet, whose last reference is gone; if no layer disposed of it, a program did."""
        if self.fate is None:
            self.flow.source.account.freed(self)
        if self._region is not None or self._packet is not None:
            SkBuff.destroy(self)


@dataclass(frozen=True, slots=True)
class Problem:
    """An error in the ownership of a packet.

    Attributes:
        kind: "lost" or "double".
        packet: number of the packet.
        time: time in ns since the start at which it was detected.
        message: a one-sentence description.
    """

    kind: str
    packet: int
    time: int
    message: str


class PacketRecorder(Protocol):
    """Who is told of each packet and what happens to it (`ebpfvm.sched.run_recorder.RunRecorder`)."""

    def account(self, kernel: Kernel, record: bool) -> Account:
        """Return the account of the run, which tells of arrivals and fates."""

    def arrived(self, packet: Packet) -> None:
        """Count a packet that enters the simulation."""

    def left(self, packet: Packet) -> None:
        """Count a packet whose last bit has left."""

    def dropped(self, packet: Packet) -> None:
        """Count a packet that a layer drops."""

    def freed(self, packet: Packet) -> None:
        """Count a packet whose last reference a program released."""

    def entered(self, device: Any, packet: Packet) -> None:
        """Count a packet that the root qdisc of a device is asked to take."""

    def copied(self, device: Any, packet: Packet) -> None:
        """Count a packet that a qdisc of a device has made of another one."""

    def program(self, what: str, packet: Packet | None) -> None:
        """Record a run of a program on a packet; `what` says which, and its result."""

    def queued(self) -> None:
        """Note that the qdisc has decided about the packet that `entered`."""

    def taken(self, device: Any, packet: Packet) -> None:
        """Count a packet that a device puts on the wire."""


class Account:
    """Count packets and bytes of each fate.

    Args:
        kernel: the kernel whose clock and ledger are used.

    Attributes:
        start: clock at the start (ns).
        log: every packet in order of arrival; None unless a log was requested.
        problems: the first 1000 problems; `problem_count` counts all of them.
        recorder: who is told of each packet, if anybody.
    """

    __slots__ = ("dropped", "dropped_bytes", "freed_bytes", "freed_packets", "in_bytes", "in_packets", "kernel", "log",
                 "problem_count", "problems", "recorder", "sent", "sent_bytes", "start")

    def __init__(self, kernel: Kernel, record: bool = False) -> None:
        self.kernel = kernel
        self.start = kernel.clock
        self.in_packets = self.in_bytes = self.sent = self.sent_bytes = 0
        self.dropped = self.dropped_bytes = self.freed_packets = self.freed_bytes = 0
        self.log: list[Packet] | None = [] if record else None
        self.problems: list[Problem] = []
        self.problem_count = 0
        self.recorder: PacketRecorder | None = None

    def admit(self, data: bytes | None, length: int, flow: Flow, protocol: int, priority: int, holder: str) -> Packet:
        """Create a packet that enters the simulation, and count it.

        Args:
            data: the packet's bytes, None for those of its flow.
            length: its length on the wire, of which `data` may hold only a part.
            flow, protocol, priority: what its headers imply (`ebpfvm.sched.flows.FlowLabel`).
            holder: holder of its first reference.
        """
        kernel = self.kernel
        packet = _bare(Packet)  # inlines the constructor
        packet._bytes = data
        packet._packet = packet._region = packet.dev = packet.fate = None
        packet.address = packet.departure = 0
        packet.len = length
        packet.flow = flow
        packet.protocol = protocol
        packet.priority = priority
        packet.arrival = kernel.clock
        refs = kernel.refs  # inlines `add`
        packet.serial = refs.serial = serial = refs.serial + 1
        number = self.in_packets + 1
        packet.id = self.in_packets = serial if number == serial else number  # one object in memory instead of two
        self.in_bytes += length
        flow.in_packets += 1
        size = flow.source.size
        if length != size:
            flow.in_more += length - size
        packet.refs = (refs.by_name.get(holder) or refs.holder(holder)).unit
        refs.born.append(packet)
        if len(refs.born) > refs.room:
            refs.live()
        return packet

    def dispose(self, packet: Packet, fate: str, holder: str) -> None:
        """Record that the layer `holder` has disposed of `packet`: `SENT` or `DROPPED`."""
        if packet.fate is not None:
            self.problem("double", packet, f"{packet} is {fate} by {holder}, and was {packet.fate} before")
        packet.fate = fate
        if fate is SENT:
            self.sent += 1
            self.sent_bytes += packet.len
        else:
            self.dropped += 1
            self.dropped_bytes += packet.len
            packet.flow.drops += 1
        refs = self.kernel.refs
        found = refs.by_name.get(holder)
        if found is not None and packet.refs == found.unit and packet._region is packet._packet is None:
            packet.refs = 0  # what `release` does for the last reference
            packet.last_holder = holder
            return
        refs.release(packet, holder)
        if fate is DROPPED and packet.refs:
            self.problem("double", packet, f"{packet} is {fate} by {holder} while {_holders(packet)} still holds it")

    def freed(self, packet: RefCounted) -> None:
        """Record that a program released the last reference, a drop that no counter of the qdisc shows (D21)."""
        assert isinstance(packet, Packet)
        packet.fate = FREED
        self.freed_packets += 1
        self.freed_bytes += packet.len
        packet.flow.drops += 1

    def lost(self, packet: Packet, holder: str, why: str) -> None:
        """Record that `holder` dropped the only reference without freeing the packet."""
        self.kernel.refs.move(packet, holder, LOST + why)

    def problem(self, kind: str, packet: SkBuff, message: str) -> None:
        """Record a problem; the run continues and fails at its end."""
        self.problem_count += 1
        if len(self.problems) < _MAX_PROBLEMS:
            self.problems.append(Problem(kind, packet.id, self.kernel.clock - self.start, message))

    @property
    def progress(self) -> int:
        """The number of arrivals and first fates, which grows as long as something happens to packets."""
        return self.in_packets + self.sent + self.dropped + self.freed_packets - self.problem_count

    @property
    def inside(self) -> int:
        """The number of packets without a fate."""
        return self.in_packets - self.sent - self.dropped - self.freed_packets

    @property
    def inside_bytes(self) -> int:
        """The bytes of the packets without a fate."""
        return self.in_bytes - self.sent_bytes - self.dropped_bytes - self.freed_bytes

    def waiting(self) -> Iterator[Packet]:
        """Yield the packets that have no fate and are not lost, in the order of their arrival."""
        for packet in self.kernel.refs.live():
            if isinstance(packet, Packet) and packet.fate is None and not all(map(_is_lost, packet.holders)):
                yield packet

    def close(self, sending: Packet | None = None, wire: str = "") -> dict[str, int]:
        """End the run: record each lost packet as a problem, and return who holds how many of the others.

        Args:
            sending: a packet that is on the wire, whoever else holds it.
            wire: name of the wire.
        """
        held: dict[str, int] = {}
        on_wire = False
        count = 0
        for packet in self.kernel.refs.live():
            if not isinstance(packet, Packet) or packet.fate is not None:
                continue
            count += 1
            keeper = next((holder for holder in packet.holders if not _is_lost(holder)), None)
            if packet is sending:
                on_wire = True
            elif keeper is None:
                self.problem("lost", packet, f"{packet} is lost; last held by {_holders(packet)}")
            else:
                held[keeper] = held.get(keeper, 0) + 1
        if count != self.inside and not self.problem_count:
            self.problem_count += 1
            self.problems.append(Problem("lost", 0, self.kernel.clock - self.start,
                                         f"{self.inside} packets should be held, the ledger has {count}"))
        return held | ({wire: 1} if on_wire else {})


def _is_lost(holder: str) -> bool:
    return holder in (PROGRAM, CTX_HOLDER) or holder.startswith((LOST, LEAKED))


def _holders(packet: SkBuff) -> str:
    names = [holder.removeprefix(LOST).removeprefix(LEAKED) for holder in packet.holders]
    return " and ".join(dict.fromkeys(names)) or "nobody"
