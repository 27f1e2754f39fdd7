"""Test runs for each kind of program: how packet and context are built, and what is returned afterwards.

The source is net/bpf/test_run.c (Linux 6.18 and 7.2). `ebpfvm.testrun` is the interface.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, Final

from ebpfvm.api import dialect_of
from ebpfvm.errors import UsageError
from ebpfvm.ints import swap16
from ebpfvm.kernel import Kernel, SchBpfCtx, SkbCtx, SkBuff, XdpBuff, XdpCtx
from ebpfvm.kernel.layouts import Layout, layout_of
from ebpfvm.lazy_dataclasses import dataclass, field
from ebpfvm.net import (
    AF_INET,
    AF_INET6,
    ETH_HLEN,
    ETH_P_802_2,
    ETH_P_802_3,
    ETH_P_802_3_MIN,
    IPV4_HLEN,
    IPV6_HLEN,
    PACKET_HOST,
    PACKET_MULTICAST,
    PACKET_OTHERHOST,
    RAW_ETH_P_IP,
    RAW_ETH_P_IPV6,
)
from ebpfvm.testtypes import PLAIN, RUNNERS

if TYPE_CHECKING:
    from ebpfvm.contract import ProgType
    from ebpfvm.kernel.program import Runnable
    from ebpfvm.kernel.sock import Sock
    from ebpfvm.loader.object import Program

LOOPBACK: Final = 1  # ifindex of the device that Linux uses for test runs
HANDLE: Final = 0x80010000  # what `tc qdisc add` gives the first qdisc without a handle
_XDP_LINEAR = 4096 - 256 - 320  # page, XDP_PACKET_HEADROOM, struct skb_shared_info
_XDP_META = 256 - 40  # XDP_PACKET_HEADROOM without struct xdp_frame
_SKB_LIMIT = 4096 - 64 - 320  # the same with NET_SKB_PAD: the maximum on Linux 6.18
_GSO_LEGACY_MAX_SIZE, _GSO_MAX_SEGS = 65536, 65535

# Types that run on an skb -> do they see the Ethernet header?
_SKB_TYPES: Final = {"sched_cls": True, "sched_act": True, "socket_filter": False, "cgroup_skb": False,
                     "lwt_in": False, "lwt_out": False, "lwt_xmit": False}
# Fields of __sk_buff that Linux reads from ctx_in and returns in ctx_out (convert___skb_to_skb and back).
SKB_IN_OUT: Final = ("mark", "priority", "ingress_ifindex", "ifindex", "cb", "tstamp", "wire_len", "gso_segs",
                     "gso_size", "hwtstamp")
XDP_OUT: Final = ("data", "data_end")
_POINTERS: Final = ("data", "data_end", "data_meta", "flow_keys", "sk")


class Loopback:
    """The device that receives the packet of a test run."""

    name = "lo"
    ifindex = LOOPBACK
    mtu = 65536
    up = True


@dataclass(slots=True)
class Request:
    """One test run while it is prepared and executed."""

    kernel: Kernel
    kind: ProgType
    attach: str
    data: bytes
    ctx: dict[str, Any]
    repeat: int
    raw_ctx: bool  # it was passed as bytes, which may set fields that cannot be set
    has_ctx: bool
    warnings: list[str] = field(default_factory=list)
    raw: bytes = b""  # the context of types whose context is plain memory

    @property
    def layout(self) -> Layout:
        """The part of the context that the program may see."""
        return layout_of(self.kind, self.attach)

    @property
    def whole(self) -> Layout:
        """The context as bpf(2) defines it, including what this program type may not see."""
        return self.kernel.skb_layout if self.kind.name in _SKB_TYPES else self.layout


Runner = Callable[["Request", "Runnable"], tuple[int, bytes, dict[str, Any]]]


def runner(kind: str) -> Runner:
    """Return the function that runs programs of a type.

    Returns:
        A function of the request and the program that returns the return value, the packet, and fields of the context.

    Raises:
        UsageError: test runs do not support the type.
    """
    if kind == "xdp":
        return _run_xdp
    if kind == "qdisc":
        return _run_qdisc
    if kind in _SKB_TYPES:
        return _run_skb
    if kind in RUNNERS:
        return RUNNERS[kind]
    types = ", ".join((*_SKB_TYPES, "xdp", "qdisc", *RUNNERS))
    raise UsageError(f"test runs do not support program type {kind}; supported: {types}"
                     + ("; neither does Linux (EOPNOTSUPP), but `ebpfvm run OBJECT --flows cbr:rate=1mbit,packets=1` "
                        "sends a packet through a qdisc" if kind == "struct_ops" else ""))


def set_ctx(request: Request, ctx: Mapping[str, Any] | bytes | None) -> None:
    """Set the context of a request from fields by name, a context structure, or plain memory."""
    if isinstance(ctx, bytes) and request.kind.name in PLAIN:
        request.raw = ctx
    elif isinstance(ctx, bytes):
        request.ctx = fields_of(request.whole, ctx, request.warnings)
    else:
        request.ctx = dict(ctx or {})


def fields_of(layout: Layout, raw: bytes, warnings: list[str]) -> dict[str, Any]:
    """Return the fields of a context structure that are not zero; a short structure is padded with zeros."""
    if any(raw[layout.size:]):
        raise UsageError(f"{len(raw)} bytes of context: struct {layout.name} has {layout.size}, and the rest "
                         "must be zero (E2BIG)")
    raw = raw[:layout.size].ljust(layout.size, b"\0")
    found: dict[str, Any] = {}
    seen = bytearray(layout.size)
    for item in layout.fields.values():
        part = raw[item.off:item.end]
        seen[item.off:item.end] = b"\1" * len(part)
        if any(part):
            element = item.element or item.size
            parts = [int.from_bytes(part[at:at + element], "little") for at in range(0, len(part), element)]
            found[item.name] = parts if element < item.size else parts[0]
    if any(byte for byte, known in zip(raw, seen, strict=True) if not known):
        warnings.append(f"struct {layout.name}: bytes that belong to no field are not zero; Linux returns EINVAL")
    return found


def pack_ctx(program: Program, fields: Mapping[str, Any], ctx_in: bytes = b"", kernel: str | None = None) -> bytes:
    """Return the context structure that BPF_PROG_TEST_RUN writes to ctx_out: `ctx_in` with what Linux fills in.

    Args:
        fields: `ctx` of a `TestRun`.
    """
    if "context" in fields:
        return bytes(fields["context"])
    dialect = dialect_of(program, kernel)
    kind = dialect.prog_type(program.type)
    layout = layout_of(dialect.prog_type("sched_cls") if kind.name in _SKB_TYPES else kind, program.attach)
    raw = bytearray(ctx_in[:layout.size].ljust(layout.size, b"\0"))
    whole = tuple(layout.fields)
    filled = {"xdp": XDP_OUT, "qdisc": whole, "sk_lookup": whole}.get(kind.name, SKB_IN_OUT)
    for name, value in fields.items():
        item = layout.fields.get(name)
        if item is None or name not in filled:
            continue
        size = (item.element or item.size) if isinstance(value, list) else item.size
        for index, part in enumerate(value if isinstance(value, list) else [value]):
            raw[item.off + index * size:item.off + (index + 1) * size] = (part & (1 << 8 * size) - 1).to_bytes(
                size, "little")
    return bytes(raw)


# ---- on an skb ----------------------------------------------------------------------------------------------

def _run_skb(request: Request, run: Runnable) -> tuple[int, bytes, dict[str, Any]]:
    """Run a program on an skb, as bpf_prog_test_run_skb does."""
    layer2 = _SKB_TYPES[request.kind.name]
    data, ctx = request.data, request.ctx
    if len(data) > _SKB_LIMIT:
        request.warnings.append(f"a packet of {len(data)} bytes: Linux 6.18 takes at most {_SKB_LIMIT} (EINVAL)")
    request.warnings += _short(data)
    skb = made_up_skb(request.kernel, data if layer2 else data[ETH_HLEN:], data)
    skb.wire_len = skb.len if request.has_ctx else 0
    for name in set(_POINTERS) & set(ctx if request.raw_ctx else ()):
        request.warnings += _refused({name: ctx.pop(name)}, skb.len)
    _set_fields(skb, ctx, request.kernel.skb_layout)
    request.warnings += _refused(ctx, skb.len)
    context = SkbCtx(request.kernel, skb, request.layout)
    retval = 0
    for _ in range(request.repeat):
        retval = run(context)
    left = skb.payload() if layer2 else bytes(ETH_HLEN) + skb.payload()
    fields = _shown(skb, request.kernel.skb_layout)
    memory = request.kernel.memory
    memory.free(context)
    sock = request.kernel.sockets.find(skb.sk)
    request.kernel.refs.release(skb, "network")
    if sock is not None:
        memory.free(sock.region)
    return retval, left, fields


def made_up_skb(kernel: Kernel, visible: bytes, frame: bytes) -> SkBuff:
    """Return the packet of a test run: `frame`, received on the loopback device, of which `visible` can be accessed.

    Its protocol and packet type are those of eth_type_trans for the device's address, which is zero.
    """
    protocol = int.from_bytes(frame[12:14], "big")
    if protocol < ETH_P_802_3_MIN:
        protocol = ETH_P_802_3 if frame[14:16] == b"\xff\xff" else ETH_P_802_2
    kind = PACKET_MULTICAST if frame[0] & 1 else PACKET_OTHERHOST if any(frame[:6]) else PACKET_HOST
    skb = SkBuff(kernel, frame, protocol=swap16(protocol), pkt_type=kind, ifindex=LOOPBACK,
                 dev=kernel.devices.get(LOOPBACK))
    skb.sk = _made_up_sock(kernel, frame).ptr
    if len(visible) < len(frame):  # the Ethernet header remains in the headroom
        skb.packet.start = skb.packet.meta = skb.packet.start + ETH_HLEN
        skb.len, skb.link_offset = len(visible), -ETH_HLEN
    return skb


def _made_up_sock(kernel: Kernel, frame: bytes) -> Sock:
    """Return the socket of a test run's packet: closed, with the addresses of the packet."""
    sock, packet = kernel.sockets.add(), frame[ETH_HLEN:]
    if frame[12:14] == RAW_ETH_P_IP:
        sock.family = AF_INET
        if len(packet) >= IPV4_HLEN:
            sock.src_ip4, sock.dst_ip4 = struct.unpack_from("<2I", packet, 12)
    elif frame[12:14] == RAW_ETH_P_IPV6:
        sock.family = AF_INET6
        if len(packet) >= IPV6_HLEN:
            sock.src_ip6, sock.dst_ip6 = struct.unpack_from("<4I", packet, 8), struct.unpack_from("<4I", packet, 24)
    return sock


