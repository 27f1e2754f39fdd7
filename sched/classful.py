"""Qdiscs with classes: the class operations of struct Qdisc_class_ops, and how packets pass between parent and child
(include/net/sch_generic.h, net/sched/sch_api.c, Linux 7.2)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from ebpfvm.errnos import EOPNOTSUPP
from ebpfvm.sched.sch_generic import NET_XMIT_STOLEN, Qdisc, Stats, handle_text

if TYPE_CHECKING:
    from collections.abc import Iterator

    from ebpfvm.sched.account import Packet
    from ebpfvm.sched.sch_generic import QdiscDevice
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
    """

    def __init__(self, dev: QdiscDevice, handle: int) -> None:
        super().__init__(dev, handle)
        self.block: Block | None = None

    def find(self, classid: int) -> Any:
        """The class of an id, or None."""
        return next((cl for cl in self.walk() if cl.classid == classid), None)

    def walk(self) -> Iterator[Any]:
        """Every class."""
        raise NotImplementedError

    def graft(self, cl: Any, new: Qdisc | None) -> Qdisc | None:
        """Hang `new` under a class; the qdisc that hung there. Its packets are dropped (qdisc_purge_queue)."""
        old: Qdisc | None = cl.child
        cl.child = new
        if new is not None:
            adopt(self, cl.classid, new)
        if old is not None:
            purge(old)
        return old

    def change_class(self, classid: int, parent: int, options: Any, cl: Any = None) -> Any:
        """Create a class, or change `cl`.

        Raises:
            OSError: EOPNOTSUPP, the classes of this kind are fixed; EINVAL for an id that cannot be.
        """
        raise OSError(EOPNOTSUPP, f"qdisc {self.kind} has no classes that could be added or changed")

    def delete_class(self, cl: Any) -> None:
        """Remove a class.

        Raises:
            OSError: EOPNOTSUPP as above; EBUSY, it is in use.
        """
        raise OSError(EOPNOTSUPP, f"the classes of qdisc {self.kind} cannot be deleted")

    def tcf_block(self, cl: Any = None) -> Block | None:
        """The filters of the qdisc; those of a class, of which no kind here has any."""
        return self.block if cl is None else None

    def class_stats(self, cl: Any) -> Stats | None:
        """What `tc -s class show` prints: most kinds show the child's counters; None for no counters."""
        stats: Stats | None = cl.child.kernel_view if cl.child is not None else cl.stats
        return stats

    def class_options(self, cl: Any) -> str:
        """What `tc class show` prints behind the leaf."""
        return ""

    def unclassified(self, skb: Packet, hops: int, result: int, to_free: list[Packet]) -> int:
        """A filter dropped or took a packet: free it, unless it went to another device (its `hops` were fewer)."""
        self.kernel_view.drops += bool(result & NET_XMIT_BYPASS)
        if skb.hops == hops:
            to_free.append(skb)
        return result

    def children(self) -> Iterator[Qdisc]:
        """The child qdiscs, in order of classes."""
        return (cl.child for cl in self.walk() if cl.child is not None)

    def reset(self) -> None:
        """Forget what is queued here and in the children."""
        for child in self.children():
            child.reset()
        super().reset()

    def destroy(self) -> None:
        """The qdisc is deleted, and its children with it."""
        for child in self.children():
            child.reset()
            child.destroy()
        super().destroy()


def adopt(parent: ClassfulQdisc, classid: int, child: Qdisc) -> None:
    """Note whose child `child` is. A qdisc without a handle is told apart in the ledger by its class."""
    child.parent = classid
    child.upper = parent
    if not child.handle:
        child.holder = f"qdisc {child.kind} of class {handle_text(classid)}"


def purge(child: Qdisc) -> None:
    """Drop what a child holds and tell its parents (qdisc_purge_queue)."""
    stats = child.kernel_view
    packets, size = stats.qlen, stats.backlog
    child.reset()
    tree_reduce_backlog(child, packets, size)


def tree_reduce_backlog(child: Qdisc, packets: int, size: int) -> None:
    """`child` dropped packets that its parents still count (qdisc_tree_reduce_backlog)."""
    upper = child.upper
    while upper is not None and (packets or size):
        upper.kernel_view.qlen -= packets
        upper.kernel_view.backlog -= size
        upper.kernel_view.drops += max(packets, 0)
        upper = upper.upper


def qdisc_enqueue(parent: Qdisc, child: Qdisc, skb: Packet, to_free: list[Packet]) -> int:
    """Give a packet that `parent` holds to a child; NET_XMIT_*. What the child drops is the parent's again."""
    move = parent.dev.account.kernel.refs.move
    first = len(to_free)
    move(skb, parent.holder, child.holder)
    result = child.enqueue(skb, to_free)
    for packet in to_free[first:]:
        move(packet, child.holder, parent.holder)
    return result


def dequeue_peeked(parent: Qdisc, child: Qdisc) -> Packet | None:
    """The child's next packet (qdisc_dequeue_peeked), held by `parent`."""
    skb = child.dequeue_peeked()
    if skb is not None:
        parent.dev.account.kernel.refs.move(skb, child.holder, parent.holder)
    return skb


def drop_count(result: int) -> bool:
    """Does a NET_XMIT_* of a child, not SUCCESS, count as a drop of the parent (net_xmit_drop_count)?"""
    return not result & NET_XMIT_STOLEN


def account_out(qdisc: Qdisc, skb: Packet) -> None:
    """A parent's counters after a child gave a packet (qdisc_bstats_update, qstats_backlog_dec, qlen)."""
    stats = qdisc.kernel_view
    stats.packets += 1
    stats.bytes += skb.len
    stats.backlog -= skb.len
    stats.qlen -= 1
