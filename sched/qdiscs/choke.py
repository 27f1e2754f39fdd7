"""choke: RED that also drops the packets of flows that fill the queue (Pan, Prabhakar, Psounis, 2000; sch_choke.c)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from ebpfvm.errors import UsageError
from ebpfvm.sched.classful import tree_reduce_backlog
from ebpfvm.sched.qdisc_kind import NEEDED, QdiscKind
from ebpfvm.sched.qdiscs.red import PROBABILITY, red_options
from ebpfvm.sched.red_law import FORCE, PASS, RedParams, RedQueue, red_params, red_thresholds
from ebpfvm.sched.sch_generic import NET_XMIT_CN, NET_XMIT_DROP, NET_XMIT_SUCCESS, Qdisc
from ebpfvm.sched.shown import Part, entry
from ebpfvm.sched.tc.dissect import flow_hash

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ebpfvm.sched.account import Packet
    from ebpfvm.sched.sch_generic import QdiscDevice

_AVPKT: Final = 1000
_TRIES: Final = 3


class Choke(Qdisc):
    """A queue under RED; a packet of the same flow as one drawn from the queue is dropped together with that one.

    Args:
        dev, handle: as for `Qdisc`.
        limit: packets that may be queued.
        params: the parameters.

    Attributes:
        slots: the queue, with None for packets that were drawn and dropped.
        matched: how many packets were of the flow of the one that was drawn.
    """

    kind = "choke"

    def __init__(self, dev: QdiscDevice, handle: int, limit: int, params: RedParams) -> None:
        super().__init__(dev, handle)
        self.slots: list[Packet | None] = []
        self.matched = 0
        self.random = dev.account.kernel.random
        self.red = RedQueue(params, lambda: self.random.getrandbits(32))
        self.limit = limit

    def change(self, limit: int, params: RedParams) -> None:
        """Set all parameters anew; packets above a smaller limit are dropped (choke_change)."""
        while self.kernel_view.qlen > limit and self.slots:
            skb = self._take(len(self.slots) - 1)
            self.kernel_view.drops += 1
            tree_reduce_backlog(self, 1, skb.wire_len)
            self.dev.drop(skb, self.holder)
        self.limit = limit
        self.red.set(params)

    def enqueue(self, skb: Packet, to_free: list[Packet]) -> int:
        """Append the packet, unless RED or a packet of its flow decides against it (choke_enqueue)."""
        red = self.red
        red.measure(self.kernel_view.qlen, self.dev.loop.now)
        verdict = PASS
        if red.average <= red.params.least << red.params.wlog:
            red.restart()
        elif (found := self._match(skb)) is not None:
            self.matched += 1
            old = self._take(found)
            self.kernel_view.drops += 2
            tree_reduce_backlog(self, 1, old.wire_len)
            to_free += [old, skb]
            return NET_XMIT_CN
        elif red.average > red.params.most << red.params.wlog:
            red.restart()
            verdict = FORCE
        else:
            verdict = red.between(red.average)
        if red.passes(verdict, skb, self):
            return self._admit(skb, to_free)
        self.kernel_view.drops += 1
        to_free.append(skb)
        return NET_XMIT_CN

    def _admit(self, skb: Packet, to_free: list[Packet]) -> int:
        stats = self.kernel_view
        if stats.qlen >= self.limit:
            self.red.pdrop += 1
            stats.drops += 1
            to_free.append(skb)
            return NET_XMIT_DROP
        self.slots.append(skb)
        stats.qlen += 1
        stats.backlog += skb.wire_len
        return NET_XMIT_SUCCESS

    def _match(self, skb: Packet) -> int | None:
        """Return the place of a packet that is drawn, if it is of the flow of `skb`."""
        if not self.slots:
            return None
        place = 0
        for _ in range(_TRIES):
            place = self.random.randrange(len(self.slots))
            if self.slots[place] is not None:
                break
        else:
            place = 0
        old = self.slots[place]
        return place if old is not None and flow_hash(old) == flow_hash(skb) else None

    def _take(self, place: int) -> Packet:
        """Return the packet of a place; its slot stays, except at the ends."""
        skb = self.slots[place]
        assert skb is not None
        self.slots[place] = None
        for end in (0, -1):
            while self.slots and self.slots[end] is None:
                self.slots.pop(end)
        self.kernel_view.qlen -= 1
        self.kernel_view.backlog -= skb.wire_len
        return skb

    def dequeue(self) -> Packet | None:
        """Return the oldest packet; without one, the queue is idle."""
        if not self.slots:
            self.red.idle(self.dev.loop.now)
            return None
        skb = self._take(0)
        self.kernel_view.packets += 1
        self.kernel_view.bytes += skb.wire_len
        return skb

    def peek(self) -> Packet | None:
        """Return the oldest packet, without removing it."""
        return self.slots[0] if self.slots else None

    def reset(self) -> None:
        """Drop what is queued, and begin the average anew."""
        for skb in self.slots:
            if skb is not None:
                self.dev.drop(skb, self.holder)
        self.slots.clear()
        self.red.set(self.red.params)
        super().reset()

    def shown(self, details: bool = False) -> list[Part]:
        """Return limit, lengths and flags."""
        params = self.red.params
        sizes = (("limit", self.limit), ("min", params.least), ("max", params.most))
        return [*(entry(word, size, f"{word} {{}}p ") for word, size in sizes), *params.shown_flags(),
                *(params.shown_details(self.red.chance) if details else [])]

    def xstats(self) -> list[Part]:
        """Return the counters."""
        return [*self.red.counters(), entry("matched", self.matched, "matched {}")]


def choke_arguments(items: Sequence[tuple[str, Any]], folder: str) -> dict[str, Any]:
    """Return the arguments of `Choke`, with defaults computed as in `tc`."""
    options: dict[str, Any] = dict(items)
    limit, avpkt = options.get("limit", 0), options.get("avpkt") or _AVPKT
    if not limit or not options.get("bandwidth"):
        raise UsageError("choke: Required parameter (bandwidth, limit) is missing")
    least, most = red_thresholds("choke", options, limit)
    flags = {word: word in options for word in ("ecn", "harddrop")}
    values = {"least": least, "most": most, "burst": options.get("burst") or (2 * least + most) // 3, "avpkt": avpkt,
              "bandwidth": options["bandwidth"],
              "probability": options.get("probability", PROBABILITY)}
    return {"limit": limit, "params": red_params("choke", (least * avpkt, most * avpkt), values, flags)}


CHOKE: Final = QdiscKind(
    name="choke", make=Choke, arguments=choke_arguments,
    doc="RED that compares each packet with one drawn from the queue, and drops both if they are of one flow.",
    options=red_options("packets", PROBABILITY, "packets that may be queued", NEEDED))
