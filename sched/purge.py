"""Remove packets from maps when their device goes down.

Version 5 of the RFC did this (bpf_skb_rbtree's netdevice notifier); version 6 omits it because of a missing piece.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ebpfvm.sched.account import DROPPED, Packet

if TYPE_CHECKING:
    from ebpfvm.sched.account import Account
    from ebpfvm.sched.device import NetDevice


def purge_maps(account: Account, dev: NetDevice, delete: bool = True) -> int:
    """Drop the packets of a device that rbtree maps hold, and return how many there were.

    Args:
        account: where they count as dropped.
        dev: the device.
        delete: delete their elements too; False leaves them with an empty slot.
    """
    maps = [found for found in account.kernel.maps.values() if found.type.name == "rbtree"]
    return sum(_purge_map(account, found, dev, delete) for found in maps)


def _purge_map(account: Account, bpf_map: Any, dev: NetDevice, delete: bool) -> int:
    keys: dict[int, bytes] = {}

    def note(key: bytes, region: Any) -> int:
        keys[region.base] = key
        return 0

    bpf_map.for_each(note)
    count = 0
    for pointer, region, offset in list(bpf_map.owned()):
        skb = account.kernel.memory.owner(pointer)
        if isinstance(skb, Packet) and skb.dev is dev:
            region.write(offset, bytes(8))
            account.dispose(skb, DROPPED, bpf_map.holder)
            count += 1
            if delete:
                bpf_map.delete(keys[region.base])
    return count
