"""Which flows of cake a kernel lists, which loses some where a message is full (cake_walk, sch_cake.c, Linux 7.2).

`tc class show` gets the classes in several messages. Where one is full, the walk ends for the tin that it is in, but
not for the later ones, whose empty queues it counts as far as the first flow. The next message begins so many queues
further on, and the flows between are left out. Only a cake of several tins with more than 24 flows is concerned.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from ebpfvm.sched.qdiscs.cake_tin import QUEUES

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from ebpfvm.sched.qdiscs.cake_tin import CakeFlow

_PAGE: Final = 3776  # NLMSG_GOODSIZE with pages of 4 KiB
_LATER: Final = 32448  # what a message may have as soon as the reader's buffer of 32 KiB is known
_SMALL_MESSAGES: Final = 2
_CLASS_BYTES: Final = 156  # headers, kind, and the counters in their two forms
_FIELD_BYTES: Final = 8  # drop_next and blue_timer are sent only where they mean something


def dumped(tins: Sequence[Sequence[CakeFlow]]) -> Iterator[tuple[int, CakeFlow]]:
    """Yield the flows of each tin, in the order of their indices, that come out, with the number of their tin."""
    skip, message, stopped = 0, 0, True
    while stopped:
        room, count, stopped = _PAGE if message < _SMALL_MESSAGES else _LATER, 0, False
        for number, flows in enumerate(tins):
            place = 0
            for flow in flows:
                count += flow.index - place
                place = flow.index
                if count >= skip:
                    if _size(flow) > room:
                        stopped = True
                        break
                    room -= _size(flow)
                    yield number, flow
                count += 1
                place += 1
            else:
                count += QUEUES - place
        skip, message = count, message + 1


def _size(flow: CakeFlow) -> int:
    return _CLASS_BYTES + _FIELD_BYTES * (flow.cobalt.dropping + bool(flow.cobalt.p_drop))
