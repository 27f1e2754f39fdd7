"""Which flow of cake loses a packet when memory runs out: the longest; between equal ones, the order of a heap decides.

The kernel's heap is only kept while it is in use: a drop builds it, and it is forgotten after 65,535 packets without
one. Its order is that of the flows' numbers at first, and each use changes it.

Source: net/sched/sch_cake.c, Linux 7.2.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from ebpfvm.sched.qdiscs.cake_tin import QUEUES

if TYPE_CHECKING:
    from collections.abc import Callable

    from ebpfvm.sched.qdiscs.cake_tin import CakeFlow, CakeTin

_TINS: Final = 8
_SIZE: Final = _TINS * QUEUES
_KEPT: Final = 65535  # packets for which the heap is kept after a drop


class OverflowHeap:
    """All flows of all tins, the longest first.

    Args:
        tins: returns the tins.
    """

    def __init__(self, tins: Callable[[], list[CakeTin]]) -> None:
        self._tins = tins
        self._flows: list[int] = []  # flow * tins + tin, by place
        self._places: list[int] = []  # the inverse
        self._kept = 0

    def longest(self) -> tuple[CakeTin, CakeFlow]:
        """Return the flow at the top, and its tin."""
        if not self._flows:
            self._flows, self._places = list(range(_SIZE)), list(range(_SIZE))
        if not self._kept:
            for place in range(_SIZE // 2 - 1, -1, -1):
                self._sink(place)
        self._kept = _KEPT
        index, number = divmod(self._flows[0], _TINS)
        tin = self._tins()[number]
        return tin, tin.flows[index]

    def grown(self, tin: CakeTin, flow: CakeFlow) -> None:
        """Move a flow that got a packet up."""
        if not self._kept:
            return
        place = self._places[self._number(tin, flow)]
        while place and self._backlog(place) > self._backlog(place - 1 >> 1):
            self._swap(place, place - 1 >> 1)
            place = place - 1 >> 1

    def shrunk(self, tin: CakeTin, flow: CakeFlow) -> None:
        """Move a flow that lost a packet down."""
        if self._kept:
            self._sink(self._places[self._number(tin, flow)])

    def sent(self) -> None:
        """Note that a packet left."""
        self._kept -= self._kept > 0

    def _number(self, tin: CakeTin, flow: CakeFlow) -> int:
        return flow.index * _TINS + self._tins().index(tin)

    def _backlog(self, place: int) -> int:
        index, number = divmod(self._flows[place], _TINS)
        flow = self._tins()[number].flows.get(index)
        return flow.backlog if flow is not None else 0

    def _sink(self, place: int) -> None:
        while True:
            most, size = place, self._backlog(place)
            for below in (2 * place + 1, 2 * place + 2):
                if below < _SIZE and self._backlog(below) > size:
                    most, size = below, self._backlog(below)
            if most == place:
                return
            self._swap(place, most)
            place = most

    def _swap(self, one: int, other: int) -> None:
        flows, places = self._flows, self._places
        flows[one], flows[other] = flows[other], flows[one]
        places[flows[one]], places[flows[other]] = one, other
