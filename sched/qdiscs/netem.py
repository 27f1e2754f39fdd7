"""netem: emulate a path with delay, jitter, loss, duplication, corruption, reordering and a rate.

Source: net/sched/sch_netem.c, Linux 7.2. The random seed is the one given, or else that of the run.
"""

from __future__ import annotations

from collections import deque
from heapq import heappop, heappush
from typing import TYPE_CHECKING, Final, TypedDict, Unpack

from ebpfvm.checked import known
from ebpfvm.ints import S32_MAX, U64_MAX
from ebpfvm.lazy_dataclasses import dataclass
from ebpfvm.sched.classful import (
    NET_XMIT_BYPASS,
    OneClassQdisc,
    QdiscClass,
    account_out,
    dequeue_peeked,
    drop_count,
    qdisc_enqueue,
    tree_reduce_backlog,
)
from ebpfvm.sched.qdiscs.netem_chance import Correlated, LossModel, Prng, Table, tabledist
from ebpfvm.sched.sch_generic import NET_XMIT_DROP, NET_XMIT_SUCCESS, Qdisc
from ebpfvm.sched.shown import Part, entry
from ebpfvm.sched.tc.dissect import rewrite, set_ce
from ebpfvm.sched.units import NSEC_PER_SEC, format_percent, format_tc_rate, format_tc_time, fraction, seconds

if TYPE_CHECKING:
    from collections.abc import Iterator

    from ebpfvm.sched.account import Packet
    from ebpfvm.sched.sch_generic import QdiscDevice

LIMIT: Final = 1000
_UNLIMITED: Final = S32_MAX


@dataclass(frozen=True, slots=True)
class NetemSlot:
    """Slots, in which packets leave together.

    Attributes:
        shortest, longest: ns between slots.
        delay, jitter, table: distribution of the time between slots, if `jitter` is not 0.
        packets, size: maximum of packets and bytes in a slot, 0 for no limit.
    """

    shortest: int = 0
    longest: int = 0
    delay: int = 0
    jitter: int = 0
    table: Table | None = None
    packets: int = 0
    size: int = 0

    def shown(self) -> Part:
        """Return the slots as `tc` prints them."""
        names, times = (("distribution", "jitter"), (self.delay, self.jitter)) if self.jitter else (
            ("min-delay", "max-delay"), (self.shortest, self.longest))
        limits = (("packets", self.packets), ("bytes", self.size))
        text = "".join((" slot ", "distribution " if self.jitter else "", " ".join(map(format_tc_time, times)),
                        *(f" {name} {value}" for name, value in limits if value)))
        return Part(text, "slot", (*zip(names, map(seconds, times), strict=True), *limits))


