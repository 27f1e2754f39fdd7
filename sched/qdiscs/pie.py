"""pie: one queue under the control law PIE (RFC 8033; net/sched/sch_pie.c, Linux 7.2)."""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, Any, Final, TypedDict, Unpack

from ebpfvm.checked import known
from ebpfvm.sched.classful import drop_above
from ebpfvm.sched.pie_law import MAX_PROB, PieParams, PieQueue, PieTimer
from ebpfvm.sched.psched import PSCHED_SHIFT
from ebpfvm.sched.qdisc_kind import QdiscKind, QdiscOption
from ebpfvm.sched.qdiscs.fifo import psched_mtu
from ebpfvm.sched.sch_generic import NET_XMIT_DROP, NET_XMIT_SUCCESS, Qdisc
from ebpfvm.sched.shown import Part, entry, worded
from ebpfvm.sched.tc.dissect import set_ce
from ebpfvm.sched.units import tc_us_text

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ebpfvm.sched.account import Packet
    from ebpfvm.sched.sch_generic import QdiscDevice

LIMIT: Final = 1000


class PieOptions(TypedDict, total=False):
    """The parameters of a pie: packets, and those of `PieParams`."""

    limit: int
    target: int
    tupdate: int
    alpha: int
    beta: int
    ecn: bool
    bytemode: bool
    dq_rate_estimator: bool


class Pie(Qdisc):
    """Drops packets that arrive, by a probability that keeps the delay near a target.

    Args:
        dev, handle: as for `Qdisc`.
        options: see `PieOptions`.

    Attributes:
        packets_in, overlimit, dropped, maxq, ecn_mark: counters of `tc -s`.
    """

    kind = "pie"

    def __init__(self, dev: QdiscDevice, handle: int = 0, **options: Unpack[PieOptions]) -> None:
        super().__init__(dev, handle)
        self.queue: deque[tuple[Packet, int]] = deque()
        self.pie = PieQueue()
        self.timer = PieTimer(dev.loop.now)
        self.packets_in = self.overlimit = self.dropped = self.maxq = self.ecn_mark = 0
        self.limit, self.params = LIMIT, PieParams(mtu=psched_mtu(dev))
        self.change(**options)

    def change(self, **options: Unpack[PieOptions]) -> None:
        """Set the named parameters; packets above a smaller limit are dropped (pie_change)."""
        known("pie", options, PieOptions.__annotations__)
        self._catch_up()
        given: dict[str, Any] = dict(options)
        self.limit = given.pop("limit", self.limit)
        self.params = self.params._replace(**given)
        drop_above(self, self.limit, self._discard)

    def _discard(self) -> Packet | None:
        if not self.queue:
            return None
        self.kernel_view.drops += 1
        return self._pop()[0]

    def _catch_up(self) -> None:
        self.timer.catch_up(self.dev.loop.now, self.params, lambda: [(self.pie, self.kernel_view.backlog)])

    def _pop(self) -> tuple[Packet, int]:
        head = self.queue.popleft()
        self.kernel_view.qlen -= 1
        self.kernel_view.backlog -= head[0].wire_len
        return head

    def enqueue(self, skb: Packet, to_free: list[Packet]) -> int:
        """Append the packet, unless there is no room or chance decides against it (pie_qdisc_enqueue)."""
        self._catch_up()
        stats, pie = self.kernel_view, self.pie
        passes = stats.qlen < self.limit
        self.overlimit += not passes
        if passes and pie.drops_early(self.params, stats.backlog, skb.len,
                                      lambda: self.dev.account.kernel.random.getrandbits(64)):
            passes = self.params.ecn and pie.prob <= MAX_PROB // 10 and set_ce(skb)
            self.ecn_mark += passes
        if not passes:
            self.dropped += 1
            pie.accu_prob = 0
            stats.drops += 1
            to_free.append(skb)
            return NET_XMIT_DROP
        self.packets_in += 1
        self.maxq = max(self.maxq, stats.qlen)
        self.queue.append((skb, self.dev.loop.now >> PSCHED_SHIFT))
        stats.qlen += 1
        stats.backlog += skb.wire_len
        return NET_XMIT_SUCCESS

    def dequeue(self) -> Packet | None:
        """Return the oldest packet."""
        self._catch_up()
        if not self.queue:
            return None
        skb, came = self._pop()
        self.kernel_view.packets += 1
        self.kernel_view.bytes += skb.wire_len
        now = self.dev.loop.now >> PSCHED_SHIFT
        self.pie.left(self.params, skb, now - came, self.kernel_view.backlog, now)
        return skb

    def reset(self) -> None:
        """Drop what is queued."""
        while self.queue:
            self.dev.drop(self.queue.popleft()[0], self.holder)
        self.pie = PieQueue()
        super().reset()

    def shown(self, details: bool = False) -> list[Part]:
        """Return the parameters."""
        return [entry("limit", self.limit, "limit {}p "), *shown_params(self.params), *shown_flags(self.params)]

    def xstats(self) -> list[Part]:
        """Return probability, delay and counters."""
        self._catch_up()
        pie = self.pie
        delay = (pie.qdelay << PSCHED_SHIFT) // 1000
        parts = [entry("prob", pie.prob / MAX_PROB, "\n  prob {:g}"),
                 Part(f" delay {tc_us_text(delay)}", "delay", delay)]
        if self.params.dq_rate_estimator:
            parts.append(entry("avg_dq_rate", pie.rate * (1_000_000_000 >> PSCHED_SHIFT) >> 8, " avg_dq_rate {}"))
        return [*parts, entry("pkts_in", self.packets_in, "\n  pkts_in {}"),
                entry("overlimit", self.overlimit, " overlimit {}"), entry("dropped", self.dropped, " dropped {}"),
                entry("maxq", self.maxq, " maxq {}"), entry("ecn_mark", self.ecn_mark, " ecn_mark {}")]


