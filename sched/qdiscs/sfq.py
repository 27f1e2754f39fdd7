"""sfq: flows by hash take turns, and a full queue drops from the longest (McKenney, 1990; net/sched/sch_sfq.c)."""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, Final, Never, TypedDict, Unpack

from ebpfvm.checked import known
from ebpfvm.errnos import EINVAL, ENOSYS
from ebpfvm.lazy_tuples import NamedTuple
from ebpfvm.sched.classful import ClassfulQdisc, account_out, tree_reduce_backlog
from ebpfvm.sched.flow_lists import flow_of
from ebpfvm.sched.qdisc_kind import QdiscKind, QdiscOption
from ebpfvm.sched.qdiscs.fifo import psched_mtu
from ebpfvm.sched.qdiscs.sfq_red import RED_OPTIONS, FlowRed, sfq_arguments
from ebpfvm.sched.sch_generic import NET_XMIT_CN, NET_XMIT_DROP, NET_XMIT_SUCCESS, Stats
from ebpfvm.sched.shown import Part, entry, worded
from ebpfvm.sched.tc.block import Block
from ebpfvm.sched.tc.dissect import flow_hash
from ebpfvm.sched.units import NSEC_PER_SEC, format_size

if TYPE_CHECKING:
    from collections.abc import Iterator

    from ebpfvm.sched.account import Packet
    from ebpfvm.sched.red_law import RedParams, RedQueue
    from ebpfvm.sched.sch_generic import QdiscDevice

DEPTH: Final = 127  # SFQ_MAX_DEPTH
FLOWS: Final = 128  # SFQ_DEFAULT_FLOWS
DIVISOR: Final = 1024  # SFQ_DEFAULT_HASH_DIVISOR
_MAX_FLOWS: Final = 0x10000 - DEPTH - 1
_MIN_QUANTUM: Final = 256


class SfqFlow:
    """A flow: its packets, what is left of its turn, and when its length changed (a number that grows)."""

    __slots__ = ("allot", "backlog", "bucket", "changed", "queue", "red")

    def __init__(self, bucket: int, red: RedQueue | None = None) -> None:
        self.bucket = bucket
        self.red = red
        self.queue: deque[Packet] = deque()
        self.allot = self.backlog = self.changed = 0


class SfqClass(NamedTuple):
    """A flow as `tc class show` sees it."""

    classid: int
    flow: SfqFlow
    child: None = None


class SfqOptions(TypedDict, total=False):
    """The parameters of an sfq: packets, bytes of a turn, flows, packets of a flow, buckets, seconds, RED of flows."""

    limit: int
    quantum: int
    flows: int
    depth: int
    headdrop: bool
    divisor: int
    perturb: int
    red: RedParams


