"""htb, the hierarchy token bucket: classes with a rate of their own that borrow from their parents up to a ceiling.

Each class has two buckets of tokens, which are nanoseconds of sending time: one filled at its rate, one at its ceiling.
A class with tokens of both may send; one that has spent those of its rate may borrow from its parent; one that has
spent those of its ceiling waits. Among the classes of a level and priority, packets go by deficit round robin.

Source: net/sched/sch_htb.c, Linux 7.2; Devera, "HTB manual - user guide" (2002).
"""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, Any, Final, Never

from ebpfvm.errnos import EBUSY, EINVAL, ENOSYS
from ebpfvm.errors import UsageError
from ebpfvm.ints import S32_MAX, S32_MIN
from ebpfvm.sched.class_table import TableQdisc
from ebpfvm.sched.classful import (
    QdiscClass,
    account_out,
    dequeue_peeked,
    drop_count,
    qdisc_enqueue,
)
from ebpfvm.sched.classify import taken, tcf_classify
from ebpfvm.sched.psched import ETHERNET_LAYER, PSCHED_SHIFT, RateConfig, bucket_ns
from ebpfvm.sched.qdisc_kind import NEEDED, QdiscKind, QdiscOption, given_once
from ebpfvm.sched.qdiscs.fifo import tx_queue_len
from ebpfvm.sched.qdiscs.htb_rows import HtbLevel, HtbRow
from ebpfvm.sched.sch_generic import (
    NET_XMIT_DROP,
    NET_XMIT_SUCCESS,
    TC_H_MAJ_MASK,
    TC_H_ROOT,
    Qdisc,
    Stats,
)
from ebpfvm.sched.shown import Part, entry, worded
from ebpfvm.sched.tc.block import Block
from ebpfvm.sched.tc.tc_verdict import TcfResult
from ebpfvm.sched.units import NSEC_PER_SEC, format_size, format_tc_rate

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from ebpfvm.sched.account import Packet
    from ebpfvm.sched.sch_generic import QdiscDevice

LEVELS: Final = 8  # TC_HTB_MAXDEPTH
PRIORITIES: Final = 8  # TC_HTB_NUMPRIO
R2Q: Final = 10
MTU: Final = 1600  # what tc adds to the smallest burst
_MBUFFER: Final = 60 * NSEC_PER_SEC  # time for which a class saves tokens at most
_CANT_SEND, _MAY_BORROW, _CAN_SEND = range(3)


class HtbClass(QdiscClass):
    """A class.

    Attributes:
        parent: the class above it, None at the top.
        level: 0 for a leaf; classes without a parent that have children have the greatest.
        children: how many classes are below it.
        rate, ceil: the rates.
        buffer, cbuffer: the greatest number of tokens of each, in ns.
        tokens, ctokens: the tokens; they become negative.
        since: when they were counted.
        mode: whether it can send, may borrow, or neither.
        prio, quantum: priority among the leaves, and bytes of a round.
        deficit: what is left of its rounds, by level at which it borrows.
        active: priorities of which packets wait here or below.
        feeds: of a class with children: those that borrow from it, by priority.
        wakes: when its mode has to be looked at again.
        block: its filters, for packets that the filters of the qdisc sent to it.
        drops, overlimits, lends, borrows: counters.
    """

    __slots__ = ("active", "block", "borrows", "buffer", "cbuffer", "ceil", "children", "ctokens", "deficit", "drops",
                 "feeds", "lends", "level", "mode", "overlimits", "parent", "prio", "quantum", "rate", "since",
                 "tokens", "wakes")

    def __init__(self, qdisc: Htb, classid: int, parent: HtbClass | None) -> None:
        super().__init__(classid)
        self.parent = parent
        self.level = self.children = self.drops = self.overlimits = self.lends = self.borrows = 0
        self.buffer = self.cbuffer = self.tokens = self.ctokens = self.prio = self.quantum = self.wakes = 0
        self.rate = self.ceil = RateConfig(1)
        self.since = 0
        self.mode = _CAN_SEND
        self.deficit = [0] * LEVELS
        self.active: set[int] = set()
        self.feeds = [HtbRow() for _ in range(PRIORITIES)]
        self.block = Block(qdisc)

    def become_inner(self) -> None:
        """Turn it into a class with children, which has the level below its parent's."""
        self.level = (self.parent.level if self.parent is not None else LEVELS) - 1
        self.feeds = [HtbRow() for _ in range(PRIORITIES)]

    def mode_after(self, passed: int) -> tuple[int, int]:
        """Return its mode after so many ns, and for how many more it lasts unless it can send."""
        tokens = self.ctokens + passed
        if tokens < 0:
            return _CANT_SEND, -tokens
        tokens = self.tokens + passed
        return (_CAN_SEND, 0) if tokens >= 0 else (_MAY_BORROW, -tokens)

    def charge(self, size: int, passed: int, borrowed: bool) -> None:
        """Take the tokens of a packet; the parent's rate paid for one that was borrowed."""
        if borrowed:
            self.tokens += passed
        else:
            self.tokens = _spent(self.tokens + passed, self.buffer, self.rate.time(size))
        self.ctokens = _spent(self.ctokens + passed, self.cbuffer, self.ceil.time(size))


