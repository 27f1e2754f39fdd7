"""How much memory a packet takes in a kernel: its buffer, the shared information at its end, and the sk_buff.

Source: __alloc_skb and sock_alloc_send_pskb, net/core, Linux 7.2 on 64-bit machines.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from ebpfvm.sched.account import Packet

_SK_BUFF: Final = 256
_SHARED_INFO: Final = 320
_HEADROOM: Final = 16
_CACHE_LINE: Final = 64
_SMALL_HEAD: Final = 704  # skb_small_head_cache; longer buffers take a power of two


def truesize(skb: Packet) -> int:
    """Return skb->truesize of a packet that a socket of this machine has sent."""
    head = -(-(skb.len + _HEADROOM) // _CACHE_LINE) * _CACHE_LINE + _SHARED_INFO
    return _SK_BUFF + (_SMALL_HEAD if head <= _SMALL_HEAD else 1 << (head - 1).bit_length())


def memory_of(skb: Packet) -> int:
    """Return the bytes that a packet adds to a qdisc's memory: none if the socket that sent it pays (is_skb_wmem)."""
    return truesize(skb) if skb.ingress_ifindex else 0
