"""hfsc, the hierarchical fair service curve: guarantees of rate and delay for leaves, and shares for the rest.

A leaf with a real-time curve is served in time for it; what is left is shared along the tree by virtual times, under
upper limits (Stoica, Zhang, Ng, 1997; net/sched/sch_hfsc.c, Linux 7.2).
"""

from __future__ import annotations

from bisect import insort
from typing import TYPE_CHECKING, Any, Final

from ebpfvm.errnos import EBUSY, EINVAL, ENOENT
from ebpfvm.errors import UsageError
from ebpfvm.sched.class_table import TableQdisc
from ebpfvm.sched.classful import (
    NET_XMIT_BYPASS,
    QdiscClass,
    account_out,
    dequeue_peeked,
    drop_count,
    purge,
    qdisc_enqueue,
)
from ebpfvm.sched.classify import taken, tcf_classify
from ebpfvm.sched.psched import PSCHED_SHIFT
from ebpfvm.sched.qdisc_kind import QdiscKind, QdiscOption, given_once
from ebpfvm.sched.qdiscs.hfsc_curves import CurveWords, RuntimeCurve, ServiceCurve
from ebpfvm.sched.sch_generic import (
    NET_XMIT_SUCCESS,
    TC_H_MAJ_MASK,
    TC_H_ROOT,
    Qdisc,
    Stats,
)
from ebpfvm.sched.shown import Part, nested
from ebpfvm.sched.tc.block import Block
from ebpfvm.sched.tc.lr import listing
from ebpfvm.sched.tc.tc_verdict import TcfResult
from ebpfvm.sched.units import format_tc_rate, tc_us_text

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from ebpfvm.sched.account import Packet
    from ebpfvm.sched.sch_generic import QdiscDevice
    from ebpfvm.sched.tc.lr import Rule

_CURVES: Final = ("rt", "ls", "ul")
_US_PER_SEC: Final = 1_000_000


class HfscClass(QdiscClass):
    """A class.

    Attributes:
        parent, children, level, block: its place in the tree, and its filters.
        curves: service curves by name: "rt", "ls", "ul".
        deadline, eligible_curve, virtual, limit: the same from where they began.
        total, cumul: bytes served, and by the real-time criterion.
        due, eligible: when the next packet has to have left, and may leave, by the real-time curve.
        vt, vt_adjust, vt_period, parent_period: virtual time among its siblings.
        fit, own_fit, least_fit: when it may send by upper limits: all, its own, and the least of its children.
        least_vt, last_vt: of its children: least virtual time served, and greatest of those that went.
        active: number of active children, or 1 for an active leaf.
        by_vt, by_fit: active children in the order of these times.
    """

    __slots__ = ("active", "block", "by_fit", "by_vt", "children", "cumul", "curves", "deadline", "drops", "due",
                 "eligible", "eligible_curve", "fit", "last_vt", "least_fit", "least_vt", "level", "limit",
                 "own_fit", "parent", "parent_period", "total", "virtual", "vt", "vt_adjust", "vt_period")
    deadline: RuntimeCurve
    eligible_curve: RuntimeCurve
    virtual: RuntimeCurve
    limit: RuntimeCurve

    def __init__(self, qdisc: Hfsc, classid: int, parent: HfscClass | None) -> None:
        super().__init__(classid)
        self.parent = parent
        self.children: list[HfscClass] = []
        self.block = Block(qdisc)
        self.curves: dict[str, ServiceCurve] = {}
        self.level = self.drops = self.total = self.cumul = self.due = self.eligible = 0
        self.vt = self.vt_adjust = self.vt_period = self.parent_period = 0
        self.fit = self.own_fit = self.least_fit = self.least_vt = self.last_vt = self.active = 0
        self.by_vt: list[HfscClass] = []
        self.by_fit: list[HfscClass] = []

    @property
    def queued(self) -> int:
        """The number of packets in its qdisc."""
        return self.child.kernel_view.qlen if self.child is not None else 0

    def set_curve(self, name: str, words: CurveWords, now: int) -> None:
        """Set a service curve, which begins now (ticks)."""
        curve = self.curves[name] = ServiceCurve(words)
        if name == "rt":
            self.deadline = RuntimeCurve(curve, now, self.cumul)
            self.eligible_curve = self.deadline.linear()
        elif name == "ls":
            self.virtual = RuntimeCurve(curve, self.vt, self.total)
        else:
            self.limit = RuntimeCurve(curve, now, self.total)

    def adjust_levels(self) -> None:
        """Set its level above those of its children, and so on up the tree."""
        cl: HfscClass | None = self
        while cl is not None:
            cl.level = max((child.level + 1 for child in cl.children), default=0)
            cl = cl.parent

    def update_least_fit(self) -> None:
        """Set when the first of its children may send."""
        self.least_fit = self.by_fit[0].fit if self.by_fit else 0

    def first_that_fits(self, now: int) -> HfscClass | None:
        """Return the child with the least virtual time of those that may send."""
        return next((child for child in self.by_vt if child.fit <= now), None)


