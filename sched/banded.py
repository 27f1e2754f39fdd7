"""What prio and ets share: a class for each band, and the band of a packet (net/sched/sch_prio.c and sch_ets.c)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from ebpfvm.sched.classful import ClassfulQdisc, purge
from ebpfvm.sched.classify import taken, tcf_classify
from ebpfvm.sched.qdiscs.fifo import Pfifo
from ebpfvm.sched.sch_generic import TC_H_MAJ_MASK
from ebpfvm.sched.tc.block import Block
from ebpfvm.sched.tc.tc_verdict import TcfResult

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from ebpfvm.sched.account import Packet
    from ebpfvm.sched.sch_generic import Qdisc, QdiscDevice

TC_PRIO_MAX: Final = 15  # include/uapi/linux/pkt_sched.h
_TC_H_MIN: Final = 0xFFFF


class BandedQdisc(ClassfulQdisc):
    """A qdisc with bands: classes X:1 to X:bands, each with a qdisc, at first a pfifo.

    Attributes:
        bands: the classes.
        priomap: the band for each value of skb->priority & 15, used if no filter selects one.
    """

    priomap: Sequence[int]

    def __init__(self, dev: QdiscDevice, handle: int) -> None:
        super().__init__(dev, handle)
        self.block = Block(self)
        self.bands: list[Any] = []

    def resize(self, bands: int, made: Callable[[int], Any]) -> None:
        """Set the number of bands; packets in bands that are removed are dropped.

        Args:
            made: returns the class of an id.
        """
        while len(self.bands) > bands:
            child = self.bands.pop().child
            if child is not None:
                purge(child)
                child.destroy()
        while len(self.bands) < bands:
            self.bands.append(made(self.handle | len(self.bands) + 1))
            self.graft(self.bands[-1], None)

    def walk(self) -> Iterator[Any]:
        """Yield one class per band."""
        return iter(self.bands)

    def graft(self, cl: Any, new: Qdisc | None) -> Qdisc | None:
        """Attach a qdisc to a band, or a pfifo if there is none, and return the one that it replaces."""
        return super().graft(cl, new if new is not None else Pfifo(self.dev))

    def classify(self, skb: Packet) -> tuple[int, int]:
        """Return the band of a packet, -1 for none, and what enqueue then returns (prio_classify, ets_classify)."""
        band = skb.priority
        if band & TC_H_MAJ_MASK != self.handle:
            result = TcfResult()
            verdict = tcf_classify(skb, self.block, result)
            if done := taken(verdict):
                return -1, done
            if verdict < 0 or self.block is None or not self.block.chains:
                return self.priomap[0 if band & TC_H_MAJ_MASK else band & TC_PRIO_MAX], 0
            band = result.classid
        band = (band & _TC_H_MIN) - 1
        return (band if 0 <= band < len(self.bands) else self.priomap[0]), 0
