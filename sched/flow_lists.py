"""Queues of flows, as fq_codel and fq_pie keep them: which one a packet belongs to, and whose turn it is.

Sources: net/sched/sch_fq_codel.c and sch_fq_pie.c, Linux 7.2; RFC 8290, section 4.
"""

from __future__ import annotations

from collections import OrderedDict
from typing import TYPE_CHECKING, Generic, Protocol, TypeVar

from ebpfvm.sched.classful import NET_XMIT_BYPASS
from ebpfvm.sched.classify import taken, tcf_classify
from ebpfvm.sched.sch_generic import NET_XMIT_SUCCESS, TC_H_MAJ_MASK
from ebpfvm.sched.tc.tc_verdict import TcfResult

if TYPE_CHECKING:
    from collections.abc import Callable

    from ebpfvm.sched.account import Packet
    from ebpfvm.sched.classful import ClassfulQdisc


class TurnTaker(Protocol):
    """A flow: what it may still send in this turn."""

    deficit: int


F = TypeVar("F", bound=TurnTaker)


def flow_of(qdisc: ClassfulQdisc, skb: Packet, number: int, hashed: Callable[[], int]) -> tuple[int, int]:
    """Return the flow of a packet, -1 for none, and what enqueue then returns.

    The packet's priority can name a flow of the qdisc; otherwise filters choose it, or the hash if there are none.

    Args:
        number: number of flows.
        hashed: returns the flow by hash.
    """
    minor = skb.priority & 0xFFFF
    if skb.priority & TC_H_MAJ_MASK == qdisc.handle and 0 < minor <= number:
        return minor - 1, 0
    if qdisc.block is None or not qdisc.block.chains:
        return hashed(), 0
    result = TcfResult()
    verdict = tcf_classify(skb, qdisc.block, result)
    if done := taken(verdict):
        return -1, done
    minor = result.classid & 0xFFFF
    if verdict < 0 or not 0 < minor <= number:
        return -1, NET_XMIT_SUCCESS | NET_XMIT_BYPASS
    return minor - 1, 0


class FlowLists(Generic[F]):
    """The flows that take turns: new ones first, then the old ones.

    Attributes:
        new, old: number of a flow -> flow, in the order of their turns.
    """

    def __init__(self) -> None:
        self.new: OrderedDict[int, F] = OrderedDict()
        self.old: OrderedDict[int, F] = OrderedDict()

    def begin(self, index: int, flow: F, quantum: int) -> bool:
        """Let a flow take turns from now on; return False if it already does."""
        if index in self.new or index in self.old:
            return False
        self.new[index] = flow
        flow.deficit = quantum
        return True

    def turn(self, quantum: int) -> F | None:
        """Return the flow whose turn it is, None if there is none; one that has used its turn up waits for the next."""
        while heads := self.new or self.old:
            index, flow = next(iter(heads.items()))
            if flow.deficit > 0:
                return flow
            flow.deficit += quantum
            del heads[index]
            self.old[index] = flow
        return None

    def emptied(self) -> None:
        """Remove the flow that `turn` returned; a new one goes through the old ones once, so it cannot starve them."""
        heads = self.new or self.old
        index, flow = heads.popitem(last=False)
        if heads is self.new and self.old:
            self.old[index] = flow

    def clear(self) -> None:
        """Forget all flows."""
        self.new.clear()
        self.old.clear()
