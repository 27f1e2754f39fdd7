"""Short connections that come and go, as those of a web server: Poisson arrivals, sizes with a heavy tail."""

from __future__ import annotations

import math
from itertools import islice
from random import Random
from typing import TYPE_CHECKING, Any, Final

from ebpfvm.errors import UsageError
from ebpfvm.ints import S64_MAX
from ebpfvm.lazy_dataclasses import dataclass, replace
from ebpfvm.sched.senders.connection import Dialer
from ebpfvm.sched.senders.tcp_flows import HEADERS, KEYS, TcpSpec, tcp_spec
from ebpfvm.sched.traffic import MOST_FLOWS
from ebpfvm.sched.traffic_words import Traffic, TrafficError, TrafficKey, TrafficKind

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from ebpfvm.sched.senders.connection import Connection, Road

_SHAPE: Final = 1.2  # of the Pareto distribution (Crovella and Bestavros 1997: 1.0 to 1.3 for files of the web)
_MOST: Final = 1000  # times the mean: the longest transfer
SIZES: Final = ("pareto", "exp", "fixed")


@dataclass(frozen=True, slots=True)
class WebSpec(Traffic):
    """A specification of short connections.

    Attributes:
        every: mean ns from one connection to the next.
        sizes: distribution of what they send, one of `SIZES`; its mean is the `total` of `tcp`.
        tcp: what they have in common; they begin from its `start` to its `stop`, and then finish.
    """

    every: int
    sizes: str
    tcp: TcpSpec

    @property
    def label(self) -> str:
        """What they are, in short."""
        return f"web {self.tcp.law}"

    @property
    def expected(self) -> int:
        """About how many segments they send."""
        each = -(-(self.tcp.total or 0) // (self.tcp.size - HEADERS))
        return max(0, self.tcp.stop - self.tcp.start) // self.every * each

    def add_to(self, simulation: Any, seed: int, group: int) -> None:
        """Add the connections to a simulation."""
        simulation.add_senders(open_web(simulation, self, seed, group, simulation.course.delay(group)))

    def arrivals(self, draw: Random) -> Iterator[tuple[int, int]]:
        """Yield when each connection begins (ns), and how many bytes it has to send."""
        mean = self.tcp.total or 0
        time = float(self.tcp.start)
        while True:
            time -= self.every * math.log(1.0 - draw.random())
            if time >= self.tcp.stop:
                return
            chance = 1.0 - draw.random()  # in (0, 1]
            size = (mean * (_SHAPE - 1) / _SHAPE * chance ** (-1 / _SHAPE) if self.sizes == "pareto" else
                    -mean * math.log(chance) if self.sizes == "exp" else mean)
            yield int(time), max(1, min(int(size), _MOST * mean))


def open_web(road: Road, spec: WebSpec, seed: int, group: int, delay: int) -> list[Connection]:
    """Return the connections of a specification; the arguments are those of `open_connections`.

    Raises:
        UsageError: as for `open_connections`, or there are more connections than source ports.
    """
    arrivals = list(islice(spec.arrivals(Random(f"{seed}/{group}")), MOST_FLOWS + 1))
    if len(arrivals) > MOST_FLOWS:
        raise UsageError(f"web: more connections than the {MOST_FLOWS} source ports; let them come less often, or stop "
                         "earlier")
    if not arrivals:
        return []
    dialer = Dialer(road, replace(spec.tcp, count=len(arrivals)), group, delay)
    found = []
    for index, (time, size) in enumerate(arrivals):
        connection = dialer.connection(index, replace(spec.tcp, total=size))
        road.loop.at(dialer.zero + time, connection.start, S64_MAX)
        found.append(connection)
    return found


def _made(values: Mapping[str, Any]) -> WebSpec:
    if not values["every"]:
        raise TrafficError("every", "connections cannot all begin at once; expected more than 0")
    return WebSpec(values["every"], values["sizes"], tcp_spec(values))


WEB: Final = TrafficKind("web", "short TCP connections that begin at random times and send random amounts", (
    TrafficKey("every", "time", "mean time from one connection to the next (Poisson)", "100ms"),
    TrafficKey("bytes", "size", "mean of what a connection has to send", "30k"),
    TrafficKey("sizes", "word", "distribution of that: `pareto` with shape 1.2, up to 1000 times the mean; `exp`; "
               "`fixed`", "pareto", choices=SIZES),
    *(key._replace(doc="when no more of them begin") if key.name == "stop" else key for key in KEYS)), _made)
