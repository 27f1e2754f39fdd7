"""Helpers for packet bytes (net/core/filter.c, Linux 7.2); `skb_meta` has metadata, `skb_room` sizes and headers."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from ebpfvm.contract import helper
from ebpfvm.contract.args import Anything, ConstSize, Integer, Mem, Skb, UninitMem
from ebpfvm.errnos import EFAULT, ENOMEM
from ebpfvm.funcs.nofault import clear
from ebpfvm.funcs.packet_bytes import load_bytes, network_offset, store_bytes
from ebpfvm.ints import U32_MAX, s32

if TYPE_CHECKING:
    from ebpfvm.kernel import CallEnv, SkBuff

_HDR_START_MAC: Final = 0
_HDR_START_NET: Final = 1


def _fill(env: CallEnv, to: int, size: int, found: bytes | int | None) -> int:
    """Copy the bytes to the program's memory, or zeros if there are none."""
    if isinstance(found, bytes):
        env.memory.write(to, found)
        return 0
    clear(env.memory, to, size)
    return -EFAULT if found is None else found


@helper()
def bpf_skb_load_bytes(env: CallEnv, skb: Skb, offset: Anything, to: UninitMem, len: ConstSize) -> Integer:
    """Copy from the packet; outside of it, zero `to` and return -EFAULT.

    In a test run of a flow dissector, which has no packet but its first bytes, everything is outside.
    """
    if skb.flow_keys:
        return _fill(env, to, len, None)
    return _fill(env, to, len, load_bytes(skb, offset & U32_MAX, len))


@helper()
def bpf_skb_load_bytes_relative(env: CallEnv, skb: Skb, offset: Anything, to: UninitMem, len: ConstSize,
                                start_header: Anything) -> Integer:
    """Copy from the packet, counting from the Ethernet (0) or network (1) header.

    Outside of it, zero `to` and return -EFAULT.
    """
    start = {_HDR_START_MAC: skb.link_offset, _HDR_START_NET: network_offset(skb)}.get(start_header & U32_MAX)
    offset &= U32_MAX
    if start is None or offset > 0xFFFF:
        return _fill(env, to, len, None)
    packet = skb.packet
    first = packet.start + start + offset
    return _fill(env, to, len, bytes(packet.data[first:first + len]) if first + len <= packet.end else None)


@helper(changes_packet=True)
def bpf_skb_store_bytes(env: CallEnv, skb: Skb, offset: Anything, data: Mem, len: ConstSize,
                        flags: Anything) -> Integer:
    """Write to the packet; return -EFAULT outside of it.

    Return -EINVAL for flags except BPF_F_RECOMPUTE_CSUM (1) and BPF_F_INVALIDATE_HASH (2).
    """
    return store_bytes(skb, offset & U32_MAX, data, flags)


@helper(changes_packet=True)
def bpf_skb_pull_data(env: CallEnv, skb: Skb, len: Anything) -> Integer:
    """Make `len` bytes (0: what is linear) directly accessible; return -ENOMEM if the packet is shorter."""
    return -ENOMEM if len & U32_MAX > skb.len else 0


def classify(env: CallEnv, skb: SkBuff, ifindex: int, handle: int) -> int:
    """Return what traffic control answers; 0 if there is none."""
    ask = env.kernel.net.classify
    return ask(skb, ifindex, handle) if ask is not None else 0


@helper(role="tc_classify")
def bpf_skb_tc_classify(env: CallEnv, skb: Skb, ifindex: Anything, handle: Anything) -> Integer:
    """Return the class id that the filters of a qdisc give the packet, 0 for none (RFC v6 patch 5/5).

    Args:
        ifindex: device of the qdisc, in the packet's namespace.
        handle: handle of the qdisc (1:0), or of one of its classes whose filters are meant.
    """
    return classify(env, skb, s32(ifindex), handle & U32_MAX)
