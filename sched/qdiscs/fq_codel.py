"""fq_codel: flows by hash, deficit round robin between them, CoDel in each.

Sources: net/sched/sch_fq_codel.c, Linux 7.2; RFC 8290.
"""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, Any, Final, TypedDict, Unpack

from ebpfvm.checked import known
from ebpfvm.errnos import EINVAL
from ebpfvm.lazy_tuples import NamedTuple
from ebpfvm.sched.classful import ClassfulQdisc, tree_reduce_backlog
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
from ebpfvm.sched.flow_lists import FlowLists, flow_of
from ebpfvm.sched.qdisc_kind import QdiscKind, QdiscOption
from ebpfvm.sched.qdiscs.fifo import psched_mtu
from ebpfvm.sched.sch_generic import NET_XMIT_CN, NET_XMIT_SUCCESS, Stats
from ebpfvm.sched.shown import Part, entry, worded
from ebpfvm.sched.tc.block import Block
from ebpfvm.sched.tc.dissect import skb_get_hash
from ebpfvm.sched.truesize import memory_of
from ebpfvm.sched.units import format_size, format_tc_time

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from ebpfvm.sched.account import Packet
    from ebpfvm.sched.sch_generic import QdiscDevice

_MAX_FLOWS: Final = 65536
_MIN_QUANTUM, _MAX_QUANTUM = 256, 1 << 20  # FQ_CODEL_QUANTUM_MAX
LIMIT, FLOWS, MEMORY_LIMIT, DROP_BATCH = 10240, 1024, 32 << 20, 64  # fq_codel_init
TARGET, INTERVAL = 5_000_000, 100_000_000


class FqCodelFlow:
    """One queue: its packets with their arrival times, its deficit and its CoDel state."""

    __slots__ = ("backlog", "cvars", "deficit", "queue")

    def __init__(self) -> None:
        self.queue: deque[tuple[Packet, int]] = deque()
        self.backlog = self.deficit = 0
        self.cvars = CodelVars()


class FqCodelClass(NamedTuple):
    """A flow as `tc class show` sees it at a time (units of 1024 ns)."""

    classid: int
    flow: FqCodelFlow
    now: int
    child: None = None


class FqCodelOptions(TypedDict, total=False):
    """The parameters of an fq_codel.

    Attributes:
        limit: maximum number of packets in all flows.
        flows: number of queues, 1 to 65536.
        target, interval: ns.
        quantum: bytes that a flow may send in a round.
        ecn: mark packets instead of dropping them where possible.
        memory_limit: maximum number of bytes of packets that came in from another device, whose buffers no socket
            pays for.
        drop_batch: maximum number of packets that are dropped at once when a limit is exceeded.
        ce_threshold: sojourn time in ns above which packets are marked.
        ce_selector: value and mask of the DSCP and ECN byte of the packets to which `ce_threshold` applies; mask 0
            selects all.
    """

    limit: int
    flows: int
    target: int
    interval: int
    quantum: int
    ecn: bool
    memory_limit: int
    drop_batch: int
    ce_threshold: int
    ce_selector: tuple[int, int]


