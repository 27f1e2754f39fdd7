"""What a recorder of a run counts: packets that wait, and those of each queue and each flow between two samples."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from ebpfvm.lazy_tuples import NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterator

_DIGITS: Final = 6  # bits of a time that tell its bucket, so that a bucket is at most 1/32 of its times wide


def bucket_of(time: int) -> int:
    """Return the least time (ns) of the bucket that holds `time`.

    >>> bucket_of(31), bucket_of(1000), bucket_of(1007), bucket_of(1008)
    (31, 992, 992, 1008)
    """
    shift = max(0, time.bit_length() - _DIGITS)
    return time >> shift << shift


def bucket_end(low: int) -> int:
    """Return the least time that is above the bucket beginning at `low`.

    >>> bucket_end(992)
    1008
    """
    return low + (1 << max(0, low.bit_length() - _DIGITS))


class QueueCounts:
    """The packets that wait for a device.

    Args:
        index: number of the device in the recording.
    """

    __slots__ = ("_bytes", "_most_bytes", "_most_packets", "_packets", "index")

    def __init__(self, index: int) -> None:
        self.index = index
        self._packets = self._bytes = self._most_packets = self._most_bytes = 0

    def add(self, size: int) -> None:
        """Count a packet more."""
        self._packets += 1
        self._bytes += size
        self._most_packets = max(self._most_packets, self._packets)
        self._most_bytes = max(self._most_bytes, self._bytes)

    def remove(self, size: int) -> None:
        """Count a packet less."""
        self._packets -= 1
        self._bytes -= size

    def samples(self, first: int, last: int) -> Iterator[tuple[int, ...]]:
        """Yield rows for the sample at `first` and, if nothing has happened for longer, the one at `last`."""
        yield first, self.index, self._packets, self._bytes, self._most_packets, self._most_bytes
        self._most_packets, self._most_bytes = self._packets, self._bytes
        if last > first:
            yield last, self.index, self._packets, self._bytes, self._packets, self._bytes


class FlowCounts:
    """What happened to a flow since its last sample.

    Args:
        index: number of the flow in the recording.
    """

    __slots__ = ("drops", "in_bytes", "in_packets", "index", "longest", "marks", "out_bytes", "out_packets", "taken",
                 "waited")

    def __init__(self, index: int) -> None:
        self.index = index
        self._begin()

    def _begin(self) -> None:
        self.in_packets = self.in_bytes = self.out_packets = self.out_bytes = self.drops = self.marks = 0
        self.taken = self.waited = self.longest = 0

    def take(self, time: int) -> None:
        """Count a packet that has waited for `time` ns."""
        self.taken += 1
        self.waited += time
        self.longest = max(self.longest, time)

    def sample(self, time: int) -> tuple[int, ...]:
        """Return a row for the sample at `time`, and begin to count again."""
        row = (time, self.index, self.in_packets, self.in_bytes, self.out_packets, self.out_bytes, self.drops,
               self.marks, self.taken, self.waited, self.longest)
        self._begin()
        return row


class Waiting(NamedTuple):
    """A packet in a queue: which, since when (ns), how long it was, and the bytes that it brought along."""

    queue: QueueCounts
    since: int
    size: int
    data: bytes | None
