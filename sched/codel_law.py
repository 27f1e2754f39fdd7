"""CoDel, the control law by which codel and fq_codel drop packets (include/net/codel_impl.h, Linux 7.2; RFC 8289).

Times are in units of 1024 ns and the inverse square root is a 16-bit fixed-point number, as in the kernel, so that the
same packets are dropped.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from ebpfvm.ints import U32_MAX
from ebpfvm.lazy_tuples import NamedTuple
from ebpfvm.sched.classful import tree_reduce_backlog
from ebpfvm.sched.shown import Part
from ebpfvm.sched.tc.dissect import dissect, set_ce
from ebpfvm.sched.units import tc_us_text

if TYPE_CHECKING:
    from collections.abc import Callable

    from ebpfvm.sched.account import Packet
    from ebpfvm.sched.sch_generic import Qdisc

CODEL_SHIFT: Final = 10
_REC_INV_SQRT_SHIFT: Final = 16


class CodelParams(NamedTuple):
    """The parameters: `target`, `interval` and `ce_threshold` in units of 1024 ns, `mtu` in bytes, `ecn`.

    Nothing is dropped while at most `mtu` bytes are queued. With `ecn`, ECN capable packets are marked instead of
    dropped. Packets that have waited longer than `ce_threshold` (None for no limit) are marked, if `ce_mask` is 0 or
    the bits of their DSCP and ECN byte under it are `ce_value`.
    """

    target: int
    interval: int
    mtu: int
    ecn: bool
    ce_threshold: int | None = None
    ce_value: int = 0
    ce_mask: int = 0


class CodelCounts:
    """What a qdisc counts for all its queues: marks, largest packet, and drops of the current dequeue.

    Attributes:
        ecn_mark, ce_mark, maxpacket: as `tc -s` shows them.
        dropped, dropped_bytes: packets dropped since the parents were told.
    """

    __slots__ = ("ce_mark", "dropped", "dropped_bytes", "ecn_mark", "maxpacket")

    def __init__(self) -> None:
        self.ecn_mark = self.ce_mark = self.dropped = self.dropped_bytes = self.maxpacket = 0


class CodelQueue(NamedTuple):
    """The interface through which `codel_dequeue` accesses a queue.

    Attributes:
        pop: removes and returns the oldest packet with its arrival time (units of 1024 ns), or None.
        qdisc: the qdisc that the queue belongs to; its whole backlog decides whether anything may be dropped.
        counts: the qdisc's counts.
    """

    pop: Callable[[], tuple[Packet, int] | None]
    qdisc: Qdisc
    counts: CodelCounts

    def drop(self, skb: Packet) -> None:
        """Drop a packet that was removed."""
        self.qdisc.kernel_view.drops += 1
        self.counts.dropped += 1
        self.counts.dropped_bytes += skb.wire_len
        self.qdisc.dev.drop(skb, self.qdisc.holder)

    def mark(self, skb: Packet) -> bool:
        """Set CE in a packet that was removed; return False if it is not ECN capable."""
        marked = set_ce(skb)
        self.counts.ecn_mark += marked
        return marked


class CodelVars:
    """The state of one queue (struct codel_vars); `ldelay` is the sojourn time of the latest packet."""

    __slots__ = ("count", "drop_next", "dropping", "first_above_time", "lastcount", "ldelay", "rec_inv_sqrt")

    def __init__(self) -> None:
        self.count = self.lastcount = self.drop_next = self.first_above_time = self.rec_inv_sqrt = self.ldelay = 0
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
        if head is None:
            self.first_above_time = 0
            return False
        self.ldelay = now - head[1]
        queue.counts.maxpacket = max(queue.counts.maxpacket, head[0].wire_len)
        if self.ldelay < params.target or queue.qdisc.kernel_view.backlog <= params.mtu:
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
        state.first_above_time = 0
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
    if head is None:
        return None
    _mark_late(head[0], queue, params, state)
    return head[0]


def _mark_late(skb: Packet, queue: CodelQueue, params: CodelParams, state: CodelVars) -> None:
    """Mark a packet whose sojourn time exceeds `ce_threshold`."""
    if params.ce_threshold is None or state.ldelay <= params.ce_threshold:
        return
    if params.ce_mask:
        tos = dissect(skb).tos
        if tos is None or (tos ^ params.ce_value) & params.ce_mask:
            return
    queue.counts.ce_mark += set_ce(skb)


def codel_time_text(ns: int) -> str:
    """Return a time as `tc` prints it, after the kernel stored it in units of 1024 ns."""
    return tc_us_text((ns >> CODEL_SHIFT << CODEL_SHIFT) // 1000)


def codel_time_part(word: str, ns: int) -> Part:
    """Return a time that the kernel stores in units of 1024 ns; JSON has microseconds."""
    return Part(f"{word} {codel_time_text(ns)} ", word, (ns >> CODEL_SHIFT << CODEL_SHIFT) // 1000)


def whole_us(time: int) -> int:
    """Return the whole microseconds of a time in units of 1024 ns, which may be negative."""
    return (abs(time) << CODEL_SHIFT) // 1000 * (-1 if time < 0 else 1)


def drop_next_text(time: int) -> str:
    """Return a time in units of 1024 ns until the next drop, negative if it has passed."""
    return ("-" if time < 0 else "") + codel_time_text(abs(time) << CODEL_SHIFT)


def tell_parents(qdisc: Qdisc, counts: CodelCounts) -> None:
    """Subtract what this dequeue has dropped from the counters of the parents."""
    if counts.dropped:
        tree_reduce_backlog(qdisc, counts.dropped, counts.dropped_bytes)
        counts.dropped = counts.dropped_bytes = 0


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
