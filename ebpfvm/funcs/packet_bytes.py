"""Change the bytes of a packet: code that the helpers of skb, XDP, checksums and dynptrs share.

A simulated packet is always linear, so that "pull" never has to move anything and only checks bounds.
"""

from __future__ import annotations

from typing import Final

from ebpfvm.errnos import EFAULT, EINVAL
from ebpfvm.ints import S32_MAX
from ebpfvm.kernel.skb import SkBuff, XdpBuff
from ebpfvm.kernel.skb import network_offset as network_offset
from ebpfvm.net import BE_ETH_P_IP, BE_ETH_P_IPV6, IPV4_HLEN, IPV6_HLEN

# Protocols as `skb->protocol` holds them: network byte order in a little-endian number.
BPF_SKB_MAX_LEN: Final = 16384 - 320  # SKB_MAX_ALLOC on x86-64

BPF_F_RECOMPUTE_CSUM: Final = 1
BPF_F_INVALIDATE_HASH: Final = 2


def length(packet: SkBuff | XdpBuff) -> int:
    """Return the length of the packet in bytes."""
    return packet.packet.end - packet.packet.start


def get(packet: SkBuff | XdpBuff, offset: int, size: int) -> bytes | None:
    """Return `size` bytes at `offset`, None outside of the packet."""
    if isinstance(packet, SkBuff) and not packet.has_buffer:
        return packet.bytes_at(offset, size)
    region = packet.packet
    if offset < 0 or offset + size > region.end - region.start:
        return None
    return bytes(region.data[region.start + offset:region.start + offset + size])


def put(packet: SkBuff | XdpBuff, offset: int, data: bytes) -> bool:
    """Write at `offset` and return True; outside of the packet, write nothing and return False."""
    region = packet.packet
    if offset < 0 or offset + len(data) > region.end - region.start:
        return False
    region.data[region.start + offset:region.start + offset + len(data)] = data
    return True


def load_bytes(packet: SkBuff | XdpBuff, offset: int, size: int) -> bytes | int:
    """Return bytes, or -EFAULT (skb) or -EINVAL (XDP), as __bpf_skb_load_bytes and __bpf_xdp_load_bytes do."""
    found = get(packet, offset, size) if offset <= S32_MAX else None
    if found is not None:
        return found
    return -EFAULT if isinstance(packet, SkBuff) or offset > 0xFFFF else -EINVAL


def store_bytes(packet: SkBuff | XdpBuff, offset: int, data: bytes, flags: int) -> int:
    """Write bytes and return 0 or a negative errno, as __bpf_skb_store_bytes and __bpf_xdp_store_bytes do."""
    if flags & ~(BPF_F_RECOMPUTE_CSUM | BPF_F_INVALIDATE_HASH):
        return -EINVAL
    if offset > S32_MAX or not put(packet, offset, data):
        return -EFAULT if isinstance(packet, SkBuff) or offset > 0xFFFF else -EINVAL
    if flags & BPF_F_INVALIDATE_HASH and isinstance(packet, SkBuff):
        packet.hash = 0
    return 0


def replace(skb: SkBuff, offset: int, remove: int, insert: bytes) -> None:
    """Replace `remove` bytes at `offset` by `insert`; the packet grows into the headroom, as with skb_push."""
    region = skb.packet
    grow = len(insert) - remove
    start = region.start
    head = bytes(region.data[start:start + offset])
    if grow > start - (region.start - region.meta):  # not enough headroom: pskb_expand_head
        tail = bytes(region.data[start + offset + remove:region.end])
        skb.set_payload(head + insert + tail, headroom=skb.headroom)
        return
    region.start = start - grow
    region.data[region.start:region.start + offset + len(insert)] = head + insert
    region.meta = region.start
    skb.len = region.end - region.start


def resize(skb: SkBuff, size: int) -> None:
    """Truncate the packet, or append zeros."""
    region = skb.packet
    end = region.start + size
    if end > len(region.data):
        skb.set_payload(skb.payload() + bytes(size - skb.len), headroom=skb.headroom)
        return
    if end > region.end:
        region.data[region.end:end] = bytes(end - region.end)
    region.end = end
    skb.len = size


def network_size(skb: SkBuff) -> int:
    """Return the length of the plain IPv4 or IPv6 header, 0 for another protocol (bpf_skb_net_base_len)."""
    return {BE_ETH_P_IP: IPV4_HLEN, BE_ETH_P_IPV6: IPV6_HLEN}.get(skb.protocol, 0)
