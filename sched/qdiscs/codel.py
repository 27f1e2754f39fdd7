"""codel: one queue under the control law CoDel (RFC 8289; net/sched/sch_codel.c, Linux 7.2)."""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, Any, Final, TypedDict, Unpack

from ebpfvm.checked import known
from ebpfvm.sched.classful import drop_above
from ebpfvm.sched.codel_law import (
    CODEL_SHIFT,
    CodelCounts,
    CodelParams,
    CodelQueue,
    CodelVars,
    codel_dequeue,
    codel_time_part,
    codel_time_text,
    drop_next_text,
    tell_parents,
    whole_us,
)
from ebpfvm.sched.qdisc_kind import QdiscKind, QdiscOption
from ebpfvm.sched.qdiscs.fifo import psched_mtu
from ebpfvm.sched.sch_generic import NET_XMIT_DROP, NET_XMIT_SUCCESS, Qdisc
from ebpfvm.sched.shown import Part, entry
from ebpfvm.sched.units import format_tc_time

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ebpfvm.sched.account import Packet
    from ebpfvm.sched.sch_generic import QdiscDevice

LIMIT: Final = 1000  # DEFAULT_CODEL_LIMIT
TARGET, INTERVAL = 5_000_000, 100_000_000


class CodelOptions(TypedDict, total=False):
    """The parameters of a codel: packets, times in ns, and whether to mark instead of dropping."""

    limit: int
    target: int
    interval: int
    ecn: bool
    ce_threshold: int


class Codel(Qdisc):
    """Drops from the head of a queue whose delay has stayed above the target for an interval.

    Args:
        dev, handle: as for `Qdisc`.
        options: see `CodelOptions`.

    Attributes:
        counts: counters of `tc -s`.
        drop_overlimit: packets that found `limit` reached.
    """

    kind = "codel"

    def __init__(self, dev: QdiscDevice, handle: int = 0, **options: Unpack[CodelOptions]) -> None:
        super().__init__(dev, handle)
        self.queue: deque[tuple[Packet, int]] = deque()
        self.state = CodelVars()
        self.counts = CodelCounts()
        self.drop_overlimit = 0
        self.limit, self.ecn, self.target, self.interval = LIMIT, False, TARGET, INTERVAL
        self.ce_threshold: int | None = None
        self.change(**options)
        self.can_bypass = self.limit >= 1

    def change(self, **options: Unpack[CodelOptions]) -> None:
        """Set the named parameters; packets above a smaller limit are dropped (codel_change)."""
        known("codel", options, CodelOptions.__annotations__)
        self.limit, self.ecn = options.get("limit", self.limit), options.get("ecn", self.ecn)
        self.target, self.interval = options.get("target", self.target), options.get("interval", self.interval)
        self.ce_threshold = options.get("ce_threshold", self.ce_threshold)
        self.params = CodelParams(self.target >> CODEL_SHIFT, self.interval >> CODEL_SHIFT, psched_mtu(self.dev),
                                  self.ecn, None if self.ce_threshold is None else self.ce_threshold >> CODEL_SHIFT)
        drop_above(self, self.limit, self._discard)

    def _discard(self) -> Packet | None:
        head = self._pop()
        if head is None:
            return None
        self.kernel_view.drops += 1
        return head[0]

    def enqueue(self, skb: Packet, to_free: list[Packet]) -> int:
        """Append the packet, unless there is no room."""
        stats = self.kernel_view
        if stats.qlen >= self.limit:
            self.drop_overlimit += 1
            stats.drops += 1
            to_free.append(skb)
            return NET_XMIT_DROP
        self.queue.append((skb, self.dev.loop.now >> CODEL_SHIFT))
        stats.qlen += 1
        stats.backlog += skb.wire_len
        return NET_XMIT_SUCCESS

    def _pop(self) -> tuple[Packet, int] | None:
        if not self.queue:
            return None
        head = self.queue.popleft()
        self.kernel_view.qlen -= 1
        self.kernel_view.backlog -= head[0].wire_len
        return head

    def dequeue(self) -> Packet | None:
        """Return the next packet that the control law leaves."""
        queue = CodelQueue(self._pop, self, self.counts)
        skb = codel_dequeue(queue, self.params, self.state, self.dev.loop.now >> CODEL_SHIFT)
        tell_parents(self, self.counts)
        if skb is not None:
            self.kernel_view.packets += 1
            self.kernel_view.bytes += skb.wire_len
        return skb

    def reset(self) -> None:
        """Drop what is queued."""
        while self.queue:
            self.dev.drop(self.queue.popleft()[0], self.holder)
        self.state = CodelVars()
        super().reset()

    def shown(self, details: bool = False) -> list[Part]:
        """Return the parameters."""
        parts = [entry("limit", self.limit, "limit {}p "), codel_time_part("target", self.target)]
        if self.ce_threshold is not None:
            parts.append(codel_time_part("ce_threshold", self.ce_threshold))
        parts.append(codel_time_part("interval", self.interval))
        return [*parts, Part("ecn ", "ecn", True)] if self.ecn else parts

    def xstats(self) -> list[Part]:
        """Return the state of the control law and the counters."""
        state, counts = self.state, self.counts
        rest = state.drop_next - (self.dev.loop.now >> CODEL_SHIFT) if state.dropping else 0
        parts = [entry("count", state.count, "\n  count {}"), entry("lastcount", state.lastcount, " lastcount {}"),
                 Part(f" ldelay {codel_time_text(state.ldelay << CODEL_SHIFT)}", "ldelay", whole_us(state.ldelay))]
        if state.dropping:
            parts.append(Part(" dropping", "dropping", True))
        parts += [Part(f" drop_next {drop_next_text(rest)}", "drop_next", whole_us(rest)),
                  entry("maxpacket", counts.maxpacket, "\n  maxpacket {}"),
                  entry("ecn_mark", counts.ecn_mark, " ecn_mark {}"),
                  entry("drop_overlimit", self.drop_overlimit, " drop_overlimit {}")]
        return [*parts, entry("ce_mark", counts.ce_mark, " ce_mark {}")] if counts.ce_mark else parts


def codel_arguments(items: Sequence[tuple[str, Any]], folder: str) -> dict[str, Any]:
    """Return the arguments of `Codel`; as in `tc`, 0 is not passed on."""
    options = {("ecn" if word == "noecn" else word): word != "noecn" and value for word, value in items}
    return {word: value for word, value in options.items() if value or word in ("ecn", "ce_threshold")}


CODEL: Final = QdiscKind(
    name="codel", make=Codel, without_options=True, arguments=codel_arguments,
    doc="One queue under CoDel, which keeps its delay near a target (RFC 8289).",
    options=(
        QdiscOption(word="limit", value="NUMBER", default=LIMIT, unit="packets", doc="packets that may be queued"),
        QdiscOption(word="target", value="TIME", default=format_tc_time(TARGET), unit="microseconds",
                    doc="delay that is allowed to stay"),
        QdiscOption(word="interval", value="TIME", default=format_tc_time(INTERVAL), unit="microseconds",
                    doc="how long the delay may be above `target` before packets are dropped"),
        QdiscOption(word="ecn", doc="mark packets that are ECN capable instead of dropping them"),
        QdiscOption(word="noecn", argument="ecn", default="set", doc="drop them"),
        QdiscOption(word="ce_threshold", value="TIME", unit="microseconds",
                    doc="mark packets that have waited longer")))
