"""Qdiscs with classes: the operations of struct Qdisc_class_ops, and how packets pass between parent and child.

Sources: include/net/sch_generic.h, net/sched/sch_api.c, Linux 7.2.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from ebpfvm.errnos import EOPNOTSUPP
from ebpfvm.sched.sch_generic import (
    NET_XMIT_STOLEN,
    TC_H_ROOT,
    TCQ_F_NOPARENT,
    TCQ_F_ONETXQUEUE,
    Qdisc,
    Stats,
    handle_text,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from ebpfvm.sched.account import Packet
    from ebpfvm.sched.sch_generic import QdiscDevice
    from ebpfvm.sched.shown import Part
    from ebpfvm.sched.tc.block import Block

NET_XMIT_BYPASS: Final = 0x00020000  # __NET_XMIT_BYPASS


class QdiscClass:
    """A class: an id, the qdisc that keeps its packets, and counters.

    Attributes:
        classid: 32-bit id; its major number is the qdisc's.
        child: the leaf qdisc, None without one.
        stats: the class's own counters.
    """

    __slots__ = ("child", "classid", "stats")

    def __init__(self, classid: int, child: Qdisc | None = None) -> None:
        self.classid = classid
        self.child = child
        self.stats = Stats()


class ClassfulQdisc(Qdisc):
    """A qdisc with classes.

    Attributes:
        block: the filters of the qdisc, None until there is one.
        classes_count_sent: whether `tc -s class show` prints how much a class has sent.
    """

    classes_count_sent = True

    def __init__(self, dev: QdiscDevice, handle: int) -> None:
        super().__init__(dev, handle)
        self.block: Block | None = None

    def find(self, classid: int) -> Any:
        """Return the class of an id, or None."""
        return next((cl for cl in self.walk() if cl.classid == classid), None)

    def walk(self) -> Iterator[Any]:
        """Yield every class."""
        raise NotImplementedError

    def dumped(self) -> Iterator[Any]:
        """Yield the classes that `tc class show` gets from the kernel."""
        return self.walk()

    def graft(self, cl: Any, new: Qdisc | None) -> Qdisc | None:
        """Attach `new` to a class and return the qdisc that it replaces, after dropping its packets."""
        old: Qdisc | None = cl.child
        cl.child = new
        if new is not None:
            adopt(self, cl.classid, new)
        if old is not None:
            purge(old)
        return old

    def change_class(self, classid: int, parent: int, options: Any, cl: Any = None) -> Any:
        """Create a class, or change `cl`, and return it.

        Raises:
            OSError: EOPNOTSUPP if the classes of this kind are fixed; EINVAL for an invalid id.
        """
        raise OSError(EOPNOTSUPP, f"qdisc {self.kind} has no classes that could be added or changed")

    def delete_class(self, cl: Any) -> None:
        """Remove a class.

        Raises:
            OSError: EOPNOTSUPP as for `change_class`; EBUSY if the class is in use.
        """
        raise OSError(EOPNOTSUPP, f"the classes of qdisc {self.kind} cannot be deleted")

    def tcf_block(self, cl: Any = None) -> Block | None:
        """Return the filters of the qdisc, or of a class, which has none in the kinds modelled here."""
        return self.block if cl is None else None

    def blocks(self) -> Iterator[Block]:
        """Yield the filters of the qdisc, and those of classes if the kind has them."""
        if self.block is not None:
            yield self.block

    def class_stats(self, cl: Any) -> Stats | None:
        """Return the counters that `tc -s class show` prints, usually the child's; None for no counters."""
        stats: Stats | None = cl.child.kernel_view if cl.child is not None else cl.stats
        return stats

    def child_emptied(self, classid: int) -> None:
        """Take a class out of the round, because its queue has become empty, other than by `dequeue`."""
        self.qlen_notify(self.find(classid))

    def qlen_notify(self, cl: Any) -> None:
        """Note that the queue of a class has become empty; it may be told several times."""

    def class_parent(self, cl: Any) -> int:
        """Return the parent that `tc class show` prints for a class, `TC_H_ROOT` for the root."""
        return TC_H_ROOT if self.mq_root else self.handle

    def shown_class(self, cl: Any, details: bool) -> list[Part]:
        """Return the options that `tc class show` prints, with more of them for `tc -d`."""
        return []

    def class_xstats(self, cl: Any) -> list[Part]:
        """Return what `tc -s class show` prints below the counters; each line begins with its newline."""
        return []

    def unclassified(self, skb: Packet, hops: int, result: int, to_free: list[Packet]) -> int:
        """Free a packet that a filter dropped or took, unless it went to another device (then `hops` has increased)."""
        self.kernel_view.drops += bool(result & NET_XMIT_BYPASS)
        if skb.hops == hops:
            to_free.append(skb)
        return result

    def children(self) -> Iterator[Qdisc]:
        """Yield the child qdiscs, in the order of classes."""
        return (cl.child for cl in self.walk() if cl.child is not None)

    def reset(self) -> None:
        """Drop what is queued here and in the children."""
        for child in self.children():
            child.reset()
        super().reset()

    def destroy(self) -> None:
        """Delete the qdisc together with its children."""
        for child in self.children():
            child.put()
        super().destroy()