class FqCodel(ClassfulQdisc):
    """Fair queueing with controlled delay.

    Args:
        dev, handle: as for `Qdisc`.
        options: see `FqCodelOptions`.

    Attributes:
        drop_overlimit, drop_overmemory, new_flow_count, memory_usage: as `tc -s` shows them.
        counts: the other counters of `tc -s`.

    Raises:
        OSError: EINVAL if the number of flows is out of range.
    """

    kind = "fq_codel"
    can_bypass = True
    classes_count_sent = False

    def __init__(self, dev: QdiscDevice, handle: int = 0, **options: Unpack[FqCodelOptions]) -> None:
        super().__init__(dev, handle)
        self.number = options.pop("flows", FLOWS)
        if not 1 <= self.number <= _MAX_FLOWS:
            raise OSError(EINVAL, f"fq_codel has 1 to {_MAX_FLOWS} flows, not {self.number}")
        self.block = Block(self)
        self.flows: dict[int, FqCodelFlow] = {}
        self.turns: FlowLists[FqCodelFlow] = FlowLists()
        self.drop_overlimit = self.new_flow_count = self.memory_usage = self.drop_overmemory = 0
        self.counts = CodelCounts()
        self.limit, self.memory_limit, self.drop_batch, self.ecn = LIMIT, MEMORY_LIMIT, DROP_BATCH, True
        self.target, self.interval, self.quantum = TARGET, INTERVAL, psched_mtu(dev)
        self.ce_threshold: int | None = None
        self.ce_selector = (0, 0)
        self.change(**options)

    def change(self, **options: Unpack[FqCodelOptions]) -> None:
        """Set the named parameters; the number of flows is fixed (fq_codel_change)."""
        known("fq_codel", options, FqCodelOptions.__annotations__)
        if options.get("flows", self.number) != self.number:
            raise OSError(EINVAL, "the number of flows of an fq_codel cannot change")
        if options.get("quantum", 0) > _MAX_QUANTUM:
            raise OSError(EINVAL, "Invalid quantum")
        self.limit = max(1, options.get("limit", self.limit))
        self.memory_limit = min(1 << 31, options.get("memory_limit", self.memory_limit))
        self.drop_batch = max(1, options.get("drop_batch", self.drop_batch))
        self.quantum = max(_MIN_QUANTUM, options["quantum"]) if "quantum" in options else self.quantum
        self.target = options.get("target", self.target)
        self.interval = options.get("interval", self.interval)
        self.ecn = options.get("ecn", self.ecn)
        self.ce_threshold = options.get("ce_threshold", self.ce_threshold)
        self.ce_selector = options.get("ce_selector", self.ce_selector)
        self.params = CodelParams(self.target >> CODEL_SHIFT, self.interval >> CODEL_SHIFT, psched_mtu(self.dev),
                                  self.ecn, None if self.ce_threshold is None else self.ce_threshold >> CODEL_SHIFT,
                                  *self.ce_selector)
        while self.kernel_view.qlen > self.limit or self.memory_usage > self.memory_limit:
            skb = self.dequeue()  # enforce a smaller limit at once, in the order of service
            if skb is None:
                break
            self.kernel_view.packets -= 1
            self.kernel_view.bytes -= skb.wire_len
            self.dev.drop(skb, self.holder)

    def bind_filter(self) -> None:
        """Let packets pass through the queues from now on: a filter has to see them (fq_codel_bind)."""
        self.can_bypass = False

    def walk(self) -> Iterator[FqCodelClass]:
        """Yield the flows that are in a list; they are classes that nothing can be attached to."""
        now = self.dev.loop.now >> CODEL_SHIFT
        for index in sorted({*self.turns.new, *self.turns.old}):
            yield FqCodelClass(self.handle | index + 1, self.flows[index], now)

    def class_stats(self, cl: FqCodelClass) -> Stats:
        """Return what is queued in a flow."""
        return Stats(qlen=len(cl.flow.queue), backlog=cl.flow.backlog)

    def class_xstats(self, cl: FqCodelClass) -> list[Part]:
        """Return the state of a flow."""
        state, rest = cl.flow.cvars, cl.flow.cvars.drop_next - cl.now
        parts = [entry("deficit", cl.flow.deficit, "\n  deficit {}"), entry("count", state.count, " count {}"),
                 entry("lastcount", state.lastcount, " lastcount {}"),
                 Part(f" ldelay {codel_time_text(state.ldelay << CODEL_SHIFT)}", "ldelay", whole_us(state.ldelay))]
        if state.dropping:
            parts += [Part(" dropping", "dropping", True),
                      Part(f" drop_next {drop_next_text(rest)}", "drop_next", whole_us(rest))]
        return parts

    def classify(self, skb: Packet) -> tuple[int, int]:
        """Return the flow of a packet, -1 for none, and what enqueue then returns (fq_codel_classify)."""
        return flow_of(self, skb, self.number, lambda: skb_get_hash(skb) * self.number >> 32)

    def enqueue(self, skb: Packet, to_free: list[Packet]) -> int:
        """Append the packet to its flow; over a limit, the fattest flow loses up to half (fq_codel_enqueue)."""
        hops = skb.hops
        index, result = self.classify(skb)
        if index < 0:
            return self.unclassified(skb, hops, result, to_free)
        flow = self.flows.setdefault(index, FqCodelFlow())
        flow.queue.append((skb, self.dev.loop.now >> CODEL_SHIFT))
        flow.backlog += skb.wire_len
        stats = self.kernel_view
        stats.backlog += skb.wire_len
        stats.qlen += 1
        self.memory_usage += memory_of(skb)
        self.new_flow_count += self.turns.begin(index, flow, self.quantum)
        if stats.qlen <= self.limit and self.memory_usage <= self.memory_limit:
            return NET_XMIT_SUCCESS
        return self._overlimit(skb, index, to_free)

    def _overlimit(self, skb: Packet, index: int, to_free: list[Packet]) -> int:
        stats = self.kernel_view
        before = stats.qlen, stats.backlog
        memory_limited = self.memory_usage > self.memory_limit
        hit = self._drop_batch(to_free)
        packets, size = before[0] - stats.qlen, before[1] - stats.backlog
        self.drop_overlimit += packets
        self.drop_overmemory += packets * memory_limited
        if hit == index:  # the parent has not counted this packet, and will not, because it gets NET_XMIT_CN
            tree_reduce_backlog(self, packets - 1, size - skb.wire_len)
            return NET_XMIT_CN
        tree_reduce_backlog(self, packets, size)
        return NET_XMIT_SUCCESS

    def _drop_batch(self, to_free: list[Packet]) -> int:
        """Drop from the head of the flow with most bytes (fq_codel_drop), and return which one it was."""
        index = max(sorted(self.flows), key=lambda i: self.flows[i].backlog)
        flow = self.flows[index]
        threshold, size, count = flow.backlog >> 1, 0, 0
        while count < self.drop_batch and (not count or size < threshold):
            skb, _ = flow.queue.popleft()
            size += skb.wire_len
            self.memory_usage -= memory_of(skb)
            count += 1
            to_free.append(skb)
        flow.cvars.count += count
        flow.backlog -= size
        self.kernel_view.drops += count
        self.kernel_view.backlog -= size
        self.kernel_view.qlen -= count
        return index

    def dequeue(self) -> Packet | None:
        """Return the next packet: new flows first, a quantum each, CoDel in the flow (fq_codel_dequeue)."""
        while (flow := self.turns.turn(self.quantum)) is not None:
            skb = codel_dequeue(self._codel_queue(flow), self.params, flow.cvars, self.dev.loop.now >> CODEL_SHIFT)
            if skb is not None:
                self.kernel_view.packets += 1
                self.kernel_view.bytes += skb.wire_len
                flow.deficit -= skb.wire_len
                tell_parents(self, self.counts)
                return skb
            self.turns.emptied()
        return None

    def _codel_queue(self, flow: FqCodelFlow) -> CodelQueue:
        def pop() -> tuple[Packet, int] | None:
            if not flow.queue:
                return None
            head = flow.queue.popleft()
            size = head[0].wire_len
            flow.backlog -= size
            self.memory_usage -= memory_of(head[0])
            self.kernel_view.backlog -= size
            self.kernel_view.qlen -= 1
            return head

        return CodelQueue(pop, self, self.counts)

    def reset(self) -> None:
        """Drop what is queued, and forget the flows."""
        for flow in self.flows.values():
            for skb, _ in flow.queue:
                self.dev.drop(skb, self.holder)
        self.flows.clear()
        self.turns.clear()
        self.memory_usage = 0
        super().reset()

    def shown(self, details: bool = False) -> list[Part]:
        """Return the parameters as `tc` prints them."""
        parts = [entry("limit", self.limit, "limit {}p "), worded("flows", self.number),
                 worded("quantum", self.quantum), codel_time_part("target", self.target)]
        if self.ce_threshold is not None:
            parts.append(codel_time_part("ce_threshold", self.ce_threshold))
        value, mask = self.ce_selector
        if mask:
            parts += [entry("ce_threshold_selector", value, "ce_threshold_selector {:#x}"),
                      entry("ce_threshold_mask", mask, "/{:#x} ")]
        parts += [codel_time_part("interval", self.interval),
                  Part(f"memory_limit {format_size(self.memory_limit)} ", "memory_limit", self.memory_limit)]
        if self.ecn:
            parts.append(Part("ecn ", "ecn", True))
        return [*parts, worded("drop_batch", self.drop_batch)]

    def xstats(self) -> list[Part]:
        """Return what `tc -s` prints after the counters."""
        counts = self.counts
        parts = [entry("maxpacket", counts.maxpacket, "\n  maxpacket {}"),
                 entry("drop_overlimit", self.drop_overlimit, " drop_overlimit {}"),
                 entry("new_flow_count", self.new_flow_count, " new_flow_count {}"),
                 entry("ecn_mark", counts.ecn_mark, " ecn_mark {}")]
        more = (("ce_mark", counts.ce_mark), ("memory_used", self.memory_usage),
                ("drop_overmemory", self.drop_overmemory))
        parts += [entry(key, value, f" {key} {{}}") for key, value in more if value]
        return [*parts, entry("new_flows_len", len(self.turns.new), "\n  new_flows_len {}"),
                entry("old_flows_len", len(self.turns.old), " old_flows_len {}")]


