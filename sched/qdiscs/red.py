"""red: random early detection in front of a queue (net/sched/sch_red.c, Linux 7.2)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from ebpfvm.errnos import EINVAL
from ebpfvm.errors import UsageError
from ebpfvm.sched.classful import OneClassQdisc, QdiscClass, account_out, drop_count, qdisc_enqueue
from ebpfvm.sched.classify import taken, tcf_classify
from ebpfvm.sched.qdisc_kind import NEEDED, QdiscKind, QdiscOption
from ebpfvm.sched.qdiscs.fifo import Bfifo
from ebpfvm.sched.red_law import ADAPT_NS, RedParams, RedQueue, red_params, red_thresholds
from ebpfvm.sched.sch_generic import NET_XMIT_CN, NET_XMIT_SUCCESS, Qdisc
from ebpfvm.sched.shown import Part, list_of, worded
from ebpfvm.sched.tc.lr import first, listing
from ebpfvm.sched.tc.tc_verdict import TcfResult
from ebpfvm.sched.units import format_size

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from ebpfvm.sched.account import Packet
    from ebpfvm.sched.qdisc_kind import Loader
    from ebpfvm.sched.sch_generic import QdiscDevice
    from ebpfvm.sched.tc.block import Block
    from ebpfvm.sched.tc.lr import Rule

BANDWIDTH: Final = 10_000_000 // 8
PROBABILITY: Final = 0.02
QEVENTS: Final = ("early_drop", "mark")
"""The events at which filters are asked, in the order in which `tc` shows them."""


class Red(OneClassQdisc):
    """Marks or drops packets before its queue is full, the likelier the longer the queue is on average.

    It has one class, at first with a bfifo.

    Args:
        dev, handle: as for `Qdisc`.
        limit: bytes that may be queued.
        params: the parameters.
        qevents: filters that are asked about packets: "early_drop" those that RED drops, "mark" those that it has
            marked.
    """

    kind = "red"

    def __init__(self, dev: QdiscDevice, handle: int, limit: int, params: RedParams,
                 qevents: Mapping[str, Block] | None = None) -> None:
        super().__init__(dev, handle)
        self.qevents = dict(qevents or {})
        self.red = RedQueue(params, lambda: dev.account.kernel.random.getrandbits(32))
        self.change(limit, params)

    def change(self, limit: int, params: RedParams, qevents: Mapping[str, Block] | None = None) -> None:
        """Set all parameters anew, with a new queue (red_change); the blocks of filters cannot change.

        Raises:
            OSError: EINVAL if other blocks are named.
        """
        if any(self.qevents.get(event) is not block for event, block in (qevents or {}).items()):
            raise OSError(EINVAL, "Change of blocks is not supported")
        self.limit = limit
        if limit:
            old = self.graft(self.leaf, Bfifo(self.dev, 0, limit))
            if old is not None:
                old.destroy()
        self.red.set(params)
        self._adapted = self.dev.loop.now
        if self.leaf.child is not None and not self.leaf.child.kernel_view.qlen:
            self.red.idle(self.dev.loop.now)

    def _adapt(self) -> None:
        """Do what a timer does twice a second in a kernel."""
        while self.red.params.adaptive and self._adapted + ADAPT_NS <= self.dev.loop.now:
            self._adapted += ADAPT_NS
            self.red.adapt(self._adapted)

    def graft(self, cl: QdiscClass, new: Qdisc | None) -> Qdisc | None:
        """Attach a child, or a bfifo if there is none, and return the one that it replaces."""
        return super().graft(cl, new if new is not None else Bfifo(self.dev, 0, self.limit))

    def enqueue(self, skb: Packet, to_free: list[Packet]) -> int:
        """Queue the packet, unless chance or the average decides against it (red_enqueue)."""
        child, size = self.leaf.child, skb.wire_len
        assert child is not None
        self._adapt()
        self.red.measure(child.kernel_view.backlog, self.dev.loop.now)
        marks = self.red.all_marks
        passes = self.red.passes(self.red.decide(), skb, self)
        event = "early_drop" if not passes else "mark" if self.red.all_marks != marks else ""
        asked = self._asked(event, skb, to_free)
        if asked:
            return NET_XMIT_CN | asked
        if not passes:
            self.kernel_view.drops += 1
            to_free.append(skb)
            return NET_XMIT_CN
        result = qdisc_enqueue(self, child, skb, to_free)
        if result == NET_XMIT_SUCCESS:
            self.kernel_view.backlog += size
            self.kernel_view.qlen += 1
        elif drop_count(result):
            self.red.pdrop += 1
            self.kernel_view.drops += 1
        return result

    def _asked(self, event: str, skb: Packet, to_free: list[Packet]) -> int:
        """Ask the filters of an event, and return what enqueue adds if they take the packet (tcf_qevent_handle)."""
        block = self.qevents.get(event)
        hops = skb.hops
        result = taken(tcf_classify(skb, block, TcfResult())) if block is not None else 0
        return self.unclassified(skb, hops, result, to_free) if result else 0

    def dequeue(self) -> Packet | None:
        """Return the child's next packet; without one, the queue is idle."""
        child = self.leaf.child
        skb = child.dequeue() if child is not None else None
        if skb is None or child is None:
            self._adapt()
            self.red.idle(self.dev.loop.now)
            return None
        self.dev.account.kernel.refs.move(skb, child.holder, self.holder)
        account_out(self, skb)
        return skb

    def peek(self) -> Packet | None:
        """Return the child's next packet, without removing it."""
        return self.leaf.child.peek() if self.leaf.child is not None else None

    def reset(self) -> None:
        """Drop what is queued, and begin the average anew."""
        super().reset()
        self.red.set(self.red.params)

    def shown(self, details: bool = False) -> list[Part]:
        """Return limit, lengths and flags."""
        self._adapt()
        params = self.red.params
        sizes = (("limit", self.limit), ("min", params.least), ("max", params.most))
        events = [[Part("qevent "), Part(f"{event} ", "kind", event), worded("block", self.qevents[event].index)]
                  for event in QEVENTS if event in self.qevents]
        return [*(Part(f"{word} {format_size(size)} ", word, size) for word, size in sizes), *params.all_flags(),
                *(params.shown_details(self.red.chance) if details else []),
                *([list_of("qevents", events)] if events else [])]

    def xstats(self) -> list[Part]:
        """Return the counters."""
        return self.red.counters()


