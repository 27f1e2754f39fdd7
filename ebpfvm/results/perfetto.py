"""The events of a recorded run in the trace event format, which Perfetto (https://ui.perfetto.dev) and Chrome show.

Each device is a process. Its tracks are the wire (a slice for each transmission), the queue (a slice for each packet,
by flow) with counters of packets and bytes, and the drops. A further process has the runs of programs.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, Final

from ebpfvm.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from ebpfvm.results.reading import RecordedRun

_WIRE, _DROPS, _PROGRAMS = 1, 2, 3  # tracks
_PROGRAM_PROCESS: Final = 0


def trace_events(run: RecordedRun) -> Iterator[dict[str, Any]]:
    """Yield trace events; `ts` and `dur` are microseconds with three digits, so nothing is lost.

    Raises:
        UsageError: no events have been recorded.
    """
    if not run.query("SELECT 1 FROM events LIMIT 1"):
        raise UsageError(f"{run.path}: has no events; record the run with --results FILE --events")
    names = {flow.flow: flow.name for flow in run.flows}
    yield from _tracks(run)
    sending: dict[int, int] = {}  # device -> when its transmission began
    waiting: dict[int, list[int]] = {}  # device -> packets and bytes that wait
    inside: dict[int, int] = {}  # packet -> the device for which it waits
    for time, event, queue, packet, flow, length, note in run.table("events"):
        common = {"ts": _us(time), "pid": queue or _PROGRAM_PROCESS}
        about = {"packet": packet, "flow": names.get(flow, ""), "bytes": length}
        if event == "program":
            yield {**common, "ph": "i", "s": "t", "tid": _PROGRAMS, "name": note, "args": {"packet": packet}}
            continue
        if event == "sent":
            begin = sending.pop(queue, None)
            if begin is not None:
                yield {"ph": "X", "ts": _us(begin), "dur": _us(time - begin), "pid": queue, "tid": _WIRE,
                       "name": f"packet {packet}", "args": about}
            continue
        change = 0
        slice_ = {**common, "cat": "queue", "id": packet, "tid": _WIRE, "name": names.get(flow, "packet")}
        if event == "enqueue":
            inside[packet], change = queue, 1
            yield {**slice_, "ph": "b", "args": about}
        elif packet in inside:
            change = -1
            yield {**slice_, "ph": "e", "pid": inside.pop(packet)}
        if event == "dequeue":
            sending[queue] = time
        elif event == "drop":
            yield {**common, "ph": "i", "s": "p", "tid": _DROPS, "name": f"drop: {note}", "args": about}
        if change:
            counts = waiting.setdefault(queue, [0, 0])
            counts[0] += change
            counts[1] += change * length
            yield {**common, "ph": "C", "name": "backlog in packets", "args": {"packets": counts[0]}}
            yield {**common, "ph": "C", "name": "backlog in bytes", "args": {"bytes": counts[1]}}


def _tracks(run: RecordedRun) -> Iterator[dict[str, Any]]:
    """Yield the names of processes and tracks."""
    processes = [(_PROGRAM_PROCESS, f"programs of {run.title}", {_PROGRAMS: "runs"}),
                 *((queue, f"{device} ({qdisc})" if qdisc else device, {_WIRE: "wire", _DROPS: "drops"})
                   for queue, device, qdisc, _, _ in run.table("queues"))]
    for process, name, tracks in processes:
        yield {"ph": "M", "name": "process_name", "pid": process, "args": {"name": name}}
        for track, text in tracks.items():
            yield {"ph": "M", "name": "thread_name", "pid": process, "tid": track, "args": {"name": text}}


def _us(time: int) -> float:
    return round(time / 1000, 3)


def perfetto_text(run: RecordedRun) -> Iterator[str]:
    """Yield the lines of the JSON file."""
    events = trace_events(run)
    first = next(events)  # without events, nothing is written
    yield '{"displayTimeUnit":"ns","traceEvents":[\n' + json.dumps(first, separators=(",", ":"))
    for event in events:
        yield ",\n" + json.dumps(event, separators=(",", ":"))
    yield "\n]}\n"
