"""A recorded run as a data file of Flent (https://flent.org), version 4 of its format.

The file says that it is of Flent's test `tcp_nup`, whose plots everybody knows: streams, their sum, average and
fairness, and a delay. The streams are the flows; if there are TCP connections and others, the connections are the
streams, and the delay is that of the others. The delay is the mean time that packets waited in the queue.
"""

from __future__ import annotations

import json
from math import fsum
from typing import TYPE_CHECKING, Any, Final

from ebpfvm.errors import UsageError
from ebpfvm.results.reading import summed
from ebpfvm.sched.flows import jain
from ebpfvm.sched.units import NSEC_PER_SEC

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from ebpfvm.results.reading import FlowRow, RateCounts, RecordedRun

_VERSION: Final = 4
_EPOCH: Final = "1970-01-01T00:00:00.000000Z"  # a simulated run happens at no date
_STREAM: Final = "TCP upload"
_DELAY: Final = "Ping (ms) ICMP"


def flent_data(run: RecordedRun) -> dict[str, Any]:
    """Return the contents of a data file.

    Raises:
        UsageError: nothing has been recorded over time.
    """
    streams, others = _streams(run.flows)
    times = list(range(run.interval, run.duration + run.interval, run.interval))
    columns = {flow.flow: run.rates(flow.flow) for flow in run.flows}
    if not any(columns.values()):
        raise UsageError(f"{run.path}: has nothing over time; record the run with --results")
    series = {f"{_STREAM}::{number}": [_rate(columns[flow.flow].get(time), run.interval) for time in times]
              for number, flow in enumerate(streams, 1)}
    each = list(zip(*series.values(), strict=True))
    measured: dict[str, list[Any]] = {
        f"{_STREAM} avg": [fsum(values) / len(values) for values in each],
        f"{_STREAM} sum": [fsum(values) for values in each],
        f"{_STREAM} fairness": [jain([round(value * 1000) for value in values]) for values in each],
        _DELAY: [_wait([columns[flow.flow].get(time) for flow in others]) for time in times], **series}
    names = {f"{_STREAM}::{number}": flow.name for number, flow in enumerate(streams, 1)}
    x_values = [time / NSEC_PER_SEC for time in times]
    raw = {name: [{"t": time, "val": value} for time, value in zip(x_values, measured[name], strict=True)
                  if value is not None] for name in (_DELAY, *series)}  # without them, Flent takes a file for empty
    return {"version": _VERSION, "metadata": _metadata(run, names), "raw_values": raw, "results": measured,
            "x_values": x_values}


def _streams(flows: Sequence[FlowRow]) -> tuple[list[FlowRow], list[FlowRow]]:
    """Return the flows that are streams, and those whose delay is shown."""
    tcp = [flow for flow in flows if flow.traffic.startswith("tcp ")]
    others = [flow for flow in flows if flow not in tcp]
    return (tcp, others) if tcp and others else (list(flows), list(flows))


def _rate(counts: RateCounts | None, interval: int) -> float:
    """Return Mbit/s."""
    return counts.out_bytes * 8000 / interval if counts is not None else 0.0


def _wait(found: Iterable[RateCounts | None]) -> float | None:
    """Return the mean time in the queue in ms, None if no packet left it."""
    counts = summed(each for each in found if each is not None)
    return counts.waited / counts.taken / 1e6 if counts.taken else None


def _metadata(run: RecordedRun, names: Mapping[str, str]) -> dict[str, Any]:
    seconds = run.duration / NSEC_PER_SEC
    return {
        "NAME": "tcp_nup", "TITLE": run.title, "NOTE": f"simulated by ebpfvm {run.facts.get('ebpfvm', '')}",
        "TIME": _EPOCH, "T0": _EPOCH, "LENGTH": seconds, "TOTAL_LENGTH": seconds,
        "STEP_SIZE": run.interval / NSEC_PER_SEC, "HOST": "10.255.0.1", "HOSTS": ["10.255.0.1"],
        "LOCAL_HOST": "ebpfvm", "IP_VERSION": 4, "FLENT_VERSION": "2.0.0", "DATA_FILENAME": None,
        "TEST_PARAMETERS": {"upload_streams": str(len(names))}, "BATCH_NAME": None, "BATCH_TIME": None,
        "BATCH_TITLE": None, "BATCH_UUID": None,
        "SERIES_META": {name: {"FLOW": flow, "UNITS": "Mbits/s"} for name, flow in names.items()}}


def flent_bytes(run: RecordedRun, compressed: bool) -> bytes:
    """Return the data file, compressed as Flent writes them or not."""
    text = (json.dumps(flent_data(run), indent=2) + "\n").encode()
    if not compressed:
        return text
    import zlib
    made = zlib.compressobj(wbits=31)  # gzip's own header depends on the version of Python
    return made.compress(text) + made.flush()
