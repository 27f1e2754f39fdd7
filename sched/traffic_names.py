"""Which specification of a run a flow comes from, and what such flows are called in reports."""

from __future__ import annotations

from ipaddress import IPv4Address
from typing import TYPE_CHECKING, Final, Protocol

from ebpfvm.sched.traffic import DESTINATION, group_source

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ebpfvm.sched.flow_key import FlowKey

CAPTURE: Final = "capture"
ACKS: Final = "acks"
"""What acknowledgments are called that come back through a queue."""

_SINK: Final = IPv4Address(DESTINATION).packed


class NamedTraffic(Protocol):
    """A specification of flows."""

    @property
    def label(self) -> str:
        """What they are, in short."""


class TrafficNames:
    """The names of the flows' specifications.

    Args:
        specs: the specifications of the run, in order.

    >>> from ebpfvm.sched.traffic_kinds import parse_flows
    >>> TrafficNames([parse_flows("cbr:rate=1mbit"), parse_flows("cbr:rate=1mbit")]).labels
    ['cbr 1Mbit', 'cbr 1Mbit']
    """

    def __init__(self, specs: Sequence[NamedTraffic]) -> None:
        self.labels = [spec.label for spec in specs]
        self._groups = {IPv4Address(group_source(group)).packed: group for group in range(len(specs))}

    def group(self, key: FlowKey) -> int | None:
        """Return the number of the specification that a flow comes from, None if its packets were read."""
        return self._groups.get(key.src) if key.dst == _SINK else None

    def name(self, key: FlowKey) -> str:
        """Return what flows such as this one are called; "capture" if its packets were read."""
        group = self.group(key)
        return self.labels[group] if group is not None else ACKS if self.comes_back(key) else CAPTURE

    def comes_back(self, key: FlowKey) -> bool:
        """Return whether a flow is one of acknowledgments."""
        return key.src == _SINK and key.dst in self._groups
