"""Video whose rate adapts to the network: a player that fetches chunks over TCP, as those of DASH and HLS do.

The player keeps some seconds in its buffer. For each chunk it chooses the highest rate below four fifths of what it has
measured: the harmonic mean of the throughput of the last five chunks (as FESTIVE: Jiang, Sekar and Zhang 2012). With
less than a chunk in the buffer it takes the lowest. While the buffer is full it waits, so it sends in bursts.
"""

from __future__ import annotations

from collections import deque
from itertools import pairwise
from math import fsum
from typing import TYPE_CHECKING, Any, Final

from ebpfvm.ints import S64_MAX
from ebpfvm.lazy_dataclasses import dataclass, replace
from ebpfvm.lazy_tuples import NamedTuple
from ebpfvm.sched.senders.connection import Dialer
from ebpfvm.sched.senders.tcp_flows import KEYS, TcpSpec, tcp_spec
from ebpfvm.sched.text_tables import table_lines
from ebpfvm.sched.traffic_words import Traffic, TrafficError, TrafficKey, TrafficKind, flow_count
from ebpfvm.sched.units import NSEC_PER_SEC, format_rate, format_time

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from ebpfvm.sched.events import EventLoop
    from ebpfvm.sched.senders.connection import Connection

_MEASURED: Final = 5  # chunks
_SAFE: Final = 0.8  # of what was measured
_BYTE_NS: Final = 8 * NSEC_PER_SEC
_COLUMNS: Final = ("video", "chunks", "rate", "switches", "stalls", "stalled", "startup")


