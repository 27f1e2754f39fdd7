"""Qdisc "bpf" of the RFC, version 6 (net/sched/sch_bpf.c, patch 3/5): two programs decide what it does.

What it does with a program's return value is the RFC's, counters included, so that `kernel_view` shows what `tc -s`
would have shown: almost nothing, because the RFC leaves statistics to the programs' maps. Where the posted code could
not work, these repairs apply:

====  ===============================================================================================================
D3    dequeue sets `ctx->skb` and returns something other than DEQUEUED: the packet is reported as lost (the RFC leaks
      it silently)
D4    QUEUED releases the layer's reference, so that only the one that the program acquired (bpf_skb_acquire) remains;
      if there is none, the packet is lost, which is reported
D5    DROP after storing a reference is a double disposition, reported
D6    CN without a stored reference loses the packet; PASS after storing one puts it in two queues: both reported
D8    classes: the id is stored; 0, a foreign major and a duplicate are -EINVAL; PASS to a class that does not exist
      drops the packet and counts the drop
D9    THROTTLE from dequeue counts an overlimit on the class that `ctx->classid` names, if there is one
D10   a qdisc without both programs is refused with -EINVAL (the RFC crashes at the first packet)
D11   `change` replaces both programs or none
D20   `ctx->delay` is relative; there is one watchdog, and the latest call determines when it fires
D22   reset and destroy leave the maps alone: packets in them stay; the children of classes are reset with the qdisc
====  ===============================================================================================================
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from ebpfvm.errnos import EINVAL
from ebpfvm.errors import Fault
from ebpfvm.ints import U32_MAX
from ebpfvm.kernel.ctx import SchBpfCtx
from ebpfvm.kernel.layouts import layout_of
from ebpfvm.kernel.refs import CTX_HOLDER, CTX_UNIT
from ebpfvm.lazy_dataclasses import replace
from ebpfvm.sched.account import Packet
from ebpfvm.sched.classful import ClassfulQdisc, QdiscClass, adopt, dequeue_peeked, drop_count, purge, qdisc_enqueue
from ebpfvm.sched.qdisc_kind import NEEDED, Loader, QdiscKind, QdiscOption
from ebpfvm.sched.sch_generic import (
    NET_XMIT_CN,
    NET_XMIT_DROP,
    NET_XMIT_STOLEN,
    NET_XMIT_SUCCESS,
    TC_H_MAJ_MASK,
    Qdisc,
    Stats,
    handle_text,
)
from ebpfvm.sched.shown import Part
from ebpfvm.sched.tc.block import Block

if TYPE_CHECKING:
    from collections.abc import Iterator

    from ebpfvm.kernel.program import Runnable
    from ebpfvm.sched.sch_generic import QdiscDevice

SCH_BPF_QUEUED: Final = 0
SCH_BPF_DEQUEUED: Final = 0
SCH_BPF_DROP: Final = 1
SCH_BPF_CN: Final = 2
SCH_BPF_THROTTLE: Final = 3
SCH_BPF_PASS: Final = 4

RETURN_NAMES: Final = {SCH_BPF_QUEUED: "QUEUED", SCH_BPF_DROP: "DROP", SCH_BPF_CN: "CN",
                       SCH_BPF_THROTTLE: "THROTTLE", SCH_BPF_PASS: "PASS"}
_DEQUEUE_NAMES: Final = RETURN_NAMES | {SCH_BPF_DEQUEUED: "DEQUEUED"}


class BpfClass(QdiscClass):
    """A class of the qdisc (struct sch_bpf_class): an id, a child qdisc and counters of its own."""

    __slots__ = ()


class SchBpf(ClassfulQdisc):
    """The qdisc "bpf".

    Args:
        dev, handle: as for `Qdisc`.
        enqueue, dequeue: programs of type "qdisc" in any engine.

    Raises:
        OSError: EINVAL if a program is missing (D10).
    """

    kind = "bpf"

    def __init__(self, dev: QdiscDevice, handle: int, enqueue: Runnable | None, dequeue: Runnable | None) -> None:
        super().__init__(dev, handle)
        self.account = dev.account
        self._refs = dev.account.kernel.refs
        self._own = self._refs.holder(self.holder)
        self._left = 0  # what remains of the references of a queued packet; one object for all that are alike
        self.block = Block(self)
        self.classes: dict[int, BpfClass] = {}
        self.change(enqueue, dequeue)

    def change(self, enqueue: Runnable | None, dequeue: Runnable | None) -> None:
        """Replace both programs (TCA_OPTIONS of a change request); packets in maps are not touched.

        Raises:
            OSError: EINVAL if one is missing; then nothing has changed.
        """
        if enqueue is None or dequeue is None:
            missing = "an enqueue" if enqueue is None else "a dequeue"
            raise OSError(EINVAL, f"qdisc bpf needs {missing} program")
        kernel = self.account.kernel
        kind = kernel.dialect.prog_type("qdisc")
        self._enqueue, self._dequeue = self.programs = enqueue, dequeue
        self._run_enqueue, self._run_dequeue = enqueue.__call__, dequeue.__call__  # bound, which is faster to call
        # Free contexts. A program runs inside another when that one sends to the device it is on.
        self._layouts = layout_of(kind, "enqueue"), layout_of(kind, "dequeue")
        self._enqueue_ctx = [SchBpfCtx(kernel, self._layouts[0])]
        self._dequeue_ctx = [SchBpfCtx(kernel, self._layouts[1])]

    # ---- packets ------------------------------------------------------------------------------------------

    def enqueue(self, skb: Packet, to_free: list[Packet]) -> int:
        """Run the enqueue program on `skb` (sch_bpf_enqueue)."""
        free, hops, run = self._enqueue_ctx, skb.hops, self._run_enqueue
        ctx = free.pop() if free else SchBpfCtx(self.account.kernel, self._layouts[0])
        ctx.packet, ctx.classid, ctx.delay = skb, self.handle, 0
        try:
            result = run(ctx) & U32_MAX  # a local variable: CPython calls it faster than an attribute
        finally:
            free.append(ctx)  # nothing else runs before it is read for the last time below
        if self.dev.observer is not None:
            self.dev.observe("enqueue", skb, RETURN_NAMES.get(result, str(result)), ctx)
        if skb.hops != hops:
            return self._redirected(skb, result)
        if result == SCH_BPF_QUEUED:
            holder, refs = self._own, skb.refs
            if holder.name != self.holder:
                holder = self._own = self._refs.holder(self.holder)
            if refs & holder.mask and refs != holder.unit:
                left = refs - holder.unit  # what `release` does
                if left != self._left:
                    self._left = left
                skb.refs = self._left
            else:
                self._given_away(skb, "QUEUED")
            return NET_XMIT_SUCCESS
        return self.enqueued(skb, result, ctx.classid, ctx.delay, to_free)

    def enqueued(self, skb: Packet, result: int, classid: int, delay: int, to_free: list[Packet]) -> int:
        """Do with a packet what the enqueue program's result asks for, and return NET_XMIT_*.

        Args:
            skb, to_free: see `enqueue`.
            result, classid, delay: what the program returned and left in its context.
        """
        if result == SCH_BPF_QUEUED:
            self._given_away(skb, "QUEUED")
            return NET_XMIT_SUCCESS
        if result == SCH_BPF_THROTTLE:
            self.kernel_view.overlimits += 1
            self.watchdog.schedule(self.dev.loop.now + delay)
            self._given_away(skb, "THROTTLE")
            return NET_XMIT_SUCCESS
        if result == SCH_BPF_CN:
            self._given_away(skb, "CN")
            return NET_XMIT_CN
        if result == SCH_BPF_PASS:
            return self._pass(skb, classid, to_free)
        to_free.append(skb)  # DROP and any value that the RFC does not define; sch->qstats.drops is not increased
        return NET_XMIT_DROP

    def _redirected(self, skb: Packet, result: int) -> int:
        """Account for a packet that a filter which the program asked has sent to another device."""
        if result in (SCH_BPF_QUEUED, SCH_BPF_THROTTLE, SCH_BPF_CN, SCH_BPF_PASS):
            self.account.problem("double", skb, f"{self._enqueue.prog.name} returned SCH_BPF_{RETURN_NAMES[result]} "
                                                f"for {skb}, which a filter had sent to another device")
        return NET_XMIT_SUCCESS | NET_XMIT_STOLEN

    def _given_away(self, skb: Packet, result: str) -> None:
        """Release the layer's reference to a packet that the program took over."""
        if skb.users == 1:
            name = self._enqueue.prog.name
            self.account.lost(skb, self.holder, f"{name}, which returned SCH_BPF_{result} without keeping a reference")
        else:
            self._refs.release(skb, self.holder)

    def _pass(self, skb: Packet, classid: int, to_free: list[Packet]) -> int:
        """Pass the packet to the class that the program selected (SCH_BPF_PASS)."""
        if skb.users > 1:
            others = ", ".join(holder for holder in skb.holders if holder != self.holder)
            self.account.problem("double", skb, f"{skb} is in two queues: {self._enqueue.prog.name} returned "
                                                f"SCH_BPF_PASS while {others} holds it")
        found = self.classes.get(classid)
        if found is None or found.child is None:
            to_free.append(skb)
            self.kernel_view.drops += 1
            return NET_XMIT_DROP
        size = skb.len
        result = qdisc_enqueue(self, found.child, skb, to_free)
        for packet in to_free:
            if found.child.holder in packet.holders:
                self._refs.move(packet, found.child.holder, self.holder)
        if result == NET_XMIT_SUCCESS:
            self.kernel_view.backlog += size
            self.kernel_view.qlen += 1
        elif drop_count(result):
            self.kernel_view.drops += 1
            found.stats.drops += 1
        return result

    def dequeue(self) -> Packet | None:
        """Run the dequeue program once (sch_bpf_dequeue)."""
        free, run = self._dequeue_ctx, self._run_dequeue
        ctx = free.pop() if free else SchBpfCtx(self.account.kernel, self._layouts[1])
        ctx.packet, ctx.classid, ctx.delay = None, self.handle, 0
        try:
            result = run(ctx) & U32_MAX
        finally:
            free.append(ctx)
        found: Any = ctx.packet  # the program has set it
        if found is not None and not isinstance(found, Packet):
            raise Fault("memory", f"{self._dequeue.prog.name} set ctx->skb to {found}, which never arrived")
        skb: Packet | None = found
        if self.dev.observer is not None:
            self.dev.observe("dequeue", skb, _DEQUEUE_NAMES.get(result, str(result)), ctx)
        if result == SCH_BPF_DEQUEUED and skb is not None and skb.refs == CTX_UNIT and self._own.name == self.holder:
            skb.refs = self._own.unit  # what `dequeued` does then
            return skb
        return self.dequeued(skb, result, ctx.classid, ctx.delay)

    def dequeued(self, skb: Packet | None, result: int, classid: int, delay: int) -> Packet | None:
        """Return the packet to send after the dequeue program has left `skb`, `classid` and `delay` in its context."""
        if result == SCH_BPF_DEQUEUED and skb is not None:
            self._refs.move(skb, CTX_HOLDER, self.holder)
            return skb
        if skb is not None:
            self.account.lost(skb, CTX_HOLDER, f"{self._dequeue.prog.name}, which set ctx->skb and returned "
                                               f"{_DEQUEUE_NAMES.get(result, result)}")
        if result == SCH_BPF_THROTTLE:
            self._throttle(classid, delay)
        elif result == SCH_BPF_PASS:
            return self._dequeue_class(classid)
        return None

    def _throttle(self, classid: int, delay: int) -> None:
        self.kernel_view.overlimits += 1
        self.watchdog.schedule(self.dev.loop.now + delay)
        found = self.classes.get(classid)
        if found is not None:
            found.stats.overlimits += 1

    def _dequeue_class(self, classid: int) -> Packet | None:
        found = self.classes.get(classid)
        if found is None or found.child is None:
            return None
        skb = dequeue_peeked(self, found.child)
        if skb is None:
            return None
        for stats in (self.kernel_view, found.stats):
            stats.packets += 1
            stats.bytes += skb.len
        self.kernel_view.qlen -= 1
        self.kernel_view.backlog -= skb.len
        return skb

    # ---- classes ------------------------------------------------------------------------------------------

    def create_class(self, classid: int, child: Qdisc | None = None) -> BpfClass:
        """Add a class.

        Raises:
            OSError: EINVAL if the id is 0, belongs to another qdisc, or is taken (D8).
        """
        if not classid & ~TC_H_MAJ_MASK or (classid ^ self.handle) & TC_H_MAJ_MASK or classid in self.classes:
            raise OSError(EINVAL, f"class {handle_text(classid)} cannot be added to {self.holder}")
        found = self.classes[classid] = BpfClass(classid, child)
        if child is not None:
            adopt(self, classid, child)
        return found

    def change_class(self, classid: int, parent: int, options: Any, cl: BpfClass | None = None) -> BpfClass:
        """Create a class without a child, which `graft` attaches; an existing class has nothing to change.

        Raises:
            OSError: EINVAL as for `create_class`, or if the parent is not the qdisc, since classes have no classes.
        """
        if parent not in (0, self.handle):
            raise OSError(EINVAL, f"class {handle_text(classid)}: its parent must be {handle_text(self.handle)}")
        return cl if cl is not None else self.create_class(classid)

    def delete_class(self, cl: BpfClass) -> None:
        """Remove a class and drop what its child holds; filters that name it then select no class."""
        del self.classes[cl.classid]
        if cl.child is not None:
            purge(cl.child)
            cl.child.destroy()

    def find(self, classid: int) -> BpfClass | None:
        """Return the class of an id, or None."""
        return self.classes.get(classid)

    def walk(self) -> Iterator[BpfClass]:
        """Yield the classes in the order of their creation."""
        return iter(list(self.classes.values()))

    def class_stats(self, cl: BpfClass) -> Stats:
        """Return the class's own counters, and length and backlog of its child."""
        child = cl.child.kernel_view if cl.child is not None else Stats()
        return replace(cl.stats, qlen=child.qlen, backlog=child.backlog)

    # ---- what tc shows ------------------------------------------------------------------------------------

    def shown(self, details: bool = False) -> list[Part]:
        """Return names and ids of the programs (sch_bpf_dump)."""
        programs = {"enqueue": self._enqueue.prog, " dequeue": self._dequeue.prog}
        return [Part(f"{hook} {prog.name} id {prog.id}", hook.strip(), (("name", prog.name), ("id", prog.id)))
                for hook, prog in programs.items()]


def load_programs(arguments: dict[str, Any], loader: Loader) -> dict[str, Any]:
    """Return the two programs of the object that a command names."""
    if "obj" not in arguments:
        raise OSError(EINVAL, "qdisc bpf needs an object file: bpf obj FILE [enqueue NAME] [dequeue NAME]")
    return {hook: loader.program(arguments["obj"], arguments.get(hook, ""), hook) for hook in ("enqueue", "dequeue")}


_ONLY_ONE: Final = "the only one of the object that fits"

BPF: Final = QdiscKind(
    name="bpf", make=SchBpf, resolve=load_programs,
    doc="The RFC's qdisc: two eBPF programs decide what it does; classes are added with `tc class`.",
    options=(
        QdiscOption(word="obj", value="FILE", also=("object", "object-file"), default=NEEDED, argument="",
                    doc="object file that holds the programs"),
        QdiscOption(word="enqueue", value="TEXT", default=_ONLY_ONE, doc="section or name of the enqueue program"),
        QdiscOption(word="dequeue", value="TEXT", default=_ONLY_ONE, doc="section or name of the dequeue program")))
