"""fq: flows in three bands that take turns, and packets that leave at their time (net/sched/sch_fq.c, Linux 7.2).

The device's own packets come from sockets without a pacing rate, so that `maxrate` and time stamps (`skb->tstamp`)
alone pace flows. A flow is what `skb->hash` says.
"""

from __future__ import annotations

from bisect import insort
from collections import deque
from typing import TYPE_CHECKING, Any, Final, TypedDict, Unpack

from ebpfvm.checked import known
from ebpfvm.errnos import EINVAL
from ebpfvm.sched.banded import TC_PRIO_MAX
from ebpfvm.sched.classful import account_out, drop_above
from ebpfvm.sched.qdisc_kind import QdiscKind, QdiscOption
from ebpfvm.sched.qdiscs.fifo import psched_mtu
from ebpfvm.sched.qdiscs.prio import PRIOMAP
from ebpfvm.sched.sch_generic import NET_XMIT_DROP, NET_XMIT_SUCCESS, Qdisc
from ebpfvm.sched.shown import Part, entry, worded
from ebpfvm.sched.tc.dissect import set_ce, skb_get_hash
from ebpfvm.sched.units import NSEC_PER_SEC, format_size, format_tc_rate, format_tc_time, tc_us_text

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ebpfvm.sched.account import Packet
    from ebpfvm.sched.sch_generic import QdiscDevice

LIMIT, FLOW_LIMIT, BUCKETS, ORPHAN_MASK = 10000, 100, 1024, 1023
WEIGHTS: Final = (589824, 196608, 65536)
BANDS: Final = len(WEIGHTS)
REFILL_DELAY, HORIZON, TIMER_SLACK = 40_000_000, 10 * NSEC_PER_SEC, 10_000
LOW_RATE: Final = 550_000 // 8
_MIN_WEIGHT, _MAX_WEIGHT = 16384, 1 << 28
_DIRECT: Final = 8  # packets that may wait on the fast path


class FqFlow:
    """A flow.

    Attributes:
        queue: packets with the times at which they may leave, in order of time.
        late: those that came after one with a later time, in order of time.
        credit: bytes that it may send before others have their turn.
        band: the band of its latest packet.
        next_time: when its next packet may leave.
        since: when it was taken off the lists (ns), None while it is in one or throttled.
    """

    __slots__ = ("band", "credit", "late", "next_time", "queue", "since")

    def __init__(self, credit: int, now: int) -> None:
        self.queue: deque[tuple[int, Packet]] = deque()
        self.late: list[tuple[int, Packet]] = []
        self.credit = credit
        self.band = self.next_time = 0
        self.since: int | None = now

    def __len__(self) -> int:
        return len(self.queue) + len(self.late)

    def add(self, time: int, skb: Packet) -> None:
        """Add a packet."""
        if not self.queue or time >= self.queue[-1][0]:
            self.queue.append((time, skb))
        else:
            insort(self.late, (time, skb), key=_time_of)

    def first(self) -> tuple[int, Packet] | None:
        """Return the packet with the earliest time."""
        if self.late and (not self.queue or self.late[0][0] < self.queue[0][0]):
            return self.late[0]
        return self.queue[0] if self.queue else None

    def pop(self) -> Packet:
        """Remove and return the packet with the earliest time, which exists."""
        found = self.first()
        if self.late and found is self.late[0]:
            return self.late.pop(0)[1]
        return self.queue.popleft()[1]


def _time_of(waiting: tuple[int, Packet]) -> int:
    return waiting[0]


class FqBand:
    """A band: its flows, new ones first, and the bytes that it may send before the next band."""

    def __init__(self, weight: int) -> None:
        self.new: deque[FqFlow] = deque()
        self.old: deque[FqFlow] = deque()
        self.credit = weight
        self.packets = self.drops = 0


class FqOptions(TypedDict, total=False):
    """The parameters of an fq; rates in bytes per second, times in ns."""

    limit: int
    flow_limit: int
    quantum: int
    initial_quantum: int
    maxrate: int
    buckets: int
    orphan_mask: int
    pacing: bool
    refill_delay: int
    low_rate_threshold: int
    ce_threshold: int
    timer_slack: int
    horizon: int
    horizon_drop: bool
    priomap: Sequence[int]
    weights: Sequence[int]


