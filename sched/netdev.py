"""A network namespace: several devices, their hooks for filters, up and down, and packets between them.

Sources: net/core/dev.c, drivers/net/ifb.c, Linux 7.2.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, Unpack

from ebpfvm.checked import known
from ebpfvm.errnos import EINVAL, ENETDOWN
from ebpfvm.errors import UsageError
from ebpfvm.funcs.timer import timers_of
from ebpfvm.kernel.skb import SKB_CLONED, SkBuff
from ebpfvm.net import ETH_HLEN, VLAN_HLEN
from ebpfvm.sched.account import DROPPED, SENT, Account, Packet
from ebpfvm.sched.classful import ClassfulQdisc
from ebpfvm.sched.classify import skb_tc_classify, split_handle, tcf_classify
from ebpfvm.sched.device import DeviceParts, NetDevice
from ebpfvm.sched.events import EventLoop
from ebpfvm.sched.flows import FlowTable
from ebpfvm.sched.gso import count_segments
from ebpfvm.sched.purge import purge_maps
from ebpfvm.sched.qdiscs.kinds import QDISCS
from ebpfvm.sched.qdiscs.mq import Mq, pick_tx
from ebpfvm.sched.qdiscs.prio import PfifoFast
from ebpfvm.sched.sch_generic import (
    DEFAULT_TX_QUEUE_LEN,
    NET_XMIT_DROP,
    NET_XMIT_SUCCESS,
    TC_H_ROOT,
    TCQ_F_NOPARENT,
    TCQ_F_ONETXQUEUE,
    Qdisc,
)
from ebpfvm.sched.sink import Sink
from ebpfvm.sched.struct_ops_maps import StructOpsMaps
from ebpfvm.sched.tc.block import Block
from ebpfvm.sched.tc.tc_verdict import CONSUMED, TC_ACT_OK, TC_ACT_RECLASSIFY, TC_ACT_REDIRECT, TC_ACT_SHOT, TcfResult
from ebpfvm.sched.wire import Link

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from ebpfvm.kernel.emulated import Kernel
    from ebpfvm.kernel.program import Runnable
    from ebpfvm.kernel.skb import SkBuff
    from ebpfvm.sched.sch_generic import QdiscDevice
    from ebpfvm.sched.size_table import SizeTable
    from ebpfvm.sched.tc.action import Action

KINDS: Final = ("dummy", "ifb", "veth")
_FAST: Final = 1_000_000_000_000
_FIRST_HANDLE: Final = 0x8001
XMIT_RECURSION_LIMIT: Final = 9  # as many as dev_xmit_recursion lets pass (include/linux/netdevice.h)


class NetDev(NetDevice):
    """A device of a namespace.

    Args:
        net: its namespace.
        name, kind: as in `ip link`; an "ifb" returns each packet that it dequeues to the device that it came from.
        num_tx_queues: number of transmit queues.
        parts: see `DeviceParts`.

    Attributes:
        up: whether packets may pass.
        mac: hardware address.
        tx_queue_len: `txqueuelen`.
        hooks: the filters of clsact or ingress: "ingress" and "egress" -> block.
        hook_kind: "clsact", "ingress", or "" if neither is attached.
        hook_stab: its table of sizes, which has no effect.
        activated: whether it has been up with its root qdisc.
        rx_packets, rx_bytes: packets and bytes delivered to the stack.
        onward: called with the device and a packet that has left its link; returns whether the packet goes on to
            another device. None if all of them have arrived.
    """

    def __init__(self, net: Namespace, name: str, kind: str, num_tx_queues: int, parts: DeviceParts) -> None:
        super().__init__(net.loop, net.account, parts.get("link") or Link(_FAST), parts.get("sink") or net.sink,
                         parts.get("hard_header_len", ETH_HLEN))
        self.name = name
        index = parts.get("ifindex")
        self.ifindex = ifindex = index if index is not None else max(net.kernel.devices, default=1) + 1
        self.observer = parts.get("observer")
        self.net = net
        self.kind = kind
        self.up = False
        self.mac = f"02:00:00:00:00:{ifindex & 0xFF:02x}"
        self.tx_queue_len = 32 if kind == "ifb" else DEFAULT_TX_QUEUE_LEN
        self.num_tx_queues = num_tx_queues
        self._several = num_tx_queues > 1
        self.hooks: dict[str, Block] = {}
        self.hook_kind = ""
        self.hook_stab: SizeTable | None = None
        self.hook_seen = False  # a clsact was attached once; the kernel keeps the queue that it was attached to
        self.rx_packets = self.rx_bytes = 0
        self.onward: Callable[[NetDev, Packet], bool] | None = None
        self.activated = False
        self.qdisc = self.default_qdisc()

    @property
    def mtu(self) -> int:
        """The greatest layer-3 size in bytes."""
        return self.link.mtu or 1500

    def set_mtu(self, mtu: int) -> None:
        """Set the MTU.

        Raises:
            UsageError: it is below 68.
        """
        self.link = Link(self.link.rate, self.link.delay, mtu)
        self.room = mtu + self.hard_header_len + VLAN_HLEN

    def default_qdisc(self) -> Qdisc:
        """Return the default qdisc, which the device has until another is set (attach_default_qdiscs).

        It is a `pfifo_fast` while the device is down, and if the kind of net.core.default_qdisc fails.
        """
        kind, self.activated = self.net.default_kind if self.up else PfifoFast.kind, self.up
        try:
            if self.num_tx_queues > 1:
                return Mq(self)
            made = self._made(kind, TC_H_ROOT, None)
            made.flags |= TCQ_F_ONETXQUEUE | TCQ_F_NOPARENT
            return made
        except OSError:
            self.net.kernel.notes.append(f"{self.name}: default qdisc ({kind}) fail, fallback to pfifo_fast, where "
                                         "Linux takes noqueue")
            return PfifoFast(self)

    def default_child(self, parent: int, upper: Qdisc) -> Qdisc:
        """Return the qdisc that a class of mq has at first; raise OSError if its kind fails."""
        return self._made(self.net.default_kind if self.up else PfifoFast.kind, parent, upper)

    def _made(self, kind: str, parent: int, upper: Qdisc | None) -> Qdisc:
        """Return a qdisc without options (qdisc_create_dflt)."""
        if kind in self.net.qdisc_kinds:
            return self.net.qdisc_kinds[kind](self, 0, parent, upper)
        found = QDISCS.get(kind)
        if found is None or found.make is None or not found.without_options:
            raise OSError(EINVAL, f"a qdisc {kind} needs options")
        return found.make(self)

    def set_root(self, qdisc: Qdisc | None) -> None:
        """Set the root qdisc, None for the default; what the old one holds is dropped (qdisc_graft)."""
        self.activated = True
        old, new = self.qdisc, qdisc
        if new is None:  # the default is made when the old one is gone
            old.put()
            new = self.default_qdisc()
        if self.sending is not None and old.holder != new.holder:
            self.account.kernel.refs.move(self.sending, old.holder, new.holder)
        self.qdisc = new
        if qdisc is not None:
            old.put()

    def set_up(self, up: bool) -> None:
        """Set the device up or down; setting it down drops its packets in qdiscs and rbtree maps."""
        if self.up and not up:
            self.up = False
            self.net.netdev_down(self)
        self.up = up
        if up and not self.activated and self.net.default_kind != PfifoFast.kind:
            self.set_root(None)

    def run(self) -> None:
        """Run the device as `NetDevice.run` does, if it is up."""
        if self.up:
            super().run()

    # ---- packets ------------------------------------------------------------------------------------------

    def xmit(self, skb: Packet) -> int:
        """Send a packet (dev_queue_xmit), egress filters first, and return NET_XMIT_*.

        Its reference passes from the holder to the qdisc.
        """
        self.net.hand(skb, self.qdisc.holder)
        skb.dev = self
        if not self.up:
            self.drop(skb, self.qdisc.holder)
            return NET_XMIT_DROP
        self._measure(skb)
        if "egress" in self.hooks and not self._hook("egress", skb):
            return NET_XMIT_SUCCESS if skb.fate is None or skb.fate is SENT else NET_XMIT_DROP
        if self._several:
            skb.queue_mapping = pick_tx(skb, self.num_tx_queues)
        if self.qdisc.stab is not None:
            skb.wire_len = self.qdisc.stab.size(skb.len)
        return super().xmit(skb)

    def _measure(self, skb: Packet) -> None:
        """Set what a packet counts, until a qdisc with a table of sizes takes it (qdisc_pkt_len_segs_init)."""
        if skb.gso_size:
            count_segments(skb)
        elif skb.wire_len != skb.len:
            skb.wire_len = skb.len

    def receive(self, skb: Packet) -> None:
        """Receive a packet (netif_receive_skb): ingress filters, then the stack."""
        self.net.hand(skb, f"device {self.name}")
        skb.dev, skb.ingress_ifindex = self, self.ifindex
        if not self.up:
            self.drop(skb, f"device {self.name}")
            return
        self._measure(skb)
        if "ingress" not in self.hooks or self._hook("ingress", skb):
            self.rx_packets += 1
            self.rx_bytes += skb.len
            self.net.deliver(self, skb)

    def _hook(self, side: str, skb: Packet) -> bool:
        """Ask the filters of a hook, and return False if the packet is gone (sch_handle_ingress, sch_handle_egress)."""
        if skb.tc_skip_classify:
            skb.tc_skip_classify = False
            return True
        result, holder, hops = TcfResult(), skb.holders[0], skb.hops
        verdict = tcf_classify(skb, self.hooks[side], result)
        if verdict in (TC_ACT_OK, TC_ACT_RECLASSIFY):
            skb.tc_index = result.classid & 0xFFFF
        if verdict == TC_ACT_SHOT:
            self.drop(skb, holder)
        elif verdict == TC_ACT_REDIRECT:
            self.net.redirect(skb, holder)
        elif verdict not in CONSUMED:
            return True
        elif skb.hops == hops:  # stolen, and not held by anyone
            self.drop(skb, holder)
        return False

    def clone(self, skb: Packet, holder: str) -> Packet:
        """Return a copy of a packet, which `holder` holds."""
        copy = self.net.clone(skb)
        self.net.hand(copy, holder)
        if self.account.recorder is not None:
            self.account.recorder.copied(self, copy)
        return copy

    def sent(self, skb: Packet) -> None:
        """Finish sending `skb`; what an ifb sends returns to its device."""
        if self.kind == "ifb":
            self.sending = None
            self._give_back(skb)
            self.run()
        elif self.onward is not None and self.onward(self, skb):
            if self.observer is not None:
                self.observe("sent", skb, "", None)
            self.sending = None
            self.run()
        else:
            super().sent(skb)

    def _give_back(self, skb: Packet) -> None:
        """Return a packet from an ifb to the device that it was taken from (ifb_ri_tasklet), or drop it without one."""
        if skb.redirected_from is None:
            self.drop(skb, self.qdisc.holder)
            return
        dev, from_ingress = skb.redirected_from
        skb.tc_skip_classify = True
        if from_ingress:
            dev.receive(skb)
        else:
            dev.xmit(skb)


class Namespace:
    """A network namespace: devices that can reach each other.

    Args:
        kernel: the kernel that has the programs and maps; the namespace adds its devices to `kernel.devices`.
        loop, account, flows, sink: parts of a simulation; created if they are not given.

    Attributes:
        devices: by name.
        blocks: shared blocks by number.
        actions: (kind, index) -> action.
        stack: called with each packet that arrives; by default, packets are counted as sent.
        load_program: (path, section, hook) -> a runnable program, for `bpf obj FILE`; see `tc.build.TcBuilder.program`.
        qdisc_kinds: further kinds of qdiscs by name (registered struct_ops): a function of device, handle, id of the
            class and its qdisc that returns a qdisc.
        struct_ops: what `bpftool struct_ops` registers, which are `qdisc_kinds` too.
        default_kind: the kind of qdisc of new devices (net.core.default_qdisc).
        register: (path, folder of links) -> lines that bpftool prints, for `bpftool struct_ops register`.
        nest, sending: current depth of nested redirections by mirred, and by programs.
    """

    def __init__(self, kernel: Kernel, *, loop: EventLoop | None = None, account: Account | None = None,
                 flows: FlowTable | None = None, sink: Sink | None = None) -> None:
        self.kernel = kernel
        self.loop = loop if loop is not None else EventLoop(kernel)  # one without events is False
        self.account = account if account is not None else Account(kernel)
        self.flows = flows if flows is not None else FlowTable(self.account)
        self.sink = sink if sink is not None else Sink()
        self.devices: dict[str, NetDev] = {}
        self.blocks: dict[int, Block] = {}
        self.actions: dict[tuple[str, int], Action] = {}
        self.stack: Callable[[NetDev, Packet], None] | None = None
        self.load_program: Callable[[str, str, str], Runnable] | None = None
        self.qdisc_kinds: dict[str, Callable[[QdiscDevice, int, int, Qdisc | None], Qdisc]] = {}
        self.register: Callable[[str, str], list[str]] | None = None
        self.struct_ops = StructOpsMaps(self.qdisc_kinds, self.all_qdiscs)
        self.default_kind = PfifoFast.kind
        self.nest = self.sending = 0
        self._next_handle = _FIRST_HANDLE
        timers_of(kernel).loop = self.loop
        kernel.net.classify = self.tc_classify
        kernel.net.clone_redirect = self.clone_redirect

    def add_device(self, name: str, kind: str = "dummy", *, num_tx_queues: int = 1, up: bool = False,
                   **parts: Unpack[DeviceParts]) -> NetDev:
        """Return a new device.

        Raises:
            UsageError: the name is taken, the kind is unknown, or the number of queues is 0.
        """
        known("add_device", parts, DeviceParts.__annotations__)
        if name in self.devices:
            raise UsageError(f"device {name!r} exists already")
        if kind not in KINDS:
            raise UsageError(f"device type {kind!r}: expected {', '.join(KINDS)}")
        if not 1 <= num_tx_queues <= 4096:
            raise UsageError(f"numtxqueues {num_tx_queues}: expected 1 to 4096")
        dev = NetDev(self, name, kind, num_tx_queues, parts)
        self.devices[name] = self.kernel.devices[dev.ifindex] = dev
        dev.set_up(up)
        return dev

    def device(self, name: str) -> NetDev:
        """Return the device of a name.

        Raises:
            UsageError: there is no such device.
        """
        found = self.devices.get(name)
        if found is None:
            raise UsageError(f"Cannot find device {name!r}; there are: {', '.join(self.devices) or 'none'}")
        return found

    def remove_device(self, dev: NetDev) -> None:
        """Remove a device: set it down first, then delete its qdiscs and filters."""
        dev.set_up(False)
        dev.qdisc.put()
        dev.hooks.clear()
        del self.devices[dev.name], self.kernel.devices[dev.ifindex]

    def all_blocks(self) -> Iterator[Block]:
        """Yield every block: shared ones, and those of hooks and of qdiscs."""
        found: dict[int, Block] = {id(block): block for block in self.blocks.values()}
        for dev in self.devices.values():
            blocks = [*dev.hooks.values(), *(block for qdisc in self.qdiscs(dev) if isinstance(qdisc, ClassfulQdisc)
                                             for block in qdisc.blocks())]
            found |= {id(block): block for block in blocks}
        return iter(found.values())

    # ---- packets ------------------------------------------------------------------------------------------

    def packet(self, data: bytes, **fields: Any) -> Packet:
        """Return a new packet with the protocol and priority that its headers imply; `fields` is as for `SkBuff`."""
        skb = self.account.admit(data, fields.pop("len", len(data)), *self.flows.label(data), "network")
        for field, value in fields.items():
            setattr(skb, field, value)
        return skb

    def clone(self, skb: SkBuff) -> Packet:
        """Return a copy, which is a packet of its own in all counters (skb_clone)."""
        copy = self.packet(skb.payload(), **{name: getattr(skb, name) for name in SKB_CLONED})
        self.account.in_bytes += skb.len - copy.len
        copy.flow.in_more += skb.len - copy.len
        copy.len = skb.len
        copy.dev = skb.dev
        copy.cb = list(skb.cb)
        if skb.wire_len != skb.len:
            copy.wire_len = skb.wire_len
        if isinstance(skb, Packet):
            copy.redirected_from = skb.redirected_from
        return copy

    def hand(self, skb: Packet, to: str) -> None:
        """Move a packet from the layer that holds it to another; its reference is the packet's first."""
        holder = skb.holders[0]
        if holder != to:
            self.kernel.refs.move(skb, holder, to)

    def forward(self, skb: SkBuff, dev: NetDev, ingress: bool) -> int:
        """Send a packet to another device, or let it arrive there.

        Return 0, or -ENETDOWN if programs that send run inside each other too deeply (dev_xmit_recursion).
        """
        assert isinstance(skb, Packet)
        origin = skb.dev
        skb.hops += 1
        if isinstance(origin, NetDev) and origin is not dev:
            skb.redirected_from = origin, skb.holders[0] == f"device {origin.name}"
        if ingress:
            dev.receive(skb)
            return 0
        if self.sending >= XMIT_RECURSION_LIMIT:
            self.account.dispose(skb, DROPPED, skb.holders[0])
            return -ENETDOWN
        self.sending += 1
        try:
            dev.xmit(skb)
        finally:
            self.sending -= 1
        return 0

    def redirect(self, skb: Packet, holder: str) -> None:
        """Execute the request of bpf_redirect() (skb_do_redirect); without one the packet is dropped."""
        wanted = self.kernel.net.take_redirect()
        dev = self.kernel.devices.get(wanted.ifindex) if wanted is not None else None
        if wanted is None or not isinstance(dev, NetDev) or not dev.up:
            self.account.dispose(skb, DROPPED, holder)
        else:
            self.forward(skb, dev, wanted.kind == "peer" or bool(wanted.flags & 1))

    def clone_redirect(self, copy: SkBuff, device: Any, flags: int) -> int:
        """Send a copy that a program has made (bpf_clone_redirect); return 0 or a negative errno."""
        if not isinstance(device, NetDev) or not device.up:
            self.kernel.refs.release(copy, "redirect")
            return -ENETDOWN
        skb = self.clone(copy)
        self.kernel.refs.release(copy, "redirect")
        return self.forward(skb, device, bool(flags & 1))

    def deliver(self, dev: NetDev, skb: Packet) -> None:
        """Deliver a packet to the stack."""
        if self.stack is not None:
            self.stack(dev, skb)
        else:
            skb.departure = self.loop.now
            self.sink.receive(skb, self.loop.now)
            self.account.dispose(skb, SENT, f"device {dev.name}")

    # ---- for programs and tc ------------------------------------------------------------------------------

    def tc_classify(self, skb: SkBuff, ifindex: int, handle: int) -> int:
        """Return the class that filters of a device's qdisc (or class) give a packet, or 0 (bpf_skb_tc_classify)."""
        dev = self.kernel.devices.get(ifindex)
        major, classid = split_handle(handle)
        qdisc = self.find_qdisc(dev, major) if isinstance(dev, NetDev) else None
        return skb_tc_classify(skb, qdisc, classid) if qdisc is not None else 0

    def qdiscs(self, dev: NetDev) -> Iterator[Qdisc]:
        """Yield all qdiscs of a device, parents first."""
        todo = [dev.qdisc]
        while todo:
            qdisc = todo.pop(0)
            yield qdisc
            if isinstance(qdisc, ClassfulQdisc):
                todo += list(qdisc.children())

    def all_qdiscs(self) -> Iterator[Qdisc]:
        """Yield the qdiscs of all devices."""
        return (qdisc for dev in self.devices.values() for qdisc in self.qdiscs(dev))

    def find_qdisc(self, dev: NetDev, handle: int) -> Qdisc | None:
        """Return the qdisc of a handle (qdisc_lookup), or None."""
        return next((qdisc for qdisc in self.qdiscs(dev) if qdisc.handle == handle), None) if handle else None

    def free_handle(self, dev: NetDev) -> int:
        """Return an unused handle: 8001:, 8002: and so on, across all devices (qdisc_alloc_handle)."""
        used = {qdisc.handle >> 16 for qdisc in self.qdiscs(dev)}
        while True:
            number = self._next_handle
            self._next_handle = number + 1 if number < 0xFFFE else _FIRST_HANDLE
            if number not in used:
                return number << 16

    def netdev_down(self, dev: NetDev, delete: bool = True) -> int:
        """Remove a device's packets from rbtree maps (`purge_maps`) and qdiscs, and return how many were in maps."""
        count = purge_maps(self.account, dev, delete)
        for qdisc in dev.qdisc.of_queues():  # the root is reset once for each queue that it feeds
            qdisc.reset()
        return count
