"""Tunnel metadata and lightweight tunnels (net/core/filter.c, Linux 7.2)."""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING, Final

from ebpfvm.contract import contract_only, helper
from ebpfvm.contract.args import Anything, ConstSize, Ctx, Integer, Mem, Skb, UninitMem
from ebpfvm.errnos import EINVAL, ENOENT, ENOMEM, EPROTO
from ebpfvm.funcs.nofault import clear
from ebpfvm.lazy_dataclasses import dataclass

if TYPE_CHECKING:
    from ebpfvm.kernel import CallEnv, SkBuff

_KEY: Final = struct.Struct("<I16sBBHI16s")  # struct bpf_tunnel_key
_SHORTER: Final = frozenset({28, 24, 22})  # its size in older headers
_SHORTEST: Final = 8  # its size in the oldest, with an IPv4 remote address only
_F_IPV6: Final = 1  # BPF_F_TUNINFO_IPV6
_F_FLAGS: Final = 16  # BPF_F_TUNINFO_FLAGS
_SET_FLAGS: Final = 0x1F
_OPTIONS_MAX: Final = 255  # IP_TUNNEL_OPTS_MAX
# Bits of key.tun_flags that flags of bpf_skb_set_tunnel_key set: IP_TUNNEL_*_BIT.
_CSUM, _KEY_BIT, _SEQ, _DONT_FRAGMENT, _NO_CACHE = 1 << 0, 1 << 2, 1 << 3, 1 << 8, 1 << 13


@dataclass(slots=True)
class TunnelInfo:
    """Tunnel metadata of a packet (struct ip_tunnel_info): its destination, as a program has set it.

    Attributes:
        key: `struct bpf_tunnel_key` as it was set, source and destination from the sender's view.
        ipv6: whether the addresses are IPv6.
        flags: IP_TUNNEL_* bits.
        options: tunnel options, None for none.
    """

    key: tuple[int, bytes, int, int, int, int, bytes]
    ipv6: bool
    flags: int
    options: bytes | None = None


def _info(skb: SkBuff) -> TunnelInfo | None:
    found: TunnelInfo | None = skb.tunnel
    return found


@helper()
def bpf_skb_get_tunnel_key(env: CallEnv, skb: Skb, key: UninitMem, size: ConstSize, flags: Anything) -> Integer:
    """Copy the packet's tunnel metadata to `key`.

    On error, `key` is zeroed: -EINVAL for a packet that has none, unknown flags or a size of no header; -EPROTO if the
    addresses are of the other family. "Remote" is the packet's source, so that metadata that a program has just set is
    read with local and remote addresses exchanged.
    """
    info = _info(skb)
    error = 0
    if info is None or flags & ~(_F_IPV6 | _F_FLAGS):
        error = -EINVAL
    elif info.ipv6 != bool(flags & _F_IPV6):
        error = -EPROTO
    elif size != _KEY.size and size not in _SHORTER and (size != _SHORTEST or info.ipv6):
        error = -EINVAL
    if info is None or error:
        clear(env.memory, key, size)
        return error
    number, remote, tos, ttl, _, label, local = info.key
    shown = info.flags >> 8 | (info.flags & 0xFF) << 8 if flags & _F_FLAGS else 0  # in network byte order
    if not info.ipv6:
        remote, local, label = remote[:4].ljust(16, b"\0"), local[:4].ljust(16, b"\0"), 0
    env.memory.write(key, _KEY.pack(number, local, tos, ttl, shown, label, remote)[:size])
    return 0


@helper()
def bpf_skb_set_tunnel_key(env: CallEnv, skb: Skb, key: Mem, size: ConstSize, flags: Anything) -> Integer:
    """Set the tunnel metadata of the packet, without options.

    Return -EINVAL for unknown flags, a size of no header, a label without IPv6, or bits in `tunnel_ext`.
    """
    if flags & ~_SET_FLAGS or (size != _KEY.size and size not in _SHORTER and size != _SHORTEST):
        return -EINVAL
    found = _KEY.unpack(key.ljust(_KEY.size, b"\0"))
    ipv6 = bool(flags & _F_IPV6)
    if (found[5] and not ipv6) or found[4]:
        return -EINVAL
    bits = _KEY_BIT | _CSUM | _NO_CACHE
    if flags & 2:  # BPF_F_ZERO_CSUM_TX
        bits &= ~_CSUM
    if flags & 4:
        bits |= _DONT_FRAGMENT
    if flags & 8:
        bits |= _SEQ
    if flags & 16:  # BPF_F_NO_TUNNEL_KEY
        bits &= ~_KEY_BIT
    skb.tunnel = TunnelInfo(found, ipv6, bits)
    return 0


@helper()
def bpf_skb_get_tunnel_opt(env: CallEnv, skb: Skb, opt: UninitMem, size: ConstSize) -> Integer:
    """Copy the packet's tunnel options to `opt` and return their length.

    On error, `opt` is zeroed: -ENOENT without any, -ENOMEM if they are longer than `size`.
    """
    info = _info(skb)
    if info is None or info.options is None:
        clear(env.memory, opt, size)
        return -ENOENT
    if len(info.options) > size:
        clear(env.memory, opt, size)
        return -ENOMEM
    env.memory.write(opt, info.options.ljust(size, b"\0"))
    return len(info.options)


@helper()
def bpf_skb_set_tunnel_opt(env: CallEnv, skb: Skb, opt: Mem, size: ConstSize) -> Integer:
    """Set the tunnel options of a packet whose metadata a program has set.

    Return -EINVAL for other packets and for a size that is not a multiple of 4, -ENOMEM above 255 bytes.
    """
    info = _info(skb)
    if info is None or size & 3:
        return -EINVAL
    if size > _OPTIONS_MAX:
        return -ENOMEM
    info.options = opt
    return 0


@helper()
def bpf_skb_get_xfrm_state(env: CallEnv, skb: Skb, index: Anything, xfrm_state: UninitMem, size: ConstSize,
                           flags: Anything) -> Integer:
    """Zero `xfrm_state` and return -EINVAL, because no packet came through an IPsec transformation."""
    clear(env.memory, xfrm_state, size)
    return -EINVAL


bpf_lwt_push_encap = contract_only("bpf_lwt_push_encap", Ctx, Anything, Mem, ConstSize, ret=Integer,
                                   changes_packet=True)
bpf_lwt_seg6_store_bytes = contract_only("bpf_lwt_seg6_store_bytes", Ctx, Anything, Mem, ConstSize, ret=Integer,
                                         changes_packet=True)
bpf_lwt_seg6_adjust_srh = contract_only("bpf_lwt_seg6_adjust_srh", Ctx, Anything, Anything, ret=Integer,
                                        changes_packet=True)
bpf_lwt_seg6_action = contract_only("bpf_lwt_seg6_action", Ctx, Anything, Mem, ConstSize, ret=Integer,
                                    changes_packet=True)
