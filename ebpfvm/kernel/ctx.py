"""Contexts: what a program of each type runs on. Their fields are attributes of a Python object, by `layouts`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ebpfvm.errors import Fault
from ebpfvm.kernel.layouts import Layout, ObjectRegion, layout_of
from ebpfvm.kernel.memory import Region
from ebpfvm.kernel.refs import CTX_HOLDER, PROGRAM
from ebpfvm.kernel.skb import SkBuff, XdpBuff

if TYPE_CHECKING:
    from ebpfvm.kernel.emulated import Kernel
    from ebpfvm.kernel.program import Runnable


class SkbCtx(ObjectRegion):
    """`struct __sk_buff` of an SkBuff: the context of sched_cls, socket filters, cgroup_skb and similar types.

    One context can serve many packets in turn: set `owner`.
    """

    __slots__ = ()

    def __init__(self, kernel: Kernel, skb: SkBuff, layout: Layout | None = None) -> None:
        super().__init__("ctx", layout or kernel.skb_layout, skb)
        self.region = self
        kernel.memory.adopt(self)


class ObjectCtx(ObjectRegion):
    """The context of a type whose fields are attributes of an arbitrary object."""

    __slots__ = ()

    def __init__(self, kernel: Kernel, owner: object, layout: Layout) -> None:
        super().__init__("ctx", layout, owner)
        self.region = self
        kernel.memory.adopt(self)


class SkbContexts:
    """Contexts of programs on packets, pooled by depth: a program that runs inside another has a separate one."""

    __slots__ = ("_free", "_kernel")

    def __init__(self, kernel: Kernel) -> None:
        self._kernel = kernel
        self._free: list[SkbCtx] = []

    def run(self, program: Runnable, skb: SkBuff) -> int:
        """Run a program on a packet and return r0."""
        free = self._free
        ctx = free.pop() if free else SkbCtx(self._kernel, skb)
        ctx.owner = skb
        try:
            return program(ctx)
        finally:
            free.append(ctx)


class XdpCtx(ObjectRegion):
    """`struct xdp_md` of an XdpBuff."""

    __slots__ = ()

    def __init__(self, kernel: Kernel, buff: XdpBuff, layout: Layout | None = None) -> None:
        super().__init__("ctx", layout or _xdp_layout(kernel), buff)
        self.region = self
        kernel.memory.adopt(self)


def _xdp_layout(kernel: Kernel) -> Layout:
    return layout_of(kernel.dialect.prog_type("xdp"))


class SchBpfCtx(ObjectRegion):
    """`struct sch_bpf_ctx` of RFC v6, patch 3/5: `skb` at 0, `classid` at 8, `delay` at 16; 24 bytes.

    Its padding is not accessible. The layout says which fields may be written (decision D1: classid and delay
    everywhere; skb in dequeue, with NULL or a packet that the program owns). A store to `skb` moves the program's
    reference to `CTX_HOLDER`, from which the qdisc takes it.

    One context serves many runs: call `prepare` before each.

    Attributes:
        packet: the packet that `skb` points to, None for NULL.
        classid: u32.
        delay: u64 ns.
    """

    __slots__ = ("_hands_over", "classid", "delay", "kernel", "packet")

    def __init__(self, kernel: Kernel, layout: Layout | None = None) -> None:
        super().__init__("ctx", layout or layout_of(kernel.dialect.prog_type("qdisc")), self)
        self.region = self
        self._hands_over = self.layout.writing(0, 8) is not None
        self.kernel = kernel
        self.packet: SkBuff | None = None
        self.classid = self.delay = 0
        kernel.memory.adopt(self)

    def prepare(self, skb: SkBuff | None, classid: int) -> None:
        """Set the fields for one run: the packet (None in dequeue) and the qdisc's handle; delay becomes 0."""
        self.packet = skb
        self.classid = classid
        self.delay = 0

    @property
    def skb(self) -> int:
        """The address of the packet, 0 for NULL."""
        return 0 if self.packet is None else self.packet.ptr

    def store(self, off: int, size: int, value: int) -> None:
        """Write a field; a store to `skb` also moves the program's reference."""
        if off or size != 8 or not self._hands_over:
            super().store(off, size, value)
            return
        found = self.kernel.memory.owner(value)
        if isinstance(found, SkBuff):
            self.hand_over(found)
        elif value:
            raise Fault("memory", f"ctx->skb is set to {value:#x}, which is not a packet")
        else:
            self.packet = None

    def hand_over(self, packet: SkBuff) -> None:
        """Set `skb`, and move the program's reference to the packet to `CTX_HOLDER`.

        Raises:
            Fault: the program has no reference to it.
        """
        self.kernel.refs.move(packet, PROGRAM, CTX_HOLDER)
        self.packet = packet


class BytesCtx(Region):
    """A context of plain bytes, for programs whose context is memory (raw programs, struct_ops arguments)."""

    __slots__ = ("region",)
    region: Region

    def __init__(self, kernel: Kernel, data: bytes | bytearray, *, writable: bool = True) -> None:
        storage = data if isinstance(data, bytearray) else bytearray(data)
        super().__init__("ctx", storage, name="context", writable=writable, owner=None)
        self.region = self
        kernel.memory.adopt(self)