class Sfq(ClassfulQdisc):
    """Stochastic fairness queueing.

    Args:
        dev, handle: as for `Qdisc`.
        options: see `SfqOptions`.

    Raises:
        OSError: EINVAL if the limit is 1, or the number of buckets is not a power of 2.
    """

    kind = "sfq"
    can_bypass = True
    classes_count_sent = False

    def __init__(self, dev: QdiscDevice, handle: int = 0, **options: Unpack[SfqOptions]) -> None:
        super().__init__(dev, handle)
        self.block = Block(self)
        self.flows: dict[int, SfqFlow] = {}
        self.round: deque[SfqFlow] = deque()
        self._changes = 0
        self.limit, self.quantum, self.max_flows, self.depth = DEPTH, psched_mtu(dev), FLOWS, DEPTH
        self.divisor, self.headdrop, self.perturb = DIVISOR, False, 0
        self._seed = dev.account.kernel.random.getrandbits(32)
        self._perturbed = dev.loop.now
        self.red: FlowRed | None = None
        self._set_up(**options)

    def change(self, **options: Unpack[SfqOptions]) -> Never:
        """Raise OSError, ENOSYS: the options cannot be changed."""
        raise OSError(ENOSYS, "Change operation not supported by specified qdisc")

    def _set_up(self, **options: Unpack[SfqOptions]) -> None:
        """Set the named parameters (sfq_change, which `tc qdisc change` cannot call)."""
        known("sfq", options, SfqOptions.__annotations__)
        divisor, limit = options.get("divisor", 0), options.get("limit", 0)
        if divisor and (divisor & divisor - 1 or divisor > 65536):
            raise OSError(EINVAL, "Invalid argument: the divisor is a power of 2 up to 65536")
        if limit == 1:
            raise OSError(EINVAL, "invalid limit")
        if options.get("quantum"):
            self.quantum = max(options["quantum"], _MIN_QUANTUM)
        if options.get("flows"):
            self.max_flows = min(options["flows"], _MAX_FLOWS)
        if divisor:
            self.divisor = divisor
            self.max_flows = min(self.max_flows, divisor)
        if options.get("depth"):
            self.depth = min(options["depth"], DEPTH)
        self.headdrop = options.get("headdrop", self.headdrop)
        if limit:
            self.limit = min(limit, self.depth * self.max_flows)
            self.max_flows = min(self.max_flows, self.limit)
        self.perturb, self._perturbed = options.get("perturb", 0), self.dev.loop.now
        if "red" in options:
            random = self.dev.account.kernel.random
            self.red = FlowRed(options["red"], self.headdrop, lambda: random.getrandbits(32))

    def bind_filter(self) -> None:
        """Let packets pass through the queues from now on: a filter has to see them."""
        self.can_bypass = False

    def walk(self) -> Iterator[SfqClass]:
        """Yield the flows that have packets; they are classes that nothing can be attached to."""
        return (SfqClass(self.handle | bucket + 1, self.flows[bucket]) for bucket in sorted(self.flows))

    def class_stats(self, cl: SfqClass) -> Stats:
        """Return what is queued in a flow."""
        return Stats(qlen=len(cl.flow.queue), backlog=cl.flow.backlog)

    def class_xstats(self, cl: SfqClass) -> list[Part]:
        """Return what is left of the flow's turn."""
        return [entry("allot", cl.flow.allot, "\n  allot {}")]

    # ---- packets ----------------------------------------------------------------------------------------------

    def classify(self, skb: Packet) -> tuple[int, int]:
        """Return the bucket of a packet, -1 for none, and what enqueue then returns (sfq_classify)."""
        return flow_of(self, skb, self.divisor, lambda: flow_hash(skb, self._seed) % self.divisor)

    def enqueue(self, skb: Packet, to_free: list[Packet]) -> int:
        """Append the packet to its flow; over the limit, the longest flow loses one (sfq_enqueue)."""
        self._perturb()
        hops = skb.hops
        bucket, result = self.classify(skb)
        if bucket < 0:
            return self.unclassified(skb, hops, result, to_free)
        flow, stats = self.flows.get(bucket), self.kernel_view
        if flow is None and len(self.flows) >= self.max_flows:
            return self._refuse(skb, to_free)
        if flow is not None and (self._red_drops(flow, skb) or len(flow.queue) >= self.depth):
            return self._refuse(skb, to_free) if not self.headdrop else self._exchange(flow, skb, to_free)
        flow = flow if flow is not None else self._new_flow(bucket)
        self._append(flow, skb)
        stats.qlen += 1
        stats.backlog += skb.wire_len
        if stats.qlen <= self.limit:
            return NET_XMIT_SUCCESS
        before = len(flow.queue)
        dropped = self._drop_one()
        assert dropped is not None
        to_free.append(dropped)
        if len(flow.queue) != before:
            tree_reduce_backlog(self, 0, dropped.wire_len - skb.wire_len)
            return NET_XMIT_CN
        tree_reduce_backlog(self, 1, dropped.wire_len)
        return NET_XMIT_SUCCESS

    def _new_flow(self, bucket: int) -> SfqFlow:
        return SfqFlow(bucket, self.red.new_flow() if self.red is not None else None)

    def _red_drops(self, flow: SfqFlow, skb: Packet) -> bool:
        """Return whether RED decides against a packet for the flow, or the oldest one of the flow."""
        if self.red is None or flow.red is None:
            return False
        passes = self.red.passes(flow.red, flow.backlog, flow.queue[0], skb)
        self.kernel_view.overlimits += passes is not None
        return passes is False

    def _refuse(self, skb: Packet, to_free: list[Packet]) -> int:
        self.kernel_view.drops += 1
        to_free.append(skb)
        return NET_XMIT_DROP

    def _exchange(self, flow: SfqFlow, skb: Packet, to_free: list[Packet]) -> int:
        """Drop the oldest packet of a flow for the new one."""
        head = flow.queue.popleft()
        less = head.wire_len - skb.wire_len
        self.kernel_view.backlog -= less
        flow.backlog -= less
        self.kernel_view.drops += 1
        to_free.append(head)
        flow.queue.append(skb)
        tree_reduce_backlog(self, 0, less)
        return NET_XMIT_CN

    def _append(self, flow: SfqFlow, skb: Packet) -> None:
        flow.queue.append(skb)
        flow.backlog += skb.wire_len
        self._count(flow)
        if len(flow.queue) == 1:
            self.flows[flow.bucket] = flow
            self.round.append(flow)
            flow.allot = self.quantum

    def _count(self, flow: SfqFlow) -> None:
        self._changes += 1
        flow.changed = self._changes

    def _drop_one(self) -> Packet | None:
        """Remove a packet of the longest flow, of the one that became so last; its caller frees it (sfq_drop)."""
        if not self.flows:
            return None
        flow = max(self.flows.values(), key=lambda flow: (len(flow.queue), flow.changed))
        if len(flow.queue) == 1:
            flow = self.round[0]
        skb = flow.queue.popleft() if self.headdrop else flow.queue.pop()
        flow.backlog -= skb.wire_len
        self._count(flow)
        if not flow.queue:
            self._forget(flow)
        stats = self.kernel_view
        stats.qlen -= 1
        stats.backlog -= skb.wire_len
        stats.drops += 1
        return skb

    def _forget(self, flow: SfqFlow) -> None:
        del self.flows[flow.bucket]
        self.round.remove(flow)

    def dequeue(self) -> Packet | None:
        """Return a packet of the flow whose turn it is (sfq_dequeue)."""
        self._perturb()
        if not self.round:
            return None
        while self.round[0].allot <= 0:
            self.round[0].allot += self.quantum
            self.round.rotate(-1)
        flow = self.round[0]
        skb = flow.queue.popleft()
        flow.backlog -= skb.wire_len
        self._count(flow)
        account_out(self, skb)
        if flow.queue:
            flow.allot -= skb.wire_len
        else:
            self._forget(flow)
        return skb

    def _perturb(self) -> None:
        """Choose another hash if it is time, and sort the packets into flows anew."""
        period = self.perturb * NSEC_PER_SEC
        if not period or self.dev.loop.now - self._perturbed < period:
            return
        self._perturbed = self.dev.loop.now - (self.dev.loop.now - self._perturbed) % period
        self._seed = self.dev.account.kernel.random.getrandbits(32)
        if self.block is not None and self.block.chains:
            return
        queued = [skb for flow in self.round for skb in flow.queue]
        self.flows.clear()
        self.round.clear()
        for skb in queued:
            bucket, _ = self.classify(skb)
            self._append(self.flows.get(bucket) or self._new_flow(bucket), skb)

    def reset(self) -> None:
        """Drop what is queued."""
        for flow in self.round:
            for skb in flow.queue:
                self.dev.drop(skb, self.holder)
        self.flows.clear()
        self.round.clear()
        super().reset()

    def shown(self, details: bool = False) -> list[Part]:
        """Return the parameters."""
        parts = [entry("limit", self.limit, "limit {}p "),
                 Part(f"quantum {format_size(self.quantum)} ", "quantum", self.quantum), worded("depth", self.depth)]
        if self.headdrop:
            parts.append(Part("headdrop ", "headdrop", True))
        if details:
            parts.append(worded("flows", self.max_flows))
        parts.append(worded("divisor", self.divisor))
        if self.perturb:
            parts.append(entry("perturb", self.perturb, "perturb {}sec "))
        return parts if self.red is None else [*parts, *self.red.shown()]

    def counted(self) -> list[Part]:
        """Return the counters of the RED of flows."""
        return [] if self.red is None else self.red.counted()


SFQ: Final = QdiscKind(
    name="sfq", make=Sfq, arguments=sfq_arguments, without_options=True,
    doc="Stochastic fairness queueing: flows by hash take turns, and a full queue drops from the longest flow.",
    options=(
        QdiscOption(word="limit", value="NUMBER", default=DEPTH, unit="packets", doc="packets that may be queued"),
        QdiscOption(word="perturb", value="NUMBER", default="0: never", unit="seconds",
                    doc="how often the hash changes, so that flows do not share a queue for long"),
        QdiscOption(word="quantum", value="SIZE", default="a full frame", unit="bytes",
                    doc="bytes that a flow may send in a turn, at least 256"),
        QdiscOption(word="flows", value="NUMBER", default=FLOWS, doc="number of flows, at most `limit`"),
        QdiscOption(word="depth", value="NUMBER", default=DEPTH, unit="packets", doc="packets of one flow"),
        QdiscOption(word="headdrop", doc="drop the oldest packet of a flow instead of the newest"),
        QdiscOption(word="divisor", value="NUMBER", default=DIVISOR, doc="number of buckets of the hash"),
        *RED_OPTIONS))
