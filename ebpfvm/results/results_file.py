"""Write a results file: while a run goes on, or from the result of a run that has ended."""

from __future__ import annotations

import json
import os
import sqlite3
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Final

from ebpfvm._version import __version__
from ebpfvm.errors import UsageError
from ebpfvm.results.schema import SCHEMA, insertion, statements
from ebpfvm.sched.run_recorder import RunRecorder
from ebpfvm.sched.traffic_names import TrafficNames

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from ebpfvm.scenario import Scenario
    from ebpfvm.sched.flows import Flow
    from ebpfvm.sched.run_report import Result
    from ebpfvm.sched.sch_generic import Observer

    Rows = Mapping[str, Sequence[tuple[Any, ...]]]

RUNNING: Final = "running"
ENDED: Final = "ended"
STOPPED: Final = "stopped"
_APPLICATION: Final = 0x65625246  # "ebRF", which `file` and readers see in the header


class ResultsFile:
    """A results file that is written. Every reader sees all of a `keep` or nothing, also after the writer was killed.

    Args:
        path: its path; a results file that is there is replaced.

    Raises:
        UsageError: something else is there, or the file cannot be written.
    """

    def __init__(self, path: str) -> None:
        self.path = path
        try:
            self._replace()
            self._connection = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
            self._connection.execute(f"PRAGMA application_id = {_APPLICATION}")
            self._connection.execute("PRAGMA journal_mode = WAL")  # readers do not wait, and nothing is half written
            self._connection.execute("PRAGMA synchronous = NORMAL")
            for statement in statements():
                self._connection.execute(statement)
        except (OSError, sqlite3.Error) as error:
            raise UsageError(f"results {path}: cannot be written: {error}") from None

    def _replace(self) -> None:
        if os.path.exists(self.path):
            if not is_results_file(self.path):
                raise UsageError(f"results {self.path}: is there already and holds no results; choose another name")
            os.unlink(self.path)
        for suffix in ("-wal", "-shm", "-journal"):  # of a run that was killed
            with suppress(FileNotFoundError):
                os.unlink(self.path + suffix)

    def keep(self, rows: Rows) -> None:
        """Write rows, by the name of their table, all of them or none."""
        try:
            self._connection.execute("BEGIN")
            for table, found in rows.items():
                if found:
                    self._connection.executemany(insertion(table, len(found[0])), found)
            self._connection.execute("COMMIT")
        except sqlite3.Error as error:
            raise UsageError(f"results {self.path}: cannot be written: {error}") from None

    def close(self) -> None:
        """Make one file of it."""
        with suppress(sqlite3.Error):  # a reader may still look at the file; it stays readable
            self._connection.execute("PRAGMA journal_mode = DELETE")
        self._connection.close()


def is_results_file(path: str) -> bool:
    """Return whether a file is empty or begins as a results file does."""
    with open(path, "rb") as file:
        head = file.read(100)
    return not head or (head.startswith(b"SQLite format 3\0") and head[68:72] == _APPLICATION.to_bytes(4, "big"))


class RunRecording:
    """The results file of a run that goes on.

    Args:
        path: its path.
        asked: what is run.

    Attributes:
        recorder: pass it to the simulation.

    Raises:
        UsageError: as for `ResultsFile`.
    """

    def __init__(self, path: str, asked: Scenario) -> None:
        self._file = ResultsFile(path)
        self._events, self._names = asked.events, TrafficNames(list(_specs(asked)))
        self.recorder = RunRecorder(self._file, int(asked.sample), asked.events, self._names)
        self._file.keep({"run": list(parameters(asked).items())})

    def observer(self, other: Observer | None) -> Observer | None:
        """Return the observer of the run: `other`, and with `Scenario.events` the recorder of program runs."""
        if not self._events:
            return other
        ran = self.recorder.ran

        def both(event: str, time: int, packet: Any, result: str, ctx: Any) -> None:
            ran(event, packet, result)
            if other is not None:
                other(event, time, packet, result, ctx)
        return both

    def finish(self, result: Result, flows: Sequence[Flow]) -> None:
        """Write the end of the run; `flows` are those of `Result.flows`, in their order."""
        self.recorder.finish(result.duration)
        self._file.keep(_final(result, [(self.recorder.index(flow), self._names.name(flow.key)) for flow in flows]))

    def close(self) -> None:
        """Close the file; of a run that has failed, it has what was recorded."""
        self._file.close()


