"""CoDel, the control law by which fq_codel drops packets (include/net/codel_impl.h, Linux 7.2; RFC 8289).

Times are in units of 1024 ns and the inverse square root is a 16-bit fixed-point number, as in the kernel, so that the
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
    """The parameters: `target` and `interval` in units of 1024 ns, `mtu` in bytes, `ecn`.

    Nothing is dropped from a queue of at most `mtu` bytes. With `ecn`, ECN capable packets are marked instead of
    dropped.
    """

    target: int
    interval: int
    mtu: int
    ecn: bool


class CodelQueue(NamedTuple):
    """The interface through which `codel_dequeue` accesses a queue.

    Attributes:
        pop: removes and returns the oldest packet with its arrival time (units of 1024 ns), or None.
        backlog: its bytes.
        drop: drops a removed packet.
        mark: sets CE in a removed packet; returns False if it is not ECN capable.
    """

    pop: Callable[[], tuple[Packet, int] | None]
    backlog: Callable[[], int]
    drop: Callable[[Packet], None]
    mark: Callable[[Packet], bool]


class CodelVars:
    """The state of one queue (struct codel_vars)."""

    __slots__ = ("count", "drop_next", "dropping", "first_above_time", "lastcount", "rec_inv_sqrt")

    def __init__(self) -> None:
        self.count = self.lastcount = self.drop_next = self.first_above_time = self.rec_inv_sqrt = 0
        self.dropping = False

    def newton_step(self) -> None:
        """Make one step towards 1/sqrt(count)."""
        inverse = self.rec_inv_sqrt << _REC_INV_SQRT_SHIFT
        value = (3 << 32) - self.count * (inverse * inverse >> 32)
        self.rec_inv_sqrt = ((value >> 2) * inverse >> 31 & U32_MAX) >> _REC_INV_SQRT_SHIFT

    def control_law(self, time: int, interval: int) -> int:
        """Return the time of the next drop: interval / sqrt(count) after `time`."""
        return time + (interval * (self.rec_inv_sqrt << _REC_INV_SQRT_SHIFT) >> 32)

    def should_drop(self, head: tuple[Packet, int] | None, queue: CodelQueue, params: CodelParams, now: int) -> bool:
        """Return whether the sojourn time has been above the target for a whole interval."""
        if head is None or now - head[1] < params.target or queue.backlog() <= params.mtu:
            self.first_above_time = 0
            return False
        if not self.first_above_time:
            self.first_above_time = now + params.interval
            return False
        return now > self.first_above_time


def codel_dequeue(queue: CodelQueue, params: CodelParams, state: CodelVars, now: int) -> Packet | None:
    """Return the next packet, after dropping (or marking) as the control law says; `now` is in units of 1024 ns."""
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
        # The queue left the dropping state only recently, so continue with the drop rate that it had reached.
        state.count = delta
        state.newton_step()
    else:
        state.count = 1
        state.rec_inv_sqrt = U32_MAX >> _REC_INV_SQRT_SHIFT
    state.lastcount = state.count
    state.drop_next = state.control_law(now, params.interval)
    return following
