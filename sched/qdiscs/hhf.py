"""hhf, heavy-hitter filter: packets of flows that have sent much wait behind the others (sch_hhf.c, Linux 7.2).

Small counters in four arrays tell how much a flow has sent lately, without a state for each flow (Estan and Varghese,
"New Directions in Traffic Measurement and Accounting", 2002).
"""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, Any, Final, TypedDict, Unpack

from ebpfvm.checked import known
from ebpfvm.sched.classful import account_out, drop_above, tree_reduce_backlog
from ebpfvm.sched.qdisc_kind import QdiscKind, QdiscOption
from ebpfvm.sched.qdiscs.fifo import psched_mtu
from ebpfvm.sched.sch_generic import NET_XMIT_CN, NET_XMIT_SUCCESS, Qdisc
from ebpfvm.sched.shown import Part, entry, worded
from ebpfvm.sched.tc.dissect import flow_hash
from ebpfvm.sched.units import format_size, tc_us_text

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ebpfvm.sched.account import Packet
    from ebpfvm.sched.sch_generic import QdiscDevice

LIMIT, HH_LIMIT, ADMIT_BYTES, WEIGHT = 1000, 2048, 128 << 10, 2
RESET, EVICT = 40_000_000, 1_000_000_000
_ARRAYS, _BITS = 4, 10
_JIFFY_NS: Final = 4_000_000


class HhfBucket:
    """A queue: that of heavy hitters has weight 1."""

    def __init__(self) -> None:
        self.queue: deque[Packet] = deque()
        self.deficit = 0


class HhfOptions(TypedDict, total=False):
    """The parameters of an hhf: packets, flows, ns and bytes."""

    limit: int
    quantum: int
    hh_limit: int
    reset_timeout: int
    admit_bytes: int
    evict_timeout: int
    non_hh_weight: int