class Fq(Qdisc):
    """Fair queueing with pacing.

    Args:
        dev, handle: as for `Qdisc`.
        options: see `FqOptions`.

    Raises:
        OSError: EINVAL for a quantum or buckets, priorities or weights that a kernel refuses.
    """

    kind = "fq"

    def __init__(self, dev: QdiscDevice, handle: int = 0, **options: Unpack[FqOptions]) -> None:
        super().__init__(dev, handle)
        self.flows: dict[int, FqFlow] = {}
        self.direct = FqFlow(0, 0)
        self.delayed: list[FqFlow] = []
        self.counts = dict.fromkeys(("fastpath", "throttled", "latency", "ce_mark", "flows_plimit",
                                     "pkts_too_long", "horizon_drops", "horizon_caps"), 0)
        self._band = 0
        self._next_delayed: int | None = None
        self.limit, self.flow_limit, self.orphan_mask, self.buckets = LIMIT, FLOW_LIMIT, ORPHAN_MASK, BUCKETS
        self.quantum, self.initial_quantum = 2 * psched_mtu(dev), 10 * psched_mtu(dev)
        self.maxrate: int | None = None
        self.ce_threshold: int | None = None
        self.pacing, self.horizon_drop, self.horizon = True, True, HORIZON
        self.refill_delay, self.low_rate_threshold, self.timer_slack = REFILL_DELAY, LOW_RATE, TIMER_SLACK
        self.priomap: tuple[int, ...] = PRIOMAP
        self.weights: tuple[int, ...] = WEIGHTS
        self.bands = [FqBand(weight) for weight in self.weights]
        self.change(**options)

    def change(self, **options: Unpack[FqOptions]) -> None:
        """Set the named parameters; packets above a smaller limit are dropped (fq_change)."""
        known("fq", options, FqOptions.__annotations__)
        _check(options)
        given: dict[str, Any] = dict(options)
        if "maxrate" in given:
            given["maxrate"] = given["maxrate"] or None
        if "priomap" in given:
            given["priomap"] = (*given["priomap"], *self.priomap[len(given["priomap"]):])
        if "weights" in given:
            given["weights"] = tuple(given["weights"])
        for word, value in given.items():
            setattr(self, word, value)
        drop_above(self, self.limit, self.dequeue)

    # ---- arrival ----------------------------------------------------------------------------------------------

    def enqueue(self, skb: Packet, to_free: list[Packet]) -> int:
        """Queue the packet in its flow (fq_enqueue)."""
        now = self.dev.loop.now
        number = self.priomap[skb.priority & TC_PRIO_MAX]
        band = self.bands[number]
        if band.packets >= self.limit:
            band.drops += 1
            return self._refuse(skb, to_free)
        if skb.tstamp and skb.tstamp > now + self.horizon:
            if self.horizon_drop:
                return self._refuse(skb, to_free, "horizon_drops")
            self.counts["horizon_caps"] += 1
            skb.tstamp = now + self.horizon
        time = skb.tstamp or now
        flow = self._flow_of(skb, time, now)
        if flow is not self.direct:
            if len(flow) >= self.flow_limit:
                return self._refuse(skb, to_free, "flows_plimit")
            if flow.since is not None:
                self.bands[flow.band].new.append(flow)  # of the packet before, as in a kernel
                if now - flow.since > self.refill_delay:
                    flow.credit = max(flow.credit, self.quantum)
                flow.since = None
            flow.band = number
            band.packets += 1
        flow.add(time, skb)
        if self.maxrate is None and time < flow.next_time and flow in self.delayed:
            self._wake_earlier(flow, time)
        self.kernel_view.backlog += skb.wire_len
        self.kernel_view.qlen += 1
        return NET_XMIT_SUCCESS

    def _band_of(self, skb: Packet) -> FqBand:
        return self.bands[self.priomap[skb.priority & TC_PRIO_MAX]]

    def _refuse(self, skb: Packet, to_free: list[Packet], counter: str = "") -> int:
        if counter:
            self.counts[counter] += 1
        self.kernel_view.drops += 1
        to_free.append(skb)
        return NET_XMIT_DROP

    def _flow_of(self, skb: Packet, time: int, now: int) -> FqFlow:
        """Return the flow of a packet, or the queue that is asked first (fq_classify)."""
        if self._may_pass(time, now):
            self.counts["fastpath"] += 1
            return self.direct
        key = skb_get_hash(skb) & self.orphan_mask
        flow = self.flows.get(key)
        if flow is None:
            flow = self.flows[key] = FqFlow(self.initial_quantum, now)
        return flow

    def _may_pass(self, time: int, now: int) -> bool:
        """Return whether a packet needs no flow: nothing waits that could leave before it (fq_fastpath_check)."""
        if time > now or self.maxrate is not None:
            return False
        if not self.kernel_view.qlen:
            return True
        if any(len(flow) and flow not in self.delayed for flow in self.flows.values()):
            return False
        return len(self.direct) < _DIRECT and (self._next_delayed is None or self._next_delayed > now)

    # ---- departure --------------------------------------------------------------------------------------------

    def dequeue(self) -> Packet | None:
        """Return the next packet whose time has come (fq_dequeue)."""
        if not self.kernel_view.qlen:
            return None
        now = self.dev.loop.now
        if self.direct.first() is not None:
            skb = self.direct.pop()
            account_out(self, skb)
            return skb
        self._wake_flows(now)
        while (band := self._next_band()) is not None:
            heads = band.new or band.old
            flow = heads[0]
            if flow.credit <= 0:
                flow.credit += self.quantum
                heads.popleft()
                self.bands[flow.band].old.append(flow)
                continue
            found = flow.first()
            if found is None:
                heads.popleft()
                if heads is band.new:
                    self.bands[flow.band].old.append(flow)
                else:
                    flow.since = now
                continue
            time = max(found[0], flow.next_time)
            if now < time:
                heads.popleft()
                flow.next_time = time
                self._throttle(flow)
                continue
            return self._send(flow, band, time, now)
        if self._next_delayed is not None:
            self.watchdog.schedule_range(self._next_delayed, self.timer_slack)
        return None

    def _next_band(self) -> FqBand | None:
        """Return the band whose turn it is, and that has flows; None if none has."""
        tries = 0
        band = self.bands[self._band]
        while not (band.new or band.old) or band.credit <= 0:
            if not any(found.new or found.old for found in self.bands):
                return None
            tries += 1
            self._band = (self._band + 1) % BANDS
            band = self.bands[self._band]
            weight = self.weights[self._band]
            band.credit = min(band.credit + weight, weight)
        return band

    def _send(self, flow: FqFlow, band: FqBand, time: int, now: int) -> Packet:
        skb = flow.pop()
        self._band_of(skb).packets -= 1
        if self.ce_threshold is not None and now - time > self.ce_threshold:
            set_ce(skb)
            self.counts["ce_mark"] += 1
        flow.credit -= skb.wire_len
        band.credit -= skb.wire_len
        if self.pacing and self.maxrate is not None:
            self._pace(flow, skb, self.maxrate, now)
        account_out(self, skb)
        return skb

    def _pace(self, flow: FqFlow, skb: Packet, rate: int, now: int) -> None:
        """Set when the flow may send again."""
        size = skb.wire_len
        if not skb.tstamp:
            if rate <= self.low_rate_threshold:
                flow.credit = 0
            else:
                size = max(size, self.quantum)
                if flow.credit > 0:
                    return
        wait = size * NSEC_PER_SEC // rate
        if wait > NSEC_PER_SEC:
            wait = NSEC_PER_SEC
            self.counts["pkts_too_long"] += 1
        if flow.next_time:
            wait -= min(wait // 2, now - flow.next_time)
        flow.next_time = now + wait

    def _throttle(self, flow: FqFlow) -> None:
        insort(self.delayed, flow, key=_next_of)
        self.counts["throttled"] += 1
        if self._next_delayed is None or flow.next_time < self._next_delayed:
            self._next_delayed = flow.next_time

    def _wake_earlier(self, flow: FqFlow, time: int) -> None:
        """Let a flow that waits go on earlier, for a packet that may leave before the others."""
        self.delayed.remove(flow)
        flow.next_time = time
        insort(self.delayed, flow, key=_next_of)
        self._next_delayed = self.delayed[0].next_time

    def _wake_flows(self, now: int) -> None:
        """Put the flows back whose time has come (fq_check_throttled)."""
        if self._next_delayed is None or self._next_delayed > now:
            return
        latency = self.counts["latency"]
        self.counts["latency"] = latency - (latency >> 3) + (now - self._next_delayed >> 3)
        while self.delayed and self.delayed[0].next_time <= now:
            flow = self.delayed.pop(0)
            self.bands[flow.band].old.append(flow)
        self._next_delayed = self.delayed[0].next_time if self.delayed else None

    def reset(self) -> None:
        """Drop what is queued, and forget the flows."""
        for flow in (self.direct, *self.flows.values()):
            while len(flow):
                self.dev.drop(flow.pop(), self.holder)
        self.flows.clear()
        self.delayed.clear()
        self._next_delayed = None
        for band in self.bands:
            band.new.clear()
            band.old.clear()
            band.packets = 0
        super().reset()

    # ---- what tc shows ----------------------------------------------------------------------------------------

    def shown(self, details: bool = False) -> list[Part]:
        """Return the parameters."""
        parts = [entry("limit", self.limit, "limit {}p "), entry("flow_limit", self.flow_limit, "flow_limit {}p "),
                 worded("buckets", self.buckets), worded("orphan_mask", self.orphan_mask)]
        if not self.pacing:
            parts.append(Part("nopacing ", "pacing", False))
        parts += [worded("bands", BANDS),
                  Part(f"priomap {' '.join(map(str, self.priomap))} ", "priomap", list(self.priomap)),
                  Part(f"weights {' '.join(map(str, self.weights))} ", "weights", list(self.weights)),
                  *(Part(f"{word} {format_size(size)} ", word, size)
                    for word, size in (("quantum", self.quantum), ("initial_quantum", self.initial_quantum)))]
        rates = (("maxrate", self.maxrate), ("low_rate_threshold", self.low_rate_threshold))
        parts += [Part(f"{word} {format_tc_rate(8 * rate)} ", word, rate) for word, rate in rates if rate]
        times = [("refill_delay", self.refill_delay // 1000)]
        if self.ce_threshold is not None:
            times.append(("ce_threshold", self.ce_threshold // 1000))
        times += [("timer_slack", self.timer_slack // 1000), ("horizon", self.horizon // 1000)]
        parts += [Part(f"{word} {tc_us_text(time)} ", word, time) for word, time in times]
        parts.append(Part(f"horizon_{'drop' if self.horizon_drop else 'cap'} ",
                          f"horizon_{'drop' if self.horizon_drop else 'cap'}", None))
        return [*parts, Part("offload_horizon 0us ", "offload_horizon", 0)]

    def xstats(self) -> list[Part]:
        """Return the numbers of flows and packets, and the counters."""
        counts, now = self.counts, self.dev.loop.now
        inactive = sum(not len(flow) for flow in self.flows.values())
        parts = [entry("flows", len(self.flows), "\n  flows {}"), entry("inactive", inactive, " (inactive {}"),
                 entry("throttled", len(self.delayed), " throttled {})"),
                 *(entry(f"band{number}_pkts", band.packets, f" band{number}_pkts {{}}")
                   for number, band in enumerate(self.bands))]
        wait = self._next_delayed - now if self._next_delayed is not None else 0
        if wait > 0:
            parts.append(Part(f" next_packet_delay {format_tc_time(wait)}", "next_packet_delay", wait))
        parts += [entry("gc", 0, "\n  gc {}"), entry("highprio", 0, " highprio {}")]
        if counts["fastpath"]:
            parts.append(entry("fastpath", counts["fastpath"], " fastpath {}"))
        parts.append(entry("throttled", counts["throttled"], " throttled {}"))
        if counts["latency"]:
            parts.append(Part(f" latency {format_tc_time(counts['latency'])}", "latency", counts["latency"]))
        parts += [entry(word, counts[word], f" {word} {{}}") for word in ("ce_mark", "flows_plimit") if counts[word]]
        drops = [(f"band{number}_drops", band.drops) for number, band in enumerate(self.bands)]
        last = [("pkts_too_long", counts["pkts_too_long"]), ("horizon_drops", counts["horizon_drops"]),
                ("horizon_caps", counts["horizon_caps"]), *drops]
        shown = [(word, value) for word, value in last if value]
        return parts + [entry(word, value, ("" if number else "\n") + f" {word} {{}}")
                        for number, (word, value) in enumerate(shown)]


def _next_of(flow: FqFlow) -> int:
    return flow.next_time


def _check(options: FqOptions) -> None:
    if options.get("quantum", 1) not in range(1, 1 << 20):
        raise OSError(EINVAL, "invalid quantum")
    buckets = options.get("buckets", BUCKETS)
    if not 0 < buckets <= 1 << 18 or buckets & buckets - 1:
        raise OSError(EINVAL, "Invalid argument: the number of buckets is a power of 2 up to 262144")
    if any(band >= BANDS for band in options.get("priomap", ())):
        raise OSError(EINVAL, "Invalid argument: fq has bands 0 to 2")
    weights = options.get("weights", WEIGHTS)
    if len(weights) != BANDS or not all(_MIN_WEIGHT <= weight <= _MAX_WEIGHT for weight in weights):
        raise OSError(EINVAL, f"Weight {min(weights, default=0)} less that minimum allowed {_MIN_WEIGHT}")


_FLAGS: Final = {"nopacing": ("pacing", False), "pacing": ("pacing", True), "horizon_drop": ("horizon_drop", True),
                 "horizon_cap": ("horizon_drop", False)}


def fq_arguments(items: Sequence[tuple[str, Any]], folder: str) -> dict[str, Any]:
    """Return the arguments of `Fq`."""
    options: dict[str, Any] = {}
    for word, value in items:
        if word == "bands":
            continue
        key, given = _FLAGS.get(word, (word, value))
        options[key] = given
    return options


_PACED: Final = "flows with a rate or time stamps leave in their time"

FQ: Final = QdiscKind(
    name="fq", make=Fq, without_options=True, arguments=fq_arguments,
    doc="Fair queueing with pacing: flows take turns in three bands, and packets leave at their time.",
    options=(
        QdiscOption(word="limit", value="NUMBER", default=LIMIT, unit="packets", doc="packets of each band"),
        QdiscOption(word="flow_limit", value="NUMBER", default=FLOW_LIMIT, unit="packets", doc="packets of one flow"),
        QdiscOption(word="quantum", value="SIZE", default="two full frames", unit="bytes",
                    doc="bytes that a flow may send in a turn"),
        QdiscOption(word="initial_quantum", value="SIZE", default="ten full frames", unit="bytes",
                    doc="bytes of the first turn of a flow"),
        QdiscOption(word="maxrate", value="RATE", default="unlimited", unit="bits a second", doc="rate of each flow"),
        QdiscOption(word="buckets", value="NUMBER", default=BUCKETS, doc="is taken and shown; flows are found anyway"),
        QdiscOption(word="orphan_mask", value="NUMBER", default=ORPHAN_MASK,
                    doc="bits of skb->hash that tell flows apart"),
        QdiscOption(word="pacing", default="set", doc=_PACED),
        QdiscOption(word="nopacing", argument="pacing", doc="ignore `maxrate`"),
        QdiscOption(word="refill_delay", value="TIME", default=tc_us_text(REFILL_DELAY // 1000), unit="microseconds",
                    doc="after so long without packets, a flow has a whole quantum again"),
        QdiscOption(word="low_rate_threshold", value="RATE", default=format_tc_rate(8 * LOW_RATE),
                    unit="bits a second", doc="flows up to this rate are paced packet by packet"),
        QdiscOption(word="ce_threshold", value="TIME", unit="microseconds",
                    doc="mark packets that leave later than this after their time"),
        QdiscOption(word="timer_slack", value="TIME", default=tc_us_text(TIMER_SLACK // 1000), unit="microseconds",
                    doc="by how much a timer may be late"),
        QdiscOption(word="horizon", value="TIME", default=tc_us_text(HORIZON // 1000), unit="microseconds",
                    doc="how far in the future a time stamp may be"),
        QdiscOption(word="horizon_drop", default="set", doc="drop packets beyond the horizon"),
        QdiscOption(word="horizon_cap", argument="horizon_drop", doc="let them leave at the horizon"),
        QdiscOption(word="bands", value="NUMBER", argument="", default=BANDS, doc="is taken; there are always three"),
        QdiscOption(word="priomap", value="NUMBER", many=True, default=" ".join(map(str, PRIOMAP)),
                    doc="band of each skb->priority & 15"),
        QdiscOption(word="weights", value="NUMBER", many=True, default=" ".join(map(str, WEIGHTS)),
                    doc="bytes that each band may send before the next")))
