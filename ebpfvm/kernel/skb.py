"""Packets: `SkBuff` with the fields of `struct __sk_buff` as attributes, and `XdpBuff`.

A simulation creates hundreds of thousands of packets, and programs look at few of their fields. So a packet has slots
for what every packet needs; of the other fields it stores only what differs from the defaults, which are attributes of
the class. The regions of the packet's buffer and of the sk_buff object are created when somebody asks for an address;
addresses follow from the packet's serial number, so that they do not depend on who asks first.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar, Never, Protocol

from ebpfvm.errors import Fault, UsageError
from ebpfvm.kernel.memory import BUFFER_IDS, OBJECT_IDS, SERIALS, Region, base_of
from ebpfvm.kernel.refs import RefCounted
from ebpfvm.net import BE_ETH_P_8021AD, BE_ETH_P_8021Q, ETH_HLEN, RAW_VLAN_TYPES, VLAN_HLEN

if TYPE_CHECKING:
    from ebpfvm.kernel.emulated import Kernel

SKB_HEADROOM = 66  # NET_SKB_PAD + NET_IP_ALIGN, what bpf_prog_test_run_skb reserves (x86-64, net/bpf/test_run.c)
SKB_TAILROOM = 320  # size of struct skb_shared_info, which programs never see
XDP_HEADROOM = 256  # XDP_PACKET_HEADROOM


# The fields that a copy of a packet takes over (__copy_skb_header, net/core/skbuff.c), besides the control block.
SKB_CLONED = ("pkt_type", "mark", "queue_mapping", "protocol", "vlan_present", "vlan_tci", "vlan_proto", "priority",
              "ingress_ifindex", "ifindex", "tc_index", "hash", "tstamp", "gso_segs", "gso_size")


class PacketFlow:
    """What is kept for the packets of one flow.

    Attributes:
        hashed: bytes (see `SkBuff.original`) and protocol of the latest packet whose flow hash was computed, and the
            hash.
    """

    __slots__ = ("hashed",)

    def __init__(self) -> None:
        self.hashed: tuple[bytes | None, int, int] | None = None

    def frame(self) -> bytes:
        """Return the bytes of each packet that does not bring its own."""
        raise NotImplementedError


class Shown(Protocol):
    """Who decides what pointers to a packet refer to."""

    def packet_region(self, skb: SkBuff) -> Region:
        """Return the packet's region, whose address follows from the packet's serial number."""


class PacketRegion(Region):
    """A linear packet buffer; offsets count from the start of the buffer, and `start` is where the packet begins.

    Attributes:
        start, end: the packet is `data[start:end]`.
        meta: where metadata before the packet begins; `start` if there is none.
    """

    __slots__ = ("end", "meta", "start")

    def __init__(self, packet: bytes, headroom: int, tailroom: int, owner: object) -> None:
        super().__init__("packet", bytearray(headroom + len(packet) + tailroom), name="packet", owner=owner)
        self.start = self.meta = headroom
        self.end = headroom + len(packet)
        self.data[self.start:self.end] = packet

    def load(self, off: int, size: int) -> int:
        """Return a number in the packet or its metadata."""
        if self.meta <= off <= self.end - size:
            return super().load(off, size)
        self.refuse(off, size, "read")

    def store(self, off: int, size: int, value: int) -> None:
        """Write a number in the packet or its metadata."""
        if self.meta <= off <= self.end - size:
            super().store(off, size, value)
            return
        self.refuse(off, size, "write")

    def read(self, off: int, n: int) -> bytes:
        """Return bytes of the packet or its metadata."""
        if self.meta <= off <= self.end - n and n >= 0:
            return bytes(self.data[off:off + n])
        self.refuse(off, n, "read")

    def write(self, off: int, data: bytes) -> None:
        """Write bytes in the packet or its metadata."""
        if self.meta <= off <= self.end - len(data):
            super().write(off, data)
            return
        self.refuse(off, len(data), "write")

    def refuse(self, off: int, size: int, verb: str) -> Never:
        """Raise the Fault in terms of offsets in the packet, not in the buffer."""
        if verb == "write" and not self.writable:
            raise Fault("memory", f"write of {size} bytes to the packet, which is read-only here")
        raise Fault("memory", f"{verb} of {size} bytes at offset {off - self.start} of a packet "
                              f"of {self.end - self.start} bytes")


class _OfSocket:
    """A field of `struct __sk_buff` that is read from the packet's socket; without one, it has its own value."""

    def __init__(self, name: str, none: Any, shift: int = 0) -> None:
        self._of, self._none, self._shift = name, none, shift

    def __set_name__(self, owner: type, name: str) -> None:
        self._key = "_" + name

    def __get__(self, skb: SkBuff | None, owner: type | None = None) -> Any:
        if skb is None:
            return self._none
        if self._key in skb.__dict__:
            return skb.__dict__[self._key]
        value = self._none if not skb.sk else getattr(skb.kernel.memory.owner(skb.sk), self._of)
        return value << self._shift if self._shift else value

    def __set__(self, skb: SkBuff, value: Any) -> None:
        skb.__dict__[self._key] = value