def write_results(path: str | os.PathLike[str], result: Result, facts: Mapping[str, Any] | None = None) -> None:
    """Write a results file from a finished run that was not recorded: everything but what happened over time.

    With `Result.packets` (a run with `record=True`), its events hold each packet's arrival, departure or drop.

    Args:
        path: its path.
        result: the result.
        facts: what else the table `run` says, such as `title`.

    Raises:
        UsageError: as for `ResultsFile`.
    """
    file = ResultsFile(os.fspath(path))
    try:
        head = {"schema": SCHEMA, "ebpfvm": __version__, "title": result.qdisc, **(facts or {})}
        file.keep({"run": list(head.items())})
        file.keep(_final(result, [(index, "") for index in range(1, len(result.flows) + 1)]))
        if result.packets is not None:
            file.keep({"queues": [(1, result.device, "", result.rate, result.delay)], "events": _packet_events(result)})
    finally:
        file.close()


def _specs(asked: Scenario) -> Iterable[Any]:
    return asked.flows


def parameters(asked: Scenario) -> dict[str, Any]:
    """Return what the table `run` says of a scenario. The engine is not part of it: results do not depend on it.

    Files are named without their folders, so that the same run in another place gives the same file.
    """
    from dataclasses import asdict
    specs = [{key: value for key, value in asdict(spec).items() if value is not None} | {"traffic": spec.label}
             for spec in _specs(asked)]
    source, pcap = asked.source, asked.pcap
    found = {
        "schema": SCHEMA, "ebpfvm": __version__, "state": RUNNING, "title": asked.title or _title(asked),
        "source": _base(getattr(source, "path", source)), "tc": _base(getattr(asked.tc, "path", asked.tc)),
        "pcap": _base(getattr(pcap, "path", pcap)),
        "traffic": json.dumps(specs, separators=(",", ":")), "priority": asked.priority, "seed": asked.seed,
        "rate": asked.rate, "delay": asked.delay, "mtu": asked.mtu, "asked_duration": asked.duration,
        "kernel": asked.kernel, "ingress": int(asked.ingress), "unverified": int(asked.unverified),
        "sample": asked.sample, "events": int(asked.events), "recorded": 0}
    return {name: value for name, value in found.items() if value is not None}


def _base(path: Any) -> str | None:
    return None if path is None else os.path.basename(os.fspath(path))


def _title(asked: Scenario) -> str:
    source = asked.source if asked.source is not None else asked.tc
    return _base(getattr(source, "path", source)) or "run"


def _final(result: Result, numbers: Sequence[tuple[int, str]]) -> dict[str, list[tuple[Any, ...]]]:
    """Return what is known at the end of a run; `numbers` are those of its flows, and what their traffic is called."""
    facts = {"state": STOPPED if result.stopped else ENDED, "stopped": result.stopped, "qdisc": result.qdisc,
             "device": result.device, "duration": result.duration, "seed": result.seed, "rate": result.rate,
             "delay": result.delay, "in_packets": result.in_packets, "in_bytes": result.in_bytes,
             "out_packets": result.out_packets, "out_bytes": result.out_bytes, "dropped": result.dropped,
             "freed": result.freed, "held": result.held, "too_big": result.too_big, "fairness": result.fairness,
             "problem_count": result.problem_count}
    flows, names = [], {}
    for (index, traffic), flow in zip(numbers, result.flows, strict=True):
        names[flow.flow] = index
        flows.append((index, flow.flow, traffic, flow.in_packets, flow.in_bytes, flow.out_packets, flow.out_bytes,
                      flow.drops, flow.throughput, *(flow.delay.get(name) for name in
                                                     ("p50", "p90", "p99", "max", "mean"))))
    return {"run": list(facts.items()), "flows": flows,
            "connections": [(names.get(each.flow), *each[1:]) for each in result.senders],
            "holders": list(result.holders.items()),
            "problems": [(each.time, each.kind, each.packet, each.message) for each in result.problems],
            "variables": [(name, value) for name, value in result.variables.items()]}


def _packet_events(result: Result) -> list[tuple[Any, ...]]:
    names = {flow.flow: index for index, flow in enumerate(result.flows, 1)}
    found: list[tuple[Any, ...]] = []
    for packet in result.packets or ():
        flow, length = names[packet.flow], packet.length
        found.append((packet.arrival, "enqueue", 1, packet.number, flow, length, ""))
        if packet.departure is not None:
            found.append((packet.departure, "sent", 1, packet.number, flow, length, ""))
        elif packet.fate != "held":
            found.append((packet.arrival, "drop", 1, packet.number, flow, length, packet.fate))
    return sorted(found, key=lambda event: event[0])