def _short(data: bytes) -> list[str]:
    for protocol, header, name in ((RAW_ETH_P_IP, IPV4_HLEN, "IPv4"), (RAW_ETH_P_IPV6, IPV6_HLEN, "IPv6")):
        if data[12:14] == protocol and len(data) < ETH_HLEN + header:
            return [f"the Ethernet header says {name}, and {len(data) - ETH_HLEN} bytes follow: Linux wants the whole "
                    f"header of {header} (EINVAL)"]
    return []


def _refused(ctx: Mapping[str, Any], length: int) -> list[str]:
    """Return the reasons for which Linux would refuse these fields."""
    found = [f"field {name!r} must be zero in a test run of Linux (EINVAL)" for name, value in ctx.items()
             if name not in SKB_IN_OUT and _nonzero(value)]
    wire_len, segments = ctx.get("wire_len", 0), ctx.get("gso_segs", 0)
    if wire_len and not length <= wire_len <= _GSO_LEGACY_MAX_SIZE:
        found.append(f"wire_len {wire_len}: Linux takes {length} (the packet's length) to {_GSO_LEGACY_MAX_SIZE} "
                     "(EINVAL)")
    if segments > _GSO_MAX_SEGS:
        found.append(f"gso_segs {segments}: Linux takes at most {_GSO_MAX_SEGS} (EINVAL)")
    if ctx.get("ifindex", 0) > LOOPBACK:
        found.append(f"ifindex {ctx['ifindex']}: Linux gives ENODEV if it has no such device")
    return found