class Hhf(Qdisc):
    """Two queues: for flows that are known as heavy hitters, and for all others.

    Args:
        dev, handle: as for `Qdisc`.
        options: see `HhfOptions`.
    """

    kind = "hhf"

    def __init__(self, dev: QdiscDevice, handle: int = 0, **options: Unpack[HhfOptions]) -> None:
        super().__init__(dev, handle)
        self.heavy, self.light = HhfBucket(), HhfBucket()
        self.new: deque[HhfBucket] = deque()
        self.old: deque[HhfBucket] = deque()
        self.hitters: dict[int, int] = {}  # hash -> latest packet
        self.arrays: list[dict[int, int]] = [{} for _ in range(_ARRAYS)]
        self.drop_overlimit = self.hh_overlimit = self.tot_hh = 0
        self._seed = dev.account.kernel.random.getrandbits(32)
        self._emptied = dev.loop.now
        self.limit, self.quantum, self.hh_limit, self.admit_bytes = LIMIT, psched_mtu(dev), HH_LIMIT, ADMIT_BYTES
        self.reset_timeout, self.evict_timeout, self.non_hh_weight = RESET, EVICT, WEIGHT
        self.change(**options)

    def change(self, **options: Unpack[HhfOptions]) -> None:
        """Set the named parameters; packets above a smaller limit are dropped (hhf_change)."""
        known("hhf", options, HhfOptions.__annotations__)
        for word, value in options.items():
            setattr(self, word, value)
        drop_above(self, self.limit, self.dequeue)

    def _is_heavy(self, skb: Packet) -> bool:
        """Return whether a packet is of a heavy hitter, and count it (hhf_classify)."""
        now = self.dev.loop.now // _JIFFY_NS
        if now > self._emptied // _JIFFY_NS + self.reset_timeout // _JIFFY_NS:
            self._emptied = self.dev.loop.now
            for array in self.arrays:
                array.clear()
        flow = flow_hash(skb, self._seed)
        evict = self.evict_timeout // _JIFFY_NS
        if flow in self.hitters and now <= self.hitters[flow] + evict:
            self.hitters[flow] = now
            return True
        mask = (1 << _BITS) - 1
        chunks = [flow >> _BITS * number & mask for number in range(_ARRAYS - 1)]
        places = (*chunks, (chunks[0] ^ chunks[1] ^ chunks[2] ^ flow >> _BITS * (_ARRAYS - 1)) & mask)
        least = min(array.get(place, 0) for array, place in zip(self.arrays, places, strict=True)) + skb.wire_len
        if least > self.admit_bytes:
            return self._admit(flow, now, evict)
        for array, place in zip(self.arrays, places, strict=True):
            array[place] = max(array.get(place, 0), least)
        return False

    def _admit(self, flow: int, now: int, evict: int) -> bool:
        """Note a heavy hitter, unless there are too many."""
        gone = next((old for old, seen in self.hitters.items() if now > seen + evict), None)
        if gone is not None:
            del self.hitters[gone]
        elif len(self.hitters) >= self.hh_limit:
            self.hh_overlimit += 1
            return False
        self.hitters[flow] = now
        self.tot_hh += 1
        return True

    def enqueue(self, skb: Packet, to_free: list[Packet]) -> int:
        """Queue the packet; over the limit, heavy hitters lose one first (hhf_enqueue)."""
        heavy = self._is_heavy(skb)
        bucket, stats = self.heavy if heavy else self.light, self.kernel_view
        bucket.queue.append(skb)
        stats.backlog += skb.wire_len
        stats.qlen += 1
        if bucket not in self.new and bucket not in self.old:
            (self.old if heavy else self.new).append(bucket)
            bucket.deficit = self._turn(bucket)
        if stats.qlen <= self.limit:
            return NET_XMIT_SUCCESS
        self.drop_overlimit += 1
        victim = self.heavy if self.heavy.queue else self.light
        old = victim.queue.popleft()
        stats.qlen -= 1
        stats.backlog -= old.wire_len
        stats.drops += 1
        to_free.append(old)
        if victim is bucket:
            return NET_XMIT_CN
        tree_reduce_backlog(self, 1, old.wire_len)
        return NET_XMIT_SUCCESS

    def _turn(self, bucket: HhfBucket) -> int:
        return self.quantum * (1 if bucket is self.heavy else self.non_hh_weight)

    def dequeue(self) -> Packet | None:
        """Return the next packet: the queues take turns, by weight (hhf_dequeue)."""
        while heads := self.new or self.old:
            bucket = heads[0]
            if bucket.deficit <= 0:
                bucket.deficit += self._turn(bucket)
                heads.popleft()
                self.old.append(bucket)
            elif not bucket.queue:
                heads.popleft()
                if heads is self.new and self.old:
                    self.old.append(bucket)
            else:
                skb = bucket.queue.popleft()
                account_out(self, skb)
                bucket.deficit -= skb.wire_len
                return skb
        return None

    def reset(self) -> None:
        """Drop what is queued."""
        for bucket in (self.heavy, self.light):
            while bucket.queue:
                self.dev.drop(bucket.queue.popleft(), self.holder)
        self.new.clear()
        self.old.clear()
        super().reset()

    def shown(self, details: bool = False) -> list[Part]:
        """Return the parameters."""
        times = ((word, getattr(self, word) // _JIFFY_NS * _JIFFY_NS // 1000)
                 for word in ("reset_timeout", "evict_timeout"))
        reset, evict = (Part(f"{word} {tc_us_text(time)} ", word, time) for word, time in times)
        return [entry("limit", self.limit, "limit {}p "),
                Part(f"quantum {format_size(self.quantum)} ", "quantum", self.quantum),
                worded("hh_limit", self.hh_limit), reset,
                Part(f"admit_bytes {format_size(self.admit_bytes)} ", "admit_bytes", self.admit_bytes), evict,
                worded("non_hh_weight", self.non_hh_weight)]

    def xstats(self) -> list[Part]:
        """Return the counters."""
        return [entry("drop_overlimit", self.drop_overlimit, "\n  drop_overlimit {}"),
                entry("hh_overlimit", self.hh_overlimit, " hh_overlimit {}"),
                entry("tot_hh", self.tot_hh, " tot_hh {}"),
                entry("cur_hh", len(self.hitters), " cur_hh {}")]


def hhf_arguments(items: Sequence[tuple[str, Any]], folder: str) -> dict[str, Any]:
    """Return the arguments of `Hhf`; as in `tc`, 0 is not passed on."""
    return {word: value for word, value in items if value}


HHF: Final = QdiscKind(
    name="hhf", make=Hhf, without_options=True, arguments=hhf_arguments,
    doc="Heavy-hitter filter: packets of flows that have sent much wait behind the others.",
    options=(
        QdiscOption(word="limit", value="NUMBER", default=LIMIT, unit="packets", doc="packets that may be queued"),
        QdiscOption(word="quantum", value="SIZE", default="a full frame", unit="bytes",
                    doc="bytes that heavy hitters may send in a turn"),
        QdiscOption(word="hh_limit", value="NUMBER", default=HH_LIMIT, doc="number of heavy hitters that are known"),
        QdiscOption(word="reset_timeout", value="TIME", default=tc_us_text(RESET // 1000), unit="microseconds",
                    doc="how often counting begins anew"),
        QdiscOption(word="admit_bytes", value="SIZE", default=format_size(ADMIT_BYTES), unit="bytes",
                    doc="bytes in that time above which a flow is a heavy hitter"),
        QdiscOption(word="evict_timeout", value="TIME", default=tc_us_text(EVICT // 1000), unit="microseconds",
                    doc="how long a heavy hitter without packets remains one"),
        QdiscOption(word="non_hh_weight", value="NUMBER", default=WEIGHT, doc="quanta of the others in a turn")))
