"""What `tc qdisc show`, `tc class show` and `ip link show` print, in iproute2's format."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from ebpfvm.ints import U32_MAX
from ebpfvm.lazy_tuples import NamedTuple
from ebpfvm.sched.classful import ClassfulQdisc
from ebpfvm.sched.sch_generic import TC_H_MAJ_MASK, TC_H_ROOT, Noop, Stats, handle_text
from ebpfvm.sched.shown import Part, entry, nested, worded
from ebpfvm.sched.tc.tc_text import classid_text
from ebpfvm.sched.units import format_size

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator

    from ebpfvm.sched.netdev import Namespace, NetDev
    from ebpfvm.sched.sch_generic import Qdisc
    from ebpfvm.sched.size_table import SizeTable


def stats_parts(stats: Stats, indent: str = " ", sent: bool = True) -> list[Part]:
    """Return the two lines of counters, without what was sent unless `sent`.

    >>> from ebpfvm.sched.shown import shown_text
    >>> print(shown_text(stats_parts(Stats(packets=1, bytes=1514))))  # doctest: +NORMALIZE_WHITESPACE
    <BLANKLINE>
     Sent 1514 bytes 1 pkt (dropped 0, overlimits 0 requeues 0)
     backlog 0b 0p requeues 0
    """
    head = [entry("bytes", stats.bytes, f"\n{indent}Sent {{}} bytes"), entry("packets", stats.packets, " {} pkt"),
            Part(" ")] if sent else [Part(f"\n{indent}")]
    return [*head, entry("drops", stats.drops, "(dropped {},"), entry("overlimits", stats.overlimits, " overlimits {}"),
            entry("requeues", stats.requeues, " requeues {}) "),
            Part(f"\n{indent}backlog {format_size(stats.backlog)}", "backlog", stats.backlog),
            entry("qlen", stats.qlen, " {}p"), Part(f" requeues {stats.requeues}")]


class QdiscFilter(NamedTuple):
    """Selects qdiscs: the `root`, clsact and ingress (`clsact`), or those with a parent or handle (default: all).

    With `invisible`, default children are selected too.
    """

    root: bool = False
    ingress: bool = False
    parent: int = 0
    handle: int = 0
    invisible: bool = False

    def takes(self, qdisc: Qdisc) -> bool:
        """Return whether a qdisc (of the transmitting side) is selected."""
        if self.root:
            return qdisc.upper is None
        if self.parent:
            return qdisc.parent == self.parent
        return qdisc.handle == self.handle if self.handle else not self.ingress


class ClassFilter(NamedTuple):
    """Selects classes: those of the `root`, those of a qdisc (`parent`), or a single one (default: all)."""

    root: bool = False
    parent: int = 0
    classid: int = 0


ALL_QDISCS: Final = QdiscFilter()
ALL_CLASSES: Final = ClassFilter()


def in_order(net: Namespace, dev: NetDev) -> list[Qdisc]:
    """Return the qdiscs of a device in the kernel's order.

    The root comes first, then the others by the hash of their handles (hash_32), the newest first.
    """
    root, *others = net.qdiscs(dev)
    order = {qdisc: number for number, qdisc in enumerate(others)}
    return [root, *sorted(others, key=lambda qdisc: ((qdisc.handle * 0x61C88647 & U32_MAX) >> 28, -qdisc.serial,
                                                     -order[qdisc]))]


def show_qdisc(net: Namespace, dev: NetDev, flags: Collection[str], name_device: bool,
               wanted: QdiscFilter = ALL_QDISCS) -> Iterator[list[Part]]:
    """Yield what `tc [-s] qdisc show` prints for a device, by qdisc; clsact comes last."""
    where = [worded("dev", dev.name)] if name_device else []
    for qdisc in in_order(net, dev):
        if isinstance(qdisc, Noop):
            continue
        given = bool(qdisc.handle) or qdisc.upper is None or qdisc.upper.mq_root or qdisc.listed
        if not given and not wanted.invisible:
            continue  # default children are not shown
        if not wanted.takes(qdisc):
            continue
        options = [*qdisc.shown("d" in flags), *(qdisc.counted() if "s" in flags else ())]
        yield [*_head(qdisc.kind, qdisc.handle), *where, *_place(qdisc), nested("options", options),
               *_size_table(qdisc.stab, flags),
               *((*stats_parts(qdisc.shown_stats), *qdisc.xstats()) if "s" in flags else ())]
    if dev.hook_kind and (wanted.ingress or wanted.parent == 0xFFFFFFF1 or wanted.handle == 0xFFFF0000
                          or not (wanted.root or wanted.parent or wanted.handle)):
        yield [*_hook(dev, where), *_size_table(dev.hook_stab, flags), *(stats_parts(Stats()) if "s" in flags else ())]


def _size_table(stab: SizeTable | None, flags: Collection[str]) -> list[Part]:
    return stab.shown() if stab is not None and "d" in flags else []


def _head(kind: str, handle: int) -> list[Part]:
    return [Part("qdisc "), entry("kind", kind), entry("handle", handle_text(handle))]


def _place(qdisc: Qdisc) -> list[Part]:
    place = [worded("parent", classid_text(qdisc.parent)) if qdisc.upper is not None
             else Part("root ", "root", True)]
    return place if qdisc.refcnt == 1 else [*place, worded("refcnt", qdisc.refcnt)]


def _hook(dev: NetDev, where: list[Part]) -> list[Part]:
    blocks = [worded(f"{side}_block", block.index)
              for side, block in dev.hooks.items() if block.index]
    tail = Part("---------------- ") if dev.hook_kind == "ingress" else Part("")
    return [*_head(dev.hook_kind, 0xFFFF0000), *where, worded("parent", "ffff:fff1"), *blocks,
            nested("options", [tail])]


def show_class(net: Namespace, dev: NetDev, flags: Collection[str],
               wanted: ClassFilter = ALL_CLASSES) -> Iterator[list[Part]]:
    """Yield what `tc [-s] class show dev` prints, by class."""
    for qdisc in in_order(net, dev):
        if not isinstance(qdisc, ClassfulQdisc) or (wanted.parent and wanted.parent & TC_H_MAJ_MASK != qdisc.handle) \
                or (wanted.root and not qdisc.mq_root):
            continue
        for cl in qdisc.dumped():
            if wanted.classid and wanted.classid != cl.classid:
                continue
            above = qdisc.class_parent(cl)
            yield [Part("class "), entry("class", qdisc.kind), entry("handle", classid_text(cl.classid)),
                   Part("root ", "root", True) if above == TC_H_ROOT
                   else worded("parent", classid_text(above)), *_leaf(cl.child),
                   *qdisc.shown_class(cl, "d" in flags), *([_class_stats(qdisc, cl)] if "s" in flags else ())]


def _class_stats(qdisc: ClassfulQdisc, cl: Any) -> Part:
    """Return the counters of a class."""
    stats = qdisc.class_stats(cl)
    if stats is None:
        return Part("\n", "stats", ())
    return nested("stats", [*stats_parts(stats.unsigned(), sent=qdisc.classes_count_sent), *qdisc.class_xstats(cl)])


def _leaf(child: Qdisc | None) -> list[Part]:
    """Return the qdisc of a class; `tc` writes its handle as a number in JSON."""
    if child is None or not child.handle:
        return []
    return [Part(f"leaf {handle_text(child.handle)} ", "leaf", f"{child.handle >> 16:#x}")]


def show_link(dev: NetDev) -> list[str]:
    """Return the lines of `ip link show`."""
    flags, state = ("BROADCAST,NOARP,UP,LOWER_UP", "UNKNOWN") if dev.up else ("BROADCAST,NOARP", "DOWN")
    return [f"{dev.ifindex}: {dev.name}: <{flags}> mtu {dev.mtu} qdisc {dev.qdisc.kind} state {state} "
            f"mode DEFAULT group default qlen {dev.tx_queue_len}",
            f"    link/ether {dev.mac} brd ff:ff:ff:ff:ff:ff"]
