"""Dynamic pointers: memory whose size is only known at run time (kernel/bpf/helpers.c, Linux 7.2).

`struct bpf_dynptr` is 16 bytes: the address of the data (or of the packet object) at 0, size with type and the
read-only bit at 8, offset at 12.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from ebpfvm.contract import helper, kfunc
from ebpfvm.contract.args import (
    AllocSize,
    Anything,
    ConstSizeOrZero,
    Dynptr,
    DynptrMemOrNull,
    Integer,
    Mem,
    UninitLocalDynptr,
    UninitMem,
)
from ebpfvm.errnos import E2BIG, EINVAL, ERANGE
from ebpfvm.funcs.packet_bytes import load_bytes, store_bytes
from ebpfvm.ints import U32_MAX
from ebpfvm.kernel.skb import SkBuff, XdpBuff
from ebpfvm.lazy_tuples import NamedTuple

if TYPE_CHECKING:
    from ebpfvm.kernel import CallEnv

MAX_SIZE: Final = (1 << 24) - 1
LOCAL, RINGBUF, SKB, XDP, SKB_META = 1, 2, 3, 4, 5
_RDONLY: Final = 1 << 31
_TYPE_SHIFT: Final = 28


class View(NamedTuple):
    """The fields of a dynptr; `data` is 0 for an invalid one."""

    data: int
    size: int
    type: int
    rdonly: bool
    offset: int

    def check(self, offset: int, length: int) -> int:
        """Return 0, or -E2BIG if `length` bytes at `offset` do not fit."""
        return -E2BIG if length > self.size or offset > self.size - length else 0


def view(env: CallEnv, address: int) -> View:
    """Read the dynptr at `address`."""
    memory = env.memory
    size = memory.load(address + 8, 4)
    return View(memory.load(address, 8), size & MAX_SIZE, (size & ~_RDONLY) >> _TYPE_SHIFT, bool(size & _RDONLY),
                memory.load(address + 12, 4))


def init(env: CallEnv, address: int, data: int, type: int, size: int, *, offset: int = 0, rdonly: bool = False) -> None:
    """Write a dynptr at `address`."""
    memory = env.memory
    memory.store(address, 8, data)
    memory.store(address + 8, 4, size | type << _TYPE_SHIFT | (_RDONLY if rdonly else 0))
    memory.store(address + 12, 4, offset)


def set_null(env: CallEnv, address: int) -> None:
    """Make the dynptr at `address` invalid."""
    env.memory.write(address, bytes(16))


def _packet(env: CallEnv, pointer: View) -> SkBuff | XdpBuff:
    found = env.memory.owner(pointer.data)
    assert isinstance(found, (SkBuff, XdpBuff))
    return found


def read(env: CallEnv, pointer: View, offset: int, length: int) -> bytes | int:
    """Return `length` bytes of a dynptr, or a negative errno."""
    status = pointer.check(offset, length)
    if status:
        return status
    if pointer.type in (SKB, XDP):
        return load_bytes(_packet(env, pointer), pointer.offset + offset, length)
    return env.memory.read(pointer.data + pointer.offset + offset, length)


def write(env: CallEnv, pointer: View, offset: int, data: bytes, flags: int = 0) -> int:
    """Write `data` to a dynptr; return 0 or a negative errno."""
    if not pointer.data or pointer.rdonly:
        return -EINVAL
    status = pointer.check(offset, len(data))
    if status:
        return status
    if pointer.type == SKB:
        return store_bytes(_packet(env, pointer), pointer.offset + offset, data, flags)
    if flags:
        return -EINVAL
    if pointer.type == XDP:
        return store_bytes(_packet(env, pointer), pointer.offset + offset, data, 0)
    env.memory.write(pointer.data + pointer.offset + offset, data)
    return 0


@helper(cap="bpf", role="dynptr_from_mem")
def bpf_dynptr_from_mem(env: CallEnv, data: UninitMem, size: ConstSizeOrZero, flags: Anything,
                        ptr: UninitLocalDynptr) -> Integer:
    """Create a dynptr of memory of the program; -E2BIG above 16 MiB - 1 and -EINVAL for flags make it invalid."""
    status = -E2BIG if size > MAX_SIZE else -EINVAL if flags else 0
    if status:
        set_null(env, ptr)
    else:
        init(env, ptr, data, LOCAL, size)
    return status


@helper(cap="bpf")
def bpf_dynptr_read(env: CallEnv, dst: UninitMem, len: ConstSizeOrZero, src: Dynptr, offset: Anything,
                    flags: Anything) -> Integer:
    """Copy from a dynptr; return -E2BIG out of bounds, -EINVAL for flags or an invalid dynptr."""
    pointer = view(env, src)
    if not pointer.data or flags:
        return -EINVAL
    data = read(env, pointer, offset & U32_MAX, len)
    if isinstance(data, int):
        return data
    env.memory.write(dst, data)
    return 0


@helper(cap="bpf", role="dynptr_write")
def bpf_dynptr_write(env: CallEnv, dst: Dynptr, offset: Anything, src: Mem, len: ConstSizeOrZero,
                     flags: Anything) -> Integer:
    """Copy to a dynptr.

    Return -E2BIG out of bounds, -EINVAL if it is read-only or invalid. Flags as in skb_store_bytes.
    """
    return write(env, view(env, dst), offset & U32_MAX, src, flags)


@helper(cap="bpf", role="dynptr_data")
def bpf_dynptr_data(env: CallEnv, ptr: Dynptr, offset: Anything, len: AllocSize) -> DynptrMemOrNull:
    """Return the address of `len` bytes in a dynptr of memory.

    NULL for packets, out of bounds, read-only or invalid.
    """
    pointer = view(env, ptr)
    offset &= U32_MAX
    if not pointer.data or pointer.check(offset, len) or pointer.rdonly or pointer.type not in (LOCAL, RINGBUF):
        return 0
    return pointer.data + pointer.offset + offset


# -- kfuncs ----------------------------------------------------------------------------------------------------------


def _from_packet(env: CallEnv, packet: SkBuff | XdpBuff, flags: int, ptr: int, type: int) -> int:
    if flags:
        set_null(env, ptr)
        return -EINVAL
    prog_type = env.prog.type
    address = packet.ptr if isinstance(packet, SkBuff) else env.ctx.region.base
    init(env, ptr, address, type, packet.packet.end - packet.packet.start,
         rdonly=prog_type is not None and not prog_type.packet_write)
    return 0


@kfunc("int bpf_dynptr_from_skb(struct __sk_buff *s, u64 flags, struct bpf_dynptr *ptr__uninit)", "trusted_args",
       role="dynptr_new", dynptr="skb")
def bpf_dynptr_from_skb(env: CallEnv, s: SkBuff, flags: int, ptr__uninit: int) -> int:
    """Create a dynptr of a packet, read-only if the program type may not write packets; return -EINVAL for flags."""
    return _from_packet(env, s, flags, ptr__uninit, SKB)


@kfunc("int bpf_dynptr_from_xdp(struct xdp_md *x, u64 flags, struct bpf_dynptr *ptr__uninit)",
       role="dynptr_new", dynptr="xdp")
def bpf_dynptr_from_xdp(env: CallEnv, x: XdpBuff, flags: int, ptr__uninit: int) -> int:
    """Create a dynptr of a packet in XDP; return -EINVAL for flags."""
    return _from_packet(env, x, flags, ptr__uninit, XDP)


@kfunc("int bpf_dynptr_from_skb_meta(struct __sk_buff *skb_, u64 flags, struct bpf_dynptr *ptr__uninit)",
       "trusted_args", role="dynptr_new", dynptr="skb_meta")
def bpf_dynptr_from_skb_meta(env: CallEnv, skb_: SkBuff, flags: int, ptr__uninit: int) -> int:
    """Create a dynptr of the metadata before a packet (since 6.18)."""
    if flags:
        set_null(env, ptr__uninit)
        return -EINVAL
    packet = skb_.packet
    init(env, ptr__uninit, packet.base + packet.meta, SKB_META, packet.start - packet.meta)
    return 0


def _slice(env: CallEnv, address: int, offset: int, size: int, writes: bool) -> int:
    pointer = view(env, address)
    if not pointer.data or (writes and pointer.rdonly) or pointer.check(offset, size):
        return 0
    if pointer.type in (SKB, XDP):
        packet = _packet(env, pointer)
        return packet.data + pointer.offset + offset
    return pointer.data + pointer.offset + offset


@kfunc("void *bpf_dynptr_slice(const struct bpf_dynptr *p, u32 offset, void *buffer__opt, u32 buffer__szk)",
       "ret_null", role="dynptr_slice")
def bpf_dynptr_slice(env: CallEnv, p: int, offset: int, buffer__opt: int, buffer__szk: int) -> int:
    """Return the address of a readable part of a dynptr, NULL if outside.

    Packets are linear, so the buffer is unused.
    """
    return _slice(env, p, offset, buffer__szk, writes=False)


@kfunc("void *bpf_dynptr_slice_rdwr(const struct bpf_dynptr *p, u32 offset, void *buffer__opt, u32 buffer__szk)",
       "ret_null", role="dynptr_slice_rdwr")
def bpf_dynptr_slice_rdwr(env: CallEnv, p: int, offset: int, buffer__opt: int, buffer__szk: int) -> int:
    """Return the address of a readable and writable part of a dynptr; NULL if outside or read-only."""
    return _slice(env, p, offset, buffer__szk, writes=True)


@kfunc("int bpf_dynptr_adjust(const struct bpf_dynptr *p, u32 start, u32 end)")
def bpf_dynptr_adjust(env: CallEnv, p: int, start: int, end: int) -> int:
    """Narrow a dynptr to [start, end); return -EINVAL if start > end or it is invalid, -ERANGE beyond its size."""
    pointer = view(env, p)
    if not pointer.data or start > end:
        return -EINVAL
    if start > pointer.size or end > pointer.size:
        return -ERANGE
    init(env, p, pointer.data, pointer.type, end - start, offset=pointer.offset + start, rdonly=pointer.rdonly)
    return 0


@kfunc("bool bpf_dynptr_is_null(const struct bpf_dynptr *p)")
def bpf_dynptr_is_null(env: CallEnv, p: int) -> int:
    """Return whether a dynptr is invalid."""
    return int(not view(env, p).data)


@kfunc("bool bpf_dynptr_is_rdonly(const struct bpf_dynptr *p)")
def bpf_dynptr_is_rdonly(env: CallEnv, p: int) -> int:
    """Return whether a dynptr is read-only; an invalid one is not."""
    pointer = view(env, p)
    return int(bool(pointer.data) and pointer.rdonly)


@kfunc("__u32 bpf_dynptr_size(const struct bpf_dynptr *p)")
def bpf_dynptr_size(env: CallEnv, p: int) -> int:
    """Return the size of a dynptr in bytes; -EINVAL (as u32) for an invalid one."""
    pointer = view(env, p)
    return pointer.size if pointer.data else -EINVAL & U32_MAX


@kfunc("int bpf_dynptr_clone(const struct bpf_dynptr *p, struct bpf_dynptr *clone__uninit)", role="dynptr_clone")
def bpf_dynptr_clone(env: CallEnv, p: int, clone__uninit: int) -> int:
    """Create a second dynptr of the same data; for an invalid one, return -EINVAL with an invalid clone."""
    if not view(env, p).data:
        set_null(env, clone__uninit)
        return -EINVAL
    env.memory.write(clone__uninit, env.memory.read(p, 16))
    return 0


@kfunc("int bpf_dynptr_copy(struct bpf_dynptr *dst_ptr, u32 dst_off, struct bpf_dynptr *src_ptr, u32 src_off, "
       "u32 size)")
def bpf_dynptr_copy(env: CallEnv, dst_ptr: int, dst_off: int, src_ptr: int, src_off: int, size: int) -> int:
    """Copy from one dynptr to another; return -E2BIG out of bounds, -EINVAL for an invalid or read-only one."""
    src, dst = view(env, src_ptr), view(env, dst_ptr)
    if not src.data or not dst.data or dst.rdonly:
        return -EINVAL
    status = src.check(src_off, size) or dst.check(dst_off, size)
    if status:
        return status
    data = read(env, src, src_off, size)
    return data if isinstance(data, int) else write(env, dst, dst_off, data)


@kfunc("int bpf_dynptr_memset(struct bpf_dynptr *p, u32 offset, u32 size, u8 val)")
def bpf_dynptr_memset(env: CallEnv, p: int, offset: int, size: int, val: int) -> int:
    """Fill part of a dynptr; return -E2BIG out of bounds, -EINVAL for an invalid or read-only one."""
    pointer = view(env, p)
    if not pointer.data or pointer.rdonly:
        return -EINVAL
    return pointer.check(offset, size) or write(env, pointer, offset, bytes([val]) * size)
