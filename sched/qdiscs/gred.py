"""gred: one queue with up to 16 RED states, chosen by skb->tc_index (net/sched/sch_gred.c, Linux 7.2)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from ebpfvm.errnos import EINVAL
from ebpfvm.errors import UsageError
from ebpfvm.lazy_dataclasses import replace
from ebpfvm.sched.qdisc_kind import QdiscKind, QdiscOption
from ebpfvm.sched.qdiscs.fifo import QueueQdisc, psched_mtu
from ebpfvm.sched.qdiscs.red import BANDWIDTH, PROBABILITY, red_options
from ebpfvm.sched.red_law import RedParams, RedQueue, red_params
from ebpfvm.sched.sch_generic import NET_XMIT_CN
from ebpfvm.sched.shown import Part, entry, worded
from ebpfvm.sched.units import format_size

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ebpfvm.sched.account import Packet
    from ebpfvm.sched.sch_generic import QdiscDevice

MAX_DPS: Final = 16
_MASK: Final = 15
_PRIO: Final = 8


class VirtualQueue:
    """A virtual queue: its RED state, priority and limit, and what it has seen."""

    def __init__(self, red: RedQueue) -> None:
        self.red = red
        self.prio = _PRIO
        self.limit = self.backlog = self.packets_in = self.bytes_in = 0


class Gred(QueueQdisc):
    """Generic random early detection.

    Args:
        dev, handle: as for `Qdisc`.
        setup: number of virtual queues.
        default: the one for packets that select none.
        grio: whether the averages of lower priorities count for higher ones.
        limit: bytes of all, None for txqueuelen full frames.
        vq, params, prio, flags: see `change`.

    Raises:
        OSError: EINVAL for numbers that are out of range.
    """

    kind = "gred"

    def __init__(self, dev: QdiscDevice, handle: int = 0, setup: int = 0, default: int = 0, grio: bool = False,
                 limit: int | None = None, vq: int | None = None, params: RedParams | None = None,
                 prio: int = 0, flags: frozenset[str] = frozenset()) -> None:
        super().__init__(dev, handle)
        if vq is not None or not setup:
            raise OSError(EINVAL, "can't configure the VQs and GRED table at the same time" if setup else
                          "Invalid argument: gred is created with 'setup DPs N'")
        self.queues: dict[int, VirtualQueue] = {}
        self.limit = dev.tx_queue_len * psched_mtu(dev) if limit is None else limit
        self.number, self.default, self.grio, self.wred = 0, 0, False, False
        self.red_flags: frozenset[str] = frozenset()
        self.change(setup=setup, default=default, grio=grio, flags=flags)

    def change(self, setup: int = 0, default: int = 0, grio: bool = False, limit: int | None = None,
               vq: int | None = None, params: RedParams | None = None, prio: int = 0,
               flags: frozenset[str] = frozenset()) -> None:
        """Set the number and the flags of all virtual queues, or parameters, limit and priority of `vq` (gred_change).

        The flags, "ecn" and "harddrop", are either those of all or those in the parameters of each.
        """
        if vq is None:
            if not 0 < setup <= MAX_DPS or default >= setup:
                raise OSError(EINVAL, f"number of virtual queues {setup} or default {default} is out of range")
            self._set_flags(flags)
            self.number, self.default, self.grio = setup, default, grio
            self.queues = {number: queue for number, queue in self.queues.items() if number < setup}
            self.limit = self.limit if limit is None else limit
            return
        if vq >= self.number or params is None:
            raise OSError(EINVAL, f"virtual queue {vq} is out of bounds")
        if self.red_flags and self.red_flags != params.flags & {"ecn", "harddrop"}:
            raise OSError(EINVAL, "can't change per-virtual queue RED flags when per-Qdisc flags are used")
        found = self.queues.get(vq)
        if found is None:
            random = self.dev.account.kernel.random
            found = self.queues[vq] = VirtualQueue(RedQueue(params, lambda: random.getrandbits(32)))
        if self.grio:
            first = self.queues.get(self.default)
            found.prio = prio or (first.prio if first is not None else _PRIO)
        found.limit = min(limit or 0, self.limit)
        if not found.backlog:
            found.red.idle_since = None
        found.red.set(params)
        prios = [queue.prio for queue in self.queues.values()]
        self.wred = self.grio and len(set(prios)) < len(prios)

    def _set_flags(self, flags: frozenset[str]) -> None:
        if flags and not self.red_flags and any(queue.red.params.flags for queue in self.queues.values()):
            raise OSError(EINVAL, "can't set per-Qdisc RED flags when per-virtual queue flags are used")
        if flags != self.red_flags:
            self.red_flags = flags
            for queue in self.queues.values():
                queue.red.params = replace(queue.red.params, ecn="ecn" in flags, harddrop="harddrop" in flags)

    def enqueue(self, skb: Packet, to_free: list[Packet]) -> int:
        """Append the packet, unless the RED state of its virtual queue decides against it (gred_enqueue)."""
        found, stats = self._queue_of(skb), self.kernel_view
        if found is None:
            return self.append(skb) if stats.backlog + skb.wire_len <= self.limit else self.refuse(skb, to_free)
        red, now = found.red, self.dev.loop.now
        found.packets_in += 1
        found.bytes_in += skb.wire_len
        more = 0 if self.wred or not self.grio else sum(
            queue.red.average for queue in self.queues.values()
            if queue.prio < found.prio and queue.red.idle_since is None)
        backlog = stats.backlog if self.wred else found.backlog
        red.measure(backlog, now)
        if self.wred:  # one average for all
            for queue in self.queues.values():
                queue.red.average, queue.red.idle_since = red.average, red.idle_since
        if not red.passes(red.decide(more), skb, self):
            self.refuse(skb, to_free)
            return NET_XMIT_CN
        if backlog + skb.wire_len > found.limit:
            red.pdrop += 1
            return self.refuse(skb, to_free)
        found.backlog += skb.wire_len
        return self.append(skb)

    def _queue_of(self, skb: Packet) -> VirtualQueue | None:
        found = self.queues.get(skb.tc_index & _MASK) if skb.tc_index & _MASK < self.number else None
        if found is None:
            found = self.queues.get(self.default)
            if found is not None:
                skb.tc_index = skb.tc_index & ~_MASK | self.default
        return found

    def dequeue(self) -> Packet | None:
        """Return the oldest packet (gred_dequeue)."""
        skb = super().dequeue()
        found = self.queues.get(skb.tc_index & _MASK) if skb is not None else None
        if skb is not None and found is not None:
            found.backlog -= skb.wire_len
            for queue in self.queues.values() if self.wred else (found,):
                if not (self.kernel_view.backlog if self.wred else found.backlog):
                    queue.red.idle(self.dev.loop.now)
        return skb

    def reset(self) -> None:
        """Drop what is queued, and begin the averages anew."""
        for found in self.queues.values():
            found.red.set(found.red.params)
            found.backlog = 0
        super().reset()

    def shown(self, details: bool = False) -> list[Part]:
        """Return the table, and each virtual queue with its counters."""
        parts = [worded("vqs", self.number), worded("default", self.default)]
        if self.grio:
            parts.append(Part("grio ", "grio", True))
        parts.append(Part(f"limit {format_size(self.limit)} ", "limit", self.limit))
        parts += [Part(f"{word} ", word, True) for word in ("ecn", "harddrop") if word in self.red_flags]
        for number in sorted(self.queues):
            parts += self._shown_queue(number, self.queues[number], details)
        return parts

    def _shown_queue(self, number: int, found: VirtualQueue, details: bool) -> list[Part]:
        red, params = found.red, found.red.params
        average = (red.average if red.idle_since is None else red.sunk(self.dev.loop.now)) >> params.wlog
        sizes = (("limit", found.limit), ("min", params.least), ("max", params.most))
        parts = [entry("vq", number, "\n vq {} "), worded("prio", found.prio),
                 *(Part(f"{word} {format_size(size)} ", word, size) for word, size in sizes), *params.shown_flags()]
        if details:
            parts += [*params.shown_details(red.chance), Part(" ")]
        return [*parts, Part(f"\n  Queue size: average {format_size(average)} ", "qave", average),
                Part(f"current {format_size(found.backlog)} ", "backlog", found.backlog),
                entry("forced_drop", red.forced_drop, "\n  Dropped packets: forced {} "),
                entry("prob_drop", red.early, "early {} "), entry("pdrop", red.pdrop, "pdrop {} "),
                entry("other", 0, "other {} "), entry("forced_mark", red.forced_mark, "\n  Marked packets: forced {} "),
                entry("prob_mark", red.marked, "early {} "),
                entry("packets", found.packets_in, "\n  Total packets: {} "),
                Part(f"({format_size(found.bytes_in)}) ", "bytes", found.bytes_in)]


def gred_arguments(items: Sequence[tuple[str, Any]], folder: str) -> dict[str, Any]:
    """Return the arguments of `Gred`, with defaults computed as in `tc`."""
    options: dict[str, Any] = dict(items)
    if "setup" in options:
        if "DPs" not in options or "default" not in options:
            raise UsageError("gred: 'setup' needs 'DPs N' and 'default N'")
        given: dict[str, Any] = {word: options[word] for word in ("default", "grio", "limit") if word in options}
        return {"setup": options["DPs"], "flags": frozenset({"ecn", "harddrop"} & set(options)), **given}
    limit, avpkt, least, most = (options.get(word, 0) for word in ("limit", "avpkt", "min", "max"))
    if not all((limit, avpkt, least, most, options.get("burst"))) or "DP" not in options:
        raise UsageError("Required parameter (min, max, burst, limit, avpkt, DP) is missing")
    if options["DP"] >= MAX_DPS:
        raise UsageError("gred: 'DP' is from 0 to 15")
    flags = {word: word in options for word in ("ecn", "harddrop")}
    values = {"least": least, "most": most, "burst": options["burst"], "avpkt": avpkt,
              "bandwidth": options.get("bandwidth") or BANDWIDTH,
              "probability": options.get("probability", PROBABILITY)}
    return {"vq": options["DP"], "limit": limit, "prio": options.get("prio", 0),
            "params": red_params("GRED", (least, most), values, flags)}


GRED: Final = QdiscKind(
    name="gred", make=Gred, arguments=gred_arguments,
    doc="Generic RED: one queue with several RED states; skb->tc_index selects the one of a packet.",
    options=(
        QdiscOption(word="setup", doc="set the number of virtual queues, before those are set"),
        QdiscOption(word="DPs", also=("vqs",), value="NUMBER", argument="setup", range=(1, MAX_DPS),
                    doc="number of virtual queues"),
        QdiscOption(word="default", value="NUMBER", doc="the one for packets that select none"),
        QdiscOption(word="grio", doc="averages of lower priorities count for higher ones"),
        QdiscOption(word="DP", also=("vq",), value="NUMBER", argument="vq",
                    doc="the virtual queue that the other options are for"),
        QdiscOption(word="prio", value="NUMBER", default=_PRIO, doc="its priority with `grio`"),
        *red_options("bytes", PROBABILITY, "bytes that may be queued, in all with `setup`")))
