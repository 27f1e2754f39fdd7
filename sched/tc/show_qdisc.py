"""The output of `tc ... show` and `ip link show`, in iproute2's format."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

from ebpfvm.ints import U32_MAX
from ebpfvm.sched.classful import ClassfulQdisc
from ebpfvm.sched.sch_generic import TC_H_MAJ_MASK, Noop, Stats, handle_text
from ebpfvm.sched.tc.tc_text import classid_text
from ebpfvm.sched.units import format_size

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator

    from ebpfvm.sched.netdev import Namespace, NetDev
    from ebpfvm.sched.sch_generic import Qdisc
    from ebpfvm.sched.tc.action import Action


def stats_lines(stats: Stats, indent: str = " ") -> list[str]:
    """Return the two lines of counters.

    >>> print(*stats_lines(Stats(packets=1, bytes=1514)), sep="\n")  # doctest: +NORMALIZE_WHITESPACE
     Sent 1514 bytes 1 pkt (dropped 0, overlimits 0 requeues 0)
     backlog 0b 0p requeues 0
    """
    return [f"{indent}Sent {stats.bytes} bytes {stats.packets} pkt (dropped {stats.drops}, "
            f"overlimits {stats.overlimits} requeues {stats.requeues}) ",
            f"{indent}backlog {format_size(stats.backlog)} {stats.qlen}p requeues {stats.requeues}"]


def action_lines(action: Action, now: int, stats: bool) -> Iterator[str]:
    """Yield what `tc` prints below an action's first line: its own lines, its cookie and its counters."""
    yield from action.lines(action.times(now) if stats else "")
    if action.cookie:
        yield f"\tcookie {action.cookie.hex()}"
    if stats:
        yield "\tAction statistics:"
        yield from stats_lines(action.stats, "\t")


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
               wanted: QdiscFilter = ALL_QDISCS) -> list[str]:
    """Return the lines of `tc [-s] qdisc show` for a device; clsact comes last."""
    where = f"dev {dev.name} " if name_device else ""
    lines = []
    for qdisc in in_order(net, dev):
        if isinstance(qdisc, Noop):
            continue
        if not qdisc.handle and qdisc.upper is not None and not qdisc.upper.mq_root and not wanted.invisible:
            continue  # default children are not shown
        if not wanted.takes(qdisc):
            continue
        place = f"parent {classid_text(qdisc.parent)} " if qdisc.upper is not None else "root "
        if qdisc.refcnt != 1:
            place += f"refcnt {qdisc.refcnt} "
        text = qdisc.details() if "d" in flags else qdisc.options()
        lines.append(f"qdisc {qdisc.kind} {handle_text(qdisc.handle)} {where}{place}{text}")
        if "s" in flags:
            lines += stats_lines(qdisc.shown_stats) + qdisc.xstats()
    if dev.hook_kind and (wanted.ingress or wanted.parent == 0xFFFFFFF1 or wanted.handle == 0xFFFF0000
                          or not (wanted.root or wanted.parent or wanted.handle)):
        tail = "---------------- " if dev.hook_kind == "ingress" else ""
        blocks = "".join(f"{side}_block {block.index} " for side, block in dev.hooks.items() if block.index)
        lines.append(f"qdisc {dev.hook_kind} ffff: {where}parent ffff:fff1 {blocks}{tail}")
        if "s" in flags:
            lines += stats_lines(Stats())
    return lines


def show_class(net: Namespace, dev: NetDev, flags: Collection[str], wanted: ClassFilter = ALL_CLASSES) -> list[str]:
    """Return the lines of `tc [-s] class show dev`."""
    lines = []
    for qdisc in in_order(net, dev):
        if not isinstance(qdisc, ClassfulQdisc) or (wanted.parent and wanted.parent & TC_H_MAJ_MASK != qdisc.handle) \
                or (wanted.root and not qdisc.mq_root):
            continue
        for cl in qdisc.walk():
            if wanted.classid and wanted.classid != cl.classid:
                continue
            leaf = f"leaf {handle_text(cl.child.handle)} " if cl.child is not None and cl.child.handle else ""
            parent = "root " if qdisc.mq_root else f"parent {handle_text(qdisc.handle)} "
            lines.append(f"class {qdisc.kind} {classid_text(cl.classid)} {parent}{leaf}")
            if "s" in flags:
                stats = qdisc.class_stats(cl)
                lines += stats_lines(stats) if stats is not None else [""]
    return lines


def show_link(dev: NetDev) -> list[str]:
    """Return the lines of `ip link show`."""
    flags, state = ("BROADCAST,NOARP,UP,LOWER_UP", "UNKNOWN") if dev.up else ("BROADCAST,NOARP", "DOWN")
    return [f"{dev.ifindex}: {dev.name}: <{flags}> mtu {dev.mtu} qdisc {dev.qdisc.kind} state {state} "
            f"mode DEFAULT group default qlen {dev.tx_queue_len}",
            f"    link/ether {dev.mac} brd ff:ff:ff:ff:ff:ff"]