def _spent(tokens: int, most: int, cost: int) -> int:
    return max(min(tokens, most) - cost, 1 - _MBUFFER)


class Htb(TableQdisc):
    """A hierarchy of classes that share a link.

    Packets that no filter gives a leaf class go to the default class; without one, they pass unshaped.

    Args:
        dev, handle: as for `Qdisc`.
        default: minor number of the default class, 0 for none.
        r2q: rate divided by it is the quantum of classes without one.
        direct_qlen: packets that may wait to pass unshaped.
    """

    kind = "htb"

    def __init__(self, dev: QdiscDevice, handle: int = 0, default: int = 0, r2q: int = R2Q,
                 direct_qlen: int | None = None) -> None:
        super().__init__(dev, handle)
        self.default, self.r2q = default, r2q
        self.direct_qlen = tx_queue_len(dev) if direct_qlen is None else direct_qlen
        self.direct: deque[Packet] = deque()
        self.direct_packets = 0
        self.levels = [HtbLevel(PRIORITIES) for _ in range(LEVELS)]

    def change(self, default: int = 0, r2q: int = R2Q, direct_qlen: int | None = None) -> Never:
        """Raise OSError, ENOSYS: only its classes can be changed."""
        raise OSError(ENOSYS, "Change operation not supported by specified qdisc")

    # ---- classes ----------------------------------------------------------------------------------------------

    def class_parent(self, cl: HtbClass) -> int:
        """Return the class above, or the root."""
        return cl.parent.classid if cl.parent is not None else TC_H_ROOT

    def class_stats(self, cl: HtbClass) -> Stats:
        """Return what passed the class, and what its qdisc holds if it is a leaf."""
        queued = cl.child.kernel_view if cl.child is not None else Stats()
        return Stats(cl.stats.packets, cl.stats.bytes, cl.drops, cl.overlimits, 0, queued.qlen, queued.backlog)

    def tcf_block(self, cl: HtbClass | None = None) -> Block | None:
        """Return the filters of the qdisc, or of a class."""
        return self.block if cl is None else cl.block

    def blocks(self) -> Iterator[Block]:
        """Yield the filters of the qdisc and of every class."""
        yield from super().blocks()
        yield from (cl.block for cl in self.classes)

    def graft(self, cl: HtbClass, new: Qdisc | None) -> Qdisc | None:
        """Attach a qdisc to a leaf, or a pfifo if there is none, and return the one that it replaces.

        Raises:
            OSError: EINVAL if the class has children.
        """
        if cl.level:
            raise OSError(EINVAL, "Invalid argument: a class with children has no qdisc")
        return super().graft(cl, new)

    def change_class(self, classid: int, parent: int, options: dict[str, Any], cl: HtbClass | None = None) -> HtbClass:
        """Create or change a class (htb_change_class).

        Raises:
            OSError: EINVAL if the rate is missing, the id not of this qdisc, or the tree too deep.
        """
        if not options.get("rate") or not options.get("ceil"):
            raise OSError(EINVAL, "Invalid argument: a class of htb needs a rate")
        layer = options.get("overhead", 0), options.get("mpu", 0), options.get("linklayer", ETHERNET_LAYER)
        rate, ceil = RateConfig(options["rate"], *layer), RateConfig(options["ceil"], *layer)
        buffer = bucket_ns(options["burst"], rate.rate)
        cbuffer = bucket_ns(options["cburst"], ceil.rate)
        if cl is None:
            cl = self._new(classid, parent)
            cl.tokens, cl.ctokens, cl.since = buffer, cbuffer, self.dev.loop.now
        if not cl.level:
            quantum = min(rate.rate // self.r2q, S32_MAX) if self.r2q else S32_MAX
            cl.quantum = options.get("quantum") or min(max(quantum, 1000), 200000)
            cl.prio = min(options.get("prio", 0), PRIORITIES - 1)
        cl.rate, cl.ceil, cl.buffer, cl.cbuffer = rate, ceil, buffer, cbuffer
        return cl

    def _new(self, classid: int, parent_id: int) -> HtbClass:
        self.check_new(classid)
        if self.classes.get(classid) is not None:
            raise OSError(EINVAL, "Invalid argument")
        parent: HtbClass | None = self.classes.get(parent_id)
        if parent is not None and parent.parent is not None and parent.parent.level < 2:
            raise OSError(EINVAL, "Invalid argument: the tree of classes is too deep")
        cl = HtbClass(self, classid, parent)
        if parent is not None:
            if not parent.level:
                self._make_inner(parent)
            parent.children += 1
        self.graft(cl, None)
        self.classes.add(cl)
        return cl

    def _make_inner(self, cl: HtbClass) -> None:
        """Turn a leaf into a class with children; what it holds is dropped."""
        self.drop_child(cl)
        self.qlen_notify(cl)
        self._wait_no_more(cl)
        cl.mode = _CAN_SEND
        cl.become_inner()

    def delete_class(self, cl: HtbClass) -> None:
        """Remove a class; the last child leaves its parent as a leaf.

        Raises:
            OSError: EBUSY if it has children or a filter selects it.
        """
        if cl.children:
            raise OSError(EBUSY, "HTB class in use")
        self.check_unused(cl, "HTB class in use")
        self.drop_child(cl)
        self.qlen_notify(cl)
        self._wait_no_more(cl)
        self.classes.remove(cl)
        parent = cl.parent
        if parent is None:
            return
        parent.children -= 1
        if not parent.children:
            self._wait_no_more(parent)
            parent.level = 0
            self.graft(parent, None)
            parent.tokens, parent.ctokens, parent.since = parent.buffer, parent.cbuffer, self.dev.loop.now
            parent.mode = _CAN_SEND

    def _wait_no_more(self, cl: HtbClass) -> None:
        if cl.mode != _CAN_SEND:
            self.levels[cl.level].forget(cl)

    # ---- who may send -----------------------------------------------------------------------------------------

    def qlen_notify(self, cl: HtbClass) -> None:
        """Take a leaf without packets out of its rows (htb_deactivate)."""
        if cl.active:
            self._leave(cl)
            cl.active = set()

    def _enter(self, cl: HtbClass) -> None:
        """Enter a class in the rows of the level at which it can send, through the parents that lend to it."""
        mask = set(cl.active)
        while cl.mode == _MAY_BORROW and cl.parent is not None and mask:
            parent = cl.parent
            for prio in sorted(mask):
                if parent.feeds[prio]:
                    mask.discard(prio)  # the parent has been entered for this priority already
                parent.feeds[prio].add(cl)
            parent.active |= mask
            cl = parent
        if cl.mode == _CAN_SEND:
            for prio in mask:
                self.levels[cl.level].rows[prio].add(cl)

    def _leave(self, cl: HtbClass) -> None:
        """Undo `_enter`."""
        mask = set(cl.active)
        while cl.mode == _MAY_BORROW and cl.parent is not None and mask:
            parent, empty = cl.parent, set()
            for prio in sorted(mask):
                parent.feeds[prio].leave(cl)
                if not parent.feeds[prio]:
                    empty.add(prio)
            parent.active -= empty
            cl, mask = parent, empty
        if cl.mode == _CAN_SEND:
            for prio in mask:
                self.levels[cl.level].rows[prio].remove(cl)

    def _set_mode(self, cl: HtbClass, passed: int) -> int:
        """Set the mode that a class has after so many ns, and return for how many more it lasts."""
        mode, lasts = cl.mode_after(passed)
        if mode == cl.mode:
            return lasts
        if mode == _CANT_SEND:
            cl.overlimits += 1
            self.kernel_view.overlimits += 1
        if cl.active:
            if cl.mode != _CANT_SEND:
                self._leave(cl)
            cl.mode = mode
            if mode != _CANT_SEND:
                self._enter(cl)
        cl.mode = mode
        return lasts

    def _charge(self, leaf: HtbClass, level: int, size: int, now: int) -> None:
        """Let a class and those above it pay for a packet that was lent at a level."""
        cl: HtbClass | None = leaf
        while cl is not None:
            passed = min(now - cl.since, _MBUFFER)
            cl.lends += cl.level == level
            cl.borrows += cl.level < level
            cl.charge(size, passed, cl.level < level)
            cl.since = now
            before = cl.mode
            lasts = self._set_mode(cl, 0)
            if before != cl.mode:
                if before != _CAN_SEND:
                    self.levels[cl.level].forget(cl)
                if cl.mode != _CAN_SEND:
                    self.levels[cl.level].wait(cl, now, lasts)
            if cl.level:
                cl.stats.packets += 1
                cl.stats.bytes += size
            cl = cl.parent

    def _wake_classes(self, level: HtbLevel, now: int) -> int:
        """Look at the modes of the classes of a level whose time has come, and return when the next one's will."""
        while level.waiting:
            cl = level.waiting[0]
            if cl.wakes > now:
                return int(cl.wakes)
            level.forget(cl)
            lasts = self._set_mode(cl, min(now - cl.since, _MBUFFER))
            if cl.mode != _CAN_SEND:
                level.wait(cl, now, lasts)
        return now + NSEC_PER_SEC

    # ---- packets ----------------------------------------------------------------------------------------------

    def leaf_of(self, skb: Packet) -> tuple[HtbClass | None, bool, int]:
        """Return the leaf of a packet, whether it passes unshaped instead, and what enqueue returns for neither."""
        if skb.priority == self.handle:
            return None, True, 0
        cl: HtbClass | None = self.classes.get(skb.priority)
        if cl is not None and not cl.level:
            return cl, False, 0
        block = self.block if cl is None else cl.block
        while block is not None and block.chains:
            result = TcfResult()
            verdict = tcf_classify(skb, block, result)
            if verdict < 0:
                break
            if done := taken(verdict):
                return None, False, done
            if result.classid == self.handle:
                return None, True, 0
            cl = self.classes.get(result.classid)
            if cl is None:
                break
            if not cl.level:
                return cl, False, 0
            block = cl.block
        cl = self.classes.get(self.handle & TC_H_MAJ_MASK | self.default)
        return (None, True, 0) if cl is None or cl.level else (cl, False, 0)

    def enqueue(self, skb: Packet, to_free: list[Packet]) -> int:
        """Queue the packet in its leaf, or where packets wait that pass unshaped (htb_enqueue)."""
        hops, size = skb.hops, skb.wire_len
        cl, direct, result = self.leaf_of(skb)
        if direct:
            if len(self.direct) >= self.direct_qlen:
                self.kernel_view.drops += 1
                to_free.append(skb)
                return NET_XMIT_DROP
            self.direct.append(skb)
            self.direct_packets += 1
        elif cl is None:
            return self.unclassified(skb, hops, result, to_free)
        else:
            assert cl.child is not None
            result = qdisc_enqueue(self, cl.child, skb, to_free)
            if result != NET_XMIT_SUCCESS:
                self.kernel_view.drops += drop_count(result)
                cl.drops += drop_count(result)
                return result
            if not cl.active:
                cl.active = {cl.prio}
                self._enter(cl)
        self.kernel_view.backlog += size
        self.kernel_view.qlen += 1
        return NET_XMIT_SUCCESS

    def dequeue(self) -> Packet | None:
        """Return a packet that passes unshaped, or one of the lowest level that has a class that can send."""
        skb = self.direct.popleft() if self.direct else None
        if skb is None and self.kernel_view.qlen:
            now = self.dev.loop.now
            following = now + 5 * NSEC_PER_SEC
            for number, level in enumerate(self.levels):
                if now >= level.next_event:
                    level.next_event = self._wake_classes(level, now)
                following = min(following, level.next_event)
                skb = self._take(number, now)
                if skb is not None:
                    break
            else:
                self.watchdog.schedule(following)
        if skb is not None:
            account_out(self, skb)
        return skb

    def _take(self, number: int, now: int) -> Packet | None:
        """Return a packet of the classes of a level, by priority."""
        for prio, row in enumerate(self.levels[number].rows):
            skb = self._take_of(row, prio, number, now) if row else None
            if skb is not None:
                return skb
        return None

    def _take_of(self, row: HtbRow, prio: int, number: int, now: int) -> Packet | None:
        start: HtbClass | None = row.leaf(prio)
        cl = start
        while cl is not None:
            child = cl.child
            assert child is not None
            if not child.kernel_view.qlen:  # its qdisc has dropped what it had
                self.qlen_notify(cl)
                if not row:
                    return None
                following: HtbClass | None = row.leaf(prio)
                start = following if cl is start else start
                cl = following
                continue
            skb = dequeue_peeked(self, child)
            turn = cl.parent.feeds[prio] if number and cl.parent is not None else self.levels[0].rows[prio]
            if skb is not None:
                self._sent(cl, turn, number, skb, now)
                return skb
            turn.advance()
            cl = row.leaf(prio)
            if cl is start:
                return None
        return None

    def _sent(self, cl: HtbClass, turn: HtbRow, number: int, skb: Packet, now: int) -> None:
        cl.stats.packets += 1
        cl.stats.bytes += skb.wire_len
        cl.deficit[number] -= skb.wire_len
        if cl.deficit[number] < 0:
            cl.deficit[number] += cl.quantum
            turn.advance()
        if cl.child is not None and not cl.child.kernel_view.qlen:
            self.qlen_notify(cl)
        self._charge(cl, number, skb.wire_len, now)

    def reset(self) -> None:
        """Drop what is queued."""
        while self.direct:
            self.dev.drop(self.direct.popleft(), self.holder)
        for cl in self.classes:
            cl.active, cl.mode = set(), _CAN_SEND
            cl.feeds = [HtbRow() for _ in range(PRIORITIES)]
        self.levels = [HtbLevel(PRIORITIES) for _ in range(LEVELS)]
        super().reset()

    # ---- what tc shows ----------------------------------------------------------------------------------------

    def shown(self, details: bool = False) -> list[Part]:
        """Return the options, and how many packets have passed unshaped."""
        parts = [entry("r2q", self.r2q, "r2q {}"),
                 entry("default", f"{self.default:#x}" if self.default else "0", " default {}"),
                 entry("direct_packets_stat", self.direct_packets, " direct_packets_stat {}")]
        if details:
            parts.append(entry("ver", "3.17", " ver {}"))
        return [*parts, entry("direct_qlen", self.direct_qlen, " direct_qlen {}")]

    def shown_class(self, cl: HtbClass, details: bool) -> list[Part]:
        """Return priority, rates and bursts."""
        parts = [] if cl.level else [worded("prio", cl.prio)]
        if details and not cl.level:
            parts.append(worded("quantum", cl.quantum))
        parts.append(Part(f"rate {format_tc_rate(8 * cl.rate.rate)} ", "rate", cl.rate.rate))
        if cl.rate.overhead:
            parts.append(worded("overhead", cl.rate.overhead))
        parts.append(Part(f"ceil {format_tc_rate(8 * cl.ceil.rate)} ", "ceil", cl.ceil.rate))
        if details or cl.rate.linklayer != ETHERNET_LAYER:
            parts.append(worded("linklayer", cl.rate.linklayer))
        more = f"/1mpu {format_size(cl.rate.mpu)}" if details else ""
        for word, rate, buffer in (("burst", cl.rate, cl.buffer), ("cburst", cl.ceil, cl.cbuffer)):
            size = rate.size_of(buffer)
            parts.append(Part(f"{word} {format_size(size)}{more} ", word, size))
        return [*parts, worded("level", cl.level)] if details else parts

    def class_xstats(self, cl: HtbClass) -> list[Part]:
        """Return what the class has lent and borrowed, and its tokens."""
        tokens, ctokens = (max(S32_MIN, min(S32_MAX, value >> PSCHED_SHIFT)) for value in (cl.tokens, cl.ctokens))
        return [entry("lended", cl.lends, "\n lended: {}"), entry("borrowed", cl.borrows, " borrowed: {}"),
                entry("giants", 0, " giants: {}"), entry("tokens", tokens, "\n tokens: {}"),
                entry("ctokens", ctokens, " ctokens: {}\n")]


def htb_class_arguments(items: Sequence[tuple[str, Any]], folder: str) -> dict[str, Any]:
    """Return the options of a class, completed and checked as in `tc`."""
    options = given_once("htb", items, ("rate", "ceil", "burst", "cburst"))
    if not options.get("rate"):
        raise UsageError('htb: "rate" is required.')
    options["ceil"] = options.get("ceil") or options["rate"]
    mtu = options.pop("mtu", MTU)
    # One tick of the packet scheduler's clock is a nanosecond: the smallest burst is what passes in it, and a packet.
    options["burst"] = options.get("burst") or options["rate"] // NSEC_PER_SEC + mtu
    options["cburst"] = options.get("cburst") or options["ceil"] // NSEC_PER_SEC + mtu
    return options


_RATE: Final = "bits a second"

HTB: Final = QdiscKind(
    name="htb", make=Htb,
    doc="Hierarchy token bucket: classes with a rate of their own that borrow from their parents up to a ceiling.",
    options=(
        QdiscOption(word="default", value="HEX16", default="none: such packets pass unshaped",
                    doc="minor number of the class for packets that no filter classifies"),
        QdiscOption(word="r2q", value="NUMBER", default=R2Q,
                    doc="a class's rate in bytes a second divided by it is its quantum"),
        QdiscOption(word="direct_qlen", value="NUMBER", default="the device's txqueuelen", unit="packets",
                    doc="packets that may wait to pass unshaped")),
    class_arguments=htb_class_arguments,
    class_options=(
        QdiscOption(word="rate", value="RATE", default=NEEDED, unit=_RATE, doc="what the class gets in any case"),
        QdiscOption(word="ceil", value="RATE", default="the rate", unit=_RATE,
                    doc="what it gets at most, as far as its parent has it to lend"),
        QdiscOption(word="burst", value="BURST", also=("buffer", "maxburst"), default="a packet of `mtu` bytes",
                    unit="bytes", doc="bytes that may leave at once at `ceil`"),
        QdiscOption(word="cburst", value="BURST", also=("cbuffer", "cmaxburst"), default="a packet of `mtu` bytes",
                    unit="bytes", doc="bytes that may leave at once as fast as the link is"),
        QdiscOption(word="prio", value="NUMBER", default=0, range=(0, PRIORITIES - 1),
                    doc="leaves with a lower number are offered what is left over first"),
        QdiscOption(word="quantum", value="SIZE", default="rate divided by `r2q`, 1000 to 200000", unit="bytes",
                    doc="bytes that a leaf may borrow before others of its priority"),
        QdiscOption(word="mtu", value="SIZE", default=MTU, unit="bytes", doc="packet that the smallest burst has"),
        QdiscOption(word="mpu", value="NUMBER", default=0, unit="bytes", doc="bytes that a packet counts at least"),
        QdiscOption(word="overhead", value="NUMBER", default=0, unit="bytes",
                    doc="bytes that the link adds to each packet"),
        QdiscOption(word="linklayer", value="LINKLAYER", default=ETHERNET_LAYER,
                    doc="atm counts cells of 53 bytes; adsl is another word for it")))
