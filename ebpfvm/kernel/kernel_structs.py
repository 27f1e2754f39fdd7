"""What programs find in structs of the kernel: which member is which attribute of a Python object.

The tables name each live member once, by its path; the dialect's types say where it is. All others read zero. Source:
include/linux/skbuff.h, include/net/sch_generic.h, include/linux/netdevice.h, include/net/sock.h, Linux 7.2.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, Never

from ebpfvm.errors import Fault, UsageError
from ebpfvm.ints import U64_MAX
from ebpfvm.kernel.memory import OBJECT_IDS, Region
from ebpfvm.kernel.skb import SkBuff, network_offset
from ebpfvm.kernel.struct_layout import ReadOnly, StructLayout, StructRegion
from ebpfvm.net import BE_ETH_P_IP, BE_ETH_P_IPV6, ETH_HLEN, IPV6_HLEN

if TYPE_CHECKING:
    from collections.abc import Mapping

    from ebpfvm.kernel.emulated import Kernel
    from ebpfvm.kernel.struct_layout import Live

_IFF_UP_RUNNING: Final = 0x1 | 0x40
_ARPHRD_ETHER: Final = 1
_SHARED_INFO: Final = 320 + 232  # struct skb_shared_info and the sk_buff itself, part of truesize


def packet_size(skb: SkBuff) -> int:
    """Return qdisc_skb_cb's pkt_len: the length, and the headers that segmentation will add."""
    return skb.wire_len


def packet_segments(skb: SkBuff) -> int:
    """Return qdisc_skb_cb's pkt_segs: the number of packets that a GSO packet will become."""
    return skb.gso_segs or 1


def _pointer(obj: Any, struct: str, kernel: Kernel) -> int:
    return structs_of(kernel).pointer(struct, obj) if obj is not None else 0


def _sock(skb: SkBuff) -> int:
    return _pointer(skb.kernel.memory.owner(skb.sk), "sock", skb.kernel) if skb.sk else 0


def _transport_header(skb: SkBuff) -> int:
    """Return the offset of the transport header: known for IP, as for packets that sockets or routers sent."""
    start = network_offset(skb)
    first = skb.payload()[start:start + 1]
    if skb.protocol == BE_ETH_P_IP and first:
        return skb.packet.start + start + 4 * (first[0] & 15)
    return skb.packet.start + start + IPV6_HLEN if skb.protocol == BE_ETH_P_IPV6 else 0xFFFF


def _hashed(skb: SkBuff) -> int:
    return int(bool(skb.hash))


SK_BUFF: Final[Live] = {
    "dev": lambda skb: _pointer(skb.dev, "net_device", skb.kernel),
    "sk": _sock, "tstamp": "tstamp", "len": "len", "queue_mapping": "queue_mapping", "pkt_type": "pkt_type",
    "tstamp_type": "tstamp_type", "tc_index": "tc_index", "priority": "priority", "skb_iif": "ingress_ifindex",
    "hash": "hash", "vlan_proto": "vlan_proto", "vlan_tci": "vlan_tci", "mark": "mark", "protocol": "protocol",
    "napi_id": "napi_id",
    "mac_header": lambda skb: skb.packet.start + skb.link_offset,
    "network_header": lambda skb: skb.packet.start + network_offset(skb),
    "transport_header": _transport_header, "l4_hash": _hashed, "sw_hash": _hashed,
    "tail": lambda skb: skb.packet.end,
    "end": lambda skb: skb.packet.size,
    "head": lambda skb: skb.packet.base,
    "data": lambda skb: skb.data,
    "truesize": lambda skb: skb.packet.size + _SHARED_INFO,
    "users": lambda skb: skb.users,
}
QDISC_SKB_CB: Final[Live] = {
    "pkt_len": ReadOnly("wire_len"), "pkt_segs": packet_segments, "tc_classid": "tc_classid", "data": "cb[]",
}
QDISC: Final[Live] = {
    "flags": "flags", "limit": "limit", "handle": "handle", "parent": "parent",
    "dev_queue": lambda sch: _pointer(sch, "netdev_queue", sch.kernel),
    "refcnt": "refcnt", "running": lambda sch: int(sch.dev.running),
    "ops": lambda sch: _pointer(sch, "Qdisc_ops", sch.kernel),
    "q.qlen": "kernel_view.qlen", "bstats.bytes": "kernel_view.bytes", "bstats.packets": "kernel_view.packets",
    "qstats.qlen": "qstats_qlen", "qstats.backlog": "kernel_view.backlog", "qstats.drops": "kernel_view.drops",
    "qstats.requeues": "kernel_view.requeues", "qstats.overlimits": "kernel_view.overlimits",
}
QDISC_OPS: Final[Live] = {  # those of a qdisc, which stands for them
    "id": lambda sch: int.from_bytes(sch.kind.encode()[:15], "little"),
}
NETDEV_QUEUE: Final[Live] = {  # a queue of a device stands for the qdisc that feeds it
    "dev": lambda sch: _pointer(sch.dev, "net_device", sch.kernel),
    "qdisc": lambda sch: _pointer(sch, "Qdisc", sch.kernel),
}
NET_DEVICE: Final[Live] = {
    "mtu": lambda dev: getattr(dev, "mtu", None) or dev.link.mtu or 1500,
    "flags": lambda _: _IFF_UP_RUNNING, "hard_header_len": lambda _: ETH_HLEN, "ifindex": "ifindex",
    "name": lambda dev: int.from_bytes(dev.name.encode()[:15], "little"), "type": lambda _: _ARPHRD_ETHER,
    "tx_queue_len": "tx_queue_len", "num_tx_queues": "num_tx_queues", "real_num_tx_queues": "num_tx_queues",
}
SOCK: Final[Live] = {
    "__sk_common.skc_daddr": "dst_ip4", "__sk_common.skc_rcv_saddr": "src_ip4",
    "__sk_common.skc_hash": lambda sock: sock.region.id, "__sk_common.skc_dport": "dst_port",
    "__sk_common.skc_num": "src_port", "__sk_common.skc_family": "family", "__sk_common.skc_state": "state",
    "__sk_common.skc_bound_dev_if": "bound_dev_if", "sk_pacing_rate": lambda _: U64_MAX,
    "sk_max_pacing_rate": lambda _: U64_MAX, "sk_priority": "priority", "sk_mark": "mark",
    "sk_protocol": "protocol", "sk_type": "type",
}
BPF_SK_BUFF_PTR: Final[Live] = {"skb": lambda to_free: to_free.packets[-1].ptr if to_free.packets else 0}

