"""Flows: which packet belongs to which flow, and what each flow received."""

from __future__ import annotations

from array import array
from typing import TYPE_CHECKING, Any, Protocol

from ebpfvm.errors import InternalError
from ebpfvm.kernel.skb import PacketFlow
from ebpfvm.lazy_tuples import NamedTuple
from ebpfvm.sched.flow_key import FlowKey, flow_mark, parse, priority_of
from ebpfvm.sched.pcap import ETHERNET

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ebpfvm.kernel.emulated import Kernel
    from ebpfvm.kernel.refs import RefCounted
    from ebpfvm.sched.flow_key import Headers


class Fates(Protocol):
    """Where the fates of packets are recorded (`ebpfvm.sched.account.Account`).

    Attributes:
        kernel: the kernel that the packets belong to.
    """

    kernel: Kernel

    def freed(self, packet: RefCounted) -> None:
        """Record that a program released the last reference."""


class FlowSource:
    """What flows have in common that come from one place: a generated group, or packets that were read.

    Attributes:
        account: where the fates of the packets are recorded.
        size: length of the packets, as far as nothing else is counted (`Flow.in_more`).
        common: the flows' key, whose source port differs; None if all of it differs.
    """

    __slots__ = ("account", "common", "size")

    def __init__(self, account: Fates, size: int = 0, common: FlowKey | None = None) -> None:
        self.account = account
        self.size = size
        self.common = common

    def frame_of(self, member: Any) -> bytes:
        """Return the bytes of each packet of a flow."""
        raise InternalError("packets that were read bring their bytes along")


class Flow(PacketFlow):
    """The counters of one flow. There may be very many, so it has no slots for what follows from others.

    Attributes:
        source: what it has in common with others.
        member: what tells it from others of its source: its source port, or its key.
        in_packets: number of packets offered.
        in_more, out_more: by how many bytes the packets offered and those that left the link exceed the source's size.
        drops: packets that any layer or program dropped.
        frame_hash: flow hash of the packets that do not bring their own bytes; 0 until a fused run asks for it.
        delays: ns from arrival at the device to arrival at the other end, in order of departure; empty, and not yet an
            array, until a packet arrives.
    """

    __slots__ = ("delays", "drops", "frame_hash", "in_more", "in_packets", "member", "out_more", "source")

    def __init__(self, source: FlowSource, member: Any) -> None:
        self.hashed = None  # instead of the constructor of the base class: there may be very many flows
        self.source = source
        self.member = member
        self.in_packets = self.in_more = self.out_more = self.drops = self.frame_hash = 0
        self.delays: array[int] | tuple[()] = ()

    @property
    def key(self) -> FlowKey:
        """What its packets have in common."""
        return key_of(self.source.common, self.member)

    @property
    def name(self) -> str:
        """The name for people, made when it is asked for, because it would be a sixth of a flow's memory."""
        return str(self.key)

    @property
    def account(self) -> Fates:
        """Where the fates of its packets are recorded."""
        return self.source.account

    @property
    def in_bytes(self) -> int:
        """The bytes offered."""
        return self.in_packets * self.source.size + self.in_more

    @property
    def out_packets(self) -> int:
        """The number of packets that left the link."""
        return len(self.delays)

    @property
    def out_bytes(self) -> int:
        """The bytes that left the link."""
        return len(self.delays) * self.source.size + self.out_more

    def frame(self) -> bytes:
        """Return the bytes of each packet that does not bring its own."""
        return self.source.frame_of(self.member)


def key_of(common: FlowKey | None, member: Any) -> FlowKey:
    """Return the key of a flow (see `FlowSource.common` and `Flow.member`)."""
    key: FlowKey = member if common is None else common._replace(sport=member)
    return key


class FlowLabel(NamedTuple):
    """What a packet's headers determine: its flow, skb->protocol (network byte order), skb->priority."""

    flow: Flow
    protocol: int
    priority: int


class Members(Protocol):
    """Flows that exist when they are asked for (`ebpfvm.sched.flow_group.FlowGroup`)."""

    def flow_at(self, sport: int) -> Flow | None:
        """Return the flow with this source port, None if there is none."""