def _nonzero(value: Any) -> bool:
    return any(value) if isinstance(value, list | tuple | bytes) else bool(value)


def _set_fields(target: Any, ctx: Mapping[str, Any], layout: Layout) -> None:
    for name, value in ctx.items():
        item = layout.fields.get(name)
        if name in _POINTERS or item is None or not hasattr(target, name):
            names = ", ".join(known for known in layout.fields if known not in _POINTERS and hasattr(target, known))
            raise UsageError(f"the context has no field {name!r} that can be set; it has: {names}")
        checked = _checked(name, value, item.size, item.element)
        if checked or name not in ("wire_len", "ifindex"):  # 0 stands for the packet's length and for loopback
            setattr(target, name, checked)


def _checked(name: str, value: Any, size: int, element: int) -> Any:
    """Return a value in the form of the attribute: a number in range, or a list for an array."""
    if element and element < size:
        if isinstance(value, bytes):
            value = [int.from_bytes(value[at:at + element], "little") for at in range(0, len(value), element)]
        if not isinstance(value, list | tuple) or len(value) > size // element:
            raise UsageError(f"field {name!r} takes up to {size // element} numbers, not {value!r}")
        return [_checked(name, part, element, 0) for part in value] + [0] * (size // element - len(value))
    if not isinstance(value, int) or not -(1 << 8 * size - 1) <= value < 1 << 8 * size:
        raise UsageError(f"field {name!r} takes a number of {8 * size} bits, not {value!r}")
    return value & (1 << 8 * size) - 1


def _shown(target: Any, layout: Layout) -> dict[str, Any]:
    found = {name: getattr(target, name) for name in layout.fields if name not in _POINTERS and hasattr(target, name)}
    return {name: list(value) if isinstance(value, list | tuple) else value for name, value in found.items()}


# ---- on an xdp_buff -----------------------------------------------------------------------------------------

def _run_xdp(request: Request, run: Runnable) -> tuple[int, bytes, dict[str, Any]]:
    """Run a program as bpf_prog_test_run_xdp does; the first `ctx["data"]` bytes of the packet are metadata."""
    ctx, data = request.ctx, request.data
    meta, linear = _xdp_lengths(request)
    rest = data[linear:]
    buff = XdpBuff(request.kernel, data[meta:linear], ingress_ifindex=LOOPBACK)
    packet = buff.packet
    packet.meta = packet.start - meta
    packet.data[packet.meta:packet.start] = data[:meta]
    _set_fields(buff, ctx, request.layout)
    request.warnings += _refused_xdp(ctx)
    context = XdpCtx(request.kernel, buff, request.layout)
    retval = 0
    for _ in range(request.repeat):
        retval = run(context)
    left = bytes(packet.data[packet.meta:packet.end]) + rest
    fields = _shown(buff, request.layout)
    fields |= {"data_meta": 0, "data": packet.start - packet.meta, "data_end": packet.end - packet.meta}
    if linear == _XDP_LINEAR:
        fields["data_end"] = len(left)
    request.kernel.memory.free(context)
    buff.free()
    return retval, left, fields


def _xdp_lengths(request: Request) -> tuple[int, int]:
    """Return the length of the metadata, and of metadata and linear part together; the rest is in fragments."""
    ctx, size = request.ctx, len(request.data)
    for name in ("data", "data_end", "data_meta"):
        _checked(name, ctx.get(name, 0), 4, 0)
    meta, end = ctx.pop("data", 0), ctx.pop("data_end", 0 if request.raw_ctx and request.has_ctx else size)
    if ctx.pop("data_meta", 0) or not 0 <= meta <= end <= size or meta % 4 or meta > _XDP_META or (
            size - meta < ETH_HLEN):
        raise UsageError(f"xdp_md with data {meta} and data_end {end} for {size} bytes: data_meta must be 0, data the "
                         f"length of the metadata (a multiple of 4, at most {_XDP_META}), data_end at most the length "
                         "of all (EINVAL)")
    return meta, min(end, _XDP_LINEAR)


def _refused_xdp(ctx: Mapping[str, Any]) -> list[str]:
    found = []
    if ctx.get("egress_ifindex"):
        found.append("field 'egress_ifindex' must be zero in a test run of Linux (EINVAL)")
    if ctx.get("rx_queue_index"):
        found.append(f"rx_queue_index {ctx['rx_queue_index']}: Linux gives EINVAL if the device has no such queue")
    if ctx.get("ingress_ifindex", 0) > LOOPBACK:
        found.append(f"ingress_ifindex {ctx['ingress_ifindex']}: Linux gives ENODEV if it has no such device")
    return found


# ---- on a queueing discipline's context ---------------------------------------------------------------------

def _run_qdisc(request: Request, run: Runnable) -> tuple[int, bytes, dict[str, Any]]:
    """Run a program of RFC v6 on its own, which no kernel can do; dequeue gets NULL, the others get the packet."""
    machine, ctx = request.kernel, request.ctx
    skb = made_up_skb(machine, request.data, request.data)
    own = {name: _checked(name, ctx.pop(name), request.layout.fields[name].size, 0)
           for name in ("classid", "delay") if name in ctx}
    _set_fields(skb, ctx, machine.skb_layout)
    request.warnings.append("Linux has no test run for programs of queueing disciplines")
    context = SchBpfCtx(machine, request.layout)
    retval = 0
    for _ in range(request.repeat):
        context.prepare(None if request.attach == "dequeue" else skb, own.get("classid", HANDLE))
        context.delay = own.get("delay", 0)
        retval = run(context)
    fields = _shown(skb, machine.skb_layout) | {"classid": context.classid, "delay": context.delay,
                                                "skb": int(context.packet is not None)}
    left = context.packet
    return retval, skb.payload() if left is None else left.payload(), fields
