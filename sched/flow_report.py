"""What is reported of each flow of a run, kept in columns until somebody looks: there may be very many flows."""

from __future__ import annotations

from array import array
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Final, overload

from ebpfvm.lazy_tuples import NamedTuple
from ebpfvm.sched.flows import jain, key_of, percentile
from ebpfvm.sched.text_tables import table_lines
from ebpfvm.sched.units import NSEC_PER_SEC, format_rate, format_time

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from ebpfvm.sched.flows import Flow

PERCENTILES: Final = (50, 90, 99)
_DELAY_NAMES: Final = (*(f"p{percent}" for percent in PERCENTILES), "max", "mean")
_EACH: Final = len(_DELAY_NAMES)


class FlowReport(NamedTuple):
    """The throughput, losses and delays of one flow.

    Attributes:
        flow: its name.
        in_packets, in_bytes, out_packets, out_bytes, drops: counted at the device and at the other end.
        throughput: bits per second that arrived at the other end, over the whole run.
        delay: ns from arrival at the device to arrival at the other end: "p50", "p90", "p99", "max", "mean"; empty if
            nothing arrived.
    """

    flow: str
    in_packets: int
    in_bytes: int
    out_packets: int
    out_bytes: int
    drops: int
    throughput: int
    delay: Mapping[str, int]

    def as_dict(self) -> dict[str, Any]:
        """Return the report as JSON data."""
        return {**self._asdict(), "delay": dict(self.delay)}


class FlowReports(Sequence[FlowReport]):
    """The reports of the flows of a run, equal to a tuple of them.

    Args:
        flows: the flows, of whose simulation nothing is kept.
        duration: of the run (ns).

    Attributes:
        fairness: Jain's index of the bytes that arrived.
    """

    __slots__ = ("_columns", "_common", "_delays", "_duration", "_members", "fairness")

    def __init__(self, flows: list[Flow], duration: int) -> None:
        self._duration = duration
        self._common = [flow.source.common for flow in flows]
        self._members = [flow.member for flow in flows]
        out_bytes = [flow.out_bytes for flow in flows]
        self.fairness = jain(out_bytes)
        self._columns = [array("q", column) for column in (
            [flow.in_packets for flow in flows], [flow.in_bytes for flow in flows],
            [len(flow.delays) for flow in flows], out_bytes, [flow.drops for flow in flows])]
        self._delays = array("q")
        for flow in flows:
            self._delays.extend(_summary(flow.delays))

    def __len__(self) -> int:
        return len(self._members)

    @overload
    def __getitem__(self, index: int) -> FlowReport: ...

    @overload
    def __getitem__(self, index: slice) -> tuple[FlowReport, ...]: ...

    def __getitem__(self, index: int | slice) -> FlowReport | tuple[FlowReport, ...]:
        found = range(len(self._members))[index]
        return tuple(map(self._report, found)) if isinstance(found, range) else self._report(found)

    def __iter__(self) -> Iterator[FlowReport]:
        return map(self._report, range(len(self._members)))

    def __eq__(self, other: object) -> bool:
        return isinstance(other, FlowReports | tuple) and tuple(self) == tuple(other)

    def __repr__(self) -> str:
        return repr(tuple(self))

    def _report(self, index: int) -> FlowReport:
        in_packets, in_bytes, out_packets, out_bytes, drops = (column[index] for column in self._columns)
        delays = self._delays[index * _EACH:(index + 1) * _EACH]
        return FlowReport(str(key_of(self._common[index], self._members[index])), in_packets, in_bytes, out_packets,
                          out_bytes, drops, out_bytes * 8 * NSEC_PER_SEC // self._duration if self._duration > 0 else 0,
                          dict(zip(_DELAY_NAMES, delays, strict=True)) if out_packets else {})


def _summary(delays: Sequence[int]) -> Sequence[int]:
    """Return the numbers that `_DELAY_NAMES` names, zeros if nothing arrived."""
    count = len(delays)
    if count < 2:  # as for most flows, if there are very many
        return (delays[0] if count else 0,) * _EACH
    ordered = sorted(delays)
    return *(percentile(ordered, percent) for percent in PERCENTILES), ordered[-1], sum(ordered) // count


_COLUMNS = ("flow", "in", "out", "drop", "bytes", "rate", *(f"p{percent}" for percent in PERCENTILES), "max")


def flow_table(flows: Sequence[FlowReport], width: int) -> list[str]:
    """Return the per-flow table; numbers are right-aligned, and the flow's name is cut to fit `width`."""
    rows = [_COLUMNS]
    for flow in flows:
        times = [format_time(flow.delay[name]) if flow.delay else "-"
                 for name in (*(f"p{percent}" for percent in PERCENTILES), "max")]
        rows.append((flow.flow, str(flow.in_packets), str(flow.out_packets), str(flow.drops), str(flow.out_bytes),
                     format_rate(flow.throughput), *times))
    others = sum(max(len(row[column]) for row in rows) + 2 for column in range(1, len(_COLUMNS)))
    return table_lines([(_cut(row[0], max(12, width - others)).ljust(12), *row[1:]) for row in rows], left=1)


def _cut(text: str, width: int) -> str:
    """Return text with its middle cut out, because a flow's protocol and last port tell most."""
    tail = (width - 1) // 2
    return text if len(text) <= width else text[:width - 1 - tail] + "~" + text[-tail:]
