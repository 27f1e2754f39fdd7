"""prio and pfifo_fast: strict priority over bands (net/sched/sch_prio.c and sch_generic.c, Linux 7.2)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from ebpfvm.errnos import EINVAL
from ebpfvm.errors import UsageError
from ebpfvm.sched.banded import TC_PRIO_MAX, BandedQdisc
from ebpfvm.sched.classful import (
    QdiscClass,
    account_out,
    dequeue_peeked,
    drop_count,
    qdisc_enqueue,
)
from ebpfvm.sched.qdisc_kind import QdiscKind, QdiscOption
from ebpfvm.sched.qdiscs.fifo import Fifo, tx_queue_len
from ebpfvm.sched.sch_generic import NET_XMIT_DROP, NET_XMIT_SUCCESS, Qdisc
from ebpfvm.sched.shown import Part, entry

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ebpfvm.sched.account import Packet
    from ebpfvm.sched.sch_generic import QdiscDevice

MAX_BANDS: Final = 16  # TCQ_PRIO_BANDS
MIN_BANDS: Final = 2  # TCQ_MIN_PRIO_BANDS
BANDS: Final = 3
PRIOMAP: Final = (1, 2, 2, 2, 1, 2, 0, 0, 1, 1, 1, 1, 1, 1, 1, 1)


def check_priomap(bands: int, priomap: Sequence[int]) -> tuple[int, ...]:
    """Return the map, completed with the default as in `tc`.

    Raises:
        OSError: EINVAL if there are too few or too many bands, or the map names a band that does not exist (prio_tune).
    """
    if not MIN_BANDS <= bands <= MAX_BANDS:
        raise OSError(EINVAL, f"prio has {MIN_BANDS} to {MAX_BANDS} bands, not {bands}")
    full = (*priomap, *PRIOMAP[len(priomap):])
    wrong = next((band for band in full if not 0 <= band < bands), None)
    if wrong is not None or len(full) != TC_PRIO_MAX + 1:
        raise OSError(EINVAL, f"priomap has {TC_PRIO_MAX + 1} bands from 0 to {bands - 1}, not {wrong}"
                      if wrong is not None else f"priomap has {TC_PRIO_MAX + 1} bands, not {len(full)}")
    return full


class Prio(BandedQdisc):
    """Strict priority: a band is served when all lower ones are empty. Classes X:1 to X:bands, each with a qdisc.

    Args:
        dev, handle: as for `Qdisc`.
        bands: 2 to 16.
        priomap: the band for each value of skb->priority & 15, used if no filter selects one.

    Raises:
        OSError: EINVAL as for `check_priomap`.
    """

    kind = "prio"

    def __init__(self, dev: QdiscDevice, handle: int = 0, bands: int = BANDS, priomap: Sequence[int] = PRIOMAP) -> None:
        super().__init__(dev, handle)
        self.change(bands, priomap)

    def change(self, bands: int = BANDS, priomap: Sequence[int] = PRIOMAP) -> None:
        """Set the number of bands or the map; packets in bands that are removed are dropped (prio_tune)."""
        self.priomap = check_priomap(bands, priomap)
        self.resize(bands, QdiscClass)

    def enqueue(self, skb: Packet, to_free: list[Packet]) -> int:
        """Pass the packet to the qdisc of its band (prio_enqueue)."""
        hops = skb.hops
        band, result = self.classify(skb)
        if band < 0:
            return self.unclassified(skb, hops, result, to_free)
        child = self.bands[band].child
        assert child is not None
        size = skb.wire_len
        result = qdisc_enqueue(self, child, skb, to_free)
        if result == NET_XMIT_SUCCESS:
            self.kernel_view.backlog += size
            self.kernel_view.qlen += 1
        elif drop_count(result):
            self.kernel_view.drops += 1
        return result

    def dequeue(self) -> Packet | None:
        """Return a packet of the first band that has one."""
        for cl in self.bands:
            skb = dequeue_peeked(self, cl.child) if cl.child is not None else None
            if skb is not None:
                account_out(self, skb)
                return skb
        return None

    def peek(self) -> Packet | None:
        """Return what `dequeue` would return, without removing it (prio_peek)."""
        for child in self.children():
            skb = child.peek()
            if skb is not None:
                return skb
        return None

    def shown(self, details: bool = False) -> list[Part]:
        """Return the options, as in `bands 3 priomap 1 2 ...`."""
        return _shown(len(self.bands), self.priomap)


class PfifoFast(Qdisc):
    """pfifo_fast, the qdisc of a device without any `tc qdisc add`: three bands of txqueuelen packets each."""

    kind = "pfifo_fast"
    can_bypass = True

    def __init__(self, dev: QdiscDevice, handle: int = 0) -> None:
        super().__init__(dev, handle)
        self.bands = [Fifo(dev, 0, tx_queue_len(dev)) for _ in range(3)]

    def enqueue(self, skb: Packet, to_free: list[Packet]) -> int:
        """Append the packet to the band that skb->priority selects, or drop it."""
        band = self.bands[PRIOMAP[skb.priority & TC_PRIO_MAX]]
        if len(band.queue) >= band.limit:
            self.kernel_view.drops += 1
            to_free.append(skb)
            return NET_XMIT_DROP
        band.queue.append(skb)
        self.kernel_view.qlen += 1
        self.kernel_view.backlog += skb.wire_len
        return NET_XMIT_SUCCESS

    def dequeue(self) -> Packet | None:
        """Return a packet of the first band that has one."""
        skb = next((band.queue.popleft() for band in self.bands if band.queue), None)
        if skb is not None:
            account_out(self, skb)
        return skb

    def peek(self) -> Packet | None:
        """Return what `dequeue` would return, without removing it."""
        return next((band.queue[0] for band in self.bands if band.queue), None)

    def reset(self) -> None:
        """Drop what is queued."""
        for band in self.bands:
            while band.queue:
                self.dev.drop(band.queue.popleft(), self.holder)
        super().reset()

    def shown(self, details: bool = False) -> list[Part]:
        """Return the parameters as `tc` prints them; none can be set."""
        return _shown(len(self.bands), PRIOMAP)


def _shown(bands: int, priomap: Sequence[int]) -> list[Part]:
    words = " ".join(map(str, priomap))
    return [entry("bands", bands, "bands {} "), Part(f"priomap {words}", "priomap", list(priomap)),
            Part("", "multiqueue", False)]


def prio_arguments(items: Sequence[tuple[str, Any]], folder: str) -> dict[str, Any]:
    """Return the arguments of `Prio`, with the map checked as in `tc`."""
    options = {word: value for word, value in items if word != "multiqueue"}
    bands, priomap = options.get("bands", BANDS), options.get("priomap", ())
    if len(priomap) > TC_PRIO_MAX + 1:
        raise UsageError(f"prio: priomap has up to {TC_PRIO_MAX + 1} bands, not {len(priomap)}")
    wrong = next((band for band in priomap if band >= bands), None)
    if wrong is not None:
        raise UsageError(f"prio: priomap element {wrong} is out of bands: there are 0 to {bands - 1}")
    return options


PRIO: Final = QdiscKind(
    name="prio", make=Prio, arguments=prio_arguments,
    doc="Strict priority: a band is served when all lower ones are empty; classes X:1 to X:bands.",
    options=(
        QdiscOption(word="bands", value="NUMBER", default=BANDS, range=(MIN_BANDS, MAX_BANDS), doc="number of bands"),
        QdiscOption(word="multiqueue", argument="", doc="is taken and does nothing, as in a kernel"),
        QdiscOption(word="priomap", value="NUMBER", many=True, default=" ".join(map(str, PRIOMAP)),
                    doc="band of each skb->priority & 15 for packets that no filter classifies; "
                        "what is missing at the end is as in the default")))
PFIFO_FAST: Final = QdiscKind(
    name="pfifo_fast", make=PfifoFast, without_options=True,
    doc="Three bands of txqueuelen packets each, served in strict priority; what a device has by default.")
