"""Flows: which packet belongs to which flow, and what each flow received."""

from __future__ import annotations

from array import array
from typing import TYPE_CHECKING, NamedTuple, Protocol

from ebpfvm.kernel.skb import PacketFlow
from ebpfvm.sched.flow_key import FlowKey, flow_mark, parse, priority_of
from ebpfvm.sched.pcap import ETHERNET

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ebpfvm.kernel.emulated import Kernel
    from ebpfvm.kernel.refs import RefCounted


class Fates(Protocol):
    """Where the fates of packets are recorded (`ebpfvm.sched.account.Account`).

    Attributes:
        kernel: the kernel that the packets belong to.
    """

    kernel: Kernel

    def freed(self, packet: RefCounted) -> None:
        """Record that a program released the last reference."""


class Flow(PacketFlow):
    """The counters of one flow.

    Attributes:
        key: what its packets have in common.
        account: where the fates of its packets are recorded.
        in_packets, in_bytes: offered load.
        out_packets, out_bytes: packets and bytes that left the link.
        drops: packets that any layer or program dropped.
        delays: ns from arrival at the device to arrival at the other end, in order of departure; empty, and not yet an
            array, until a packet arrives.
    """

    __slots__ = ("account", "delays", "drops", "in_bytes", "in_packets", "key", "out_bytes", "out_packets")

    def __init__(self, key: FlowKey, account: Fates) -> None:
        self.hashed = None  # instead of the constructor of the base class: there may be very many flows
        self.key = key
        self.account = account
        self.in_packets = self.in_bytes = self.out_packets = self.out_bytes = self.drops = 0
        self.delays: array[int] | tuple[()] = ()

    @property
    def name(self) -> str:
        """The name for people, made when it is asked for, because it would be a sixth of a flow's memory."""
        return str(self.key)


class FlowLabel(NamedTuple):
    """What a packet's headers determine: its flow, skb->protocol (network byte order), skb->priority."""

    flow: Flow
    protocol: int
    priority: int


class FlowTable:
    """All flows of a simulation, in order of their first packets.

    Args:
        account: where the fates of the packets are recorded.
        link: link type of the packets (`ebpfvm.sched.pcap`).
        rule: how a DSCP becomes a priority (`ebpfvm.sched.flow_key.priority_of`).
    """

    __slots__ = ("_account", "_ethernet", "_flows", "_labels", "_latest", "_link", "_rule")

    def __init__(self, account: Fates, link: int = ETHERNET, rule: str = "tos") -> None:
        self._account = account
        self._link = link
        self._ethernet = link == ETHERNET
        self._rule = rule
        self._flows: dict[FlowKey, Flow] = {}
        self._labels: dict[int, FlowLabel] = {}
        self._latest: FlowKey | None = None

    def flows(self) -> list[Flow]:
        """Return the flows in the order of their first packets."""
        return list(self._flows.values())

    def label(self, data: bytes) -> FlowLabel:
        """Return the label of a packet; packets of a known flow are recognised without parsing."""
        mark = flow_mark(data) if self._ethernet else None
        found = self._labels.get(mark) if mark is not None else None
        if found is None:
            found = self._parse(data)
            if mark is not None:
                self._labels[mark] = found
        return found

    def sibling(self, label: FlowLabel, sport: int) -> FlowLabel:
        """Return the label of a packet that differs from one with the label `label` in its source port only."""
        proto, src, dst, _, dport = label.flow.key
        key = FlowKey(proto, src, dst, sport, dport)
        flow = self._flows.get(key)
        if flow is None:
            flow = self._flows[key] = Flow(key, self._account)
        return FlowLabel(flow, label.protocol, label.priority)

    def _parse(self, data: bytes) -> FlowLabel:
        headers = parse(data, self._link)
        flow = self._flows.get(headers.flow)
        if flow is None:
            key = self._latest = _sharing(headers.flow, self._latest)
            flow = self._flows[key] = Flow(key, self._account)
        protocol = (headers.protocol & 0xFF) << 8 | headers.protocol >> 8
        return FlowLabel(flow, protocol, priority_of(headers, self._rule))


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