def shown_params(params: PieParams) -> list[Part]:
    """Return target, period and weights."""
    times = (("target", params.target // 1000), ("tupdate", params.period // 1000))
    return [*(Part(f"{word} {tc_us_text(time)} ", word, time) for word, time in times), worded("alpha", params.alpha),
            worded("beta", params.beta)]


def shown_flags(params: PieParams) -> list[Part]:
    """Return the flags that are set."""
    flags = (("ecn", params.ecn), ("bytemode", params.bytemode), ("dq_rate_estimator", params.dq_rate_estimator))
    return [Part(f"{word} ", word, True) for word, flag in flags if flag]


_OPPOSITES: Final = {"noecn": "ecn", "nobytemode": "bytemode", "no_dq_rate_estimator": "dq_rate_estimator"}


def pie_arguments(items: Sequence[tuple[str, Any]], folder: str) -> dict[str, Any]:
    """Return the arguments of `Pie`; as in `tc`, 0 is not passed on for what is no flag."""
    options = {_OPPOSITES.get(word, word): word not in _OPPOSITES and value for word, value in items}
    flags = _OPPOSITES.values()
    return {word: value for word, value in options.items() if value or word in flags}


PARAMS: Final = (
    QdiscOption(word="target", value="TIME", default="15ms", unit="microseconds", doc="delay that is aimed at"),
    QdiscOption(word="tupdate", value="TIME", default="15ms", unit="microseconds",
                doc="how often the probability is updated, in steps of 4ms"),
    QdiscOption(word="alpha", value="NUMBER", default=2, range=(0, 32), doc="weight of the delay, in sixteenths"),
    QdiscOption(word="beta", value="NUMBER", default=20, range=(0, 32),
                doc="weight of the change of the delay, in sixteenths"))
FLAGS: Final = (
    QdiscOption(word="ecn", doc="mark packets that are ECN capable instead of dropping them, while few are"),
    QdiscOption(word="noecn", argument="ecn", default="set", doc="drop them"),
    QdiscOption(word="bytemode", doc="drop small packets more seldom"),
    QdiscOption(word="nobytemode", argument="bytemode", default="set", doc="drop all alike"),
    QdiscOption(word="dq_rate_estimator", doc="estimate the delay by the rate of departures"),
    QdiscOption(word="no_dq_rate_estimator", argument="dq_rate_estimator", default="set",
                doc="measure the delay of packets"))

PIE: Final = QdiscKind(
    name="pie", make=Pie, without_options=True, arguments=pie_arguments,
    doc="One queue under PIE, which keeps its delay near a target (RFC 8033).",
    options=(QdiscOption(word="limit", value="NUMBER", default=LIMIT, unit="packets",
                         doc="packets that may be queued"), *PARAMS, *FLAGS))
