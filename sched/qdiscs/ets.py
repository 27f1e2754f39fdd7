"""ets, enhanced transmission selection: strict bands, then deficit round robin (IEEE 802.1Qaz).

Source: net/sched/sch_ets.c, Linux 7.2.
"""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, Any, Final, TypedDict, Unpack

from ebpfvm.checked import known
from ebpfvm.errnos import EINVAL, EOPNOTSUPP
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
from ebpfvm.sched.qdiscs.drr import usable_quantum
from ebpfvm.sched.qdiscs.fifo import psched_mtu
from ebpfvm.sched.sch_generic import NET_XMIT_SUCCESS, TC_H_ROOT
from ebpfvm.sched.shown import Part, worded

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ebpfvm.sched.account import Packet
    from ebpfvm.sched.sch_generic import QdiscDevice

MAX_BANDS: Final = 16  # TCQ_ETS_MAX_BANDS


class EtsOptions(TypedDict, total=False):
    """The parameters of an ets: number of bands, of strict ones, quanta of the others, band of each priority."""

    bands: int
    strict: int
    quanta: Sequence[int]
    priomap: Sequence[int]


class EtsBand(QdiscClass):
    """A band; its quantum is 0 if it is strict."""

    __slots__ = ("deficit", "quantum")

    def __init__(self, classid: int) -> None:
        super().__init__(classid)
        self.quantum = self.deficit = 0


class Ets(BandedQdisc):
    """The first bands in strict priority, the others by deficit round robin when those are empty.

    Args:
        dev, handle: as for `Qdisc`.
        options: see `EtsOptions`.

    Raises:
        OSError: EINVAL if the numbers of bands do not fit, or a quantum is 0.
    """

    kind = "ets"

    def __init__(self, dev: QdiscDevice, handle: int = 0, **options: Unpack[EtsOptions]) -> None:
        super().__init__(dev, handle)
        self.active: deque[EtsBand] = deque()
        self.change(**options)

    def change(self, **options: Unpack[EtsOptions]) -> None:
        """Set all parameters anew (ets_qdisc_change)."""
        known("ets", options, EtsOptions.__annotations__)
        bands, strict = options.get("bands", 0), options.get("strict", 0)
        quanta, priomap = options.get("quanta", ()), options.get("priomap", ())
        _check(bands, strict, quanta, priomap)
        self.resize(bands, EtsBand)
        self.strict, self.priomap = strict, (*priomap, *[bands - 1] * (TC_PRIO_MAX + 1 - len(priomap)))
        for number, band in enumerate(self.bands[strict:]):
            band.quantum = usable_quantum(quanta[number]) if number < len(quanta) else psched_mtu(self.dev)
        for band in self.bands[:strict]:
            band.quantum = 0
            self.qlen_notify(band)
        self.active = deque(band for band in self.active if band in self.bands)
        for band in self.bands[strict:]:
            if band not in self.active and band.child is not None and band.child.kernel_view.qlen:
                self._activate(band)

    def change_class(self, classid: int, parent: int, options: dict[str, Any], cl: EtsBand | None = None) -> EtsBand:
        """Change the quantum of a band; none can be added.

        Raises:
            OSError: EOPNOTSUPP for a new class; EINVAL if the band is strict or the quantum 0.
        """
        if cl is None:
            raise OSError(EOPNOTSUPP, "Fine-grained class addition and removal is not supported")
        if "quantum" in options:
            if not cl.quantum:
                raise OSError(EINVAL, "Strict bands do not have a configurable quantum")
            if not options["quantum"]:
                raise OSError(EINVAL, "ETS quantum cannot be zero")
            cl.quantum = usable_quantum(options["quantum"])
        return cl

    def qlen_notify(self, cl: EtsBand) -> None:
        """Take a band whose queue has become empty out of the round."""
        if cl in self.active:
            self.active.remove(cl)

    def _activate(self, band: EtsBand) -> None:
        self.active.append(band)
        band.deficit = band.quantum

    def enqueue(self, skb: Packet, to_free: list[Packet]) -> int:
        """Queue the packet in its band (ets_qdisc_enqueue)."""
        hops = skb.hops
        number, result = self.classify(skb)
        if number < 0:
            return self.unclassified(skb, hops, result, to_free)
        band = self.bands[number]
        size = skb.wire_len
        result = qdisc_enqueue(self, band.child, skb, to_free)
        if result != NET_XMIT_SUCCESS:
            self.kernel_view.drops += drop_count(result)
            return result
        if band.quantum and band not in self.active:
            self._activate(band)
        self.kernel_view.backlog += size
        self.kernel_view.qlen += 1
        return result

    def dequeue(self) -> Packet | None:
        """Return a packet of the first strict band that has one, or of the band whose turn it is."""
        for band in self.bands[:self.strict]:
            skb = dequeue_peeked(self, band.child) if band.child is not None else None
            if skb is not None:
                account_out(self, skb)
                return skb
        while self.active:
            band = self.active[0]
            head = band.child.peek() if band.child is not None else None
            if head is None or band.child is None:
                return None
            if head.wire_len <= band.deficit:
                skb = dequeue_peeked(self, band.child)
                if skb is None:
                    return None
                band.deficit -= skb.wire_len
                if not band.child.kernel_view.qlen:
                    self.qlen_notify(band)
                account_out(self, skb)
                return skb
            band.deficit += band.quantum
            self.active.rotate(-1)
        return None

    def reset(self) -> None:
        """Drop what is queued."""
        self.active.clear()
        super().reset()

    def shown(self, details: bool = False) -> list[Part]:
        """Return the numbers of bands, the quanta and the map."""
        parts = [worded("bands", len(self.bands))]
        if self.strict:
            parts.append(worded("strict", self.strict))
        quanta = [band.quantum for band in self.bands[self.strict:]]
        for key, values in (("quanta", quanta), ("priomap", list(self.priomap))):
            if values:
                parts.append(Part(f"{key} {' '.join(map(str, values))} ", key, values))
        return parts

    def class_parent(self, cl: EtsBand) -> int:
        """Return the root: there are no classes below classes."""
        return TC_H_ROOT

    def shown_class(self, cl: EtsBand, details: bool) -> list[Part]:
        """Return the quantum, unless the band is strict."""
        return [worded("quantum", cl.quantum)] if cl.quantum else []


