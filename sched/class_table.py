"""Classes that `tc class` adds: the table that keeps them in the kernel's order, and how packets find theirs.

The order of a listing follows a hash of the class ids, and the table's growth (Qdisc_class_hash, net/sched/sch_api.c).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from ebpfvm.errnos import EBUSY, EINVAL
from ebpfvm.sched.classful import NET_XMIT_BYPASS, ClassfulQdisc, QdiscClass
from ebpfvm.sched.classify import taken, tcf_classify
from ebpfvm.sched.qdiscs.fifo import Pfifo
from ebpfvm.sched.sch_generic import NET_XMIT_SUCCESS, TC_H_MAJ_MASK, TC_H_ROOT, Qdisc, Stats
from ebpfvm.sched.tc.block import Block
from ebpfvm.sched.tc.tc_verdict import TcfResult

if TYPE_CHECKING:
    from collections.abc import Iterator

    from ebpfvm.sched.account import Packet
    from ebpfvm.sched.sch_generic import QdiscDevice

_BUCKETS: Final = 4


class ClassTable:
    """Classes by id; iteration is in the order in which the kernel lists them."""

    def __init__(self) -> None:
        self._buckets: list[list[Any]] = [[] for _ in range(_BUCKETS)]  # the newest of a bucket is its last
        self._by_id: dict[int, Any] = {}

    def __iter__(self) -> Iterator[Any]:
        return iter([cl for bucket in self._buckets for cl in reversed(bucket)])

    def __len__(self) -> int:
        return len(self._by_id)

    def get(self, classid: int) -> Any:
        """Return the class of an id, or None."""
        return self._by_id.get(classid)

    def add(self, cl: QdiscClass) -> None:
        """Add a class; a table that is more than three quarters full doubles its buckets."""
        self._by_id[cl.classid] = cl
        self._bucket(cl.classid).append(cl)
        if 4 * len(self) > 3 * len(self._buckets):
            listed = list(self)
            self._buckets = [[] for _ in range(2 * len(self._buckets))]
            for old in listed:
                self._bucket(old.classid).append(old)

    def remove(self, cl: QdiscClass) -> None:
        """Remove a class."""
        del self._by_id[cl.classid]
        self._bucket(cl.classid).remove(cl)

    def _bucket(self, classid: int) -> list[Any]:
        classid ^= classid >> 8
        return self._buckets[(classid ^ classid >> 4) % len(self._buckets)]


class TableQdisc(ClassfulQdisc):
    """A qdisc to which `tc class` adds classes, each with a pfifo at first.

    Attributes:
        classes: the classes.
    """

    def __init__(self, dev: QdiscDevice, handle: int) -> None:
        super().__init__(dev, handle)
        self.block = Block(self)
        self.classes = ClassTable()

    def find(self, classid: int) -> Any:
        """Return the class of an id, or None."""
        return self.classes.get(classid)

    def walk(self) -> Iterator[Any]:
        """Yield the classes in the kernel's order."""
        return iter(self.classes)

    def class_parent(self, cl: Any) -> int:
        """Return the root, where there are no classes below classes."""
        return TC_H_ROOT

    def class_stats(self, cl: Any) -> Stats:
        """Return what the class has sent, and what its qdisc holds and has dropped."""
        queued = cl.child.kernel_view
        return Stats(cl.stats.packets, cl.stats.bytes, queued.drops, queued.overlimits, queued.requeues,
                     queued.qlen, queued.backlog)

    def graft(self, cl: Any, new: Qdisc | None) -> Qdisc | None:
        """Attach a qdisc to a class, or a pfifo if there is none, and return the one that it replaces."""
        return super().graft(cl, new if new is not None else Pfifo(self.dev))

    def check_new(self, classid: int) -> None:
        """Raise OSError, EINVAL, if the id of a new class is not of this qdisc."""
        if not classid or (classid ^ self.handle) & TC_H_MAJ_MASK:
            raise OSError(EINVAL, f"Invalid argument: class {classid:#x} is not of qdisc {self.handle:#x}")

    def delete_class(self, cl: Any) -> None:
        """Remove a class and what it holds.

        Raises:
            OSError: EBUSY if a filter selects it.
        """
        self.check_unused(cl, f"{self.kind.upper()} class is in use")
        self.drop_child(cl)
        self.classes.remove(cl)

    def check_unused(self, cl: Any, message: str) -> None:
        """Raise OSError, EBUSY with a message, if a filter selects a class."""
        protos = self.block.protos() if self.block is not None else ()
        if any(found.classid == cl.classid for tp in protos for found in tp.listed()):
            raise OSError(EBUSY, message)

    def drop_child(self, cl: Any) -> None:
        """Delete the qdisc of a class, after dropping what it holds."""
        old = super().graft(cl, None)
        if old is not None:
            old.destroy()

    def classify(self, skb: Packet) -> tuple[Any, int]:
        """Return the class of a packet, None for none, and what enqueue then returns."""
        if not (skb.priority ^ self.handle) & TC_H_MAJ_MASK:
            cl = self.classes.get(skb.priority)
            if cl is not None:
                return cl, 0
        result = TcfResult()
        verdict = tcf_classify(skb, self.block, result)
        if done := taken(verdict):
            return None, done
        return self.classes.get(result.classid) if verdict >= 0 else None, NET_XMIT_SUCCESS | NET_XMIT_BYPASS