def fq_codel_arguments(items: Sequence[tuple[str, Any]], folder: str) -> dict[str, Any]:
    """Return the arguments of `FqCodel`; like `tc`, pass 0 to the kernel only where it is a valid value."""
    options = {("ecn" if word == "noecn" else word): word != "noecn" and value for word, value in items}
    if "ce_threshold_selector" in options:
        options["ce_selector"] = options.pop("ce_threshold_selector")
    return {word: value for word, value in options.items() if value or word not in _ZERO_IS_UNSET}


_ZERO_IS_UNSET: Final = ("limit", "flows", "target", "interval", "quantum", "drop_batch")

FQ_CODEL: Final = QdiscKind(
    name="fq_codel", make=FqCodel, without_options=True, arguments=fq_codel_arguments,
    doc="Flows by hash, deficit round robin between them, and CoDel in each (RFC 8290).",
    options=(
        QdiscOption(word="limit", value="NUMBER", default=LIMIT, unit="packets", doc="packets of all flows"),
        QdiscOption(word="flows", value="NUMBER", default=FLOWS, range=(1, _MAX_FLOWS),
                    doc="number of queues; it cannot be changed later"),
        QdiscOption(word="target", value="TIME", default=format_tc_time(TARGET), unit="microseconds",
                    doc="delay that is allowed to stay"),
        QdiscOption(word="interval", value="TIME", default=format_tc_time(INTERVAL), unit="microseconds",
                    doc="how long the delay may be above `target` before packets are dropped"),
        QdiscOption(word="quantum", value="NUMBER", default="a full frame", range=(_MIN_QUANTUM, _MAX_QUANTUM),
                    unit="bytes", doc="bytes that a flow may send in a round; less counts as the least"),
        QdiscOption(word="ecn", default="set", doc="mark packets that are ECN capable instead of dropping them"),
        QdiscOption(word="noecn", argument="ecn", doc="drop them"),
        QdiscOption(word="memory_limit", value="SIZE", default=format_size(MEMORY_LIMIT), unit="bytes",
                    doc="bytes of all flows"),
        QdiscOption(word="drop_batch", value="NUMBER", default=DROP_BATCH, unit="packets",
                    doc="packets that are dropped at once when a limit is reached"),
        QdiscOption(word="ce_threshold", value="TIME", unit="microseconds",
                    doc="mark packets that have waited longer"),
        QdiscOption(word="ce_threshold_selector", value="SELECTOR", argument="ce_selector",
                    doc="DSCP and ECN byte of the packets that `ce_threshold` is for")))
