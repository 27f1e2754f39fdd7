"""Read a results file, finished or not."""

from __future__ import annotations

import os
import sqlite3
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from ebpfvm.errors import LoadError
from ebpfvm.lazy_tuples import NamedTuple
from ebpfvm.results.results_file import is_results_file
from ebpfvm.results.schema import SCHEMA, TABLES
from ebpfvm.sched.recorded_counts import bucket_end
from ebpfvm.sched.units import NSEC_PER_SEC

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence


class FlowRow(NamedTuple):
    """A row of the table `flows`; counters are None if the run has not ended."""

    flow: int
    name: str
    traffic: str
    in_packets: int | None
    in_bytes: int | None
    out_packets: int | None
    out_bytes: int | None
    drops: int | None
    throughput: int | None
    p50: int | None
    p90: int | None
    p99: int | None
    max: int | None
    mean: int | None


class RateCounts(NamedTuple):
    """The columns of the table `rates` after time and flow, for one interval and flow or summed."""

    in_packets: int = 0
    in_bytes: int = 0
    out_packets: int = 0
    out_bytes: int = 0
    drops: int = 0
    marks: int = 0
    taken: int = 0
    waited: int = 0
    longest: int = 0


def summed(counts: Iterable[RateCounts]) -> RateCounts:
    """Return the sums, and the greatest `longest`."""
    found = tuple(counts)
    if len(found) == 1:
        return found[0]
    return RateCounts(*map(sum, zip(*found, strict=True)))._replace(
        longest=max(each.longest for each in found)) if found else RateCounts()


class RecordedRun:
    """A results file that is open for reading.

    Args:
        path: its path.

    Attributes:
        facts: the table `run`.
        flows: the table `flows`.

    Raises:
        LoadError: the file cannot be read, is no results file, or has another version.
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self.path = os.fspath(path)
        try:
            if not is_results_file(self.path) or not os.path.getsize(self.path):
                raise LoadError("is no results file, as `ebpfvm run --results FILE` writes them", path=self.path)
            self._connection = sqlite3.connect(f"file:{quote(os.path.abspath(self.path))}?mode=ro", uri=True)
            self.facts: dict[str, Any] = dict(self._connection.execute("SELECT name, value FROM run"))
            if self.facts.get("schema") != SCHEMA:
                raise LoadError(f"has the schema {self.facts.get('schema')!r}, and this version of ebpfvm reads "
                                f"{SCHEMA!r}; record it again", path=self.path)
            self._rates: dict[int, dict[int, RateCounts]] | None = None
            self.flows = [FlowRow(*row) for row in self.table("flows")]
        except (OSError, sqlite3.Error) as error:
            raise LoadError(f"cannot be read: {getattr(error, 'strerror', None) or error}", path=self.path) from error

    def __enter__(self) -> RecordedRun:
        return self

    def __exit__(self, *_: object) -> None:
        self._connection.close()

    @property
    def title(self) -> str:
        """What reports call the run."""
        return str(self.facts.get("title", self.path))

    @property
    def ended(self) -> bool:
        """Whether the run has ended, so that all tables are complete."""
        return "duration" in self.facts

    @property
    def duration(self) -> int:
        """Its length in ns, or how much of it has been recorded."""
        return int(self.facts.get("duration", self.facts.get("recorded", 0)))

    @property
    def interval(self) -> int:
        """Time between two samples (ns)."""
        return int(self.facts.get("sample", 0)) or NSEC_PER_SEC

    def table(self, name: str) -> Iterator[tuple[Any, ...]]:
        """Yield the rows of a table, in order of its key or in that in which they were recorded."""
        table = TABLES[name]
        yield from self.query(f"SELECT {', '.join(table.names)} FROM {name} ORDER BY "
                              + (", ".join(table.key) or "rowid"))

    def query(self, text: str, *values: object) -> list[tuple[Any, ...]]:
        """Return the rows that a query finds."""
        try:
            return self._connection.execute(text, values).fetchall()
        except sqlite3.Error as error:
            raise LoadError(f"cannot be read: {error}", path=self.path) from error

    # ---- what reports show ----------------------------------------------------------------------------------------

    @property
    def traffic(self) -> list[str]:
        """The kinds of traffic, in order of their first packets."""
        return list(dict.fromkeys(flow.traffic for flow in self.flows))

    def of_traffic(self, traffic: str) -> list[int]:
        """Return the numbers of the flows of one kind of traffic."""
        return [flow.flow for flow in self.flows if flow.traffic == traffic]

    def waits(self, flows: Iterable[int]) -> list[tuple[int, int]]:
        """Return how many packets of some flows waited how long: the least time of each bucket, and the packets."""
        found: dict[int, int] = {}
        wanted = frozenset(flows)
        for _, flow, low, packets in self.table("sojourn"):
            if flow in wanted:
                found[low] = found.get(low, 0) + packets
        return sorted(found.items())

    def rates(self, flow: int) -> dict[int, RateCounts]:
        """Return what `rates` has of a flow, by time."""
        if self._rates is None:
            self._rates = {}
            for time, number, *counts in self.table("rates"):
                self._rates.setdefault(number, {})[time] = RateCounts(*counts)
        return self._rates.get(flow, {})

    def backlog(self) -> dict[int, list[tuple[int, int, int, int, int]]]:
        """Return for each queue the rows of `backlog` without its number."""
        found: dict[int, list[tuple[int, int, int, int, int]]] = {}
        for time, queue, *counts in self.table("backlog"):
            found.setdefault(queue, []).append((time, *counts))
        return found

    def drops(self) -> dict[str, int]:
        """Return how many packets were dropped for each reason."""
        return dict(self.query("SELECT reason, sum(packets) FROM drops GROUP BY reason ORDER BY reason"))


def wait_percentile(waits: Sequence[tuple[int, int]], percent: int) -> int:
    """Return a nearest-rank percentile (ns) of what `RecordedRun.waits` returns: the middle of its bucket.

    >>> wait_percentile([(992, 1), (4096, 1)], 50), wait_percentile([(992, 1), (4096, 1)], 99)
    (1000, 4160)
    """
    rank, seen = -(-sum(packets for _, packets in waits) * percent // 100), 0
    for low, packets in waits:
        seen += packets
        if seen >= max(1, rank):
            return (low + bucket_end(low)) // 2
    return 0
