"""Redirection, routes and MTU (net/core/filter.c, Linux 7.2).

Whatever needs a network is requested from `Kernel.net`, which the scheduler provides.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from ebpfvm.contract import helper
from ebpfvm.contract.args import (
    Anything,
    ConstSize,
    ConstSizeOrZero,
    Integer,
    MapPtr,
    MemOrNull,
    Out32,
    Packet,
    Skb,
    WriteMem,
)
from ebpfvm.errnos import EAFNOSUPPORT, EINVAL, ENODEV
from ebpfvm.funcs.map_kind import taken_by
from ebpfvm.funcs.packet_bytes import length
from ebpfvm.ints import U32_MAX, s32
from ebpfvm.kernel.services import Redirect
from ebpfvm.kernel.skb import SKB_CLONED, SkBuff
from ebpfvm.net import AF_INET, AF_INET6, ETH_HLEN

if TYPE_CHECKING:
    from ebpfvm.kernel import CallEnv, Kernel, XdpBuff

TC_ACT_SHOT: Final = 2
TC_ACT_REDIRECT: Final = 7
XDP_ABORTED: Final = 0
BPF_F_BROADCAST: Final = 8
BPF_F_EXCLUDE_INGRESS: Final = 16
_ACTIONS: Final = 3  # XDP_ABORTED, XDP_DROP, XDP_PASS, XDP_TX
XDP_REDIRECT: Final = 4
BPF_F_INGRESS: Final = 1
BPF_MTU_CHK_SEGS: Final = 1
BPF_FIB_LKUP_RET_FWD_DISABLED: Final = 5
_FIB_SIZE: Final = 64
_FIB_FLAGS: Final = 0x3F
_REDIR_NEIGH_SIZE: Final = 20
_DEFAULT_MTU: Final = 1500


def _ask(env: CallEnv, kind: str, ifindex: int, flags: int, params: bytes = b"") -> int:
    env.kernel.net.redirect = Redirect(kind, s32(ifindex), flags, params)
    return TC_ACT_REDIRECT


@helper()
def bpf_redirect(env: CallEnv, ifindex: Anything, flags: Anything) -> Integer:
    """Request that the packet go to another device, and return the verdict to return.

    For tc, this is TC_ACT_REDIRECT, with BPF_F_INGRESS to its ingress, and TC_ACT_SHOT for other flags. For XDP, it is
    XDP_REDIRECT, and XDP_ABORTED for any flag.
    """
    if env.prog.type is not None and env.prog.type.name == "xdp":
        if flags:
            return XDP_ABORTED
        _ask(env, "redirect", ifindex, flags)
        return XDP_REDIRECT
    return TC_ACT_SHOT if flags & ~BPF_F_INGRESS else _ask(env, "redirect", ifindex, flags)


@helper()
def bpf_redirect_peer(env: CallEnv, ifindex: Anything, flags: Anything) -> Integer:
    """Request that the packet enter through the peer of a device (veth).

    Return TC_ACT_REDIRECT, TC_ACT_SHOT for flags.
    """
    return TC_ACT_SHOT if flags else _ask(env, "peer", ifindex, 0)


@helper()
def bpf_redirect_neigh(env: CallEnv, ifindex: Anything, params: MemOrNull, plen: ConstSizeOrZero,
                       flags: Anything) -> Integer:
    """Request that the packet leave through a device towards a next hop, and return TC_ACT_REDIRECT.

    Return TC_ACT_SHOT for flags or a `params` that is too short.
    """
    if flags or (plen and plen < _REDIR_NEIGH_SIZE):
        return TC_ACT_SHOT
    return _ask(env, "neigh", ifindex, 0, params)


@helper(changes_packet=True)
def bpf_clone_redirect(env: CallEnv, skb: Skb, ifindex: Anything, flags: Anything) -> Integer:
    """Send a copy of the packet to another device at once; return 0, or -EINVAL for flags or an unknown device."""
    device = env.kernel.devices.get(s32(ifindex))
    if flags & ~BPF_F_INGRESS or device is None:
        return -EINVAL
    hook = env.kernel.net.clone_redirect
    if hook is None:
        return 0
    return hook(copy_of(skb), device, flags)


def copy_of(skb: SkBuff, holder: str = "redirect") -> SkBuff:
    """Return a copy of a packet with its metadata (skb_clone), whose reference `holder` has."""
    same = (*SKB_CLONED, "tc_classid", "tstamp_type", "dev", "id", "arrival", "flow", "tunnel", "link_offset")
    clone = SkBuff(skb.kernel, skb.payload(), holder, **{name: getattr(skb, name) for name in same})
    clone.cb = list(skb.cb)
    return clone


@helper(gpl_only=True)
def bpf_check_mtu(env: CallEnv, ctx: Packet, ifindex: Anything, mtu_len: Out32, len_diff: Anything,
                  flags: Anything) -> Integer:
    """Return whether the packet, changed by `len_diff` bytes, exceeds the MTU: 0, or 1 (BPF_MTU_CHK_RET_FRAG_NEEDED).

    `*mtu_len` is a layer-3 length to use instead of the packet's, and becomes the MTU. `ifindex` 0 is the packet's own
    device. Return -ENODEV for an unknown device, -EINVAL for flags.
    """
    wanted = env.memory.load(mtu_len, 4)
    is_skb = isinstance(ctx, SkBuff)
    allowed = BPF_MTU_CHK_SEGS if is_skb else 0
    if flags & ~allowed or (flags and (s32(len_diff) or wanted)):
        return -EINVAL
    device = _device(env.kernel, ctx, s32(ifindex))
    if device is None:
        return -ENODEV
    mtu = mtu_of(device)
    size = (wanted + ETH_HLEN if wanted else length(ctx)) + s32(len_diff)
    env.memory.store(mtu_len, 4, mtu)
    return 0 if size <= mtu + ETH_HLEN or (is_skb and ctx.gso_size) else 1


def _device(kernel: Kernel, packet: SkBuff | XdpBuff, ifindex: int) -> Any:
    if ifindex:
        return kernel.devices.get(ifindex)
    if isinstance(packet, SkBuff) and packet.dev is not None:
        return packet.dev
    return kernel.devices.get(packet.ingress_ifindex)


def mtu_of(device: Any) -> int:
    """Return the MTU of a device or of its link; 1500 if neither has one."""
    own = getattr(device, "mtu", None) or getattr(getattr(device, "link", None), "mtu", None)
    return int(own) if own else _DEFAULT_MTU


@helper(gpl_only=True)
def bpf_fib_lookup(env: CallEnv, ctx: Packet, params: WriteMem, plen: ConstSize, flags: Anything) -> Integer:
    """Look up the packet's route and return a BPF_FIB_LKUP_RET_*: 5 (the device does not forward) if nothing routes.

    Return -EINVAL for a `plen` below 64 or flags, -EAFNOSUPPORT for a family that is not IP, -ENODEV without the
    device.
    """
    if plen < _FIB_SIZE or flags & ~_FIB_FLAGS:
        return -EINVAL
    data = env.memory.read(params, _FIB_SIZE)
    if data[0] not in (AF_INET, AF_INET6):
        return -EAFNOSUPPORT
    if int.from_bytes(data[8:12], "little") not in env.kernel.devices:
        return -ENODEV
    hook = env.kernel.net.fib_lookup
    if hook is None:
        return BPF_FIB_LKUP_RET_FWD_DISABLED
    result, answer = hook(ctx, data, flags)
    env.memory.write(params, answer)
    return result


@helper()
def bpf_redirect_map(env: CallEnv, map: MapPtr, key: Anything, flags: Anything) -> Integer:
    """Request that the packet go to the device, CPU or AF_XDP socket of an entry, and return XDP_REDIRECT.

    Without the entry, return the low two bits of `flags`, an action. With BPF_F_BROADCAST (devices only), a copy goes
    to each entry, with BPF_F_EXCLUDE_INGRESS except to the device that it came from. Return XDP_ABORTED for other
    flags.
    """
    devices = hasattr(taken_by(map, "bpf_redirect_map"), "targets")  # other types do not support broadcasts
    if flags & ~(_ACTIONS | (BPF_F_BROADCAST | BPF_F_EXCLUDE_INGRESS if devices else 0)):
        return XDP_ABORTED
    index = key & U32_MAX
    target = map.target(index)
    if flags & BPF_F_BROADCAST:
        env.kernel.net.redirect = Redirect("broadcast", 0, flags, b"", map, tuple(map.targets()))
        return XDP_REDIRECT
    if target is None:
        env.kernel.net.redirect = None
        return int(flags & _ACTIONS)
    env.kernel.net.redirect = Redirect("map", target if devices else 0, 0, b"", map, (target,))
    return XDP_REDIRECT
