"""Queueing disciplines that programs implement by filling `Qdisc_ops` (net/sched/bpf_qdisc.c, since Linux 6.16).

The kernel counts little itself. Programs write `q.qlen` and `qstats` of `struct Qdisc`, and count sent packets with
bpf_qdisc_bstats_update; nobody compares these numbers with what is really queued. `kernel_view` has what they wrote.

Packets that enqueue takes belong to the program until it returns them from dequeue or drops them. Maps and global
variables belong to the object: two qdiscs of one kind share them, and a reset of one empties the other.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from ebpfvm.errnos import EINVAL, describe
from ebpfvm.errors import Fault
from ebpfvm.ints import U32_MAX, signed
from ebpfvm.kernel.kernel_structs import structs_of
from ebpfvm.kernel.ops_ctx import OpsCtx, ops_layout
from ebpfvm.kernel.refs import CTX_HOLDER, PROGRAM
from ebpfvm.lazy_dataclasses import dataclass, replace
from ebpfvm.net import NET_XMIT_MASK
from ebpfvm.sched.account import Packet
from ebpfvm.sched.kept_packets import note_kept_packets
from ebpfvm.sched.sch_generic import (
    NET_XMIT_CN,
    NET_XMIT_DROP,
    NET_XMIT_SUCCESS,
    TC_H_ROOT,
    TCQ_F_ONETXQUEUE,
    Qdisc,
    Stats,
)

if TYPE_CHECKING:
    from collections.abc import Mapping

    from ebpfvm.contract.ops import OpsStruct
    from ebpfvm.kernel.ops_ctx import OpsArguments
    from ebpfvm.kernel.program import Runnable
    from ebpfvm.kernel.skb import SkBuff
    from ebpfvm.sched.sch_generic import QdiscDevice

QDISC_OPS: Final = "Qdisc_ops"
_RESULTS: Final = {NET_XMIT_SUCCESS: "SUCCESS", NET_XMIT_DROP: "DROP", NET_XMIT_CN: "CN"}


class ToFree:
    """The list of packets to free of enqueue.

    Attributes:
        packets: the packets, which `qdisc` holds.
        running: whether enqueue runs.
        ptr: the address that programs get.
    """

    __slots__ = ("packets", "ptr", "qdisc", "running")

    def __init__(self, qdisc: SchStructOps) -> None:
        self.qdisc = qdisc
        self.packets: list[Packet] = []
        self.running = False
        self.ptr = structs_of(qdisc.kernel).pointer("bpf_sk_buff_ptr", self)

    def put(self, skb: SkBuff) -> None:
        """Take a packet that the program holds."""
        if not self.running:
            raise Fault("memory", "the list of packets to free is that of an enqueue that has ended")
        self.take(skb)

    def take(self, skb: SkBuff) -> None:
        """Take a packet while enqueue runs."""
        if not isinstance(skb, Packet):
            raise Fault("memory", f"{skb} never arrived, and cannot be dropped")
        self.qdisc.account.kernel.refs.move(skb, PROGRAM, self.qdisc.holder)
        self.packets.append(skb)

    def emptied(self) -> list[Packet]:
        """Return the packets, which no program has any more, and forget them."""
        dropped, self.packets = self.packets, []
        for packet in dropped:
            structs_of(self.qdisc.kernel).hide(packet)
        return dropped


@dataclass(frozen=True, slots=True)
class QdiscOps:
    """A registered struct.

    Attributes:
        id: name of the kind of qdisc.
        ops: the declaration of `struct Qdisc_ops`.
        programs: member -> program.
    """

    id: str
    ops: OpsStruct
    programs: Mapping[str, Runnable]


class SchStructOps(Qdisc):
    """A qdisc of a registered kind.

    Args:
        dev, handle: as for `Qdisc`.
        kind: what is registered.
        parent: id of the class that it will be attached to, `TC_H_ROOT` for a root qdisc.
        upper: the qdisc of that class.

    Attributes:
        ops: what is registered.
        limit, qstats_qlen: members of `struct Qdisc` that programs see; the limit is 0 until init sets it.
        programs: those of enqueue and dequeue.
        layouts: member -> layout of its context.
        to_free: the list of packets to free that enqueue gets.

    Raises:
        OSError: as `init` says; EINVAL if the parent is not mq. A positive result of `init` is an errno below 0, as for
            user space.
    """

    counting = "what the programs count"

    def __init__(self, dev: QdiscDevice, handle: int, kind: QdiscOps, parent: int | None = None,
                 upper: Qdisc | None = None) -> None:
        super().__init__(dev, handle)
        self.kind = kind.id
        self.ops = kind
        self.account = dev.account
        self.kernel = dev.account.kernel
        self.flags = TCQ_F_ONETXQUEUE if dev.num_tx_queues == 1 and handle else 0
        self.limit = self.qstats_qlen = 0
        self._structs = structs_of(self.kernel)
        self.to_free = ToFree(self)
        self._programs = kind.programs
        self.programs = kind.programs["enqueue"], kind.programs["dequeue"]
        self.layouts = {name: ops_layout(kind.ops.name, member) for name, member in kind.ops.members.items()}
        self._free: dict[str, list[OpsCtx]] = {name: [] for name in self.layouts}
        if parent is not None:
            self.parent = parent
        self._init(upper)

    @property
    def ptr(self) -> int:
        """The address of its `struct Qdisc`."""
        return self._structs.pointer("Qdisc", self)

    def _call(self, member: str, *arguments: Any) -> tuple[int, OpsArguments]:
        """Call the program of a member, and return its result in 64 bits, and what it may have given with that."""
        free = self._free[member]
        ctx = free.pop() if free else OpsCtx(self.kernel, self.layouts[member])
        ctx.set(*arguments)
        try:
            return self._programs[member](ctx), ctx.owner
        finally:
            free.append(ctx)

    # ---- life ---------------------------------------------------------------------------------------------

    def _init(self, upper: Qdisc | None) -> None:
        """Call init; an error still calls destroy, as qdisc_create does."""
        error, text = 0, ""
        if upper is not None and not upper.mq_root:
            error, text = EINVAL, "BPF qdisc only supported on root or mq"
        else:
            opt = self._structs.null("nlattr", self, "the argument opt of init")
            extack = self._structs.pointer("netlink_ext_ack", self)
            error = -signed(self._call("init", self, opt, extack)[0] & U32_MAX, 32)
        if error:
            if self.handle:
                self.destroy()
            else:  # a default qdisc, which qdisc_create_dflt puts
                self.put()
            raise OSError(error, text or describe(error))

    def reset(self) -> None:
        """Drop what is queued (qdisc_reset): call reset, cancel the timer, zero qlen and backlog."""
        self._call("reset", self)
        super().reset()
        if self.parent == TC_H_ROOT:  # the queues of mq share what they store
            note_kept_packets(self)

    def destroy(self) -> None:
        """Call destroy, and delete the qdisc."""
        self._call("destroy", self)
        super().destroy()
        self._structs.forget("bpf_sk_buff_ptr", self.to_free)
        for struct in ("Qdisc", "Qdisc_ops", "netdev_queue", "nlattr", "netlink_ext_ack"):
            self._structs.forget(struct, self)

    @property
    def shown_stats(self) -> Stats:
        """The counters, with what the program counts in `qstats.qlen` added to the length (qdisc_qlen_sum)."""
        stats = self.kernel_view
        return replace(stats, qlen=stats.qlen + self.qstats_qlen & U32_MAX) if self.qstats_qlen else stats

    # ---- packets ------------------------------------------------------------------------------------------

    def enqueue(self, skb: Packet, to_free: list[Packet]) -> int:
        """Give the packet to the program, and return what it returns."""
        refs, free = self.kernel.refs, self.to_free
        self._structs.show(skb)
        held = refs.held
        refs.move(skb, self.holder, PROGRAM)
        free.packets, free.running = [], True
        try:
            result, _ = self._call("enqueue", skb, self, free)
            if refs.held > held:
                refs.program_exit(held, self._programs["enqueue"].prog.name)
        except Fault:
            refs.abandon(held, self._programs["enqueue"].prog.name)
            raise
        finally:
            free.running = False
        to_free += free.emptied()  # a fused run expects that nothing is left on the list
        result &= NET_XMIT_MASK
        if self.dev.observer is not None:
            self.dev.observe("enqueue", skb, _RESULTS.get(result, str(result)), None)
        return result

    def dequeue(self) -> Packet | None:
        """Call dequeue once, and return the packet that it returns."""
        address, arguments = self._call("dequeue", self)
        found, arguments.given = arguments.given, None
        return self.dequeued(address, found)

    def dequeued(self, address: int, found: Any = None) -> Packet | None:
        """Return the packet that dequeue has returned.

        Args:
            address: its address, 0 for NULL.
            found: the packet, if the engine knows it.
        """
        if found is None and address:
            found = self.kernel.memory.owner(address)
        if found is None:
            if self.dev.observer is not None:
                self.dev.observe("dequeue", None, "", self)
            return None
        if not isinstance(found, Packet):
            raise Fault("memory", f"{self._programs['dequeue'].prog.name} returned {address:#x}, which is no packet")
        self.kernel.refs.move(found, CTX_HOLDER, self.holder)
        self._structs.hide(found)
        if self.dev.observer is not None:
            self.dev.observe("dequeue", found, "", self)
        return found
