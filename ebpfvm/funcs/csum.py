"""Checksums (net/core/filter.c, include/net/checksum.h, Linux 7.2).

Sums are numbers in the host's byte order over little-endian 16-bit words, as on x86-64, so that the values that a
program passes and receives are those of a kernel. Every packet counts as CHECKSUM_NONE until bpf_csum_level changes
that.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from ebpfvm.contract import helper
from ebpfvm.contract.args import Anything, ConstSizeOrZero, Integer, MemOrNull, Skb
from ebpfvm.errnos import EACCES, EFAULT, EINVAL, ENOTSUPP
from ebpfvm.funcs.packet_bytes import get, put
from ebpfvm.ints import U32_MAX

if TYPE_CHECKING:
    from ebpfvm.kernel import CallEnv, SkBuff

_FIELD_MASK: Final = 0xF
_F_PSEUDO_HDR: Final = 0x10
_F_MARK_MANGLED_0: Final = 0x20
_F_MARK_ENFORCE: Final = 0x40
_F_IPV6: Final = 0x80


def add(a: int, b: int) -> int:
    """Return the ones' complement sum of two 32-bit sums (csum_add)."""
    total = (a & U32_MAX) + (b & U32_MAX)
    return (total + (total >> 32)) & U32_MAX


def sub(a: int, b: int) -> int:
    """Return the ones' complement difference of two 32-bit sums (csum_sub)."""
    return add(a, ~b)


def fold(csum: int) -> int:
    """Return a sum folded to 16 bits and complemented (csum_fold)."""
    return ~from32to16(csum) & 0xFFFF


def from32to16(csum: int) -> int:
    """Return a sum folded to 16 bits, not complemented (csum_from32to16)."""
    csum = (csum & 0xFFFF) + (csum >> 16 & 0xFFFF)
    return (csum + (csum >> 16)) & 0xFFFF


def partial(data: bytes, start: int) -> int:
    """Return the sum of little-endian 16-bit words as 32 bits (csum_partial)."""
    total = (start & U32_MAX) + sum(int.from_bytes(data[at:at + 4], "little") for at in range(0, len(data), 4))
    while total >> 32:
        total = (total & U32_MAX) + (total >> 32)
    return total


def _replace2(check: int, old: int, new: int) -> int:
    def add16(a: int, b: int) -> int:
        total = a + (b & 0xFFFF)
        return (total + (total >> 16)) & 0xFFFF

    return ~add16(add16(~check & 0xFFFF, ~old), new) & 0xFFFF


def _replaced(check: int, old: int, new: int, width: int) -> int | None:
    """Return `check` after a field of `width` bytes changed (0: `new` is a difference); None for an invalid width."""
    if width == 0:
        return fold(add(new, ~check & 0xFFFF | 0xFFFF0000)) if old == 0 else None
    if width == 2:
        return _replace2(check, old, new)
    return replaced4(check, old, new) if width == 4 else None


def replaced4(check: int, old: int, new: int) -> int:
    """Return `check` after 32 bits changed (csum_replace4); all in the same byte order."""
    return fold(add(sub(~check & U32_MAX, old), new))


@helper(changes_packet=True)
def bpf_l3_csum_replace(env: CallEnv, skb: Skb, offset: Anything, old: Anything, new: Anything,
                        flags: Anything) -> Integer:
    """Update the IPv4 header checksum at `offset` for a change of `flags & 0xf` bytes (0: `new` is a difference).

    -EINVAL for unknown flags or widths, -EFAULT for an odd offset or one outside of the packet.
    """
    if flags & ~_FIELD_MASK:
        return -EINVAL
    return _update(skb, offset & U32_MAX, old, new, flags)


@helper(changes_packet=True)
def bpf_l4_csum_replace(env: CallEnv, skb: Skb, offset: Anything, old: Anything, new: Anything,
                        flags: Anything) -> Integer:
    """Update a TCP or UDP checksum at `offset`, as bpf_l3_csum_replace does.

    Further flags are BPF_F_PSEUDO_HDR (0x10) and BPF_F_MARK_MANGLED_0 (0x20: a zero checksum means none, and is kept;
    0x40 computes it nevertheless).
    """
    if flags & ~(_F_MARK_MANGLED_0 | _F_MARK_ENFORCE | _F_PSEUDO_HDR | _FIELD_MASK | _F_IPV6):
        return -EINVAL
    return _update(skb, offset & U32_MAX, old, new, flags)


def _update(skb: SkBuff, offset: int, old: int, new: int, flags: int) -> int:
    held = get(skb, offset, 2)
    if offset > 0xFFFF or offset & 1 or held is None:
        return -EFAULT
    check = int.from_bytes(held, "little")
    mangled = flags & _F_MARK_MANGLED_0
    if mangled and not flags & _F_MARK_ENFORCE and not check:
        return 0
    result = _replaced(check, old, new, flags & _FIELD_MASK)
    if result is None:
        return -EINVAL
    put(skb, offset, (result or (0xFFFF if mangled else 0)).to_bytes(2, "little"))
    return 0


@helper(pkt_access=True)
def bpf_csum_diff(env: CallEnv, old: MemOrNull, old_size: ConstSizeOrZero, new: MemOrNull, new_size: ConstSizeOrZero,
                  seed: Anything) -> Integer:
    """Return the sum of `new` minus the sum of `old` plus `seed`, in 16 bits and for any size (since 6.13)."""
    if old_size and new_size:
        return from32to16(sub(partial(new, seed), partial(old, 0)))
    if new_size:
        return from32to16(partial(new, seed))
    if old_size:
        return from32to16(~partial(old, ~seed) & U32_MAX)
    return from32to16(seed & U32_MAX)


@helper()
def bpf_csum_update(env: CallEnv, skb: Skb, csum: Anything) -> Integer:
    """Return -ENOTSUPP, because there is no sum computed by a device to add to."""
    return -ENOTSUPP


@helper()
def bpf_csum_level(env: CallEnv, skb: Skb, level: Anything) -> Integer:
    """Query (0), increase (1), decrease (2) or reset (3) how many checksums the device verified.

    A query returns -EACCES while none is verified; -EINVAL is returned for another number.
    """
    levels = env.kernel.net.csum_levels
    held = levels.get(skb.serial)
    if level == 0:
        return -EACCES if held is None else held
    if level == 1:
        levels[skb.serial] = 0 if held is None else min(held + 1, 3)
    elif level == 2 and held is not None:
        if held:
            levels[skb.serial] = held - 1
        else:
            del levels[skb.serial]
    elif level == 3:
        levels.pop(skb.serial, None)
    return 0 if level <= 3 else -EINVAL