TABLES: Final[Mapping[str, Live]] = {
    "sk_buff": SK_BUFF, "Qdisc": QDISC, "Qdisc_ops": QDISC_OPS, "netdev_queue": NETDEV_QUEUE,
    "net_device": NET_DEVICE, "sock": SOCK, "bpf_sk_buff_ptr": BPF_SK_BUFF_PTR, "nlattr": {}, "netlink_ext_ack": {},
}
INNER: Final[Mapping[str, Mapping[str, tuple[str, Live]]]] = {"sk_buff": {"cb": ("qdisc_skb_cb", QDISC_SKB_CB)}}


class NullRegion(Region):
    """Stands for a NULL that the verifier takes for a pointer to an object.

    The verifier removes comparisons of such a pointer with NULL as always false, so a program gets an address that is
    not 0, and every access is a fault.
    """

    __slots__ = ()

    def refuse(self, off: int, size: int, verb: str) -> Never:
        """Raise Fault."""
        raise Fault("memory", f"{verb} of {size} bytes at offset {off} through {self.name}, which is NULL; the "
                              "verifier takes it for an object, so Linux removes a comparison with NULL")


class KernelStructs:
    """The structs of one kernel: their layouts, and the regions of objects that programs have pointers to.

    Raises:
        UsageError: the layouts of this kernel's structs are not known.
    """

    def __init__(self, kernel: Kernel) -> None:
        if kernel.dialect.types is None:
            raise UsageError("programs that fill struct_ops need the layouts of the kernel's structs")
        self._btf = kernel.dialect.types()
        self._memory = kernel.memory
        self._layouts: dict[str, StructLayout] = {}
        self._regions: dict[tuple[str, int], Region] = {}

    def layout(self, struct: str) -> StructLayout:
        """Return the layout of a struct."""
        found = self._layouts.get(struct)
        if found is None:
            found = self._layouts[struct] = StructLayout(struct, self._btf, TABLES[struct], INNER.get(struct, {}))
        return found

    def region(self, struct: str, obj: object) -> Region:
        """Return the region of an object that lives as long as the kernel, made when it is first needed."""
        found = self._regions.get((struct, id(obj)))
        if found is None:  # the region keeps the object alive, so its id is not used again
            found = self._memory.adopt(StructRegion(struct, self.layout(struct), obj))
            self._regions[struct, id(obj)] = found
        return found

    def pointer(self, struct: str, obj: object) -> int:
        """Return the address of such an object."""
        return self.region(struct, obj).base

    def null(self, struct: str, obj: object, what: str) -> int:
        """Return an address for the pointer `what` to a struct, which is NULL in truth; `forget` frees it."""
        made = self._memory.adopt(NullRegion(struct, bytearray(), name=what))
        self._regions[struct, id(obj)] = made
        return made.base

    def forget(self, struct: str, obj: object) -> None:
        """Free the region of an object that is gone."""
        found = self._regions.pop((struct, id(obj)), None)
        if found is not None:
            self._memory.free(found)

    def show(self, skb: SkBuff) -> None:
        """Let pointers to a packet refer to its `struct sk_buff`; the region is made when somebody needs it.

        Other programs see `struct __sk_buff` at the same address: see `hide`.
        """
        skb._region = self

    def packet_region(self, skb: SkBuff) -> Region:
        """Return the `struct sk_buff` of a packet."""
        return self._memory.place(StructRegion("sk_buff", self.layout("sk_buff"), skb), OBJECT_IDS, skb.serial)

    def hide(self, skb: SkBuff) -> None:
        """Undo `show`: the packet leaves the qdisc."""
        region, skb._region = skb._region, None
        if isinstance(region, Region):
            self._memory.regions.pop(region.id, None)


def structs_of(kernel: Kernel) -> KernelStructs:
    """Return the structs of a kernel."""
    found: KernelStructs | None = kernel.structs
    if found is None:
        found = kernel.structs = KernelStructs(kernel)
    return found