def _vt(cl: HfscClass) -> int:
    return cl.vt


def _fit(cl: HfscClass) -> int:
    return cl.fit


def _eligible(cl: HfscClass) -> int:
    return cl.eligible


class Hfsc(TableQdisc):
    """A hierarchy of classes with service curves; a packet for no class is dropped.

    Args:
        dev, handle: as for `Qdisc`.
        default: minor number of the class for packets that no filter classifies.
    """

    kind = "hfsc"

    def __init__(self, dev: QdiscDevice, handle: int = 0, default: int = 0) -> None:
        super().__init__(dev, handle)
        self.default = default
        self.root = HfscClass(self, handle, None)
        self.graft(self.root, None)
        self.classes.add(self.root)
        self.eligible: list[HfscClass] = []

    @property
    def _now(self) -> int:
        return self.dev.loop.now >> PSCHED_SHIFT

    def change(self, default: int = 0) -> None:
        """Set the default class."""
        self.default = default

    # ---- classes ----------------------------------------------------------------------------------------------

    def class_parent(self, cl: HfscClass) -> int:
        """Return the class above, or the root."""
        return cl.parent.classid if cl.parent is not None else TC_H_ROOT

    def class_stats(self, cl: HfscClass) -> Stats:
        """Return what the class has sent and dropped, and what its qdisc holds."""
        queued = cl.child.kernel_view if cl.child is not None else Stats()
        return Stats(cl.stats.packets, cl.stats.bytes, cl.drops, 0, 0, queued.qlen, queued.backlog)

    def tcf_block(self, cl: HfscClass | None = None) -> Block | None:
        """Return the filters of the qdisc, or of a class."""
        return self.block if cl is None or cl is self.root else cl.block

    def blocks(self) -> Iterator[Block]:
        """Yield the filters of the qdisc and of every class."""
        yield from super().blocks()
        yield from (cl.block for cl in self.classes)

    def graft(self, cl: HfscClass, new: Qdisc | None) -> Qdisc | None:
        """Attach a qdisc to a leaf, or a pfifo if there is none, and return the one that it replaces.

        Raises:
            OSError: EINVAL if the class has children.
        """
        if cl.level:
            raise OSError(EINVAL, "Invalid argument: a class with children has no qdisc")
        return super().graft(cl, new)

    def change_class(self, classid: int, parent: int, options: dict[str, Any],
                     cl: HfscClass | None = None) -> HfscClass:
        """Create or change a class (hfsc_change_class).

        Raises:
            OSError: EINVAL if there is no curve or the id is not of this qdisc; ENOENT if there is no such parent.
        """
        curves = {name: words for name, words in options.items() if words.m1 or words.m2}
        if cl is None:
            return self._new(classid, parent, curves)
        before, now = set(cl.curves), self._now
        for name, words in curves.items():
            cl.set_curve(name, words, now)
        if cl.queued:
            size = self._next_len(cl)
            if "rt" in cl.curves:
                if "rt" in before:
                    self._update_times(cl, size)
                else:
                    self._begin_real_time(cl, size)
            if "ls" in cl.curves:
                if "ls" in before:
                    self._serve(cl, 0)
                else:
                    self._begin_sharing(cl)
        return cl

    def _new(self, classid: int, parent_id: int, curves: dict[str, CurveWords]) -> HfscClass:
        parent = self.classes.get(parent_id) if parent_id else self.root
        if parent is None:
            raise OSError(ENOENT, "No such file or directory: no such parent")
        self.check_new(classid)
        if not curves.keys() & {"rt", "ls"}:
            raise OSError(EINVAL, "Invalid argument: a class of hfsc needs a curve rt or ls")
        cl = HfscClass(self, classid, parent)
        for name, words in curves.items():
            cl.set_curve(name, words, 0)
        self.graft(cl, None)
        self.classes.add(cl)
        parent.children.append(cl)
        if not parent.level and parent.child is not None:
            purge(parent.child)
        if "rt" in parent.curves and "ls" not in parent.curves:  # an inner class shares by what it is guaranteed
            parent.set_curve("ls", parent.curves["rt"].shown(), 0)
        parent.adjust_levels()
        return cl

    def delete_class(self, cl: HfscClass) -> None:
        """Remove a class and what it holds.

        Raises:
            OSError: EBUSY if it is the root, has children, or a filter selects it.
        """
        if cl.level or cl is self.root:
            raise OSError(EBUSY, "HFSC class in use")
        self.check_unused(cl, "HFSC class in use")
        self.drop_child(cl)
        self.classes.remove(cl)
        assert cl.parent is not None
        cl.parent.children.remove(cl)
        cl.parent.adjust_levels()

    # ---- curves and trees -------------------------------------------------------------------------------------

    def _begin_real_time(self, cl: HfscClass, size: int) -> None:
        """Make a class active by its real-time curve (init_ed)."""
        cl.deadline.lower(cl.curves["rt"], self._now, cl.cumul)
        cl.eligible_curve = cl.deadline.linear()
        self._update_times(cl, size)

    def _update_times(self, cl: HfscClass, size: int) -> None:
        self._not_eligible(cl)
        cl.eligible = cl.eligible_curve.time_of(cl.cumul)
        cl.due = cl.deadline.time_of(cl.cumul + size)
        insort(self.eligible, cl, key=_eligible)

    def _not_eligible(self, cl: HfscClass) -> None:
        if cl in self.eligible:
            self.eligible.remove(cl)

    def _begin_sharing(self, leaf: HfscClass) -> None:
        """Make a class and those above it active in sharing (init_vf)."""
        cl, goes = leaf, True
        while cl.parent is not None:
            parent = cl.parent
            if goes:
                goes = not cl.active
                cl.active += 1
            if goes:
                self._enter(cl, parent)
            self._set_fit(cl, parent)
            cl = parent

    def _enter(self, cl: HfscClass, parent: HfscClass) -> None:
        """Give a class a virtual time among its siblings."""
        if parent.by_vt:
            vt = parent.by_vt[-1].vt
            if parent.least_vt:
                vt = (parent.least_vt + vt) // 2
            if parent.vt_period != cl.parent_period or vt > cl.vt:
                cl.vt = vt
        else:
            cl.vt = parent.last_vt
            parent.least_vt = 0
        cl.virtual.lower(cl.curves["ls"], cl.vt, cl.total)
        cl.vt_adjust = 0
        cl.vt_period += 1
        cl.parent_period = parent.vt_period + (not parent.active)
        cl.fit = 0
        insort(parent.by_vt, cl, key=_vt)
        insort(parent.by_fit, cl, key=_fit)
        if "ul" in cl.curves:
            cl.limit.lower(cl.curves["ul"], self._now, cl.total)
            cl.own_fit = cl.limit.time_of(cl.total)

    @staticmethod
    def _set_fit(cl: HfscClass, parent: HfscClass) -> None:
        fit = max(cl.own_fit, cl.least_fit)
        if fit != cl.fit:
            if cl in parent.by_fit:
                parent.by_fit.remove(cl)
                cl.fit = fit
                insort(parent.by_fit, cl, key=_fit)
            cl.fit = fit
        parent.update_least_fit()

    def _serve(self, leaf: HfscClass, size: int) -> None:
        """Count what a class has been served, and let its virtual time follow (update_vf)."""
        leaves = not leaf.queued and "ls" in leaf.curves
        cl = leaf
        while cl.parent is not None:
            parent = cl.parent
            cl.total += size
            if "ls" in cl.curves and cl.active:
                if leaves:
                    cl.active -= 1
                    leaves = not cl.active
                self._follow(cl, parent, leaves)
            cl = parent

    def _follow(self, cl: HfscClass, parent: HfscClass, leaves: bool) -> None:
        cl.vt = cl.virtual.time_of(cl.total) + cl.vt_adjust
        if cl.vt < parent.least_vt:  # it was passed over because it did not fit
            cl.vt_adjust += parent.least_vt - cl.vt
            cl.vt = parent.least_vt
        parent.by_vt.remove(cl)
        if leaves:
            parent.last_vt = max(parent.last_vt, cl.vt)
            parent.by_fit.remove(cl)
            parent.update_least_fit()
            return
        insort(parent.by_vt, cl, key=_vt)
        if "ul" in cl.curves:
            cl.own_fit = cl.limit.time_of(cl.total)
        self._set_fit(cl, parent)

    def qlen_notify(self, cl: HfscClass) -> None:
        """Take a class whose queue has become empty out of the trees."""
        if cl.active:
            self._serve(cl, 0)
        self._not_eligible(cl)

    # ---- packets ----------------------------------------------------------------------------------------------

    def classify(self, skb: Packet) -> tuple[HfscClass | None, int]:
        """Return the leaf of a packet, None for none, and what enqueue then returns (hfsc_classify)."""
        nothing = NET_XMIT_SUCCESS | NET_XMIT_BYPASS
        cl: HfscClass | None = self.classes.get(skb.priority)
        if cl is not None and not cl.level and cl is not self.root:
            return cl, 0
        head, block = self.root, self.block
        while block is not None and block.chains:
            result = TcfResult()
            verdict = tcf_classify(skb, block, result)
            if done := taken(verdict):
                return None, done
            cl = self.classes.get(result.classid) if verdict >= 0 else None
            if cl is None or cl.level >= head.level:
                break
            if not cl.level:
                return cl, 0
            head, block = cl, cl.block
        cl = self.classes.get(self.handle & TC_H_MAJ_MASK | self.default)
        return (None if cl is None or cl.level else cl), nothing

    def enqueue(self, skb: Packet, to_free: list[Packet]) -> int:
        """Queue the packet in its class (hfsc_enqueue)."""
        hops, size = skb.hops, skb.wire_len
        cl, result = self.classify(skb)
        if cl is None or cl.child is None:
            return self.unclassified(skb, hops, result, to_free)
        first = not cl.queued
        result = qdisc_enqueue(self, cl.child, skb, to_free)
        if result != NET_XMIT_SUCCESS:
            self.kernel_view.drops += drop_count(result)
            cl.drops += drop_count(result)
            return result
        self.kernel_view.backlog += size
        self.kernel_view.qlen += 1
        if first and not cl.active and cl not in self.eligible:
            if "rt" in cl.curves:
                self._begin_real_time(cl, size)
            if "ls" in cl.curves:
                self._begin_sharing(cl)
            if "rt" in cl.curves:
                cl.child.peek()
        return NET_XMIT_SUCCESS

    def dequeue(self) -> Packet | None:
        """Return a packet of the eligible class that is due first, or else of the one whose turn it is."""
        if not self.kernel_view.qlen:
            return None
        now = self._now
        ready = [cl for cl in self.eligible if cl.eligible <= now]
        cl = min(ready, key=lambda found: found.due) if ready else self._next_share(now)
        if cl is None:
            self.kernel_view.overlimits += 1
            self._set_timer()
            return None
        skb = dequeue_peeked(self, cl.child) if cl.child is not None else None
        if skb is None:
            return None
        cl.stats.packets += 1
        cl.stats.bytes += skb.wire_len
        self._serve(cl, skb.wire_len)
        if ready:
            cl.cumul += skb.wire_len
        if "rt" in cl.curves:
            self._after(cl, bool(ready))
        account_out(self, skb)
        return skb

    def _after(self, cl: HfscClass, real_time: bool) -> None:
        """Set the times of a class with a real-time curve after a packet."""
        if not cl.queued:
            self._not_eligible(cl)
        elif real_time:
            self._update_times(cl, self._next_len(cl))
        else:
            cl.due = cl.deadline.time_of(cl.cumul + self._next_len(cl))

    def _next_len(self, cl: HfscClass) -> int:
        """Return the length of a class's next packet, 0 if its qdisc holds it back (qdisc_peek_len)."""
        head = cl.child.peek() if cl.child is not None else None
        return head.wire_len if head is not None else 0

    def _next_share(self, now: int) -> HfscClass | None:
        """Return the leaf with the least virtual times along the tree that may send (vttree_get_minvt)."""
        cl: HfscClass | None = self.root
        if self.root.least_fit > now:
            return None
        while cl is not None and cl.level:
            parent, cl = cl, cl.first_that_fits(now)
            if cl is not None:
                parent.least_vt = max(parent.least_vt, cl.vt)
        return cl

    def _set_timer(self) -> None:
        times = [self.eligible[0].eligible] if self.eligible else []
        times += [self.root.least_fit] if self.root.least_fit else []
        if any(times):
            self.watchdog.schedule(min(time for time in times if time) << PSCHED_SHIFT)

    def reset(self) -> None:
        """Drop what is queued, and begin all curves anew."""
        super().reset()
        self.eligible.clear()
        for cl in self.classes:
            cl.total = cl.cumul = cl.due = cl.eligible = cl.vt = cl.vt_adjust = cl.vt_period = cl.parent_period = 0
            cl.fit = cl.own_fit = cl.least_fit = cl.least_vt = cl.last_vt = cl.active = 0
            cl.by_vt.clear()
            cl.by_fit.clear()
            for name, curve in list(cl.curves.items()):
                cl.set_curve(name, curve.shown(), 0)

    # ---- what tc shows ----------------------------------------------------------------------------------------

    def shown(self, details: bool = False) -> list[Part]:
        """Return the default class."""
        return [Part(f" default {self.default:#x} ", "default", f"{self.default:#x}")] if self.default else []

    def shown_class(self, cl: HfscClass, details: bool) -> list[Part]:
        """Return the curves; `sc` stands for equal ones of real time and sharing."""
        words: dict[str, CurveWords] = {name: cl.curves[name].shown() for name in _CURVES if name in cl.curves}
        if "rt" in words and words["rt"] == words.get("ls"):
            words = {"sc": words["rt"]} | {name: words[name] for name in ("ul",) if name in words}
        return [nested(name, [Part(f"{name} "), *_shown_curve(curve)]) for name, curve in words.items()]

    def class_xstats(self, cl: HfscClass) -> list[Part]:
        """Return period, bytes served, and level."""
        parts = [Part(f"\n period {cl.vt_period} ", "period", cl.vt_period)]
        parts += [Part(f"{word} {value} bytes ", word, value)
                  for word, value in (("work", cl.total), ("rtwork", cl.cumul)) if value]
        return [*parts, Part(f" level {cl.level} \n", "level", cl.level)]