def _check(bands: int, strict: int, quanta: Sequence[int], priomap: Sequence[int]) -> None:
    if not 1 <= bands <= MAX_BANDS:
        raise OSError(EINVAL, f"Invalid number of bands: ets has 1 to {MAX_BANDS}, not {bands}")
    if strict > bands:
        raise OSError(EINVAL, "Invalid number of strict bands")
    if 0 in quanta:
        raise OSError(EINVAL, "ETS quantum cannot be zero")
    if len(quanta) > bands - strict:
        raise OSError(EINVAL, "Number of quanta exceeds that of bands that are not strict")
    if len(priomap) > TC_PRIO_MAX + 1:
        raise OSError(EINVAL, "Number of priorities in priomap is too great")
    if any(band >= bands for band in priomap):
        raise OSError(EINVAL, "Invalid band number in ETS priomap")


def ets_arguments(items: Sequence[tuple[str, Any]], folder: str) -> dict[str, Any]:
    """Return the arguments of `Ets`, checked as in `tc`."""
    options = dict(items)
    strict, quanta = options.get("strict", 0), options.get("quanta", ())
    options.setdefault("bands", len(quanta) + strict)
    if not options["bands"]:
        raise UsageError('ets: one of "bands", "quanta" or "strict" needs to be specified')
    if len(quanta) + strict > options["bands"]:
        raise UsageError("ets: not enough total bands to cover all the strict bands and quanta")
    return options


ETS: Final = QdiscKind(
    name="ets", make=Ets, arguments=ets_arguments,
    doc="Bands in strict priority, then bands by deficit round robin; classes X:1 to X:bands.",
    options=(
        QdiscOption(word="bands", value="NUMBER", range=(1, MAX_BANDS), default="strict bands and quanta",
                    doc="number of bands"),
        QdiscOption(word="strict", value="NUMBER", default=0, doc="number of bands that are strict, the first ones"),
        QdiscOption(word="quanta", value="SIZE", many=True, default="a full frame each", unit="bytes",
                    doc="bytes that each of the other bands may send in a round"),
        QdiscOption(word="priomap", value="NUMBER", many=True, default="the last band",
                    doc="band of each skb->priority & 15 for packets that no filter classifies")),
    class_options=(QdiscOption(word="quantum", value="SIZE", default="unchanged", unit="bytes",
                               doc="bytes that a band that is not strict may send in a round"),))
