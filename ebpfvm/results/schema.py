"""The tables of a results file, declared once: the file is made from them, and docs/reference/results.md lists them."""

from __future__ import annotations

from typing import Final

from ebpfvm.lazy_tuples import NamedTuple

SCHEMA: Final = "ebpfvm.results/1"
"""The version: a file with another number has other tables or columns."""


class Column(NamedTuple):
    """A column of a table: its name, its SQL type, and what it holds."""

    name: str
    type: str
    doc: str


class Table(NamedTuple):
    """A table.

    Attributes:
        doc: what a row is.
        columns: its columns.
        key: names of the columns that identify a row; none if rows are only appended.
        adds: names of columns to which a later row with the same key adds.
    """

    doc: str
    columns: tuple[Column, ...]
    key: tuple[str, ...] = ()
    adds: tuple[str, ...] = ()

    @property
    def names(self) -> list[str]:
        """The names of its columns."""
        return [column.name for column in self.columns]


_TIME: Final = Column("time", "INTEGER", "ns since the beginning of the run: the end of the interval")
_QUEUE: Final = Column("queue", "INTEGER", "its device: `queues.queue`")
_FLOW: Final = Column("flow", "INTEGER", "its flow: `flows.flow`")

TABLES: Final = {
    "run": Table("one fact about the run", (
        Column("name", "TEXT", "what it is"), Column("value", "", "a number or text")), ("name",)),
    "queues": Table("a device and its root queueing discipline", (
        Column("queue", "INTEGER", "its number, from 1"), Column("device", "TEXT", "name of the device"),
        Column("qdisc", "TEXT", "kind of the root qdisc when its first packet came"),
        Column("rate", "INTEGER", "bits per second of its link"),
        Column("delay", "INTEGER", "propagation delay of its link (ns)")), ("queue",)),
    "flows": Table("a flow; the counters are NULL until the run has ended", (
        Column("flow", "INTEGER", "its number, from 1, in order of first packets"), Column("name", "TEXT", "its name"),
        Column("traffic", "TEXT", "the `--flows` that it comes from, in short; `capture` for those of a capture"),
        Column("in_packets", "INTEGER", "packets offered"), Column("in_bytes", "INTEGER", "bytes offered"),
        Column("out_packets", "INTEGER", "packets that arrived at the other end"),
        Column("out_bytes", "INTEGER", "their bytes"), Column("drops", "INTEGER", "packets dropped or freed"),
        Column("throughput", "INTEGER", "bits per second that arrived, over the whole run"),
        Column("p50", "INTEGER", "median of the delay from arrival at the device to the other end (ns)"),
        Column("p90", "INTEGER", "its 90th percentile"), Column("p99", "INTEGER", "its 99th percentile"),
        Column("max", "INTEGER", "its maximum"), Column("mean", "INTEGER", "its mean")), ("flow",)),
    "rates": Table("what happened to a flow in one interval; there is no row if nothing did", (
        _TIME, _FLOW, Column("in_packets", "INTEGER", "packets offered"),
        Column("in_bytes", "INTEGER", "bytes offered"), Column("out_packets", "INTEGER", "packets that left"),
        Column("out_bytes", "INTEGER", "bytes that left"), Column("drops", "INTEGER", "packets dropped or freed"),
        Column("marks", "INTEGER", "packets in which the queue set CE (ECN)"),
        Column("taken", "INTEGER", "packets that a device took from its queue"),
        Column("waited", "INTEGER", "how long they had waited, all together (ns)"),
        Column("longest", "INTEGER", "the longest of these times (ns)"))),
    "backlog": Table("what waits for a device at the end of an interval; while nothing happens, rows are left out", (
        _TIME, _QUEUE, Column("packets", "INTEGER", "packets that wait"), Column("bytes", "INTEGER", "their bytes"),
        Column("most_packets", "INTEGER", "the most that waited in the interval"),
        Column("most_bytes", "INTEGER", "the most bytes"))),
    "sojourn": Table("how many packets of a flow waited so long for a device", (
        _QUEUE, _FLOW, Column("low", "INTEGER", "the least time of the bucket (ns); it is at most 1/32 wide"),
        Column("packets", "INTEGER", "packets in the bucket")), ("queue", "flow", "low"), ("packets",)),
    "drops": Table("packets of a flow that were dropped for one reason", (
        Column("queue", "INTEGER", "the device: `queues.queue`; 0 if the packet was at none"), _FLOW,
        Column("reason", "TEXT", "why"), Column("packets", "INTEGER", "packets"), Column("bytes", "INTEGER", "bytes")),
        ("queue", "flow", "reason"), ("packets", "bytes")),
    "windows": Table("the window of a TCP connection at the end of an interval, if it has changed", (
        _TIME, _FLOW, Column("cwnd", "REAL", "congestion window in segments"),
        Column("srtt", "INTEGER", "smoothed round-trip time (ns); 0 if none was measured"))),
    "connections": Table("a TCP connection, at the end of the run", (
        _FLOW, Column("law", "TEXT", "its congestion control"),
        Column("goodput", "INTEGER", "bits per second of data that arrived, each byte once"),
        Column("segments", "INTEGER", "segments that arrived, each once"),
        Column("again", "INTEGER", "segments that were sent again"),
        Column("timeouts", "INTEGER", "how often its timer expired"),
        Column("marks", "INTEGER", "segments that arrived with CE"),
        Column("srtt", "INTEGER", "smoothed round-trip time at the end (ns)"),
        Column("cwnd", "REAL", "congestion window at the end, in segments"),
        Column("finished", "INTEGER", "when everything had arrived (ns), NULL if it had no end or did not reach it")),
        ("flow",)),
    "holders": Table("who holds how many packets at the end", (
        Column("holder", "TEXT", "a qdisc, map, program or link"), Column("packets", "INTEGER", "packets")),
        ("holder",)),
    "problems": Table("a packet that was lost or disposed of twice", (
        Column("time", "INTEGER", "when it was noticed (ns)"), Column("kind", "TEXT", "`lost` or `double`"),
        Column("packet", "INTEGER", "its number"), Column("message", "TEXT", "what happened"))),
    "variables": Table("a global variable of the programs at the end", (
        Column("name", "TEXT", "its name"), Column("value", "INTEGER", "its value")), ("name",)),
    "events": Table("one event (only with `--events`)", (
        Column("time", "INTEGER", "when (ns)"),
        Column("event", "TEXT", "`enqueue`, `dequeue`, `sent`, `drop`, or `program`"),
        Column("queue", "INTEGER", "the device: `queues.queue`, NULL for a program"),
        Column("packet", "INTEGER", "number of the packet, NULL if a program returned none"),
        Column("flow", "INTEGER", "its flow: `flows.flow`"), Column("length", "INTEGER", "its bytes on the wire"),
        Column("note", "TEXT", "why it was dropped; which program ran (`enqueue`, `dequeue`, `cls NAME`, `act NAME`), "
                               "and its result"))),
}


def statements() -> list[str]:
    """Return the SQL statements that make an empty file."""
    made = []
    for name, table in TABLES.items():
        columns = [f"{column.name} {column.type}".rstrip() for column in table.columns]
        # One integer that identifies a row is SQLite's own number of the row.
        if table.key:
            columns.append(f"PRIMARY KEY ({', '.join(table.key)})")
        made.append(f"CREATE TABLE {name} ({', '.join(columns)})"
                    + (" WITHOUT ROWID" if len(table.key) > 1 or name in ("run", "holders", "variables") else ""))
    return made


def insertion(name: str, columns: int) -> str:
    """Return the SQL statement that adds a row with values for the first `columns` columns of a table."""
    table = TABLES[name]
    names = table.names[:columns]
    text = f"INSERT INTO {name} ({', '.join(names)}) VALUES ({', '.join('?' * columns)})"
    if not table.key:
        return text
    rest = [column for column in names if column not in table.key]
    changes = [f"{column} = {column} + excluded.{column}" if column in table.adds else f"{column} = excluded.{column}"
               for column in rest]
    return f"{text} ON CONFLICT ({', '.join(table.key)}) DO UPDATE SET {', '.join(changes)}"
