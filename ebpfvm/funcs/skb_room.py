"""Helpers for sizes and headers of a packet (net/core/filter.c, net/core/skbuff.c, Linux 7.2)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from ebpfvm.contract import helper
from ebpfvm.contract.args import Anything, Integer, Skb
from ebpfvm.errnos import EFAULT, EINVAL, ENOMEM, ENOTSUPP
from ebpfvm.funcs.packet_bytes import BPF_SKB_MAX_LEN, get, network_offset, network_size, replace, resize
from ebpfvm.ints import U32_MAX, s32
from ebpfvm.net import (
    BE_ETH_P_8021AD,
    BE_ETH_P_8021Q,
    BE_ETH_P_IP,
    BE_ETH_P_IPV6,
    ETH_HLEN,
    IPV4_HLEN,
    IPV6_HLEN,
    VLAN_HLEN,
)

if TYPE_CHECKING:
    from ebpfvm.kernel import CallEnv, SkBuff

_ADJ_ROOM_NET: Final = 0
_ADJ_ROOM_MAC: Final = 1
_FIXED_GSO: Final = 1 << 0
_ENCAP_L3_IPV4: Final = 1 << 1
_ENCAP_L3_IPV6: Final = 1 << 2
_ENCAP_L4_GRE: Final = 1 << 3
_ENCAP_L4_UDP: Final = 1 << 4
_NO_CSUM_RESET: Final = 1 << 5
_ENCAP_L2_ETH: Final = 1 << 6
_DECAP_L3_IPV4: Final = 1 << 7
_DECAP_L3_IPV6: Final = 1 << 8
_ENCAP_L2_SHIFT: Final = 56
_ENCAP_L2_MASK: Final = 0xFF << _ENCAP_L2_SHIFT
_ENCAP_L3: Final = _ENCAP_L3_IPV4 | _ENCAP_L3_IPV6
_DECAP_L3: Final = _DECAP_L3_IPV4 | _DECAP_L3_IPV6
_ADJ_ROOM_MASK: Final = (_FIXED_GSO | _ENCAP_L3 | _ENCAP_L4_GRE | _ENCAP_L4_UDP | _ENCAP_L2_ETH | _ENCAP_L2_MASK
                         | _DECAP_L3)


@helper(changes_packet=True)
def bpf_skb_change_head(env: CallEnv, skb: Skb, head_room: Anything, flags: Anything) -> Integer:
    """Insert `head_room` zero bytes before the packet; return -EINVAL for flags or beyond the largest packet."""
    head_room &= U32_MAX
    if flags or skb.len + head_room > BPF_SKB_MAX_LEN:
        return -EINVAL
    replace(skb, 0, 0, bytes(head_room))
    return 0


@helper(changes_packet=True)
def bpf_skb_change_tail(env: CallEnv, skb: Skb, len: Anything, flags: Anything) -> Integer:
    """Truncate the packet to `len` bytes, or append zeros; return -EINVAL for flags or a size that is not possible."""
    len &= U32_MAX
    if flags or len > BPF_SKB_MAX_LEN or len < network_offset(skb):
        return -EINVAL
    resize(skb, len)
    return 0


@helper(changes_packet=True)
def bpf_skb_change_proto(env: CallEnv, skb: Skb, proto: Anything, flags: Anything) -> Integer:
    """Make room for the header of the other IP version, which the program writes; `proto` is in network byte order.

    Return -EINVAL for flags, -ENOTSUPP for anything but IPv4 to IPv6 or back.
    """
    if flags:
        return -EINVAL
    at = network_offset(skb)
    if skb.protocol == BE_ETH_P_IP and proto & 0xFFFF == BE_ETH_P_IPV6:
        replace(skb, at, 0, bytes(IPV6_HLEN - IPV4_HLEN))
    elif skb.protocol == BE_ETH_P_IPV6 and proto & 0xFFFF == BE_ETH_P_IP:
        if skb.len < at + IPV6_HLEN - IPV4_HLEN:
            return -ENOMEM
        replace(skb, at, IPV6_HLEN - IPV4_HLEN, b"")
    else:
        return -ENOTSUPP
    skb.protocol = proto & 0xFFFF
    skb.hash = 0
    return 0


@helper(changes_packet=True)
def bpf_skb_adjust_room(env: CallEnv, skb: Skb, len_diff: Anything, mode: Anything, flags: Anything) -> Integer:
    """Grow or shrink the packet by `len_diff` bytes after the IP header (mode 0) or the Ethernet header (mode 1).

    Return -EINVAL for contradicting flags, -EFAULT above 4095 bytes, -ENOTSUPP for packets that are not IP, another
    mode, or a size that is not possible.
    """
    change = s32(len_diff)
    if flags & ~(_ADJ_ROOM_MASK | _NO_CSUM_RESET):
        return -EINVAL
    if abs(change) > 0xFFF:
        return -EFAULT
    base = network_size(skb)
    if not base or mode & U32_MAX not in (_ADJ_ROOM_NET, _ADJ_ROOM_MAC):
        return -ENOTSUPP
    at = network_offset(skb) + (base if mode & U32_MAX == _ADJ_ROOM_NET else 0)
    smallest = base
    if flags & _DECAP_L3:
        if change >= 0 or flags & _DECAP_L3 == _DECAP_L3:
            return -EINVAL
        smallest = IPV4_HLEN if flags & _DECAP_L3_IPV4 else IPV6_HLEN
    return _shrink(skb, at, -change, flags, smallest) if change < 0 else _grow(skb, at, change, flags)


def _shrink(skb: SkBuff, at: int, size: int, flags: int, smallest: int) -> int:
    held = skb.len - network_offset(skb)
    if size >= held or held - size < smallest:
        return -ENOTSUPP
    if flags & ~(_FIXED_GSO | _DECAP_L3 | _NO_CSUM_RESET):
        return -EINVAL
    if at + size > skb.len:
        return -ENOMEM
    replace(skb, at, size, b"")
    if flags & _DECAP_L3:
        skb.protocol = BE_ETH_P_IP if flags & _DECAP_L3_IPV4 else BE_ETH_P_IPV6
    return 0


def _grow(skb: SkBuff, at: int, size: int, flags: int) -> int:
    if skb.len + size > BPF_SKB_MAX_LEN:
        return -ENOTSUPP
    encap = flags & _ENCAP_L3
    inner_mac = flags >> _ENCAP_L2_SHIFT & 0xFF
    if encap and (encap == _ENCAP_L3
                  or flags & (_ENCAP_L4_GRE | _ENCAP_L4_UDP) == _ENCAP_L4_GRE | _ENCAP_L4_UDP
                  or (flags & _ENCAP_L2_ETH and inner_mac < ETH_HLEN) or inner_mac > size):
        return -EINVAL
    if at > skb.len:
        return -ENOMEM
    replace(skb, at, 0, bytes(size))
    if encap:
        skb.protocol = BE_ETH_P_IP if encap == _ENCAP_L3_IPV4 else BE_ETH_P_IPV6
    return 0


# -- VLAN tags -------------------------------------------------------------------------------------------------------


@helper(changes_packet=True)
def bpf_skb_vlan_push(env: CallEnv, skb: Skb, vlan_proto: Anything, vlan_tci: Anything) -> Integer:
    """Add a tag, which is kept outside of the bytes; a second one pushes the first into them."""
    vlan_proto &= 0xFFFF
    if vlan_proto not in (BE_ETH_P_8021Q, BE_ETH_P_8021AD):
        vlan_proto = BE_ETH_P_8021Q
    if skb.vlan_present:
        tag = skb.vlan_proto.to_bytes(2, "little") + skb.vlan_tci.to_bytes(2, "big")
        replace(skb, 12, 0, tag)
        skb.protocol = skb.vlan_proto
    _put_tag(skb, vlan_proto, vlan_tci & 0xFFFF)
    return 0


@helper(changes_packet=True)
def bpf_skb_vlan_pop(env: CallEnv, skb: Skb) -> Integer:
    """Remove the outermost tag; the next one in the bytes, if any, takes its place."""
    if skb.vlan_present:
        skb.vlan_present = skb.vlan_tci = skb.vlan_proto = 0
    elif skb.protocol not in (BE_ETH_P_8021Q, BE_ETH_P_8021AD):
        return 0
    elif _pop_tag(skb) is None:
        return -ENOMEM
    if skb.protocol not in (BE_ETH_P_8021Q, BE_ETH_P_8021AD):
        return 0
    proto = skb.protocol
    tci = _pop_tag(skb)
    if tci is None:
        return -ENOMEM
    _put_tag(skb, proto, tci)
    return 0


def _put_tag(skb: SkBuff, proto: int, tci: int) -> None:
    skb.vlan_present, skb.vlan_proto, skb.vlan_tci = 1, proto, tci


def _pop_tag(skb: SkBuff) -> int | None:
    """Remove the tag after the addresses and return its TCI, None if the packet is too short."""
    tag = get(skb, 12, VLAN_HLEN + 2)
    if tag is None:
        return None
    replace(skb, 12, VLAN_HLEN, b"")
    skb.protocol = int.from_bytes(tag[4:6], "little")
    return int.from_bytes(tag[2:4], "big")
