"""fq_pie: flows by hash, deficit round robin between them, and PIE in each (net/sched/sch_fq_pie.c, Linux 7.2)."""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, Any, Final, TypedDict, Unpack

from ebpfvm.checked import known
from ebpfvm.errnos import EINVAL
from ebpfvm.sched.classful import account_out, drop_above
from ebpfvm.sched.flow_lists import FlowLists
from ebpfvm.sched.pie_law import MAX_PROB, PieParams, PieQueue, PieTimer
from ebpfvm.sched.psched import PSCHED_SHIFT
from ebpfvm.sched.qdisc_kind import QdiscKind, QdiscOption
from ebpfvm.sched.qdiscs.fifo import psched_mtu
from ebpfvm.sched.qdiscs.pie import FLAGS, PARAMS, pie_arguments, shown_flags, shown_params
from ebpfvm.sched.sch_generic import NET_XMIT_CN, NET_XMIT_SUCCESS, TC_H_MAJ_MASK, Qdisc
from ebpfvm.sched.shown import Part, entry, worded
from ebpfvm.sched.tc.dissect import set_ce, skb_get_hash
from ebpfvm.sched.truesize import truesize
from ebpfvm.sched.units import format_size

if TYPE_CHECKING:

    from ebpfvm.sched.account import Packet
    from ebpfvm.sched.sch_generic import QdiscDevice

LIMIT, FLOWS, MEMORY_LIMIT, ECN_PROB = 10240, 1024, 32 << 20, 10
_MAX_FLOWS: Final = 65536


class FqPieFlow:
    """A flow: its packets with their arrival times (ticks), its deficit and its PIE state."""

    __slots__ = ("backlog", "deficit", "pie", "queue")

    def __init__(self) -> None:
        self.queue: deque[tuple[Packet, int]] = deque()
        self.backlog = self.deficit = 0
        self.pie = PieQueue()


class FqPieOptions(TypedDict, total=False):
    """The parameters of an fq_pie: those of `PieOptions`, and of its flows."""

    limit: int
    flows: int
    target: int
    tupdate: int
    alpha: int
    beta: int
    quantum: int
    memory_limit: int
    ecn_prob: int
    ecn: bool
    bytemode: bool
    dq_rate_estimator: bool


