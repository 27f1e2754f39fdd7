"""Helpers for XDP (net/core/filter.c, Linux 7.2)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from ebpfvm.contract import Arg, ArgSpec, contract_only, helper
from ebpfvm.contract.args import Anything, ConstSize, Integer, Mem, UninitMem, Xdp
from ebpfvm.errnos import EACCES, EFAULT, EINVAL
from ebpfvm.funcs.packet_bytes import length, load_bytes, store_bytes
from ebpfvm.ints import U32_MAX, s32
from ebpfvm.net import ETH_HLEN

if TYPE_CHECKING:
    from ebpfvm.kernel import CallEnv

_FRAME_SIZE: Final = 40  # sizeof(struct xdp_frame), kept at the beginning of the headroom
_META_MAX: Final = 255


@helper(changes_packet=True)
def bpf_xdp_adjust_head(env: CallEnv, xdp: Xdp, delta: Anything) -> Integer:
    """Move the packet's start by `delta` (negative: grow into the headroom), together with its metadata.

    Return -EINVAL beyond the headroom, or if less than an Ethernet header would remain.
    """
    region = xdp.packet
    start = region.start + s32(delta)
    meta = region.start - region.meta
    if start < _FRAME_SIZE + meta or start > region.end - ETH_HLEN:
        return -EINVAL
    if meta:
        region.data[start - meta:start] = region.data[region.meta:region.start]
    region.start, region.meta = start, start - meta
    return 0


@helper(changes_packet=True)
def bpf_xdp_adjust_meta(env: CallEnv, xdp: Xdp, delta: Anything) -> Integer:
    """Move the start of the metadata by `delta`.

    Return -EINVAL beyond headroom or packet, -EACCES for a size that is not a multiple of 4 or above 255.
    """
    region = xdp.packet
    meta = region.meta + s32(delta)
    if meta < _FRAME_SIZE or meta > region.start:
        return -EINVAL
    if (region.start - meta) & 3 or region.start - meta > _META_MAX:
        return -EACCES
    region.meta = meta
    return 0


@helper(changes_packet=True)
def bpf_xdp_adjust_tail(env: CallEnv, xdp: Xdp, delta: Anything) -> Integer:
    """Move the packet's end by `delta`, adding zeros; return -EINVAL beyond the buffer or below an Ethernet header."""
    region = xdp.packet
    end = region.end + s32(delta)
    if end > len(region.data) or end < region.start + ETH_HLEN:
        return -EINVAL
    if end > region.end:
        region.data[region.end:end] = bytes(end - region.end)
    region.end = end
    return 0


@helper()
def bpf_xdp_get_buff_len(env: CallEnv, xdp: Xdp) -> Integer:
    """Return the length of the packet in bytes."""
    return length(xdp)


bpf_xdp_get_buff_len__btf = contract_only("bpf_xdp_get_buff_len", ArgSpec(Arg.PTR_TO_BTF_ID, btf="xdp_buff"),
                                          ret=Integer)


@helper()
def bpf_xdp_load_bytes(env: CallEnv, xdp: Xdp, offset: Anything, buf: UninitMem, len: ConstSize) -> Integer:
    """Copy from the packet; return -EINVAL outside of it, -EFAULT for an offset or length above 65535."""
    offset &= U32_MAX
    if offset > 0xFFFF or len > 0xFFFF:
        return -EFAULT
    found = load_bytes(xdp, offset, len)
    if isinstance(found, int):
        return found
    env.memory.write(buf, found)
    return 0


@helper()
def bpf_xdp_store_bytes(env: CallEnv, xdp: Xdp, offset: Anything, buf: Mem, len: ConstSize) -> Integer:
    """Copy to the packet; return -EINVAL outside of it, -EFAULT for an offset or length above 65535."""
    offset &= U32_MAX
    return -EFAULT if offset > 0xFFFF or len > 0xFFFF else store_bytes(xdp, offset, buf, 0)