@dataclass(frozen=True, slots=True)
class VideoSpec(Traffic):
    """A specification of players.

    Attributes:
        rates: rates of the video (bits per second), in ascending order.
        chunk: ns of video in each chunk.
        buffer: ns of video that a player keeps at most.
        tcp: the connections; players ask for chunks from their `start` to their `stop`.
    """

    rates: tuple[int, ...]
    chunk: int
    buffer: int
    tcp: TcpSpec

    @property
    def label(self) -> str:
        """What they are, in short."""
        return f"video {self.tcp.law}"

    @property
    def expected(self) -> int:
        """The number of packets that is known from the beginning."""
        return 0

    def expected_alone(self, rate: int, end: int | None) -> int:
        """Return about how many segments the players ask for on a link for themselves."""
        return self.tcp.expected_alone(min(rate, self.tcp.count * self.rates[-1]), end)

    def add_to(self, simulation: Any, seed: int, group: int) -> None:
        """Add the players to a simulation; they begin a chunk's share apart, so that they do not ask in step."""
        dialer = Dialer(simulation, self.tcp, group, simulation.course.delay(group))
        for index in range(self.tcp.count):
            connection = dialer.connection(index, replace(self.tcp, total=self.size(self.rates[0])))
            player = Player(simulation.loop, connection, self, dialer.zero + self.tcp.stop)
            simulation.loop.at(dialer.zero + self.tcp.start + self.chunk * index // self.tcp.count, player.start)
            simulation.add_senders([connection])
            simulation.players.append(player)

    def size(self, rate: int) -> int:
        """Return how many bytes a chunk of a rate has."""
        return max(1, rate * self.chunk // _BYTE_NS)


class VideoReport(NamedTuple):
    """What one player did.

    Attributes:
        flow: name of its flow.
        chunks: chunks that arrived.
        rate: mean rate of the video in them, in bits per second.
        switches: how often the rate changed.
        stalls: how often the buffer ran empty while it played.
        stalled: ns for which it was empty.
        startup: ns from the first request to the first picture; None if no chunk arrived.
    """

    flow: str
    chunks: int
    rate: int
    switches: int
    stalls: int
    stalled: int
    startup: int | None


class Player:
    """A player.

    Args:
        loop: the event loop.
        connection: what it fetches chunks through.
        spec: its description.
        stop: when it asks for no more chunks (ns).
    """

    def __init__(self, loop: EventLoop, connection: Connection, spec: VideoSpec, stop: int) -> None:
        self._loop, self._connection, self._spec, self._stop = loop, connection, spec, stop
        self._rate = spec.rates[0]
        self._asked = self._begun = 0  # when the chunk and the first chunk were asked for
        self._held = 0  # ns of video in the buffer at `_seen`
        self._seen = 0
        self._measured: deque[float] = deque(maxlen=_MEASURED)  # bits per second
        self._chunks: list[int] = []  # their rates
        self._stalls = self._stalled = 0
        self._startup: int | None = None
        connection.done = self._arrived

    def start(self, _: Any = None) -> None:
        """Ask for the first chunk."""
        self._asked = self._begun = self._loop.now
        self._connection.start(S64_MAX)

    def _arrived(self, now: int) -> None:
        """Take a chunk into the buffer, and ask for the next, now or when there is room."""
        spec = self._spec
        self._measured.append(spec.size(self._rate) * _BYTE_NS / max(1, now - self._asked))
        self._chunks.append(self._rate)
        if self._startup is None:
            self._startup = now - self._begun
        else:
            self._play(now)
        self._held += spec.chunk
        self._seen = now
        self._loop.at(now + max(0, self._held + spec.chunk - spec.buffer), self._ask)

    def _play(self, now: int) -> None:
        """Take what was shown until now from the buffer."""
        short = now - self._seen - self._held
        if short > 0:
            self._stalls += 1
            self._stalled += short
        self._held = max(0, -short)
        self._seen = now

    def _ask(self, _: Any) -> None:
        now = self._loop.now
        if now >= self._stop:
            return
        self._play(now)
        self._rate = self._choose()
        self._asked = now
        self._connection.extend(self._spec.size(self._rate))

    def _choose(self) -> int:
        rates = self._spec.rates
        if self._held < self._spec.chunk:
            return rates[0]
        mean = len(self._measured) / fsum(1 / each for each in self._measured)
        return max((rate for rate in rates if rate <= _SAFE * mean), default=rates[0])

    def report(self) -> VideoReport:
        """Return what it did."""
        chunks = self._chunks
        changes = sum(before != after for before, after in pairwise(chunks))
        flow = self._connection.flow
        return VideoReport(flow.name if flow is not None else "", len(chunks),
                           sum(chunks) // len(chunks) if chunks else 0, changes, self._stalls, self._stalled,
                           self._startup)


def video_table(videos: Sequence[VideoReport]) -> list[str]:
    """Return a table of the players, below an empty line; nothing if there are none."""
    if not videos:
        return []
    return ["", *table_lines([_COLUMNS, *(
        (each.flow, str(each.chunks), format_rate(each.rate), str(each.switches), str(each.stalls),
         format_time(each.stalled), "-" if each.startup is None else format_time(each.startup))
        for each in videos)], left=1)]


def _made(values: Mapping[str, Any]) -> VideoSpec:
    low, high, levels = values["low"], values["high"], values["levels"]
    if low > high:
        raise TrafficError("high", "is below `low`")
    if not values["chunk"]:
        raise TrafficError("chunk", "a chunk has some time; expected more than 0")
    if values["buffer"] < 2 * values["chunk"]:
        raise TrafficError("buffer", "has no room for two chunks")
    rates = (low,) if levels == 1 else tuple(round(low * (high / low) ** (step / (levels - 1)))
                                             for step in range(levels))
    return VideoSpec(rates, values["chunk"], values["buffer"], tcp_spec(values))


VIDEO: Final = TrafficKind(
    "video", "video in chunks over TCP, whose rate follows what the player measures", (
        flow_count("number of players", 10_000),
        TrafficKey("low", "rate", "lowest rate of the video", "300kbit"),
        TrafficKey("high", "rate", "highest rate of the video", "6mbit"),
        TrafficKey("levels", "number", "number of rates, each the same factor above the one below", "6",
                   range=(1, 100)),
        TrafficKey("chunk", "time", "video in each chunk", "2s"),
        TrafficKey("buffer", "time", "video that a player keeps at most, of two chunks or more", "10s"),
        *(key._replace(doc="when it asks for no more chunks") if key.name == "stop" else key for key in KEYS)), _made)