class SkBuff(RefCounted):
    """A packet in flight; the names of its fields are those of `struct __sk_buff` (uapi/linux/bpf.h, Linux 7.2).

    Args:
        kernel: the kernel that it belongs to.
        packet: its bytes, starting at the Ethernet header.
        holder: holder of the first reference (see `refs`).
        fields: initial values of attributes.

    Attributes:
        address: what `ptr` is, without a region: 0 until `locate` is called.
        protocol, vlan_proto: in network byte order, as in `skb->protocol`: an int whose little-endian bytes are those
            on the wire (0x0008 for IPv4).
        dev: the device that it is on, or None.
        ptr: address of the sk_buff object.
        id: number of the packet in its simulation, as its source counts; 0 for none.
        arrival: time in ns at which it entered the simulation.
        wire_len: length on the wire in bytes; `len` unless set.
        flow: the flow that it belongs to, which programs never see, or None.
        link_offset: offset of the link-layer header from the packet's first byte: 0, or -14 if the packet begins with
            its network header and the Ethernet header precedes it.
        tunnel: metadata of the tunnel that it will be sent through, or None.

    Raises:
        UsageError: `fields` names something that a packet does not have.
    """

    __slots__ = ("__dict__", "_bytes", "_packet", "_region", "address", "arrival", "dev", "flow", "id", "len",
                 "priority", "protocol")
    what = "packet"
    _bytes: bytes | None
    _packet: PacketRegion | None
    _region: Region | Shown | None
    address: int
    arrival: int
    dev: Any
    flow: PacketFlow | None
    id: int
    len: int
    priority: int
    protocol: int

    ifindex: int = 0
    pkt_type = 0
    mark = 0
    _queue_mapping = 0
    vlan_present = 0
    vlan_tci = 0
    vlan_proto = 0
    ingress_ifindex = 0
    tc_index = 0
    hash = 0
    tc_classid = 0
    napi_id = 0
    family = _OfSocket("family", 0)
    remote_ip4 = _OfSocket("dst_ip4", 0)
    local_ip4 = _OfSocket("src_ip4", 0)
    remote_ip6 = _OfSocket("dst_ip6", (0, 0, 0, 0))
    local_ip6 = _OfSocket("src_ip6", (0, 0, 0, 0))
    remote_port = _OfSocket("dst_port", 0, 16)
    local_port = _OfSocket("src_port", 0)
    flow_keys = 0
    tstamp = 0
    gso_segs = 0
    gso_size = 0
    sk = 0
    tstamp_type = 0
    hwtstamp = 0

    link_offset = 0
    tunnel: Any = None

    _cb: list[int] | None = None
    _wire_len: int | None = None
    headroom: ClassVar[int] = SKB_HEADROOM

    def __init__(self, kernel: Kernel, packet: bytes = b"", holder: str = "network", **fields: Any) -> None:
        self._kernel = kernel
        self._bytes = packet
        self._packet = self._region = self.dev = self.flow = None
        self.len = len(packet)
        self.address = self.id = self.arrival = self.priority = self.protocol = 0
        kernel.refs.add(self, holder)
        if fields:
            self._set(fields)

    def _set(self, fields: dict[str, Any]) -> None:
        for name, value in fields.items():
            if not hasattr(type(self), name):
                raise UsageError(f"a packet has no field {name!r}")
            setattr(self, name, value)

    @property
    def kernel(self) -> Kernel:
        """The kernel that it belongs to."""
        return self._kernel

    @property
    def cb(self) -> list[int]:
        """The five u32 of `cb`."""
        if self._cb is None:
            self._cb = [0] * 5
        return self._cb

    @cb.setter
    def cb(self, value: list[int]) -> None:
        self._cb = value

    @property
    def queue_mapping(self) -> int:
        """The requested tx queue; writes of 0xffff (NO_QUEUE_MAPPING) and above are ignored, as in the kernel."""
        return self._queue_mapping

    @queue_mapping.setter
    def queue_mapping(self, value: int) -> None:
        if value < 0xFFFF:
            self._queue_mapping = value

    @property
    def wire_len(self) -> int:
        """The length on the wire in bytes."""
        return self.len if self._wire_len is None else self._wire_len

    @wire_len.setter
    def wire_len(self, value: int) -> None:
        self._wire_len = value

    @property
    def packet(self) -> PacketRegion:
        """The packet's buffer as a region."""
        if self._packet is None:
            self._packet = PacketRegion(self.payload(), self.headroom, SKB_TAILROOM, self)
            self.kernel.memory.place(self._packet, BUFFER_IDS, self.serial)
        return self._packet

    @property
    def region(self) -> Region:
        """The sk_buff object itself as a region that reads and writes the fields of `struct __sk_buff`."""
        found = self._region
        if not isinstance(found, Region):
            found = self._region = self.kernel.object_region(self) if found is None else found.packet_region(self)
        return found

    @property
    def ptr(self) -> int:
        """The address of the sk_buff object."""
        return self.region.base

    def locate(self) -> int:
        """Return the address for a slot: whoever uses it as a pointer finds the packet without a region, too."""
        self.address = address = base_of(OBJECT_IDS | self.serial & SERIALS)
        return address

    @property
    def data(self) -> int:
        """The address of the packet's first byte."""
        packet = self.packet
        return packet.base + packet.start

    @property
    def data_end(self) -> int:
        """The address after the packet's last byte."""
        packet = self.packet
        return packet.base + packet.end

    @property
    def data_meta(self) -> int:
        """The address of the metadata before the packet."""
        packet = self.packet
        return packet.base + packet.meta

    @property
    def holders(self) -> list[str]:
        """The holder of each reference, the layer that has it first (see `Refs.names`)."""
        return self.kernel.refs.names(self)

    def payload(self) -> bytes:
        """Return the packet's current bytes."""
        packet = self._packet
        if packet is not None:
            return bytes(packet.data[packet.start:packet.end])
        if self._bytes is None:
            assert self.flow is not None
            return self.flow.frame()
        return self._bytes

    @property
    def has_buffer(self) -> bool:
        """Whether the packet's bytes are in a region, because somebody asked for their address or changed them."""
        return self._packet is not None

    def bytes_at(self, offset: int, size: int) -> bytes | None:
        """Return some of the packet's current bytes, None outside of it."""
        data = self.payload()
        return data[offset:offset + size] if offset >= 0 and offset + size <= len(data) else None

    def original(self) -> bytes | None:
        """Return the packet's current bytes, None if they are those of every packet of its flow."""
        return self._bytes if self._packet is None else self.payload()

    def set_payload(self, data: bytes, headroom: int | None = None) -> None:
        """Replace the packet's bytes; the buffer is a new one, so packet pointers of programs become invalid."""
        if self._packet is not None:
            self.kernel.memory.free(self._packet)
            self._packet = None
            headroom = self.headroom if headroom is None else headroom
        self._bytes = data
        self.len = len(data)
        if headroom is not None:
            self._packet = PacketRegion(data, headroom, SKB_TAILROOM, self)
            self.kernel.memory.adopt(self._packet)

    def destroy(self) -> None:
        """Invalidate all pointers to the packet, whose last reference was released."""
        memory = self.kernel.memory
        if self._packet is not None:
            self._bytes = self.payload()
            memory.free(self._packet)
            self._packet = None
        region = self._region
        if isinstance(region, Region):
            memory.free(region)
            region.owner = None  # breaks a cycle that would leave every packet to the garbage collector

    def __str__(self) -> str:
        return f"packet {self.id or self.serial} ({self.len} bytes)"