@dataclass(frozen=True, slots=True)
class NetemRate:
    """A rate in bytes per second, with the overhead of a link: bytes for each packet, and cells with their header."""

    rate: int
    overhead: int = 0
    cell: int = 0
    cell_overhead: int = 0

    def time(self, size: int) -> int:
        """Return the ns that a packet takes (packet_time_ns)."""
        size += self.overhead
        if self.cell:
            size = -(-size // self.cell) * (self.cell + self.cell_overhead)
        return (size & U64_MAX) * NSEC_PER_SEC // self.rate

    def shown(self) -> Part:
        """Return the rate as `tc` prints it."""
        extra = (("packetoverhead", self.overhead), ("cellsize", self.cell), ("celloverhead", self.cell_overhead))
        text = f" rate {format_tc_rate(8 * self.rate)}" + "".join(f" {name} {value}" for name, value in extra if value)
        return Part(text, "rate", (("rate", self.rate), *extra))


class NetemOptions(TypedDict, total=False):
    """The parameters of a netem. Probabilities and correlations are fractions of 0xffffffff.

    Attributes:
        limit, gap: packets.
        delay, jitter: ns.
        table: distribution of the jitter, None for a uniform one.
        loss, duplicate, reorder, corrupt: probabilities.
        model: loss model that replaces `loss`.
        correlations: correlations of delay, loss and duplication, which are set together.
        reorder_correlation, corrupt_correlation: correlations of reordering and corruption.
        rate, slot, ecn, seed: as in `tc`.
    """

    limit: int
    gap: int
    delay: int
    jitter: int
    table: Table | None
    loss: int
    duplicate: int
    reorder: int
    corrupt: int
    model: LossModel
    correlations: tuple[int, int, int]
    reorder_correlation: int
    corrupt_correlation: int
    rate: NetemRate
    slot: NetemSlot
    ecn: bool
    seed: int


class Netem(OneClassQdisc):
    """Emulates a path.

    It has one child, whatever the minor number of its class; a packet enters it when its delay is over.

    Args:
        dev, handle: as for `Qdisc`.
        options: see `NetemOptions`.

    Attributes:
        limit: packets.
        delay, jitter: ns.
        chances: probabilities by name: "loss", "duplicate", "reorder", "corrupt"; 0xffffffff is 1.
        model: the loss model, None if packets are lost independently with probability `loss`.
        seed: the random seed.
        counts: the counters of `tc -s`, by name.
    """

    kind = "netem"

    def __init__(self, dev: QdiscDevice, handle: int = 0, **options: Unpack[NetemOptions]) -> None:
        super().__init__(dev, handle)
        self._heap: list[tuple[int, int, Packet]] = []
        self._front: deque[tuple[int, Packet]] = deque()  # reordered packets, which leave immediately
        self._count = self._latest = self._counter = 0
        self._slot_next = self._slot_packets = self._slot_bytes = 0
        self._slotted = False
        self.table: Table | None = None
        self.rate: NetemRate | None = None
        self.slot: NetemSlot | None = None
        self.model: LossModel | None = None
        self.ecn = self._duplicating = False
        self.counts = dict.fromkeys(("delayed", "dropped", "corrupted", "duplicated", "reordered", "ecn_marked"), 0)
        self.chances = dict.fromkeys(("loss", "duplicate", "reorder", "corrupt"), 0)
        self._random = dev.account.kernel.random
        self._set_seed(options.pop("seed") if "seed" in options else self._random.getrandbits(64))
        self._draws = {name: self._correlated(0) for name in ("delay", *self.chances)}
        self.change(**options)

    def _set_seed(self, seed: int) -> None:
        self.seed = seed
        self.prng = Prng(seed)
        for draw in getattr(self, "_draws", {}).values():
            draw.prng = self.prng

    def _correlated(self, rho: int) -> Correlated:
        return Correlated(self.prng, rho, self._random.getrandbits(32))

    def change(self, **options: Unpack[NetemOptions]) -> None:
        """Change the parameters for packets that arrive from now on (netem_change).

        `limit`, `delay`, `jitter`, `loss`, `model`, `duplicate` and `gap` are reset to their defaults unless they are
        given; all other parameters keep their values.
        """
        known("netem", options, NetemOptions.__annotations__)
        if "seed" in options:
            self._set_seed(options["seed"])
        self.limit, self.delay = options.get("limit", LIMIT), options.get("delay", 0)
        self.jitter, self.gap = min(options.get("jitter", 0), _UNLIMITED), options.get("gap", 0)
        self.model = options.get("model")
        self.chances["loss"], self.chances["duplicate"] = options.get("loss", 0), options.get("duplicate", 0)
        if "reorder" in options:
            self._set_chance("reorder", options["reorder"], options.get("reorder_correlation", 0))
        if "corrupt" in options:
            self._set_chance("corrupt", options["corrupt"], options.get("corrupt_correlation", 0))
        for name, rho in zip(("delay", "loss", "duplicate"), options.get("correlations", ()), strict=False):
            self._draws[name] = self._correlated(rho)
        self.ecn = self.ecn or bool(options.get("ecn"))
        self.table = options.get("table", self.table)
        if "rate" in options:
            self.rate = options["rate"] if options["rate"].rate else None
        if "slot" in options:
            self._set_slot(options["slot"])

    def _set_chance(self, name: str, chance: int, rho: int) -> None:
        self.chances[name] = chance
        self._draws[name] = self._correlated(rho)

    def _set_slot(self, slot: NetemSlot) -> None:
        self.slot = slot
        self._slot_packets, self._slot_bytes = slot.packets or _UNLIMITED, slot.size or _UNLIMITED
        self._slotted = bool(slot.shortest or slot.longest or slot.jitter)
        self._slot_next = self.dev.loop.now if self._slotted else 0

    # ---- the one class ----------------------------------------------------------------------------------------

    def walk(self) -> Iterator[QdiscClass]:
        """Yield the class if it has a child."""
        return iter((self.leaf,) if self.leaf.child is not None else ())

    # ---- packets ----------------------------------------------------------------------------------------------

    def _hit(self, name: str) -> bool:
        chance = self.chances[name]
        return bool(chance) and chance >= self._draws[name]()

    def _lost(self) -> bool:
        return self.model.lost(self.prng) if self.model is not None else self._hit("loss")

    def enqueue(self, skb: Packet, to_free: list[Packet]) -> int:
        """Duplicate, lose, corrupt or queue the packet (netem_enqueue)."""
        count = 1 + (not self._duplicating and self._hit("duplicate"))
        if self._lost():
            if self.ecn and set_ce(skb):
                self.kernel_view.drops += 1  # marked instead of lost, but counted as a loss
                self.counts["ecn_marked"] += 1
            else:
                count -= 1
        if not count:
            self.kernel_view.drops += 1
            self.counts["dropped"] += 1
            to_free.append(skb)
            return NET_XMIT_SUCCESS | NET_XMIT_BYPASS
        copy = self.dev.clone(skb, self.holder) if count > 1 else None
        if self._hit("corrupt"):
            self.counts["corrupted"] += 1
            self._corrupt(skb)
        if self.kernel_view.qlen >= self.limit:
            self.kernel_view.drops += 1
            to_free.append(skb)
            if copy is not None:
                self.dev.drop(copy, self.holder)
            return NET_XMIT_DROP
        if copy is not None:
            self.counts["duplicated"] += 1
            self._send_copy(copy)
        self.kernel_view.backlog += skb.wire_len
        self.kernel_view.qlen += 1
        self._put(skb)
        return NET_XMIT_SUCCESS

    def _put(self, skb: Packet) -> None:
        """Queue the packet by its time, or before all others to reorder it."""
        now = self.dev.loop.now
        if not self.gap or self._counter < self.gap - 1 or self.chances["reorder"] < self._draws["reorder"]():
            delay = tabledist(self.delay, self.jitter, self._draws["delay"], self.table)
            if self.rate is not None:
                last = self._last_time()
                if last is not None:
                    delay = max(0, delay - (last - now))
                    now = last
                delay += self.rate.time(skb.wire_len)
            self._counter += 1
            self._count += 1
            self.counts["delayed"] += delay > 0
            time = now + delay
            self._latest = max(self._latest, time) if self._heap else time
            heappush(self._heap, (time, self._count, skb))
        else:
            self._counter = 0
            self.counts["reordered"] += 1
            self._front.appendleft((now, skb))
            self.kernel_view.requeues += 1

    def _last_time(self) -> int | None:
        """Return the time at which the last queued packet leaves, None if there is none."""
        times = [self._front[-1][0]] if self._front else []
        if self._heap:
            times.append(self._latest)
        return max(times, default=None)

    def _send_copy(self, copy: Packet) -> None:
        """Pass a duplicate to the root qdisc, where it is not duplicated again."""
        root, before = self.dev.qdisc, self._duplicating
        refused: list[Packet] = []
        self._duplicating = True
        self.dev.account.kernel.refs.move(copy, self.holder, root.holder)
        root.enqueue(copy, refused)
        self._duplicating = before
        for packet in refused:
            self.dev.drop(packet, root.holder)

    def _corrupt(self, skb: Packet) -> None:
        """Flip one bit of the captured part of the packet."""
        data = bytearray(skb.payload())
        if data:
            data[self._random.randrange(len(data))] ^= 1 << self._random.randrange(8)
            rewrite(skb, data)

    def dequeue(self) -> Packet | None:
        """Return the packet whose time has come, or set a timer for the first (netem_dequeue)."""
        if self._front:
            return self._deliver(self._front.popleft()[1])
        while self._heap:
            time, now = self._heap[0][0], self.dev.loop.now
            if self._slotted and self._slot_next < time:
                self._next_slot(now)
            if time > now or self._slot_next > now:
                skb = self._from_child()
                if skb is None:
                    self.watchdog.schedule(max(time, self._slot_next))
                return skb
            skb = heappop(self._heap)[2]
            self._count_slot(skb, now)
            if self.leaf.child is None:
                return self._deliver(skb)
            self._pass_down(self.leaf.child, skb)
        return self._from_child()

    def _deliver(self, skb: Packet) -> Packet:
        account_out(self, skb)
        return skb

    def _from_child(self) -> Packet | None:
        child = self.leaf.child
        skb = dequeue_peeked(self, child) if child is not None else None
        return self._deliver(skb) if skb is not None else None

    def _pass_down(self, child: Qdisc, skb: Packet) -> None:
        size = skb.wire_len
        refused: list[Packet] = []
        result = qdisc_enqueue(self, child, skb, refused)
        for packet in refused:
            self.dev.drop(packet, self.holder)
        if result != NET_XMIT_SUCCESS:
            stats = self.kernel_view
            stats.drops += drop_count(result)
            stats.backlog -= size
            stats.qlen -= 1
            tree_reduce_backlog(self, 1, size)

    def _count_slot(self, skb: Packet, now: int) -> None:
        if self._slotted:
            self._slot_packets -= 1
            self._slot_bytes -= skb.wire_len
            if self._slot_packets <= 0 or self._slot_bytes <= 0:
                self._next_slot(now)

    def _next_slot(self, now: int) -> None:
        """Start another slot (get_slot_next)."""
        slot = self.slot
        assert slot is not None
        if slot.table is None:
            delay = slot.shortest + (self.prng() * (slot.longest - slot.shortest) >> 32)
        else:
            delay = tabledist(slot.delay, slot.jitter, self.prng, slot.table)
        self._slot_next = now + delay
        self._slot_packets, self._slot_bytes = slot.packets or _UNLIMITED, slot.size or _UNLIMITED

    def reset(self) -> None:
        """Drop what is queued here and in the child."""
        for packet in (*(waiting[1] for waiting in self._front), *(waiting[2] for waiting in self._heap)):
            self.dev.drop(packet, self.holder)
        self._front.clear()
        self._heap.clear()
        super().reset()

    # ---- what tc shows ----------------------------------------------------------------------------------------

    def shown(self, details: bool = False) -> list[Part]:
        """Return the parameters that are set."""
        parts = [entry("limit", self.limit, "limit {}")]
        if self.delay:
            jitter = f"  {format_tc_time(self.jitter)}{self._rho('delay')}" if self.jitter else ""
            parts.append(Part(f" delay {format_tc_time(self.delay)}{jitter}", "delay",
                              (("delay", seconds(self.delay)), ("jitter", seconds(self.jitter)),
                               ("correlation", fraction(self._draws["delay"].rho)))))
        if self.model is not None:
            name = "state" if len(self.model.words()) == 5 else "gemodel"
            parts.append(Part(f" loss {name} " + " ".join(f"{key} {format_percent(value)}"
                                                          for key, value in self.model.words()),
                              f"loss-{name}", tuple((key, fraction(value)) for key, value in self.model.words())))
        parts += [Part(f" {name} {format_percent(value)}{self._rho(name)}", "loss-random" if name == "loss" else name,
                       ((name, fraction(value)), ("correlation", fraction(self._draws[name].rho))))
                  for name, value in self.chances.items() if value]
        parts += [part.shown() for part in (self.rate, self.slot) if part is not None]
        return [*parts, entry("seed", self.seed, " seed {}"), Part(" ecn " if self.ecn else "", "ecn", self.ecn),
                Part(f" gap {self.gap}" if self.gap else "", "gap", self.gap)]

    def xstats(self) -> list[Part]:
        """Return how many packets were delayed, lost, changed, repeated or marked."""
        return [entry(key, value, f"{' ' if number else chr(10) + '  '}{key} {{}}")
                for number, (key, value) in enumerate(self.counts.items())]

    def _rho(self, name: str) -> str:
        rho = self._draws[name].rho
        return f" {format_percent(rho)}" if rho else ""
