"""What is reported of each TCP connection of a run."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from ebpfvm.lazy_tuples import NamedTuple
from ebpfvm.sched.text_tables import table_lines
from ebpfvm.sched.units import format_rate, format_time

if TYPE_CHECKING:
    from collections.abc import Sequence

_COLUMNS: Final = ("tcp", "cc", "goodput", "segments", "again", "timeouts", "marks", "srtt", "cwnd", "finished")


class SenderReport(NamedTuple):
    """What one connection did.

    Attributes:
        flow: name of its flow.
        law: name of its congestion control.
        goodput: bits per second of data that arrived, each byte once, from its start to its end.
        segments: segments that arrived, each once.
        again: segments that were sent again.
        timeouts: how often its timer expired.
        marks: segments that arrived with CE.
        srtt: the smoothed round-trip time at the end (ns), 0 if none was measured.
        cwnd: the congestion window at the end, in segments.
        finished: ns from the beginning of the run at which everything had arrived; None if it had no end or did not
            reach it.
    """

    flow: str
    law: str
    goodput: int
    segments: int
    again: int
    timeouts: int
    marks: int
    srtt: int
    cwnd: float
    finished: int | None


def sender_table(senders: Sequence[SenderReport]) -> list[str]:
    """Return a table of the connections, below an empty line; nothing if there are none."""
    if not senders:
        return []
    return ["", *table_lines([_COLUMNS, *(
        (each.flow, each.law, format_rate(each.goodput), str(each.segments), str(each.again), str(each.timeouts),
         str(each.marks), format_time(each.srtt), f"{each.cwnd:.1f}",
         "-" if each.finished is None else format_time(each.finished)) for each in senders)], left=2)]
