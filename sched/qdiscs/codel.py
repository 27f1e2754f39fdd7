"""CoDel, the control law that fq_codel drops by (include/net/codel_impl.h, Linux 7.2; RFC 8289).

Times are in units of 1024 ns and the inverse square root is 16 bits of fixed point, as the kernel's are, so that the
same packets are dropped.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

from ebpfvm.ints import U32_MAX

if TYPE_CHECKING:
    from collections.abc import Callable

    from ebpfvm.sched.account import Packet

CODEL_SHIFT: Final = 10
_REC_INV_SQRT_SHIFT: Final = 16


class CodelParams(NamedTuple):
    """`target` and `interval` in units of 1024 ns; `mtu` in bytes: a queue of no more than that is never dropped
    from; `ecn`: mark rather than drop where a packet allows it."""

    target: int
    interval: int
    mtu: int
    ecn: bool


class CodelQueue(NamedTuple):
    """How `codel_dequeue` reaches a queue.

    Attributes:
        pop: its oldest packet with the time it came in (units of 1024 ns), or None.
        backlog: its bytes.
        drop: drop a popped packet.
        mark: set CE in a popped packet; False if it is not ECN capable.
    """

    pop: Callable[[], tuple[Packet, int] | None]
    backlog: Callable[[], int]
    drop: Callable[[Packet], None]
    mark: Callable[[Packet], bool]


class CodelVars:
    """State of one queue (struct codel_vars)."""

    __slots__ = ("count", "drop_next", "dropping", "first_above_time", "lastcount", "rec_inv_sqrt")

    def __init__(self) -> None:
        self.count = self.lastcount = self.drop_next = self.first_above_time = self.rec_inv_sqrt = 0
        self.dropping = False

    def newton_step(self) -> None:
        """One step towards 1/sqrt(count)."""
        inverse = self.rec_inv_sqrt << _REC_INV_SQRT_SHIFT
        value = (3 << 32) - self.count * (inverse * inverse >> 32)
        self.rec_inv_sqrt = ((value >> 2) * inverse >> 31 & U32_MAX) >> _REC_INV_SQRT_SHIFT

    def control_law(self, time: int, interval: int) -> int:
        """When to drop next: interval / sqrt(count) after `time`."""
        return time + (interval * (self.rec_inv_sqrt << _REC_INV_SQRT_SHIFT) >> 32)

    def should_drop(self, head: tuple[Packet, int] | None, queue: CodelQueue, params: CodelParams, now: int) -> bool:
        """Has the delay been above the target for a whole interval?"""
        if head is None or now - head[1] < params.target or queue.backlog() <= params.mtu:
            self.first_above_time = 0
            return False
        if not self.first_above_time:
            self.first_above_time = now + params.interval
            return False
        return now > self.first_above_time


def codel_dequeue(queue: CodelQueue, params: CodelParams, state: CodelVars, now: int) -> Packet | None:
    """The next packet, after dropping (or marking) what the control law says; `now` in units of 1024 ns."""
    head = queue.pop()
    if head is None:
        state.dropping = False
        return None
    drop = state.should_drop(head, queue, params, now)
    if state.dropping:
        if not drop:
            state.dropping = False
        else:
            head = _keep_dropping(queue, params, state, now, head)
    elif drop:
        head = _start_dropping(queue, params, state, now, head)
    return None if head is None else head[0]


def _keep_dropping(queue: CodelQueue, params: CodelParams, state: CodelVars, now: int,
                   head: tuple[Packet, int] | None) -> tuple[Packet, int] | None:
    while state.dropping and now >= state.drop_next:
        assert head is not None
        state.count += 1
        state.newton_step()
        if params.ecn and queue.mark(head[0]):
            state.drop_next = state.control_law(state.drop_next, params.interval)
            return head
        queue.drop(head[0])
        head = queue.pop()
        if state.should_drop(head, queue, params, now):
            state.drop_next = state.control_law(state.drop_next, params.interval)
        else:
            state.dropping = False
    return head


def _start_dropping(queue: CodelQueue, params: CodelParams, state: CodelVars, now: int,
                    head: tuple[Packet, int]) -> tuple[Packet, int] | None:
    following: tuple[Packet, int] | None = head
    if not (params.ecn and queue.mark(head[0])):
        queue.drop(head[0])
        following = queue.pop()
        state.should_drop(following, queue, params, now)
    state.dropping = True
    delta = state.count - state.lastcount
    if delta > 1 and now - state.drop_next < 16 * params.interval:
        # The queue was controlled until a moment ago: go on where that ended.
        state.count = delta
        state.newton_step()
    else:
        state.count = 1
        state.rec_inv_sqrt = U32_MAX >> _REC_INV_SQRT_SHIFT
    state.lastcount = state.count
    state.drop_next = state.control_law(now, params.interval)
    return following