def red_arguments(items: Sequence[tuple[str, Any]], folder: str) -> dict[str, Any]:
    """Return the arguments of `Red`, with defaults computed as in `tc`."""
    options: dict[str, Any] = dict(items)
    limit, avpkt = options.get("limit", 0), options.get("avpkt", 0)
    if not limit or not avpkt:
        raise UsageError("RED: Required parameter (limit, avpkt) is missing")
    least, most = red_thresholds("RED", options, limit)
    burst = options.get("burst") or (2 * least + most) // (3 * avpkt)
    flags = {word: word in options for word in ("ecn", "harddrop", "nodrop", "adaptive")}
    if flags["nodrop"] and not flags["ecn"]:
        raise UsageError("RED: 'nodrop' needs 'ecn'")
    values = {"least": least, "most": most, "burst": burst, "avpkt": avpkt,
              "bandwidth": options.get("bandwidth") or BANDWIDTH,
              "probability": options.get("probability", PROBABILITY)}
    found = {"limit": limit, "params": red_params("RED", (least, most), values, flags)}
    given = [value for word, value in items if word == "qevent"]
    events = dict(given)
    if len(given) > len(events):
        raise UsageError("RED: Duplicate qevent: each event has one block of filters")
    if 0 in events.values():
        raise UsageError("RED: qevent block 0: blocks have numbers from 1 on")
    return {**found, "qevents": events} if events else found


def _resolve(arguments: dict[str, Any], loader: Loader) -> dict[str, Any]:
    """Find the blocks of events by their numbers."""
    if "qevents" in arguments:
        arguments["qevents"] = {event: loader.block(index) for event, index in arguments["qevents"].items()}
    return arguments


def _grammar() -> list[Rule]:
    return [*listing("options", "option"), *(rule for item in _OPTIONS for rule in item.rules()),
            ("option : 'qevent' event 'block' NUMBER", lambda word, event, _, index: (word, (event, index))),
            *((f"event : '{event}'", first) for event in QEVENTS)]


def red_options(unit: str, probability: float, limit: str, bandwidth: str = "10Mbit") -> tuple[QdiscOption, ...]:
    """Return the options that all kinds with RED have; `unit` is what queues are measured in, the rest is for docs."""
    size = "SIZE" if unit == "bytes" else "NUMBER"
    return (
        QdiscOption(word="limit", value=size, unit=unit, default=NEEDED, doc=limit),
        QdiscOption(word="min", value=size, unit=unit, argument="params", default="a third of `max`",
                    doc="average length from which packets may be marked or dropped"),
        QdiscOption(word="max", value=size, unit=unit, argument="params", default="a quarter of `limit`",
                    doc="average length from which all are"),
        QdiscOption(word="burst", value="NUMBER", unit="packets", argument="params",
                    default="a third of twice `min` and `max`, in packets", doc="packets that may pass as a burst"),
        QdiscOption(word="avpkt", value="SIZE", unit="bytes", argument="params",
                    default=NEEDED if unit == "bytes" else 1000, doc="size of the average packet"),
        QdiscOption(word="bandwidth", value="RATE", unit="bits a second", argument="params", default=bandwidth,
                    doc="rate of the link, by which the average sinks while the queue is empty"),
        QdiscOption(word="probability", value="FRACTION", argument="params", default=probability,
                    doc="greatest probability of marking or dropping, from 0 to 1"),
        QdiscOption(word="ecn", argument="params", doc="mark packets that are ECN capable instead of dropping them"),
        QdiscOption(word="harddrop", argument="params", doc="drop above `max` even what could be marked"))


_OPTIONS: Final = (
    *red_options("bytes", PROBABILITY, "bytes that may be queued"),
    QdiscOption(word="nodrop", argument="params", doc="with `ecn`, queue what cannot be marked"),
    QdiscOption(word="adaptive", also=("adaptative",), argument="params",
                doc="change `probability` so that the average stays in the middle"))


RED: Final = QdiscKind(
    name="red", make=Red, arguments=red_arguments, resolve=_resolve, grammar=_grammar,
    doc="Random early detection: drops or marks by chance before a queue is full.",
    options=(*_OPTIONS, QdiscOption(
        word="qevent", argument="qevents", inner=(*QEVENTS, "block"),
        doc="`qevent early_drop block` N or `qevent mark block` N: ask the filters of a shared block about packets "
            "that are dropped early, or that have been marked; they can drop, copy or redirect them")))