class OneClassQdisc(ClassfulQdisc):
    """A qdisc with one class, whose child has the packets; every id finds it.

    Attributes:
        leaf: the class.
    """

    def __init__(self, dev: QdiscDevice, handle: int) -> None:
        super().__init__(dev, handle)
        self.leaf = QdiscClass(handle | 1)

    def find(self, classid: int) -> QdiscClass:
        """Return the one class."""
        return self.leaf

    def walk(self) -> Iterator[QdiscClass]:
        """Yield the one class."""
        return iter((self.leaf,))

    def class_stats(self, cl: Any) -> None:
        """Return None, because no counters are printed."""


def adopt(parent: ClassfulQdisc, classid: int, child: Qdisc) -> None:
    """Record the parent of `child`; the ledger identifies a qdisc without a handle by its class."""
    child.parent = classid
    child.upper = parent
    if parent.mq_root:
        child.flags |= TCQ_F_ONETXQUEUE | TCQ_F_NOPARENT
    if not child.handle:
        child.holder = f"qdisc {child.kind} of class {handle_text(classid)}"


def purge(child: Qdisc) -> None:
    """Drop what a child holds and adjust its parents (qdisc_purge_queue)."""
    stats = child.kernel_view
    packets, size = stats.qlen, stats.backlog
    child.reset()
    tree_reduce_backlog(child, packets, size)


def tree_reduce_backlog(child: Qdisc, packets: int, size: int) -> None:
    """Subtract packets that `child` dropped from the counters of its parents (qdisc_tree_reduce_backlog)."""
    upper = child.upper
    while upper is not None and (packets or size):
        if not child.kernel_view.qlen:
            upper.child_emptied(child.parent)
        upper.kernel_view.qlen -= packets
        upper.kernel_view.backlog -= size
        upper.kernel_view.drops += max(packets, 0)
        child, upper = upper, upper.upper


def drop_above(qdisc: Qdisc, limit: int, take: Callable[[], Packet | None]) -> None:
    """Drop packets, because the limit has become smaller, until at most `limit` are left, and tell the parents.

    Args:
        take: removes one packet from the queue and from the counters, and returns it; None if there is none.
    """
    packets = size = 0
    while qdisc.kernel_view.qlen > limit and (skb := take()) is not None:
        packets, size = packets + 1, size + skb.wire_len
        qdisc.dev.drop(skb, qdisc.holder)
    tree_reduce_backlog(qdisc, packets, size)


def qdisc_enqueue(parent: Qdisc, child: Qdisc, skb: Packet, to_free: list[Packet]) -> int:
    """Pass a packet that `parent` holds to a child and return NET_XMIT_*; the parent holds what the child drops."""
    move = parent.dev.account.kernel.refs.move
    first = len(to_free)
    move(skb, parent.holder, child.holder)
    if child.stab is not None:
        skb.wire_len = child.stab.size(skb.len)
    result = child.enqueue(skb, to_free)
    for packet in to_free[first:]:
        move(packet, child.holder, parent.holder)
    return result


def dequeue_peeked(parent: Qdisc, child: Qdisc) -> Packet | None:
    """Return the child's next packet (qdisc_dequeue_peeked), held by `parent`."""
    skb = child.dequeue_peeked()
    if skb is not None:
        parent.dev.account.kernel.refs.move(skb, child.holder, parent.holder)
    return skb


def drop_count(result: int) -> bool:
    """Return whether a child's NET_XMIT_* other than SUCCESS counts as a drop of the parent (net_xmit_drop_count)."""
    return not result & NET_XMIT_STOLEN


def account_out(qdisc: Qdisc, skb: Packet) -> None:
    """Count a packet that leaves a qdisc (qdisc_bstats_update, qdisc_qstats_backlog_dec, qlen)."""
    stats, size = qdisc.kernel_view, skb.wire_len
    stats.packets += 1
    stats.bytes += size
    stats.backlog -= size
    stats.qlen -= 1