class FlowTable:
    """All flows of a simulation, in order of their first packets.

    Args:
        account: where the fates of the packets are recorded.
        link: link type of the packets (`ebpfvm.sched.pcap`).
        rule: how a DSCP becomes a priority (`ebpfvm.sched.flow_key.priority_of`).

    Attributes:
        ethernet: whether the packets are Ethernet frames.
    """

    __slots__ = ("_flows", "_groups", "_labels", "_latest", "_link", "_read", "_rule", "_source", "ethernet")

    def __init__(self, account: Fates, link: int = ETHERNET, rule: str = "tos") -> None:
        self._source = FlowSource(account)
        self._link = link
        self.ethernet = link == ETHERNET
        self._rule = rule
        self._flows: list[Flow] = []
        self._read: dict[FlowKey, Flow] = {}  # those of packets that were read
        self._groups: dict[FlowKey, Members] = {}  # by what their flows have in common, with source port 0
        self._labels: dict[int, FlowLabel] = {}
        self._latest: FlowKey | None = None

    def flows(self) -> list[Flow]:
        """Return the flows in the order of their first packets."""
        return list(self._flows)

    def new(self, source: FlowSource, member: Any) -> Flow:
        """Return a new flow of a source."""
        flow = Flow(source, member)
        self._flows.append(flow)
        return flow

    def label(self, data: bytes) -> FlowLabel:
        """Return the label of a packet; packets of a known flow are recognised without parsing."""
        mark = flow_mark(data) if self.ethernet else None
        found = self._labels.get(mark) if mark is not None else None
        if found is None:
            headers, protocol, priority = self.read(data)
            found = FlowLabel(self._flow(headers.flow), protocol, priority)
            if mark is not None:
                self._labels[mark] = found
        return found

    def read(self, data: bytes) -> tuple[Headers, int, int]:
        """Return the headers of a packet, its skb->protocol, and its skb->priority."""
        headers = parse(data, self._link)
        return headers, (headers.protocol & 0xFF) << 8 | headers.protocol >> 8, priority_of(headers, self._rule)

    def admit(self, common: FlowKey, members: Members) -> bool:
        """Return whether flows with the key `common` and any source port may be made elsewhere, and note who does.

        They may not if others have flows that could be the same.
        """
        if self._read or common in self._groups:
            return False
        self._groups[common] = members
        return True

    def _flow(self, key: FlowKey) -> Flow:
        found = self._read.get(key)
        if found is None and self._groups:
            group = self._groups.get(key._replace(sport=0))
            found = group.flow_at(key.sport) if group is not None else None
        if found is None:
            key = self._latest = _sharing(key, self._latest)
            found = self._read[key] = self.new(self._source, key)
        return found


def _sharing(key: FlowKey, other: FlowKey | None) -> FlowKey:
    """Return `key` with the objects of `other` where they are equal: flows often have one end in common."""
    if other is None:
        return key
    src = other.src if key.src == other.src else key.src
    dst = other.dst if key.dst == other.dst else key.dst
    return FlowKey(key.proto, src, dst, key.sport, other.dport if key.dport == other.dport else key.dport)


def percentile(ordered: Sequence[int], percent: int) -> int:
    """Return the nearest-rank percentile of sorted numbers, 0 if there are none.

    >>> percentile([10, 20, 30, 40], 50), percentile([10, 20, 30, 40], 99)
    (20, 40)
    """
    return ordered[max(0, -(-len(ordered) * percent // 100) - 1)] if ordered else 0


def jain(shares: Sequence[int]) -> float:
    """Return Jain's fairness index: 1.0 if all are equal, 1/n if one has everything (Jain, Chiu, Hawe 1984).

    >>> jain([5, 5, 5, 5]), jain([1, 0, 0, 0])
    (1.0, 0.25)
    """
    squares = sum(share * share for share in shares)
    return sum(shares) ** 2 / (len(shares) * squares) if squares else 1.0