def network_offset(skb: SkBuff) -> int:
    """Return the offset of the network header: after the Ethernet header and the tags that are in the packet itself."""
    offset = skb.link_offset + ETH_HLEN
    if skb.link_offset:
        return offset
    data = skb.payload()
    ethertype = data[12:14]
    while ethertype in RAW_VLAN_TYPES and skb.protocol not in (BE_ETH_P_8021Q, BE_ETH_P_8021AD):
        ethertype = data[offset + 2:offset + 4]
        offset += VLAN_HLEN
    return offset


class XdpBuff:
    """A packet as XDP sees it; the fields are those of `struct xdp_md` (uapi/linux/bpf.h).

    Attributes:
        packet: the buffer, with 256 bytes of headroom; metadata can be stored before the packet.
        ingress_ifindex, rx_queue_index, egress_ifindex: as in the kernel.
    """

    def __init__(self, kernel: Kernel, packet: bytes, *, ingress_ifindex: int = 0, rx_queue_index: int = 0,
                 egress_ifindex: int = 0, headroom: int = XDP_HEADROOM, tailroom: int = SKB_TAILROOM) -> None:
        self.kernel = kernel
        self.ingress_ifindex = ingress_ifindex
        self.rx_queue_index = rx_queue_index
        self.egress_ifindex = egress_ifindex
        self.packet = PacketRegion(packet, headroom, tailroom, self)
        kernel.memory.adopt(self.packet)

    @property
    def data(self) -> int:
        """The address of the packet's first byte."""
        return self.packet.base + self.packet.start

    @property
    def data_end(self) -> int:
        """The address after the packet's last byte."""
        return self.packet.base + self.packet.end

    @property
    def data_meta(self) -> int:
        """The address of the metadata before the packet."""
        return self.packet.base + self.packet.meta

    def payload(self) -> bytes:
        """Return the packet's current bytes."""
        return bytes(self.packet.data[self.packet.start:self.packet.end])

    def free(self) -> None:
        """Invalidate all pointers to the packet, which leaves XDP."""
        self.kernel.memory.free(self.packet)