def _shown_curve(curve: CurveWords) -> list[Part]:
    return [Part(f"m1 {format_tc_rate(8 * curve.m1)} ", "m1", curve.m1),
            Part(f"d {tc_us_text(curve.d)} ", "d", curve.d),
            Part(f"m2 {format_tc_rate(8 * curve.m2)} ", "m2", curve.m2)]


# ---- tc's words -----------------------------------------------------------------------------------------------

def hfsc_class_rules() -> list[Rule]:
    """Return the rules of a class's options: names of curves, and curves as slopes or as sizes and times."""
    rules: list[Rule] = [*listing("options", "option")]
    rules += [(f"option : '{name}' curve", lambda name, curve: (name, curve)) for name in ("sc", *_CURVES)]
    rules += [("curve : 'm1' RATE 'd' TIME 'm2' RATE", lambda _, m1, __, d, ___, m2: CurveWords(m1, d // 1000, m2)),
              ("curve : 'd' TIME 'm2' RATE", lambda _, d, __, m2: CurveWords(0, d // 1000, m2)),
              ("curve : 'm2' RATE", lambda _, m2: CurveWords(m2=m2)),
              ("curve : 'umax' SIZE 'dmax' TIME 'rate' RATE",
               lambda _, size, __, time, ___, rate: _by_delay(size, time // 1000, rate)),
              ("curve : 'dmax' TIME 'rate' RATE", lambda _, time, __, rate: _by_delay(0, time // 1000, rate)),
              ("curve : 'rate' RATE", lambda _, rate: CurveWords(m2=rate))]
    return rules


def _by_delay(size: int, time: int, rate: int) -> CurveWords:
    """Return the curve by which `size` bytes leave within `time` us, at a rate from then on."""
    if size and not time:
        raise UsageError("HFSC: umax given, but not dmax")
    slope = -(-size * _US_PER_SEC // time) if time else 0
    if slope > rate:
        return CurveWords(slope, time, rate)
    return CurveWords(0, max(0, -(-(time * rate - size * _US_PER_SEC) // rate)) if rate else time, rate)


def hfsc_class_arguments(items: Sequence[tuple[str, Any]], folder: str) -> dict[str, Any]:
    """Return the curves of a class, by name."""
    curves = given_once("HFSC", [(meant, curve) for name, curve in items
                                 for meant in (("rt", "ls") if name == "sc" else (name,))])
    if not curves:
        raise UsageError("HFSC: no parameters given, expected sc, rt, ls or ul")
    if "ul" in curves and "ls" not in curves:
        raise UsageError("HFSC: Upper-limit Service Curve without Link-Share Service Curve")
    return curves


_WORDS: Final = ("m1", "d", "m2", "umax", "dmax", "rate")

HFSC: Final = QdiscKind(
    name="hfsc", make=Hfsc,
    doc="Hierarchical fair service curve: classes with guaranteed rates and delays that share what is left.",
    options=(QdiscOption(word="default", value="HEX16", default="none: such packets are dropped",
                         doc="minor number of the class for packets that no filter classifies"),),
    class_arguments=hfsc_class_arguments, class_grammar=hfsc_class_rules,
    class_options=(
        QdiscOption(word="sc", value="RATE", inner=_WORDS,
                    doc="both `rt` and `ls`. A curve is `rate RATE`, `m1 RATE d TIME m2 RATE` (two slopes), or `umax "
                        "SIZE dmax TIME rate RATE` (so many bytes within so much time)"),
        QdiscOption(word="rt", value="RATE", doc="curve that a leaf is guaranteed"),
        QdiscOption(word="ls", value="RATE", doc="curve by which it shares with its siblings"),
        QdiscOption(word="ul", value="RATE", doc="curve that it gets at most")))