class FqPie(Qdisc):
    """Fair queueing with PIE.

    Args:
        dev, handle: as for `Qdisc`.
        options: see `FqPieOptions`.

    Raises:
        OSError: EINVAL if the number of flows is out of range.
    """

    kind = "fq_pie"

    def __init__(self, dev: QdiscDevice, handle: int = 0, **options: Unpack[FqPieOptions]) -> None:
        super().__init__(dev, handle)
        self.number = options.pop("flows", FLOWS)
        if not 1 <= self.number <= _MAX_FLOWS:
            raise OSError(EINVAL, f"Number of flows must range in [1..{_MAX_FLOWS}]")
        self.flows: dict[int, FqPieFlow] = {}
        self.turns: FlowLists[FqPieFlow] = FlowLists()
        self.counts = dict.fromkeys(("pkts_in", "overlimit", "overmemory", "dropped", "ecn_mark", "new_flow_count"), 0)
        self.memory_used = 0
        self.timer = PieTimer(dev.loop.now)
        self.limit, self.quantum, self.memory_limit, self.ecn_prob = LIMIT, psched_mtu(dev), MEMORY_LIMIT, ECN_PROB
        self.params = PieParams(mtu=psched_mtu(dev))
        self.change(**options)

    def change(self, **options: Unpack[FqPieOptions]) -> None:
        """Set the named parameters; the number of flows is fixed (fq_pie_change)."""
        known("fq_pie", options, FqPieOptions.__annotations__)
        if options.get("flows", self.number) != self.number:
            raise OSError(EINVAL, "Number of flows cannot be changed")
        self._catch_up()
        given: dict[str, Any] = {word: value for word, value in options.items() if word != "flows"}
        for word in ("limit", "quantum", "memory_limit", "ecn_prob"):
            setattr(self, word, given.pop(word, getattr(self, word)))
        self.params = self.params._replace(**given)
        drop_above(self, self.limit, self.dequeue)

    def _catch_up(self) -> None:
        self.timer.catch_up(self.dev.loop.now, self.params,
                            lambda: [(flow.pie, flow.backlog) for flow in self.flows.values()])

    def _index(self, skb: Packet) -> int:
        """Return the flow of a packet: its priority can name one (fq_pie_classify; filters cannot be added)."""
        minor = skb.priority & 0xFFFF
        if skb.priority & TC_H_MAJ_MASK == self.handle and 0 < minor <= self.number:
            return minor - 1
        return skb_get_hash(skb) * self.number >> 32

    def enqueue(self, skb: Packet, to_free: list[Packet]) -> int:
        """Append the packet to its flow, unless there is no room or chance is against it (fq_pie_qdisc_enqueue)."""
        self._catch_up()
        index = self._index(skb)
        flow = self.flows.setdefault(index, FqPieFlow())
        if not self._passes(flow, skb):
            self.counts["dropped"] += 1
            flow.pie.accu_prob = 0
            self.kernel_view.drops += 1
            to_free.append(skb)
            return NET_XMIT_CN
        self.counts["pkts_in"] += 1
        self.memory_used += truesize(skb)
        self.kernel_view.qlen += 1
        self.kernel_view.backlog += skb.wire_len
        flow.queue.append((skb, self.dev.loop.now >> PSCHED_SHIFT))
        flow.backlog += skb.wire_len
        self.counts["new_flow_count"] += self.turns.begin(index, flow, self.quantum)
        return NET_XMIT_SUCCESS

    def _passes(self, flow: FqPieFlow, skb: Packet) -> bool:
        if self.kernel_view.qlen >= self.limit:
            self.counts["overlimit"] += 1
            return False
        if self.memory_used + truesize(skb) > self.memory_limit:
            self.counts["overmemory"] += 1
        if not flow.pie.drops_early(self.params, flow.backlog, skb.len,
                                    lambda: self.dev.account.kernel.random.getrandbits(64)):
            return True
        marked = self.params.ecn and flow.pie.prob <= MAX_PROB // 100 * self.ecn_prob and set_ce(skb)
        self.counts["ecn_mark"] += marked
        return marked

    def dequeue(self) -> Packet | None:
        """Return the next packet: new flows first, a quantum each (fq_pie_qdisc_dequeue)."""
        self._catch_up()
        while (flow := self.turns.turn(self.quantum)) is not None:
            if flow.queue:
                return self._take(flow)
            self.turns.emptied()
        return None

    def _take(self, flow: FqPieFlow) -> Packet:
        skb, came = flow.queue.popleft()
        now = self.dev.loop.now >> PSCHED_SHIFT
        account_out(self, skb)
        flow.deficit -= skb.wire_len
        flow.backlog -= skb.wire_len
        self.memory_used -= truesize(skb)
        flow.pie.left(self.params, skb, now - came, flow.backlog, now)
        return skb

    def reset(self) -> None:
        """Drop what is queued, and forget the flows."""
        for flow in self.flows.values():
            for skb, _ in flow.queue:
                self.dev.drop(skb, self.holder)
        self.flows.clear()
        self.turns.clear()
        self.memory_used = 0
        super().reset()

    def shown(self, details: bool = False) -> list[Part]:
        """Return the parameters."""
        return [entry("limit", self.limit, "limit {}p "), worded("flows", self.number), *shown_params(self.params),
                Part(f"quantum {format_size(self.quantum)} ", "quantum", self.quantum),
                Part(f"memory_limit {format_size(self.memory_limit)} ", "memory_limit", self.memory_limit),
                worded("ecn_prob", self.ecn_prob), *shown_flags(self.params)]

    def xstats(self) -> list[Part]:
        """Return the counters."""
        self._catch_up()
        first = ("pkts_in", "overlimit", "overmemory", "dropped", "ecn_mark")
        lengths = (("new_flow_count", self.counts["new_flow_count"]), ("new_flows_len", len(self.turns.new)),
                   ("old_flows_len", len(self.turns.old)), ("memory_used", self.memory_used))
        return [*(entry(word, self.counts[word], ("\n  " if word == first[0] else " ") + f"{word} {{}}")
                  for word in first),
                *(entry(word, value, ("\n  " if word == "new_flow_count" else " ") + f"{word} {{}}")
                  for word, value in lengths)]


FQ_PIE: Final = QdiscKind(
    name="fq_pie", make=FqPie, without_options=True, arguments=pie_arguments,
    doc="Flows by hash, deficit round robin between them, and PIE in each.",
    options=(
        QdiscOption(word="limit", value="NUMBER", default=LIMIT, unit="packets", doc="packets of all flows"),
        QdiscOption(word="flows", value="NUMBER", default=FLOWS, range=(1, _MAX_FLOWS),
                    doc="number of queues; it cannot be changed later"),
        *PARAMS,
        QdiscOption(word="quantum", value="SIZE", default="a full frame", unit="bytes",
                    doc="bytes that a flow may send in a round"),
        QdiscOption(word="memory_limit", value="SIZE", default=format_size(MEMORY_LIMIT), unit="bytes",
                    doc="memory above which packets count as over it; they are queued all the same"),
        QdiscOption(word="ecn_prob", value="NUMBER", default=ECN_PROB, unit="percent", range=(0, 100),
                    doc="probability up to which `ecn` marks"),
        *FLAGS))
